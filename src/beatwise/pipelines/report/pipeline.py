"""The report template."""

from kedro.pipeline import Node, Pipeline

from beatwise.pipelines.report import nodes

# The figures of the report that are drawn in its own namespace.
DRAWN = (
    *("class_counts", "example_beats", "learning_curves", "per_class", "confusion_matrices", "roc", "precision_recall"),
    "forgetting",
    *("reliability", "reliability_by_class", "predictive_value", "risk_coverage", "mistakes"),
    *("errors_by_length", "errors_by_record", "errors_by_rr"),
    *("saliency", "explained_beats", "saliency_check", "embedding"),
    "architecture",
)
# What all namespaces share, and what the report of a model that came of a search is told of that.
SHARED = ("test_beats", "data_summary", "data_summary_figure", "run_card", "journal")
SEARCHED = ("plan", "trials", "space", "importance_figure")


def create_report(namespace: str, *, searched: bool = False) -> Pipeline:
    """Results into figures and one report.

    Args:
        namespace: Whose results they are, e.g. ``baseline``.
        searched: Whether the model came of a search, of which the report then tells.
    """
    told = SEARCHED if searched else ()
    search = {name.removesuffix("_figure"): name for name in [*told, *["against_baseline"] * searched]}
    template = Pipeline(
        [
            Node(
                nodes.plot_class_counts,
                inputs=["data_summary", "model"],
                outputs="class_counts_figure",
                name="plot_class_counts",
                tags="report",
            ),
            Node(
                nodes.plot_example_beats,
                inputs=["test_beats", "params:report", "params:classes", "params:sample_rate", "params:seed"],
                outputs="example_beats_figure",
                name="plot_example_beats",
                tags="report",
            ),
            Node(
                nodes.plot_learning_curves,
                inputs="model",
                outputs="learning_curves_figure",
                name="plot_learning_curves",
                tags="report",
            ),
            Node(
                nodes.plot_forgetting,
                inputs="model",
                outputs=["forgetting_figure", "forgetting_plot"],
                name="plot_forgetting",
                tags="report",
            ),
            Node(
                nodes.plot_confusion_matrices,
                inputs="metrics",
                outputs="confusion_matrices_figure",
                name="plot_confusion_matrices",
                tags="report",
            ),
            Node(
                nodes.plot_curves,
                inputs="assessment",
                outputs=["roc_figure", "precision_recall_figure"],
                name="plot_curves",
                tags="report",
            ),
            Node(
                nodes.plot_calibration,
                inputs="assessment",
                outputs=["reliability_figure", "reliability_by_class_figure"],
                name="plot_calibration",
                tags="report",
            ),
            Node(
                nodes.plot_predictive_value,
                inputs="assessment",
                outputs="predictive_value_figure",
                name="plot_predictive_value",
                tags="report",
            ),
            Node(
                nodes.plot_risk_coverage,
                inputs="assessment",
                outputs="risk_coverage_figure",
                name="plot_risk_coverage",
                tags="report",
            ),
            Node(
                nodes.plot_mistakes,
                inputs=["mistakes", "test_beats", "params:classes", "params:sample_rate"],
                outputs="mistakes_figure",
                name="plot_mistakes",
                tags="report",
            ),
            Node(
                nodes.plot_architecture,
                inputs="model",
                outputs="architecture_figure",
                name="plot_architecture",
                tags="report",
            ),
            Node(
                nodes.plot_errors,
                inputs="errors",
                outputs=[f"errors_by_{by}_figure" for by in ("length", "record", "rr")],
                name="plot_errors",
                tags="report",
            ),
            Node(
                nodes.plot_per_class,
                inputs="metrics",
                outputs="per_class_figure",
                name="plot_per_class",
                tags="report",
            ),
            Node(
                nodes.render,
                inputs={
                    "model": "model",
                    "metrics": "metrics",
                    "assessment": "assessment",
                    "explanation": "explanation",
                    "data_summary": "data_summary",
                    "run_card": "run_card",
                    "journal": "journal",
                    "report": "params:report",
                    "source": "params:source",
                    **{name: f"{name}_figure" for name in DRAWN},
                    "data_summary_figure": "data_summary_figure",
                    **search,
                },
                outputs="report",
                name="render_report",
                tags="report",
            ),
        ]
    )
    return Pipeline(
        template,
        namespace=namespace,
        inputs={**{name: name for name in SHARED}, **{name: f"search.{name}" for name in told}},
        parameters={
            "params:report",
            "params:classes",
            "params:sample_rate",
            "params:seed",
            "params:source",
        },
    )


def create_pipeline() -> Pipeline:
    """Draw the baseline's report again from what is stored."""
    return create_report("baseline")
