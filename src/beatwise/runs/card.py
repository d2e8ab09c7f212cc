"""The card of a run: everything that is needed to run it again, and its scores."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any, Final, NamedTuple

from pydantic import Field

from beatwise.core.errors import BeatwiseError
from beatwise.core.settings import Block, checked
from beatwise.core.versions import FORMAT, check_format
from beatwise.runs.journal import Entry
from beatwise.runs.metadata import Hardware, RunMetadata

# Characters that tell a commit or a fingerprint from others.
SHORT: Final = 10
# Hexadecimal digits of a whole fingerprint.
SHA256: Final = 64


class SearchedTrial(Block):
    """A trial of a search, as far as it is needed to train it again."""

    values: dict[str, Any] = Field(description="Its hyper-parameters by full name.")
    epochs: int = Field(description="How many epochs it was trained; 0 for one that failed before the first.")


class SearchBest(Block):
    """The best trial of a search, and what it was found among."""

    search: str = Field(description="Name of the search.")
    metric: str = Field(description="The metric of the search, on validation.")
    trial: int = Field(description="Its number.")
    score: float = Field(description="Its score.")
    values: dict[str, Any] = Field(description="Its hyper-parameters by full name.")
    resumed: int = Field(0, description="How often the search was resumed, after an interruption or for more trials.")
    trials: list[SearchedTrial] = Field([], description="All that trained an epoch or failed, by number.")


class RunCard(RunMetadata):
    """Everything that is stored about a run that trains or measures a model."""

    format: int = Field(FORMAT, description="Number of the format of the card, see `beatwise.core.versions`.")
    seconds: float | None = Field(None, description="How long it took (s); None while it runs.")
    selected: bool = Field(description="Whether only some nodes of the pipeline were to run.")
    load_versions: dict[str, str] = Field({}, description="Versions of stored datasets that it began from.")
    parameters: dict[str, Any] = Field(description="All parameters, `Parameters` as plain data.")
    seeds: list[int] = Field(description="Seeds of everything that was drawn.")
    data: dict[str, str] = Field({}, description="Fingerprints of the examples that it read or made.")
    versions: dict[str, str] = Field(description="Versions of Beatwise, Python and the required packages.")
    hardware: Hardware = Field(description="The machine.")
    nodes: dict[str, float] = Field({}, description="Time that each node computed (s), without loading and saving.")
    scores: dict[str, dict[str, float]] = Field(
        {}, description="Metrics (`flatten_scores`) by namespace, or by row of a comparison."
    )
    search: SearchBest | None = Field(None, description="The best trial of the search; None without one.")
    journal: dict[str, Entry] = Field(
        {}, exclude=True, description="Entries of the journal by ID, for reports; not stored."
    )

    @property
    def measured(self) -> dict[tuple[str, str], float]:
        """Every score by what was measured and by its metric, with the best of the search."""
        flat = {(model, metric): value for model, scores in self.scores.items() for metric, value in scores.items()}
        best = self.search
        return flat if best is None else {**flat, (f"search {best.search}", f"val.{best.metric}"): best.score}


def read_card(path: Path) -> RunCard:
    """Read a card from its file.

    Raises:
        BeatwiseError: If there is no such file, or it is no run card.
    """
    try:
        given = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise BeatwiseError(
            f"The run card {path} cannot be read: {error.strerror}. Cards lie in "
            "data/08_reporting/<source>/run_card.json/, one a run; or give the ID of an MLflow run."
        ) from error
    except ValueError as error:
        raise BeatwiseError(f"{path} is no run card: it is not JSON ({error}).") from error
    if isinstance(given, dict) and "versions" in given:
        advice = "Check out the commit that it names to repeat its run, or give the command in it to this version."
        check_format(given, path, advice)
    required = {name for name, field in RunCard.model_fields.items() if field.is_required()}
    if not isinstance(given, dict) or (missing := sorted(required - given.keys())):
        lacks = f" It lacks {', '.join(missing)}." if isinstance(given, dict) else ""
        raise BeatwiseError(f"{path} is no run card.{lacks} Every run that trains or measures a model ends with one.")
    return checked(RunCard, given, f"The run card {path} cannot be used:", kind="key")


def earlier_scores(cards: Path) -> dict[str, dict[str, float]]:
    """Metrics of every model that earlier runs of a source measured, by run and model; unreadable cards left out."""
    found: dict[str, dict[str, float]] = {}
    for path in sorted(cards.glob(f"*/{cards.name}")):
        with suppress(BeatwiseError):
            card = read_card(path)
            found |= {f"{card.began:%Y-%m-%d %H:%M} {model}": metrics for model, metrics in card.scores.items()}
    return found


class Difference(NamedTuple):
    """Something that has changed."""

    what: str
    then: str
    now: str


def differences(
    card: RunCard,
    git: tuple[str, bool] | tuple[None, None],
    versions: Mapping[str, str],
    hardware: Hardware,
    data: Mapping[str, str],
) -> Iterator[Difference]:
    """Everything that differs from what a card says; tables of examples that ``data`` does not name are left out."""
    git_sha, uncommitted = git
    if card.git_sha != git_sha:
        yield Difference("commit", _short(card.git_sha), _short(git_sha))
    if card.uncommitted != uncommitted or uncommitted:
        others = ", perhaps others" if card.uncommitted and uncommitted else ""
        yield Difference("uncommitted changes", _yes_or_no(card.uncommitted), _yes_or_no(uncommitted) + others)
    for name in dict.fromkeys([*card.versions, *versions]):
        if card.versions.get(name) != versions.get(name):
            yield Difference(name, card.versions.get(name, "none"), versions.get(name, "none"))
    for name, value in hardware:
        if (before := getattr(card.hardware, name)) != value:
            yield Difference(name, str(before or "none"), str(value or "none"))
    yield from changed_beats(card, data)


def changed_beats(card: RunCard, data: Mapping[str, str]) -> Iterator[Difference]:
    """The tables of examples that differ from those of a card, of those that both know."""
    for name, fingerprint in data.items():
        if name in card.data and card.data[name] != fingerprint:
            yield Difference(name, short_fingerprint(card.data[name]), short_fingerprint(fingerprint))


def short_fingerprint(fingerprint: str) -> str:
    """The beginning of a fingerprint, and of each fingerprint that follows it."""
    return " ".join(fingerprint[start : start + SHORT] for start in range(0, len(fingerprint), SHA256))


def _short(name: str | None) -> str:
    return "none" if name is None else name[:SHORT]


def _yes_or_no(answer: bool | None) -> str:
    return "not known" if answer is None else "yes" if answer else "no"


class Repeated(NamedTuple):
    """A score then and now; None where it was not measured or is not defined."""

    then: float | None
    now: float | None

    @property
    def agrees(self) -> bool:
        """Whether it is the same to the last digit."""
        return self.then == self.now

    @property
    def difference(self) -> float:
        """The score now minus the score then; infinite where there is only one of them."""
        return float("inf") if self.then is None or self.now is None else self.now - self.then


def compare_scores(then: RunCard, now: RunCard) -> dict[tuple[str, str], Repeated]:
    """Every score of two runs, as :attr:`RunCard.measured` names it."""
    first, second = then.measured, now.measured
    return {name: Repeated(first.get(name), second.get(name)) for name in dict.fromkeys([*first, *second])}
