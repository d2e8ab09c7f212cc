"""Settings of explaining."""

from __future__ import annotations

from pydantic import Field, field_validator

from beatwise.core.settings import Block, Choices
from beatwise.explanation.projections import check_installed


class Projections(Choices):
    """Projections of the last layer's features onto a plane (:mod:`beatwise.explanation.projections`), one or more."""

    registry = "beatwise.explanation.projections.PROJECTIONS"
    use: list[str] = Field(
        ["pca", "tsne"],
        min_length=1,
        description="Names of the projections; the last is the one that the interactive figure begins with.",
    )

    @field_validator("use")
    @classmethod
    def _check_installed(cls, use: list[str]) -> list[str]:
        # Rather before anything runs than behind a training.
        for name in use:
            check_installed(name)
        return use


class Explain(Block):
    """Explaining what was learned, on validation beats."""

    beats_per_class: int = Field(32, ge=1, description="Most beats of each class over which saliency is averaged.")
    steps: int = Field(20, ge=2, description="Steps of integrated gradients.")
    random_networks: int = Field(
        3, ge=1, description="Networks with random weights that the saliency is compared with."
    )
    check_beats_per_class: int = Field(4, ge=1, description="Beats of each class on which it is compared.")
    embedding_beats: int = Field(3000, ge=20, description="Most beats to project; rare classes are kept whole.")
    projections: Projections = Field(Projections(), description="Projections of the last layer onto a plane.")
