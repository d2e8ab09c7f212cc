"""The pipeline `tune`: the whole flow, raw beats to report, with a search in its middle."""

from typing import Any

from kedro.pipeline import Node, Pipeline

from beatwise.pipelines.evaluate.pipeline import create_evaluation
from beatwise.pipelines.explain.pipeline import create_explanation
from beatwise.pipelines.fit.pipeline import CONFIGURED, create_fit
from beatwise.pipelines.report.pipeline import create_report
from beatwise.pipelines.train import create_pipeline as create_train
from beatwise.pipelines.tune import nodes

# What draws each figure of the report, and from what.
FIGURES: dict[str, tuple[Any, ...]] = {
    "search": (nodes.plot_search, "trials", "plan"),
    "trial_curves": (nodes.plot_trial_curves, "histories", "trials", "plan"),
    "slices": (nodes.plot_slices, "trials", "space", "plan"),
    "importance": (nodes.plot_importance, "space"),
    "parallel": (nodes.plot_parallel, "trials", "space", "plan"),
}


def create_search() -> Pipeline:
    """Beats and a search space into the configuration of the best fit."""
    template = Pipeline(
        [
            Node(
                nodes.plan,
                inputs={**CONFIGURED, "tune": "params:tune", "searches": "searches"},
                outputs="plan",
                name="plan_search",
                tags=["tune", "configure"],
            ),
            Node(
                nodes.search,
                inputs=["plan", "train_beats", "val_beats", "checkpoints", "searches", "params:ray"],
                outputs="records",
                name="run_trials",
                tags=["tune", "train"],
            ),
            Node(
                nodes.choose,
                inputs=["records", "plan"],
                outputs="best_config",
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
            *(
                Node(function, inputs=inputs, outputs=f"{name}_figure", name=f"plot_{name}", tags=["tune", "report"])
                for name, (function, *inputs) in FIGURES.items()
            ),
            Node(
                nodes.draw_interactive,
                inputs=["trials", "histories", "space", "plan"],
                outputs=["parallel_plot", "history_plot", "curves_plot"],
                name="draw_interactive",
                tags=["tune", "report"],
            ),
        ]
    )
    return Pipeline(
        template,
        namespace="search",
        inputs={"train_beats", "val_beats", "checkpoints", "searches"},
        outputs={"best_config": "tuned.config"},
        parameters={*CONFIGURED.values(), "params:tune", "params:ray"},
    )


def create_search_report() -> Pipeline:
    """Baseline and tuned model side by side, and the report of the search."""
    drawn = {name: f"{name}_figure" for name in FIGURES}
    searched = ("plan", "trials", "space", *drawn.values())
    template = Pipeline(
        [
            Node(
                nodes.compare,
                inputs=["baseline_predictions", "predictions", "params:evaluate", "params:seed"],
                outputs="against_baseline",
                name="compare_with_baseline",
                tags=["tune", "evaluate"],
            ),
            Node(
                nodes.render,
                inputs={
                    **{name: name for name in ("plan", "trials", "space", "against_baseline")},
                    **drawn,
                    "report": "params:report",
                    "source": "params:source",
                },
                outputs="search_report",
                name="render_search",
                tags=["tune", "report"],
            ),
        ]
    )
    # In the namespace of the tuned model, because Kedro wants the nodes of one to follow each other.
    return Pipeline(
        template,
        namespace="tuned",
        inputs={"baseline_predictions": "baseline.predictions", **{name: f"search.{name}" for name in searched}},
        parameters={"params:evaluate", "params:seed", "params:report", "params:source"},
    )


def create_pipeline() -> Pipeline:
    """Raw beats to the reports of the baseline and of the best that was found."""
    tuned = create_fit("tuned") + create_evaluation("tuned") + create_explanation("tuned")
    tuned += create_report("tuned", searched=True)
    return create_train() + create_search() + tuned + create_search_report()
