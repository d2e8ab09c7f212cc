"""Pipeline `transfer`: what a model that was trained before is worth on other examples."""

from beatwise.pipelines.transfer.pipeline import create_pipeline

__all__ = ["create_pipeline"]
