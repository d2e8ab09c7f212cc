"""Pipeline `score`: new recordings and beats, classified."""

from beatwise.pipelines.score.pipeline import create_pipeline

__all__ = ["create_pipeline"]
