"""The reports as pages: one HTML file each, which needs no other file and no network.

Parameters are named after the datasets that they take; ``figures`` are as drawn or as PNG, by name.
"""

from __future__ import annotations

import base64
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import pandas as pd

from beatwise.comparison.documents import Row
from beatwise.comparison.leaderboard import ranked_metrics
from beatwise.data.examples import BEAT, reword
from beatwise.explanation.explain import Explanation
from beatwise.report.results import check_model
from beatwise.report.settings import Report
from beatwise.runs.card import RunCard
from beatwise.search.plan import SearchPlan
from beatwise.tasks.registry import METRICS
from beatwise.tasks.settings import Evaluate
from beatwise.training.trained_model import TrainedModel

if TYPE_CHECKING:
    from beatwise.figures.table import Entry

# Earlier ones are in the journal.
HYPOTHESES_AT_MOST: Final = 10
# A report lies in folders of its kind, its file and its version below that of its source, see :func:`source_folder`.
DEPTH: Final = 3
# Pipelines with a search.
SEARCHES: Final = {"__default__", "tune"}


def summarise_search(plan: SearchPlan, trials: pd.DataFrame, space: pd.DataFrame) -> dict[str, Any]:
    """Describe a search for reports.

    Returns:
        Plain data: ``name`` of the search; ``summary``, in words; ``best`` and ``space``, a ``Table`` each;
        ``importance``, one mapping a hyper-parameter with its ``name`` and ``importance`` (None where not known).
    """
    from beatwise.report.tables import best_trials_table, searched_table

    search, counts = plan.search, trials["status"].value_counts()
    importance = space[["name", "importance"]].astype(object)
    return {
        "name": plan.name,
        "summary": (
            f"{len(trials)} trials by {search.algorithm.use} with {search.scheduler.use} ("
            + ", ".join(f"{n} {status}" for status, n in counts.items())
            + f"), {trials['epochs'].sum():,} epochs, {trials['seconds'].sum() / 60:.1f} minutes of training"
        ),
        "best": asdict(best_trials_table(trials, space, plan.metric)),
        "space": asdict(searched_table(space)),
        "importance": importance.where(importance.notna(), None).to_dict("records"),
    }


def render_report(
    model: TrainedModel,
    metrics: dict[str, Any],
    assessment: dict[str, Any],
    explanation: Explanation,
    data_summary: dict[str, Any],
    figures: dict[str, Any],
    mistakes: pd.DataFrame,
    run_card: RunCard,
    report: Report,
    source: str,
    search: dict[str, Any] | None = None,
    against_baseline: dict[str, Any] | None = None,
) -> str:
    """Render the report of a model as one HTML file.

    Raises:
        BeatwiseError: If the metrics or the explanation are those of another model.
    """
    from beatwise.figures.table import entries_for
    from beatwise.report import tables
    from beatwise.report.figures import OF_TASK
    from beatwise.report.journal import brief_entries
    from beatwise.report.rebuild import fit_as_yaml, network_as_python
    from beatwise.report.run_card import card_metadata, node_seconds
    from beatwise.report.tasks import TASK_REPORTS

    check_model(model, metrics, explanation)
    of_task, shape = TASK_REPORTS[model.task.name], model.representation.fitted.shape
    stored = model.to_dict()
    config, name = stored["config"], "tuned" if search else "baseline"
    hypotheses = brief_entries(run_card.journal, source, run_card.began, metrics)
    searched = search is not None or SEARCHES & {*run_card.pipeline.split("+")}
    others = [other for other in ("baseline", "tuned", "search") if searched and other != name]
    return render(
        of_task.template,
        title=f"{config['model']['use']}, {name}, on {source}",
        eyebrow=report.title,
        links=_links(*others, "data"),
        notice=report.notice,
        source=source,
        name=name,
        date=f"{run_card.began.day} {run_card.began:%B %Y}",
        config=config,
        model=stored,
        monitor=METRICS[config["train"]["monitor"] or model.task.default_monitor].label,
        noun=of_task.noun,
        expectation=of_task.expectation,
        answers=of_task.answers(metrics, data_summary, against_baseline),
        **of_task.sections(metrics, assessment, mistakes, explanation.summary, data_summary, source),
        metrics=metrics,
        explanation=explanation.summary,
        data=data_summary,
        shared=tables.shared_table(data_summary),
        search=search,
        against_baseline=against_baseline and tables.paired_table(against_baseline, of_task.paired),
        fit_yaml=fit_as_yaml(config),
        network_python=network_as_python(stored),
        hypotheses=hypotheses[-HYPOTHESES_AT_MOST:],
        earlier=max(len(hypotheses) - HYPOTHESES_AT_MOST, 0),
        run=card_metadata(run_card, report.author, report.repository),
        nodes=node_seconds(run_card),
        pictures=_pictures(entries_for(OF_TASK[model.task.name], shape), figures),
        shape=shape,
    )


def render_leaderboard(
    leaderboard: pd.DataFrame,
    figures: dict[str, Any],
    rows: Sequence[Row],
    scores: Sequence[Row],
    evaluate: Evaluate,
    report: Report,
    source: str,
) -> str:
    """Render the leaderboard of a comparison as one HTML file, from all rows and from those that were measured."""
    from beatwise.report import tables
    from beatwise.report.figures import LEADERBOARD
    from beatwise.tasks.registry import METRICS

    fits = [row for row in rows if row.is_fit]
    return render(
        "leaderboard.html",
        title=f"Comparison on {source}",
        links=_links("data"),
        notice=report.notice,
        source=source,
        n_fits=len(fits),
        n_failed=sum(row.failure is not None for row in fits),
        n_ensembles=sum(row.is_ensemble for row in rows),
        folds=tables.folds_table(leaderboard),
        ranked_by=METRICS[ranked_metrics(leaderboard)[0]].label,
        scores=tables.leaderboard_table(leaderboard, evaluate),
        behind=tables.behind_table(leaderboard, evaluate.confidence),
        against=tables.against_table(leaderboard, evaluate.confidence),
        by_class=tables.classes_table(leaderboard, scores),
        ec57=tables.ec57_leaderboard_table(leaderboard, scores),
        cost=tables.cost_table(leaderboard),
        changes=tables.changes_table(rows),
        pictures=_pictures(LEADERBOARD, figures),
        failures=[row for row in rows if row.failure],
    )


def render_search(
    search: dict[str, Any], trials: pd.DataFrame, figures: dict[str, Any], report: Report, source: str
) -> str:
    """Render the report of a search as one HTML file."""
    from beatwise.report.figures import SEARCH

    return render(
        "search.html",
        title=f"Search {search['name']} on {source}",
        links=_links("tuned", "baseline", "data"),
        notice=report.notice,
        source=source,
        search=search,
        pictures=_pictures(SEARCH, figures),
        failures=trials[trials["failure"].notna()].to_dict("records"),
    )


def render_data(shares_plot: Any, signals_plot: Any, data_summary: dict[str, Any], report: Report, source: str) -> str:
    """Render the page of the data as one HTML file; it holds plotly's library, some 5 MB."""
    from markupsafe import Markup
    from plotly.offline import get_plotlyjs

    def embedded(figure: Any, name: str) -> Markup:
        config = {"displaylogo": False, "responsive": True}
        return Markup(figure.to_html(full_html=False, include_plotlyjs=False, config=config, div_id=name))

    return render(
        "data.html",
        title=f"Data of {source}",
        links={"all reports": "index.html"},
        notice=report.notice,
        source=source,
        data=data_summary,
        shape=data_summary.get("shape", BEAT),
        library=Markup(get_plotlyjs()),
        shares=embedded(shares_plot, "shares"),
        signals=embedded(signals_plot, "signals"),
    )


def _links(*names: str) -> dict[str, str]:
    """Links from a report to the latest ones of other kinds, and to the list of all."""
    up = "../" * DEPTH
    return {name: f"{up}{name}.html" for name in names} | {"all reports": f"{up}index.html"}


def source_folder(report: Path) -> Path:
    """The folder of the source of a report, which holds the pages of :mod:`beatwise.report.index`."""
    return report.parents[DEPTH]


def render(template: str, **values: Any) -> str:
    """Fill in one of the templates of this package."""
    from jinja2 import Environment, PackageLoader, StrictUndefined

    environment = Environment(
        loader=PackageLoader("beatwise.report", "."),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
    )
    return reword(environment.get_template(template).render(**values), values.get("shape", BEAT))


def _pictures(entries: Iterable[Entry[Any]], figures: Mapping[str, Any]) -> dict[str, list[dict[str, Any]]]:
    """Figures by section, each with what the template needs to place it."""
    sections: dict[str, list[dict[str, Any]]] = {}
    for entry in entries:
        if entry.section:
            placed = {name: getattr(entry, name) for name in ("caption", "tall", "printed")}
            sections.setdefault(entry.section, []).append({**placed, **_embed(figures[entry.name])})
    return sections


def _embed(drawn: Any) -> dict[str, Any]:
    from beatwise.figures.style import DPI, to_png

    if isinstance(drawn, str):
        return {"reason": drawn}
    png = drawn if isinstance(drawn, bytes) else to_png(drawn)
    # The width in pixels stands at bytes 16 to 20 of every PNG; in the report an inch of a figure is 96 CSS pixels.
    width = int.from_bytes(png[16:20], "big") * 96 // DPI
    return {"source": "data:image/png;base64," + base64.b64encode(png).decode("ascii"), "width": width}
