"""Pipeline `explain`: what a stored model learned, seen on validation beats."""

from beatwise.pipelines.explain.pipeline import create_pipeline

__all__ = ["create_pipeline"]
