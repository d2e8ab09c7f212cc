"""Pipeline `ingest`: check the raw beats, split them, summarise them."""

from beatwise.pipelines.ingest.pipeline import create_pipeline

__all__ = ["create_pipeline"]
