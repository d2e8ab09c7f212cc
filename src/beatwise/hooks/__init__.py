"""Kedro hooks: parameters are checked, runs are tracked, scores shown, run cards written, hypotheses tested."""

from beatwise.hooks.journal import JournalHooks
from beatwise.hooks.parameters import ParameterHooks
from beatwise.hooks.repetition import RepetitionHooks
from beatwise.hooks.run_card import RunCardHooks
from beatwise.hooks.scores import ScoreHooks
from beatwise.hooks.tracking import TrackingHooks

__all__ = ["JournalHooks", "ParameterHooks", "RepetitionHooks", "RunCardHooks", "ScoreHooks", "TrackingHooks"]
