"""Every loss by name; importing a task's losses registers them."""

from beatwise.tasks.classification import losses as _classification  # noqa: F401
from beatwise.tasks.loss import LOSSES, Loss
from beatwise.tasks.regression import losses as _regression  # noqa: F401

__all__ = ["LOSSES", "Loss"]
