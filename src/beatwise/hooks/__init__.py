"""Kedro hooks: parameters are checked; every run is shown, tracked by MLflow, and written into run card and journal.

Kedro imports this package for every command, ``kedro --help`` among them: what takes long to import is imported by the
functions that need it.
"""

from beatwise.hooks.own_files import OwnFilesHooks
from beatwise.hooks.parameters import ParameterHooks
from beatwise.hooks.recorder import Recorder
from beatwise.hooks.repetition import RepetitionHooks

__all__ = ["OwnFilesHooks", "ParameterHooks", "Recorder", "RepetitionHooks"]
