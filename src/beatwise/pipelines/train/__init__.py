"""Pipeline `train`: everything from raw beats to report, without tuning."""

from beatwise.pipelines.train.pipeline import create_pipeline

__all__ = ["create_pipeline"]
