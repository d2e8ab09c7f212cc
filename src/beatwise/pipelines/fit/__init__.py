"""Pipeline `fit`: resample, build tensors, train one model; a template, once per namespace."""

from beatwise.pipelines.fit.pipeline import create_pipeline

__all__ = ["create_pipeline"]
