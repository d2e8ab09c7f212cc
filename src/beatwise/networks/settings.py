"""Settings of the choice of a model."""

from __future__ import annotations

from beatwise.core.settings import Choice


class Model(Choice):
    """The model (:mod:`beatwise.networks`)."""

    registry = "beatwise.networks.zoo.MODELS"
    needs_torch = True
