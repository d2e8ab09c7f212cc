"""Whether a candidate becomes champion: both on the same test part, by the paired bootstrap and a rule."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Final

from beatwise.core.errors import BeatwiseError
from beatwise.data.examples import Examples, noun
from beatwise.report.tables import label_of, short, with_interval
from beatwise.scoring import NOTICE
from beatwise.scoring.registry import Registered
from beatwise.scoring.scorer import Scorer
from beatwise.scoring.settings import Promote
from beatwise.tasks.intervals import clusters_of
from beatwise.tasks.registry import METRICS
from beatwise.tasks.settings import Evaluate

Version = tuple[Registered, Scorer]
Found = Mapping[str, float | None]
RECALL: Final = "macro_recall"


def judge(
    candidate: Version, champion: Version | None, test_beats: Examples, rule: Promote, evaluate: Evaluate, seed: int
) -> dict[str, Any]:
    """Compare a candidate with the champion on the test part, which neither was trained on.

    The candidate passes if it is better in one metric (the whole interval of the difference lies on the better side of
    0), and no worse in macro recall at the recall-first operating point: the whole interval lies above minus
    ``rule.margin``, a test of non-inferiority (Piaggio et al., JAMA 308, 2012). The point has to keep the accuracy
    floor, or at least the champion's accuracy less the margin. A task without classes has no such point.

    Args:
        candidate: The candidate.
        champion: The champion; None where there is none, and the candidate passes.
        test_beats: The test part.
        rule: The rule.
        evaluate: Settings of the bootstrap, and the accuracy floor.
        seed: Seed of the bootstrap.

    Returns:
        Plain data: ``promote``, whether it passes; ``verdict``, a sentence; ``reasons``, one sentence a criterion;
        ``candidate`` and ``champion``, each ``version``, ``scorer``, ``model``, ``fitted``; ``rule``; ``compared``, see
        ``Task.compare_with_baseline``, the champion being the baseline; ``notice``.

    Raises:
        BeatwiseError: If the two were not measured on this test part, or do not answer the same question.
    """
    new, scorer = candidate
    known = {"candidate": _described(new), "rule": rule.model_dump(mode="json"), "notice": NOTICE}
    if champion is None:
        verdict = f"{_capital(new)} becomes the first champion: there is none to compare it with."
        return {"promote": True, "verdict": verdict, "reasons": [], **known, "champion": None, "compared": None}
    old, _ = champion
    if new.number == old.number:
        verdict = f"{_capital(old)} is the champion already: no other candidate was registered or named."
        return {
            "promote": False,
            "verdict": verdict,
            "reasons": [],
            **known,
            "champion": _described(old),
            "compared": None,
        }
    _check_same_test(candidate, champion, test_beats)
    monitor = rule.better_in or scorer.model.config["train"]["monitor"] or scorer.model.task.default_monitor
    if METRICS[monitor].task != scorer.model.task.name:
        allowed = ", ".join(METRICS.choosing(scorer.model.task.name))
        raise BeatwiseError(f"promote.better_in: {monitor} is no metric of a {scorer.model.task.name}; {allowed}.")
    compared = _compared((champion[1], scorer), test_beats, monitor, evaluate, seed)
    criteria = list(_criteria(compared, rule.margin, evaluate.accuracy_floor))
    passed = all(holds for holds, _ in criteria)
    verdict = f"{_capital(new)} takes the place of {old}." if passed else f"{_capital(old)} stays the champion."
    return {
        "promote": passed,
        "verdict": verdict,
        "reasons": [sentence for _, sentence in criteria],
        **known,
        "champion": _described(old),
        "compared": compared,
    }


def _check_same_test(candidate: Version, champion: Version, test_beats: Examples) -> None:
    (new, scorer), (old, reigning) = candidate, champion
    word = noun(test_beats.shape)
    if scorer.holdout != reigning.holdout:
        raise BeatwiseError(
            f"{_capital(new)} was tested on other {word}s than the champion, {old}: the split is not the same. The "
            f"champion may have been trained on {word}s that are the candidate's test part, and would look better than "
            "it is, so the two are not compared and the champion stays. Train a candidate with the champion's split "
            "and seed; or, if the new split is to count from now on, make the candidate champion without a comparison: "
            f"beatwise promote --to={new.number}, with the --env of this run"
        )
    if scorer.holdout != test_beats.fingerprint:
        raise BeatwiseError(
            f"Today's test part is not the one that {new} and the champion were tested on, so either may have been "
            f"trained on some of its {word}s. Run `kedro run --pipeline=ingest` with their split and seed first."
        )
    if (scorer.model.task.name, scorer.classes) != (reigning.model.task.name, reigning.classes):
        raise BeatwiseError(
            f"{_capital(new)} and the champion, {old}, do not predict the same: {_question(scorer)} and "
            f"{_question(reigning)}. To use the new one: beatwise promote --to={new.number}, with the --env of this run"
        )


def _compared(
    pair: tuple[Scorer, Scorer], test_beats: Examples, monitor: str, evaluate: Evaluate, seed: int
) -> dict[str, Any]:
    first, second = (scorer.model.predict(scorer.model.tensors(test_beats)) for scorer in pair)
    of = "examples" if clusters_of(second) is None else "groups"
    factors: Any = tuple({"class_factors": scorer.class_factors, "bootstrap_of": of} for scorer in pair)
    return {
        **pair[1].model.task.compare_with_baseline((first, second), factors, monitor, evaluate, seed),
        "shape": list(test_beats.shape),
    }


def _criteria(compared: Mapping[str, Any], margin: float, floor: float) -> Iterator[tuple[bool, str]]:
    """Whether each criterion holds, and the sentence that says so."""
    verdict, unit = compared["verdict"], compared.get("unit", "")
    metric = verdict["metric"]
    point: Mapping[str, Any] = compared.get("recall_first") or {}
    of_point = bool(verdict.get("recall_first"))
    found = (point if of_point else compared["overall"])[metric]
    label = label_of(metric, unit) + (" at the recall-first point" if of_point else "")
    better = verdict["outcomes"][metric] == "better"
    yield better, f"{_capital(label)}: {'better' if better else 'not better'}, {_numbers(found)}."
    if not point:
        return
    recall, accuracy = point[RECALL], point["accuracy"]
    held = recall["low"] is not None and recall["low"] >= -margin
    words = "no worse" if held else f"a loss of more than {short(margin)} is not excluded"
    yield held, f"Macro recall at the recall-first point: {words}, {_numbers(recall)}."
    keeps = accuracy["second"] >= floor or accuracy["low"] >= -margin
    if not keeps:
        yield (
            False,
            f"Accuracy there: {_numbers(accuracy)}; it is below the floor {short(floor)}, and may have lost more than "
            f"{short(margin)}.",
        )


def _numbers(found: Found) -> str:
    if found["difference"] is None:
        return "not defined"
    between = {"value": found["difference"], "low": found["low"], "high": found["high"]}
    return f"{short(found['second'])} against {short(found['first'])}, difference {with_interval(between)}"


def _described(version: Registered) -> dict[str, Any]:
    return {"version": version.number, "scorer": version.scorer, "model": version.model, "fitted": version.fitted}


def _question(scorer: Scorer) -> str:
    return f"classes {', '.join(scorer.classes)}" if scorer.classes else "a number"


def _capital(words: object) -> str:
    text = str(words)
    return text[:1].upper() + text[1:]
