"""Every task and every metric by name; importing a task registers it, with its metrics."""

from beatwise.tasks.base import TASKS
from beatwise.tasks.classification import task as _classification  # noqa: F401
from beatwise.tasks.metrics import METRICS
from beatwise.tasks.regression import task as _regression  # noqa: F401

__all__ = ["METRICS", "TASKS"]
