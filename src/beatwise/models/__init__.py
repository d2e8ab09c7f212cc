"""The model zoo: one family a file, chosen by name through the registry."""

from beatwise.models.registry import MODELS, build_model, list_models

# Importing a family registers its models.
from beatwise.models import cnn1d, mlp, resnet1d  # isort: skip  # noqa: F401

__all__ = ["MODELS", "build_model", "list_models"]
