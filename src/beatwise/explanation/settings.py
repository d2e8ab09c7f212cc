"""Settings of explaining."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field, field_validator

from beatwise.core.settings import Block, Choices
from beatwise.explanation.projections import PROJECTIONS, check_installed


class Projections(Choices):
    """How the space of the last layer is laid onto a plane (:mod:`beatwise.explanation.projections`), one or more.

    Attributes:
        use: Names of the projections; the last is the one that the interactive figure begins with.
    """

    registry = PROJECTIONS
    use: Annotated[list[str], Field(min_length=1)] = ["pca", "tsne"]

    @field_validator("use")
    @classmethod
    def _check_installed(cls, use: list[str]) -> list[str]:
        # Rather before anything runs than behind a training.
        for name in use:
            check_installed(name)
        return use


class Explain(Block):
    """Explaining what was learned, on validation beats.

    Attributes:
        beats_per_class: Beats of each class over which saliency is averaged, at most.
        steps: Steps of integrated gradients.
        random_networks: Networks with random weights with which the saliency is compared.
        check_beats_per_class: Beats of each class on which it is compared, of those over which it is averaged.
        embedding_beats: Beats that are projected, at most; rare classes are taken whole.
        projections: How the space of the last layer is laid onto a plane.
    """

    beats_per_class: Annotated[int, Field(ge=1)] = 32
    steps: Annotated[int, Field(ge=2)] = 20
    random_networks: Annotated[int, Field(ge=1)] = 3
    check_beats_per_class: Annotated[int, Field(ge=1)] = 4
    embedding_beats: Annotated[int, Field(ge=20)] = 3000
    projections: Projections = Projections()
