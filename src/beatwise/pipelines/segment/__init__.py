"""Pipeline `segment`: records into beats."""

from beatwise.pipelines.segment.pipeline import create_pipeline

__all__ = ["create_pipeline"]
