"""The model zoo: one family a file, chosen by name through the registry."""

from beatwise.models.registry import MODELS, build_model, list_models
from beatwise.models.trained import TrainedModel

# Importing a family registers its models.
from beatwise.models import cnn1d, mlp, resnet1d  # isort: skip  # noqa: F401

__all__ = ["MODELS", "TrainedModel", "build_model", "list_models"]
