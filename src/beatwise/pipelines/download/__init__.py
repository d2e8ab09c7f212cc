"""Pipeline `download`: fetch records from PhysioNet."""

from beatwise.pipelines.download.pipeline import create_pipeline

__all__ = ["create_pipeline"]
