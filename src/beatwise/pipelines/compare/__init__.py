"""Pipeline `compare`: a leaderboard over many models × strategies × seeds."""

from beatwise.pipelines.compare.pipeline import create_pipeline

__all__ = ["create_pipeline"]
