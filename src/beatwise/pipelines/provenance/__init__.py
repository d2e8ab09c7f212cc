"""Pipeline `provenance`: find the record and R peak of every row of the Kaggle set."""

from beatwise.pipelines.provenance.pipeline import create_pipeline

__all__ = ["create_pipeline"]
