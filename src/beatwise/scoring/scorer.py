"""A scorer: a trained model with everything that is needed to use it on new examples and raw recordings.

Nodes name this class in their signatures, which Kedro reads at start: so importing it must not import torch.
"""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any, Final, Self

import numpy as np
import pandas as pd

from beatwise.core.errors import BeatwiseError
from beatwise.core.versions import FORMAT, check_format
from beatwise.data.contracts import NewExamplesContract
from beatwise.data.examples import TARGET, Examples
from beatwise.ecg.segmentation import SAME_RATE_HZ, beat_shape
from beatwise.ecg.settings import Segment
from beatwise.scoring.monitoring import describe_training
from beatwise.tasks.classification.operating_point import apply_factors
from beatwise.tasks.classification.predictions import PREFIX, probabilities
from beatwise.tasks.classification.reject import coverage_threshold
from beatwise.tasks.settings import Evaluate
from beatwise.training.trained_model import CONFIG, TrainedModel, read_model, write_model

FACTS: Final = "scorer.json"
MAKE_AGAIN: Final = "Make it again with `kedro run --pipeline=evaluate`."
# Characters of a version: enough to tell some ten thousand scorers apart.
SHORT: Final = 12
WHOLE_RECORD: Final = (
    "It describes beats beside all others of their recording: score the recording itself, and as a whole."
)


@dataclass(frozen=True)
class Cut:
    """How beats were cut from recordings for the training, so that new ones are cut alike.

    Attributes:
        rule: Name of the segmentation rule (``beatwise.ecg.segmentation.RULES``).
        options: All its options.
        record_rate: Rate (Hz) at which the rule counts samples: recordings are resampled to it. None where the rule
            resamples by itself.
        leads: Leads that the beats come from, the most frequent first: names, or columns; empty where not known. Of
            windows of leads, those that may be the first one.
        n_leads: Leads of a window.
        features: Names of feature sets (``beatwise.ecg.rr.FEATURES``) that are computed beside RR intervals.
    """

    rule: str
    options: dict[str, Any]
    record_rate: float | None
    leads: tuple[int | str, ...] = ()
    n_leads: int = 1
    features: tuple[str, ...] = ()

    @property
    def of_the_whole_record(self) -> bool:
        """Whether a beat is described beside all others of its recording, so that all of it has to be there."""
        return self.options.get("scale") == "record" or bool(self.features)

    def to_dict(self) -> dict[str, Any]:
        """Plain data for JSON. What beats of one lead lack is left out, so that their scorers keep their versions."""
        absent = [name for name, default in (("n_leads", 1), ("features", ())) if getattr(self, name) == default]
        return {name: value for name, value in asdict(self).items() if name not in absent}

    @classmethod
    def from_dict(cls, stored: Mapping[str, Any]) -> Self:
        """The inverse of :meth:`to_dict`."""
        lists = {name: tuple(stored.get(name, ())) for name in ("leads", "features")}
        return cls(**{**stored, **lists})


@dataclass(frozen=True, eq=False)
class Scorer:
    """A trained model, its operating points, and how its beats were cut.

    Attributes:
        model: The model.
        source: Name of the source that it was trained on.
        cut: How beats are cut from recordings; None where its examples are no beats of recordings, or it predicts
            numbers.
        class_factors: Factors of the probabilities at the recall-first operating point, by class; empty where the task
            has no classes.
        accept: Top probability below which a beat is unsure; None where the task has no classes.
        reference: Description of the training part, plain data, that later inputs are compared with
            (:mod:`beatwise.scoring.monitoring`).
        holdout: Fingerprint of the test part that it was measured on, none of which was in its training; empty where
            that is not known.
    """

    model: TrainedModel
    source: str
    cut: Cut | None = None
    class_factors: dict[str, float] = field(default_factory=dict)
    accept: float | None = None
    reference: dict[str, Any] = field(default_factory=dict)
    holdout: str = ""

    @cached_property
    def version(self) -> str:
        """The beginning of a SHA-256 over weights, configuration and all else: equal scorers have equal versions."""
        return hashlib.sha256(json.dumps(self._facts(), sort_keys=True).encode()).hexdigest()[:SHORT]

    @property
    def identity(self) -> dict[str, str]:
        """Version, source and name of the model, for what it leaves behind."""
        return {"version": self.version, "source": self.source, "model": self.model.name}

    @property
    def classes(self) -> tuple[str, ...]:
        """Names of the classes in the order of their indices; empty where the task has none."""
        return self.model.task.class_names

    def predict(self, examples: Examples) -> pd.DataFrame:
        """Predict examples.

        Returns:
            One row an example, in order: ``class`` (the most probable one) and ``recall_first`` (the class at the
            recall-first operating point), names; ``unsure``, whether the top probability is below ``accept``;
            ``probability_<class>``, float32. ``prediction`` alone where the task has no classes.

        Raises:
            BeatwiseError: If they are of another shape, lack features that the model was trained with, or have values
                that are not finite, or of a beat, outside [0, 1]; a line for each problem.
        """
        if not len(examples):
            table = self.model.task.prediction_table(None, np.empty((0, self.model.task.n_outputs), np.float32))
        else:
            fitted = self.model.representation.fitted
            whole = self.cut is not None and self.cut.of_the_whole_record
            contract = NewExamplesContract(
                shape=fitted.shape, features=fitted.features, hint=WHOLE_RECORD if whole else ""
            )
            table = self.model.predict(self.model.tensors(contract.validate(examples.without(TARGET))))
        if not self.classes:
            return table[["prediction"]]
        probability, names = probabilities(table), np.array(self.classes, dtype=object)
        factors = np.array([self.class_factors[name] for name in self.classes])
        recall_first = apply_factors(probability, factors).argmax(axis=1)
        return pd.DataFrame(
            {
                "class": pd.array(names[probability.argmax(axis=1)], dtype="str"),
                "recall_first": pd.array(names[recall_first], dtype="str"),
                "unsure": probability.max(axis=1) < (self.accept or 0.0),
                **{f"{PREFIX}{name}": probability[:, index] for index, name in enumerate(self.classes)},
            }
        )

    def _facts(self) -> dict[str, Any]:
        return {
            "model": self.model.fingerprint,
            "source": self.source,
            "cut": None if self.cut is None else self.cut.to_dict(),
            "class_factors": self.class_factors,
            "accept": self.accept,
            "reference": self.reference,
            "holdout": self.holdout,
        }

    def to_dict(self) -> dict[str, Any]:
        """All but the model, as plain data for JSON; ``model`` is the model's fingerprint."""
        return {"format": FORMAT, "version": self.version, **self._facts()}

    @classmethod
    def from_dict(cls, stored: Mapping[str, Any], model: TrainedModel) -> Self:
        """The inverse of :meth:`to_dict`, with the model.

        Raises:
            BeatwiseError: If the model is another one.
        """
        if stored["model"] != model.fingerprint:
            raise BeatwiseError(f"its {FACTS} belongs to another model")
        cut = stored["cut"] and Cut.from_dict(stored["cut"])
        facts = {name: stored[name] for name in ("source", "class_factors", "accept", "reference", "holdout")}
        return cls(model=model, cut=cut, **facts)


def make_scorer(
    model: TrainedModel,
    metrics: Mapping[str, Any],
    val_predictions: pd.DataFrame,
    predictions: pd.DataFrame,
    train_beats: Examples,
    test_beats: Examples,
    evaluate: Evaluate,
    segment: Segment,
    source: str,
    sample_rate: float | None,
) -> Scorer:
    """A scorer from a measured model.

    Args:
        model: The model.
        metrics: Its metrics, with the factors of the recall-first operating point.
        val_predictions: Its predictions of the validation part, on which ``accept`` is chosen.
        predictions: Its predictions of the test part, for the reference.
        train_beats: The training part before resampling.
        test_beats: The test part; only its fingerprint is kept.
        evaluate: The share of the validation beats that is accepted.
        segment: How beats were cut from recordings.
        source: Name of the source.
        sample_rate: Samples per second (Hz) of an example; None where it has no time.
    """
    has_classes = bool(model.task.class_names)
    return Scorer(
        model=model,
        source=source,
        cut=_cut(model.representation.fitted.shape, train_beats, segment, sample_rate) if has_classes else None,
        class_factors=dict(metrics["class_factors"]) if has_classes else {},
        accept=coverage_threshold(probabilities(val_predictions), evaluate.sure_coverage) if has_classes else None,
        reference=describe_training(train_beats, [val_predictions, predictions], sample_rate),
        holdout=test_beats.fingerprint,
    )


def _cut(shape: Sequence[int], train_beats: Examples, segment: Segment, sample_rate: float | None) -> Cut | None:
    """The rule, where beats, or windows of as many leads, as long as the model's come out of it."""
    windows = len(shape) == 2
    if sample_rate is None or len(shape) > 2 or windows != segment.cuts_windows:
        return None
    if windows and shape[0] != segment.leads:
        return None
    rule, options = segment.rule.use, segment.rule.options
    record_rate = None if rule == "window" else sample_rate * options["keep_every"]
    rate, length = beat_shape(rule, options, record_rate or sample_rate)
    if abs(rate - sample_rate) > SAME_RATE_HZ or length != shape[-1]:
        return None
    wanted = segment.lead if isinstance(segment.lead, list) else [segment.lead]
    if windows:
        features = tuple(name for name in segment.features if name != "rr")
        return Cut(rule, dict(options), record_rate, tuple(wanted), segment.leads, features)
    if train_beats.has("lead"):
        leads = tuple(name for name, _ in Counter(train_beats.table["lead"].tolist()).most_common())
    else:
        leads = tuple(lead for lead in wanted if isinstance(lead, str))
    return Cut(rule, dict(options), record_rate, leads)


def write_scorer(folder: Path, scorer: Scorer) -> None:
    """Write a scorer into an empty folder: the files of its model, and ``scorer.json``."""
    write_model(folder, scorer.model)
    (folder / FACTS).write_text(json.dumps(scorer.to_dict(), indent=2, allow_nan=False), encoding="utf-8")


def read_scorer(folder: Path) -> Scorer:
    """Read a scorer from its folder.

    Raises:
        BeatwiseError: If a file is missing, damaged or of another version, or belongs to another model.
    """
    facts = folder / FACTS
    if not facts.is_file():
        what = "a model, but no scorer" if (folder / CONFIG).is_file() else "no scorer"
        raise BeatwiseError(
            f"{folder.absolute()} holds {what}: {FACTS} is missing. A scorer is a folder such as "
            f"data/06_models/demo/baseline/scorer/<version>/scorer. {MAKE_AGAIN}"
        )
    model = read_model(folder)
    try:
        stored = json.loads(facts.read_text(encoding="utf-8"))
        check_format(stored, facts, MAKE_AGAIN)
        return Scorer.from_dict(stored, model)
    except (OSError, KeyError, TypeError, ValueError) as error:
        raise BeatwiseError(f"The scorer in {folder.absolute()} cannot be read ({error}). {MAKE_AGAIN}") from error
