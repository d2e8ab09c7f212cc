"""Pipeline `tune`: search hyper-parameters, fit the best once more, and compare it with the baseline."""

from beatwise.pipelines.tune.pipeline import create_pipeline

__all__ = ["create_pipeline"]
