"""The pipeline `tune`: the whole flow, raw beats to report, with a search in its middle."""

from kedro.pipeline import Node, Pipeline

from beatwise.pipelines.evaluate.pipeline import create_evaluation
from beatwise.pipelines.explain.pipeline import create_explanation
from beatwise.pipelines.fit.pipeline import CONFIGURED, create_fit
from beatwise.pipelines.nested import stage, template
from beatwise.pipelines.report.pipeline import create_report
from beatwise.pipelines.train import create_pipeline as create_train
from beatwise.pipelines.tune import nodes
from beatwise.report.html import render_search, summarise_search
from beatwise.report.results import draw_search

# These datasets are named after the search, not after the model that comes from it.
OF_SEARCH = ("plan", "records", "trials", "histories", "space", "summary", "figures")


def create_search() -> Pipeline:
    """Beats and a search space into the configuration of the best fit, and the report of the search."""
    search = stage(
        "search",
        Node(
            nodes.plan,
            inputs={**CONFIGURED, "tune": "params:tune", "checkpoints": "checkpoints"},
            outputs="plan",
            name="plan_search",
            tags=["tune", "configure"],
        ),
        Node(
            nodes.search,
            inputs=["plan", "train_beats", "val_beats", "checkpoints", "params:ray"],
            outputs="records",
            name="run_trials",
            tags=["tune", "train"],
        ),
        Node(
            nodes.choose,
            inputs=["records", "plan"],
            outputs="config",
            name="choose_best",
            tags=["tune", "configure"],
        ),
        Node(
            nodes.tabulate,
            inputs=["records", "plan"],
            outputs=["trials", "histories", "space"],
            name="tabulate_trials",
            tags=["tune", "evaluate"],
        ),
        Node(
            summarise_search,
            inputs=["plan", "trials", "space"],
            outputs="summary",
            name="summarise_search",
            tags=["tune", "evaluate"],
        ),
        Node(
            draw_search,
            inputs=["plan", "trials", "histories", "space"],
            outputs="figures",
            name="draw_figures",
            tags=["tune", "report"],
        ),
        Node(
            render_search,
            inputs=["summary", "trials", "figures", "params:report", "params:source"],
            outputs="search_report",
            name="render_search",
            tags=["tune", "report"],
        ),
    )
    shared = {"train_beats", "val_beats", "checkpoints"}
    return template(search, "tuned", shared, outputs={name: f"search.{name}" for name in OF_SEARCH})


def create_pipeline() -> Pipeline:
    """Raw beats to the reports of the baseline and of the best that was found."""
    tuned = create_search() + create_fit("tuned") + create_evaluation("tuned") + create_explanation("tuned")
    return create_train() + tuned + create_report("tuned", trained=True, searched=True)
