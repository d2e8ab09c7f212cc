"""Pipeline `evaluate`: measure a stored model again."""

from beatwise.pipelines.evaluate.pipeline import create_pipeline

__all__ = ["create_pipeline"]
