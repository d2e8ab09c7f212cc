"""The report template."""

from kedro.pipeline import Node, Pipeline

from beatwise.pipelines.nested import stage, template
from beatwise.report.html import render_report
from beatwise.report.results import draw_report
from beatwise.training.trained_model import TrainedModel

# Inputs that all namespaces share.
SHARED = {"test_beats", "data_summary", "run_card"}


def create_report(namespace: str, *, trained: bool = False, searched: bool = False) -> Pipeline:
    """Results into figures and one report.

    Args:
        namespace: Whose results they are, e.g. ``baseline``.
        trained: Whether the same run trains the model; the figures of its training are then drawn from the tables that
            it has just written.
        searched: Whether the model comes from a search, which the report then describes.
    """
    compared = Node(
        TrainedModel.compare_with_baseline,
        inputs=[
            *("model", "baseline_predictions", "predictions", "baseline_metrics", "metrics"),
            *("params:evaluate", "params:seed"),
        ],
        outputs="against_baseline",
        name="compare_with_baseline",
        tags=["tune", "evaluate"],
    )
    measured = {name: name for name in ("model", "metrics", "assessment", "explanation", "data_summary")}
    history = {name: name for name in ("history", "val_history") if trained}
    search = {"search": "search_summary"} if searched else {}
    nodes = stage(
        "report",
        Node(
            TrainedModel.find_mistakes,
            inputs=["model", "predictions", "test_beats", "params:evaluate", "params:sample_rate"],
            outputs=["mistakes", "errors"],
            name="find_mistakes",
            tags="evaluate",
        ),
        *([compared] if searched else []),
        Node(
            draw_report,
            inputs={
                **{name: name for name in (*measured, *history, "predictions", "mistakes", "errors", "test_beats")},
                **{name: f"params:{name}" for name in ("report", "classes", "sample_rate", "seed")},
                **search,
            },
            outputs="figures",
            name="draw_figures",
            tags="report",
        ),
        Node(
            render_report,
            inputs={
                **{name: name for name in (*measured, "mistakes", "figures", "run_card")},
                **{name: f"params:{name}" for name in ("report", "source")},
                **search,
                **({"against_baseline": "against_baseline"} if searched else {}),
            },
            outputs="report",
            name="render_report",
            tags="report",
        ),
    )
    elsewhere = {
        **{f"baseline_{name}": f"baseline.{name}" for name in ("predictions", "metrics")},
        "search_summary": "search.summary",
    }
    return template(nodes, namespace, SHARED, inputs=elsewhere)


def create_pipeline() -> Pipeline:
    """Draw the baseline's report again from what is stored."""
    return create_report("baseline")
