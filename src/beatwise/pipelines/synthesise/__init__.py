"""Pipeline `synthesise`: synthetic records, and the bundled sample cut from them."""

from beatwise.pipelines.synthesise.pipeline import create_pipeline

__all__ = ["create_pipeline"]
