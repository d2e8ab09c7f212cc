"""Kedro hooks: parameters are checked, every run is tracked, scores are shown at the end, hypotheses are tested."""

from beatwise.hooks.journal import JournalHooks
from beatwise.hooks.parameters import ParameterHooks
from beatwise.hooks.scores import ScoreHooks
from beatwise.hooks.tracking import TrackingHooks

__all__ = ["JournalHooks", "ParameterHooks", "ScoreHooks", "TrackingHooks"]
