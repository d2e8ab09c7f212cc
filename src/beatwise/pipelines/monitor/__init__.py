"""Pipeline `monitor`: whether scored beats are like those of the training."""

from beatwise.pipelines.monitor.pipeline import create_pipeline

__all__ = ["create_pipeline"]
