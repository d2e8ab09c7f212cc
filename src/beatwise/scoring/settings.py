"""Settings of scoring."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from beatwise.core.settings import Block, Choice, Positive
from beatwise.data.scaling import Scale
from beatwise.data.splits import Share
from beatwise.ecg.detection import DEFAULT
from beatwise.ecg.settings import Read
from beatwise.tasks.settings import MetricName


class Rhythm(Block):
    """Findings in the rhythm of a record: which classes are ectopic, and what is a pause."""

    normal: list[str] = Field(["N"], description="Classes of beats of the usual rhythm.")
    supraventricular: list[str] = Field(["S"], description="Classes of supraventricular ectopic beats.")
    ventricular: list[str] = Field(["V"], description="Classes of ventricular ectopic beats.")
    pause: Positive = Field(2.0, description="An interval between beats longer than this is a pause (s).")


class DetectorChoice(Choice):
    """The detector of R peaks (:mod:`beatwise.ecg.detection`)."""

    registry = "beatwise.ecg.detection.DETECTORS"


class Score(Block):
    """Scoring of new examples and raw recordings."""

    input: str = Field("", description="Recording, table of beats, or folder of recordings to score.")
    model: str = Field(
        "champion", description="`champion`; the folder of a scorer; or name and version of a registered one."
    )
    out: str | None = Field(None, description="Folder of the results; null for one below `data/07_model_output`.")
    lead: int | str | Annotated[list[int | str], Field(min_length=1)] | None = Field(
        None,
        description="Lead to score, by column or by name; of a list, the first that a recording has. null takes the "
        "lead that the model was trained on, and where a recording lacks it or half of it is unusable, the best.",
    )
    read: Read = Field(Read(), description="How recordings are read.")
    detector: DetectorChoice = Field(
        DetectorChoice(use=DEFAULT), description="What finds the R peaks of recordings whose annotations are not read."
    )
    scale: Scale = Field(
        "none", description="Of a table of beats: `none` for values in [0, 1]; `per_example` scales every beat to that."
    )
    columns: dict[str | int, str] = Field(
        {}, description='What columns of a table of beats are, by their names in it; `""` leaves a column out.'
    )
    rhythm: Rhythm = Field(Rhythm(), description="Findings in the rhythm.")


class Monitor(Block):
    """Whether scored beats are still like those that the model was trained on."""

    input: str = Field("", description="A `scored.json`, or a folder with some; empty for all of the source.")
    reference: str = Field(
        "", description="The `scored.json` of a run to compare with; empty compares with the training part."
    )
    psi: Positive = Field(0.25, description="Population stability index above which a measure raises an alarm.")
    ks: Positive = Field(0.15, description="Kolmogorov–Smirnov distance above which a measure raises an alarm.")
    unusable: Share = Field(
        0.25, description="Mean share of unusable signal in a record above which there is an alarm."
    )
    false_alarms: Share = Field(
        0.01,
        description="Share of runs over other patients of the same kind that raise an alarm, about: where few records "
        "or beats are compared, limits rise above `psi` and `ks`.",
    )


class Promote(Block):
    """Which registered scorer is compared with the champion, and when it takes its place."""

    candidate: int | None = Field(None, ge=1, description="Number of a registered version; null takes the latest.")
    better_in: MetricName | None = Field(
        None, description="Metric in which the candidate must be better; null takes the one that picked its best epoch."
    )
    margin: float = Field(
        0.02,
        ge=0,
        lt=1,
        description="Loss of macro recall at the recall-first operating point that counts as no worse.",
    )
