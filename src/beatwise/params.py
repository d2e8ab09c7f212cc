"""The whole configuration: the settings of every room put together, and what a source is."""

from __future__ import annotations

import re
from typing import Annotated, Any, Literal

from pydantic import Field, ValidationInfo, field_validator, model_validator

from beatwise.comparison.settings import Comparison
from beatwise.core.errors import BeatwiseError
from beatwise.core.nested import as_key, merged
from beatwise.core.registry import unknown_name
from beatwise.core.settings import Block, Positive, checked
from beatwise.data.scaling import Scale
from beatwise.data.settings import Ingest, Resample, Tensors
from beatwise.ecg.settings import Download, Segment
from beatwise.explanation.settings import Explain
from beatwise.networks.settings import Model
from beatwise.report.settings import Report
from beatwise.scoring.settings import Monitor, Promote, Score
from beatwise.search.settings import RaySettings, Tune
from beatwise.tasks.settings import Evaluate, TaskChoice
from beatwise.training.settings import Recipe, Train

SourceName = Annotated[str, Field(pattern=r"^[A-Za-z0-9_-]+$")]


class Globals(Block):
    """The description of a source: ``globals.yml``."""

    source: SourceName = Field(description="Name of the source; its outputs lie in folders of this name.")
    classes: list[str] = Field(
        description="Class names in the order of their indices, each once; `[]` where the target is a number."
    )
    sample_rate: Positive | None = Field(
        description="Sampling rate of an example (Hz); null where examples have no time, as pictures."
    )
    beat_length: int = Field(ge=2, description="Length of a beat (samples).")
    seed: int = Field(ge=0, le=2**32 - 1, description="Seed of all random numbers.")
    beats_folder: str = Field(description="Folder of the beats.")
    beats_layouts: list[dict[Literal["train", "val", "test", "all"], str | list[str]]] = Field(
        min_length=1, description="File names by part, one mapping for each layout; the first one found is read."
    )
    beats_columns: dict[str | int, str] = Field(
        description="What columns of the table are, by their names in it (places from 0 without a header): "
        '`target`, `group`, …; `""` leaves a column out.'
    )
    beats_labels: dict[str | int | float, str] = Field(
        description="Class by label in the table; empty where a label is the index (from 0) or the name of a class."
    )
    beats_scale: Scale = Field(
        description="`none` for values in [0, 1]; `per_example` scales every beat by its minimum and maximum."
    )
    beats_how_to_get: str = Field(description="Advice to show when the files of the beats are missing.")
    records_folder: str = Field(description="Folder of the WFDB records.")
    records_how_to_get: str = Field(description="Advice to show when the records are missing.")
    pictures_labels: dict[str | int | float, str] = Field(
        {},
        description="Class by label of a picture, for labels that are no names of classes; several may be one class.",
    )
    notice: str = Field(
        description="Sentence at the top of every report, e.g. that the data is synthetic; empty for none."
    )

    @field_validator("classes")
    @classmethod
    def _check_names(cls, classes: list[str]) -> list[str]:
        keys: dict[str, str] = {}
        for name in classes:
            if not re.fullmatch(r"[^_$\x00-\x1f][^$\x00-\x1f]{0,59}", name) or name != name.strip():
                raise BeatwiseError(
                    f"{name!r} cannot be the name of a class. Allowed: 1 to 60 characters on one line, none of them $, "
                    "no underscore at the beginning, no space at either end."
                )
            # Figures tell classes apart by their names, and MLflow by the names of its metrics.
            if (key := as_key(name)) in keys:
                same = "stands there twice" if keys[key] == name else f"and {keys[key]!r} are the same to MLflow"
                raise BeatwiseError(f"The class {name!r} {same}. Give every class a name of its own.")
            keys[key] = name
        return classes

    @field_validator("beats_labels", "pictures_labels")
    @classmethod
    def _check_labels(cls, labels: dict[str | int | float, str], info: ValidationInfo) -> dict[str | int | float, str]:
        for label, name in labels.items():
            if name not in (classes := info.data.get("classes", [name])):
                raise BeatwiseError(f"{label}: {unknown_name('class', name, classes)}")
        return labels


class Parameters(Block):
    """The whole configuration."""

    @model_validator(mode="before")
    @classmethod
    def _give_the_task_its_floor(cls, given: Any) -> Any:
        """A search chooses by the accuracy floor of the evaluation."""
        task, evaluate = (given.get(name) for name in ("task", "evaluate")) if isinstance(given, dict) else (None, None)
        # Blocks that have been checked before have it.
        if isinstance(task, dict) and isinstance(evaluate, dict) and "accuracy_floor" in evaluate:
            return merged(given, {"task": {"classification": {"accuracy_floor": evaluate["accuracy_floor"]}}})
        return given

    source: SourceName
    sample_rate: Positive | None
    beat_length: Annotated[int, Field(ge=2)]
    classes: list[str]
    task: TaskChoice
    seed: Annotated[int, Field(ge=0, le=2**32 - 1)]
    hypothesis: str = Field(description="Hypothesis that the run tests; empty takes the one that waits in the journal.")
    ingest: Ingest
    # A run card of an earlier version has none.
    recipe: Recipe = Field(Recipe.model_validate({"use": "none", "none": {}}), description="Settings that go together.")
    resample: Resample
    tensors: Tensors
    model: Model
    train: Train
    evaluate: Evaluate
    explain: Explain
    compare: Comparison
    tune: Tune
    ray: RaySettings
    report: Report
    promote: Promote
    segment: Segment
    score: Score
    monitor: Monitor
    download: Download


def check_parameters(given: dict[str, Any]) -> Parameters:
    """Check all parameters, so that a mistyped key fails before anything runs.

    Raises:
        BeatwiseError: One line a problem, each naming the full key.
    """
    return checked(Parameters, given, "The parameters cannot be used:")


def check_globals(given: dict[str, Any]) -> Globals:
    """Check ``globals.yml`` as the configuration loader merged it.

    Raises:
        BeatwiseError: One line a problem, each naming the key.
    """
    return checked(Globals, given, "globals.yml cannot be used:")
