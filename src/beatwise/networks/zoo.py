"""The model zoo: one family a file, chosen by name through the registry."""

from beatwise.networks.base import MODELS, Network, build_model, list_models

# Importing a family registers its models.
from beatwise.networks import boosting, cnn1d, cnn2d, mlp, recurrent, resnet1d, resnet2d, transformer1d, transformer2d  # isort: skip  # noqa: F401

__all__ = ["MODELS", "Network", "build_model", "list_models"]
