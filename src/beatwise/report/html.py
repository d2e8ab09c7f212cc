"""The report and the leaderboard: one HTML file each, with everything in it."""

from __future__ import annotations

import base64
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import pandas as pd
from matplotlib.figure import Figure

from beatwise.comparison.leaderboard import is_ensemble, row_name
from beatwise.figures.style import DPI, to_png
from beatwise.report.field import field_table
from beatwise.report.journal import brief_entries
from beatwise.report.rebuild import fit_as_yaml, network_as_python
from beatwise.report.run_card import card_metadata, cover_metadata, node_seconds
from beatwise.report.settings import Report
from beatwise.report.summary import findings
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
    parts_table,
    per_class_table,
    rejections_table,
    searched_table,
    shared_table,
    thresholds_table,
)
from beatwise.runs.card import RunCard
from beatwise.runs.journal import Entry
from beatwise.tasks.settings import Evaluate

# Earlier ones are in the journal.
HYPOTHESES_AT_MOST: Final = 10


@dataclass(frozen=True)
class SearchResult:
    """What a search found, and how the model that came of it does beside the baseline.

    Attributes:
        plan: What was searched, see ``SearchPlan.plain``.
        trials: What ``trials_table`` returned.
        space: What ``space_table`` returned.
        paired: Baseline and tuned model on test, see ``compare_paired``.
    """

    plan: Mapping[str, Any]
    trials: pd.DataFrame
    space: pd.DataFrame
    paired: Mapping[str, Any]

    def told(self) -> dict[str, Any]:
        """What templates call ``search``."""
        search, counts = self.plan["search"], self.trials["status"].value_counts()
        return {
            "name": self.plan["name"],
            "summary": (
                f"{len(self.trials)} trials by {search['algorithm']['use']} with {search['scheduler']['use']} ("
                + ", ".join(f"{n} {status}" for status, n in counts.items())
                + f"), {self.trials['epochs'].sum():,} epochs, "
                + f"{self.trials['seconds'].sum() / 60:.1f} minutes of training"
            ),
            "against_baseline": paired_table(self.paired),
            "best": best_trials_table(self.trials, self.space, search["metric"]),
            "space": searched_table(self.space),
        }


def render_report(
    *,
    settings: Report,
    source: str,
    model: Mapping[str, Any],
    metrics: Mapping[str, Any],
    assessment: Mapping[str, Any],
    explanation: Mapping[str, Any],
    data_summary: Mapping[str, Any],
    run_card: RunCard,
    journal: Mapping[str, Entry],
    figures: Mapping[str, Figure | bytes],
    search: SearchResult | None = None,
) -> str:
    """Render the report.

    Args:
        settings: Title, author, repository and notice.
        source: Name of the data source.
        model: ``TrainedModel.to_dict()``.
        metrics: What ``measure_predictions`` returned.
        assessment: What ``assess_predictions`` returned.
        explanation: What ``summarise_explanation`` returned.
        data_summary: What ``summarise_data`` returned.
        run_card: The card of the run that makes the report, as far as it is known.
        journal: Entries of the journal by ID, the oldest first.
        figures: Figures by name, as drawn or as PNG.
        search: The search that the model came of; None for one that was not searched for.

    Returns:
        HTML that needs no other file and no network.
    """
    hypotheses = brief_entries(journal, source, run_card.began, metrics)
    return _render(
        "report.html",
        title=settings.title,
        notice=settings.notice,
        source=source,
        cover=cover_metadata(run_card, settings.author, settings.repository),
        config=model["config"],
        model=model,
        findings=findings(metrics, data_summary),
        field=field_table(source, data_summary["split"], metrics, assessment),
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
        parts=parts_table(data_summary),
        shared=shared_table(data_summary),
        search=search and search.told(),
        fit_yaml=fit_as_yaml(model["config"]),
        network_python=network_as_python(model),
        hypotheses=hypotheses[-HYPOTHESES_AT_MOST:],
        earlier=max(len(hypotheses) - HYPOTHESES_AT_MOST, 0),
        run=card_metadata(run_card),
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
        leaderboard: What ``rank_rows`` returned.
        figure: Its figure, as drawn or as PNG.
        rows: All rows of the comparison, with those that failed.
        evaluate: Confidence of the intervals, and the accuracy floor.
        notice: A sentence above everything else; empty for none.
        source: Name of the data source.

    Returns:
        HTML that needs no other file and no network.
    """
    fits = [row for row in rows if not is_ensemble(row)]
    return _render(
        "leaderboard.html",
        title="Beatwise leaderboard",
        notice=notice,
        source=source,
        n_fits=len(fits),
        n_failed=sum(row["failure"] is not None for row in fits),
        n_ensembles=len(rows) - len(fits),
        row_name=row_name,
        scores=leaderboard_table(leaderboard, evaluate),
        behind=behind_table(leaderboard, evaluate.confidence),
        cost=cost_table(leaderboard),
        changes=changes_table(rows),
        drawn=_embed(figure),
        failures=[row for row in rows if row["failure"]],
    )


def render_search(result: SearchResult, figures: Mapping[str, Figure | bytes], *, notice: str, source: str) -> str:
    """Render the report of a search.

    Args:
        result: What it found.
        figures: Figures by name, as drawn or as PNG.
        notice: A sentence above everything else; empty for none.
        source: Name of the data source.

    Returns:
        HTML that needs no other file and no network.
    """
    trials = result.trials
    return _render(
        "search.html",
        title="Beatwise search",
        notice=notice,
        source=source,
        search=result.told(),
        figures={name: _embed(figure) for name, figure in figures.items()},
        failures=trials[trials["failure"].notna()].to_dict("records"),
    )


def render_data(shares: Any, signals: Any, data_summary: Mapping[str, Any], *, notice: str, source: str) -> str:
    """Render the page of the data, whose figures are interactive.

    Args:
        shares: What ``class_shares`` returned.
        signals: What ``example_signals`` returned.
        data_summary: What ``summarise_data`` returned.
        notice: A sentence above everything else; empty for none.
        source: Name of the data source.

    Returns:
        HTML that needs no other file and no network: it holds plotly's library, some 5 MB.
    """
    from markupsafe import Markup
    from plotly.offline import get_plotlyjs

    def embedded(figure: Any, name: str) -> Markup:
        config = {"displaylogo": False, "responsive": True}
        return Markup(figure.to_html(full_html=False, include_plotlyjs=False, config=config, div_id=name))

    return _render(
        "data.html",
        title="Beatwise data",
        notice=notice,
        source=source,
        data=data_summary,
        library=Markup(get_plotlyjs()),
        shares=embedded(shares, "shares"),
        signals=embedded(signals, "signals"),
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
