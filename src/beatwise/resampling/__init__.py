"""Resampling strategies by name, for the training part only."""

from beatwise.resampling.strategies import STRATEGIES, resample_beats

__all__ = ["STRATEGIES", "resample_beats"]
