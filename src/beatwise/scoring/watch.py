"""What a scoring leaves for monitoring, and the comparison of it with the training part or a trusted run."""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

import pandas as pd

from beatwise.core.errors import BeatwiseError
from beatwise.core.files import written_whole
from beatwise.core.versions import FORMAT, check_format
from beatwise.report.monitoring import render_monitoring
from beatwise.scoring import NOTICE
from beatwise.scoring.monitoring import combine, compare, describe
from beatwise.scoring.scorer import Scorer
from beatwise.scoring.settings import Monitor

MONITORING: Final = "monitoring.json"
# Earlier runs beside the latest.
EARLIER: Final = 20
SCORE_AGAIN: Final = "Score the recordings again."


def write_monitoring(folder: Path, scorer: Scorer) -> None:
    """Write ``monitoring.json``: the description of what was scored, and the reference of the scorer.

    Both are in one file, so that monitoring needs neither the scorer nor torch.

    Args:
        folder: Folder of the results, which has ``beats.parquet``, a file or a folder of one file a recording, and
            ``records.parquet`` where recordings were scored.
        scorer: What scored them.
    """
    document = {
        "format": FORMAT,
        "notice": NOTICE,
        "time": datetime.now(UTC).isoformat(timespec="seconds"),
        "scorer": scorer.identity,
        "scored": describe_results(folder, scorer.reference) if scorer.reference else None,
        "reference": scorer.reference,
    }
    # Without line ends: it is thousands of counts.
    with written_whole(folder / MONITORING) as file:
        file.write_text(json.dumps(document, allow_nan=False), encoding="utf-8")


def describe_results(folder: Path, reference: Mapping[str, Any]) -> dict[str, Any]:
    """Describe the results of a scoring, with the bins of a reference; files of recordings are read one by one."""
    beats, records = folder / "beats.parquet", folder / "records.parquet"
    unusable: dict[str, float] = {}
    if records.exists():
        table = pd.read_parquet(records, columns=["record", "unusable_share"]).dropna()
        unusable = dict(zip(table["record"].astype(str), table["unusable_share"].astype(float), strict=True))
    descriptions = []
    for file in sorted(beats.glob("*.parquet")) if beats.is_dir() else [beats]:
        part = pd.read_parquet(file)
        here = set(part["record"].astype(str)) if "record" in part else set()
        shares = {name: unusable.pop(name) for name in here if name in unusable}
        descriptions.append(describe(part, reference, shares))
    if unusable:
        # Recordings in which there is no beat.
        descriptions.append(describe(part.iloc[:0], reference, unusable))
    return combine(descriptions)


def watch(path: Path, monitor: Monitor, seed: int) -> tuple[dict[str, Any], str]:
    """Compare the latest scoring below a path, and earlier ones beside it.

    Args:
        path: A ``monitoring.json``, the folder of a scoring, or a folder of several.
        monitor: Thresholds, and the run to compare with.
        seed: Seed of the draws.

    Returns:
        What ``compare`` returns for the latest, with ``notice``, ``run``, ``time``, ``scorer``, ``against``,
        ``alarms`` (labels of what raised one), ``earlier`` (one mapping a run: ``run``, ``time``, ``records``,
        ``beats``, ``alarms``) and ``lines`` for people; and the page.

    Raises:
        BeatwiseError: If there is no scoring, or a file cannot be read or compared.
    """
    runs = find_runs(path)
    trusted = read_monitoring(next(iter(find_runs(Path(monitor.reference))))) if monitor.reference else None
    results = []
    for place in runs[: EARLIER + 1]:
        run = read_monitoring(place)
        found = compare(trusted["scored"] if trusted else run["reference"], run["scored"], monitor, seed)
        results.append({"run": _short(place.parent), "time": run["time"], "scorer": run["scorer"], **found})
    latest, *earlier = results
    source, version = latest["scorer"]["source"], latest["scorer"]["version"]
    against = f"the run {monitor.reference}" if trusted else f"the training part of {source}, scorer {version}"
    result = {
        "notice": NOTICE,
        **latest,
        "against": against,
        "alarms": alarms_of(latest),
        "earlier": [
            {**{key: run[key] for key in ("run", "time", "records", "beats")}, "alarms": alarms_of(run)}
            for run in earlier
        ],
    }
    return result | {"lines": lines_of(result)}, render_monitoring(result)


def find_runs(path: Path) -> list[Path]:
    """The files of all scorings at or below a path, the latest first.

    Raises:
        BeatwiseError: If there is none.
    """
    found = [path] if path.is_file() else list(path.rglob(MONITORING))
    if not found:
        raise BeatwiseError(
            f"There is no scoring at {path.absolute()}: no {MONITORING} in it or in a folder below. Score recordings "
            "first, with `kedro run --pipeline=score --params=score.input=…`, or name the folder of their results by "
            "monitor.input."
        )
    return sorted(found, key=lambda file: (file.stat().st_mtime, file), reverse=True)


def read_monitoring(file: Path) -> dict[str, Any]:
    """Read what :func:`write_monitoring` wrote.

    Raises:
        BeatwiseError: If it cannot be read, or the scorer has no reference.
    """
    try:
        stored: dict[str, Any] = json.loads(file.read_text(encoding="utf-8"))
        check_format(stored, file, SCORE_AGAIN)
        for key in ("time", "scorer", "scored", "reference"):
            stored[key]
    except (OSError, KeyError, TypeError, ValueError) as error:
        raise BeatwiseError(f"{file.absolute()} cannot be read ({error!r}). {SCORE_AGAIN}") from error
    if not stored["reference"]:
        raise BeatwiseError(
            f"{file.absolute()}: its scorer does not describe its training part. Make the scorer again with `kedro run "
            "--pipeline=evaluate`, and score again."
        )
    return stored


def _short(folder: Path) -> str:
    """A path as seen from here, where it lies below."""
    return str(folder.relative_to(Path.cwd()) if folder.is_relative_to(Path.cwd()) else folder)


def alarms_of(result: Mapping[str, Any]) -> list[str]:
    """What raised an alarm, in words."""
    labels = [check["label"] for check in result["checks"] if check["raised"]]
    if result["unusable"] and result["unusable"]["raised"]:
        labels.append("unusable signal")
    return labels


def lines_of(result: Mapping[str, Any]) -> list[str]:
    """What a person wants to know first, for the terminal."""
    of = f" in {result['records']:,} records" if result["records"] else ""
    lines = [
        f"{'ALARM: ' + ', '.join(result['alarms']) if result['raised'] else 'No alarm'}.",
        f"{result['beats']:,} beats{of} of {result['run']}, against {result['against']}.",
        f"{'':32}{'PSI':>6}{'limit':>7}{'KS':>7}{'limit':>7}",
    ]
    for check in result["checks"]:
        numbers = (check["psi"], check["psi_limit"], check["ks"], check["ks_limit"])
        cells = "".join(f"{'' if number is None else f'{number:.2f}':>7}" for number in numbers)
        lines.append(f"{check['label']:31}{cells}{'  !' if check['raised'] else ''}")
    if unusable := result["unusable"]:
        flag = "  !" if unusable["raised"] else ""
        lines.append(f"{'unusable signal':31}{unusable['share']:>7.1%} (limit {unusable['limit']:.0%}){flag}")
    return [*lines, result["notice"]]
