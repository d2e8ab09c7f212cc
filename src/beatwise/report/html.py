"""The report and the leaderboard: one HTML file each, with everything in it."""

from __future__ import annotations

import base64
from collections.abc import Mapping, Sequence
from typing import Any

import pandas as pd
from matplotlib.figure import Figure

from beatwise.figures.style import DPI, to_png
from beatwise.params import Evaluate, flatten
from beatwise.report.run_card import card_facts, node_seconds
from beatwise.report.tables import (
    behind_table,
    best_trials_table,
    calibration_table,
    changes_table,
    cost_table,
    ec57_tables,
    explanation_table,
    leaderboard_table,
    overall_table,
    paired_table,
    per_class_table,
    rejections_table,
    searched_table,
    thresholds_table,
)
from beatwise.run_card import RunCard


def render_report(
    *,
    title: str,
    notice: str,
    source: str,
    model: Mapping[str, Any],
    metrics: Mapping[str, Any],
    assessment: Mapping[str, Any],
    explanation: Mapping[str, Any],
    data_summary: Mapping[str, Any],
    run_card: RunCard,
    figures: Mapping[str, Figure | bytes],
) -> str:
    """Render the report.

    Args:
        title: Its title.
        notice: A sentence above everything else; empty for none.
        source: Name of the data source.
        model: ``TrainedModel.to_dict()``.
        metrics: What :func:`beatwise.evaluation.predictions.measure_predictions` returned.
        assessment: What :func:`beatwise.evaluation.assessment.assess_predictions` returned.
        explanation: What :func:`beatwise.explanation.summary.summarise_explanation` returned.
        data_summary: What :func:`beatwise.evaluation.data_summary.summarise_data` returned.
        run_card: The card of the run that makes the report, as far as it is known.
        figures: Figures by name, as drawn or as PNG.

    Returns:
        HTML that needs no other file and no network.
    """
    return _render(
        "report.html",
        title=title,
        notice=notice,
        source=source,
        config=model["config"],
        settings=flatten(model["config"]),
        model=model,
        overall=overall_table(metrics),
        per_class=per_class_table(metrics),
        ec57=ec57_tables(assessment),
        thresholds=thresholds_table(assessment),
        calibration=calibration_table(assessment),
        rejections=rejections_table(assessment),
        metrics=metrics,
        explanation=explanation,
        explained=explanation_table(explanation),
        data=data_summary,
        run=card_facts(run_card),
        nodes=node_seconds(run_card),
        figures={name: _embed(figure) for name, figure in figures.items()},
    )


def render_leaderboard(
    leaderboard: pd.DataFrame,
    figure: Figure | bytes,
    rows: Sequence[Mapping[str, Any]],
    *,
    evaluate: Evaluate,
    notice: str,
    source: str,
) -> str:
    """Render the leaderboard of a comparison.

    Args:
        leaderboard: What :func:`beatwise.comparison.leaderboard.rank_rows` returned.
        figure: Its figure, as drawn or as PNG.
        rows: All rows of the comparison, with those that failed.
        evaluate: Confidence of the intervals, and the accuracy floor.
        notice: A sentence above everything else; empty for none.
        source: Name of the data source.

    Returns:
        HTML that needs no other file and no network.
    """
    return _render(
        "leaderboard.html",
        title="Beatwise leaderboard",
        notice=notice,
        source=source,
        n_fits=len(rows),
        scores=leaderboard_table(leaderboard, evaluate),
        behind=behind_table(leaderboard, evaluate.confidence),
        cost=cost_table(leaderboard),
        changes=changes_table(rows),
        drawn=_embed(figure),
        failures=[row for row in rows if row["failure"]],
    )


def render_search(
    plan: Mapping[str, Any],
    trials: pd.DataFrame,
    space: pd.DataFrame,
    paired: Mapping[str, Any],
    figures: Mapping[str, Figure | bytes],
    *,
    notice: str,
    source: str,
) -> str:
    """Render the report of a search.

    Args:
        plan: What was searched, see :meth:`beatwise.search.plan.SearchPlan.plain`.
        trials: What :func:`beatwise.search.results.trials_table` returned.
        space: What :func:`beatwise.search.results.space_table` returned.
        paired: Baseline and tuned model on test, see :func:`beatwise.evaluation.paired.compare_paired`.
        figures: Figures by name, as drawn or as PNG.
        notice: A sentence above everything else; empty for none.
        source: Name of the data source.

    Returns:
        HTML that needs no other file and no network.
    """
    search, counts = plan["search"], trials["status"].value_counts()
    summary = (
        f"{len(trials)} trials by {search['algorithm']['use']} with {search['scheduler']['use']} ("
        + ", ".join(f"{n} {status}" for status, n in counts.items())
        + f"), {trials['epochs'].sum():,} epochs, {trials['seconds'].sum() / 60:.0f} minutes of training"
    )
    return _render(
        "search.html",
        title="Beatwise search",
        notice=notice,
        source=source,
        name=plan["name"],
        summary=summary,
        against_baseline=paired_table(paired),
        best=best_trials_table(trials, space, search["metric"]),
        space=searched_table(space),
        figures={name: _embed(figure) for name, figure in figures.items()},
        failures=trials[trials["failure"].notna()].to_dict("records"),
    )


def _render(template: str, **values: Any) -> str:
    from jinja2 import Environment, PackageLoader, StrictUndefined

    environment = Environment(
        loader=PackageLoader("beatwise.report", "."),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
    )
    return environment.get_template(template).render(**values)


def _embed(figure: Figure | bytes) -> dict[str, Any]:
    png = to_png(figure) if isinstance(figure, Figure) else figure
    # The width in pixels stands at bytes 16 to 20 of every PNG; in the report an inch of a figure is 96 CSS pixels.
    width = int.from_bytes(png[16:20], "big") * 96 // DPI
    return {"source": "data:image/png;base64," + base64.b64encode(png).decode("ascii"), "width": width}
