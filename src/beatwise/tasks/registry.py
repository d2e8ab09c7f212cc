"""Every task by name; importing a task registers it, with its metrics."""

from beatwise.tasks.base import TASKS
from beatwise.tasks.classification import task as _classification  # noqa: F401

__all__ = ["TASKS"]
