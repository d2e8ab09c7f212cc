"""Pipeline `promote`: a registered candidate beside the champion, and the alias moved if it is better."""

from beatwise.pipelines.promote.pipeline import create_pipeline

__all__ = ["create_pipeline"]
