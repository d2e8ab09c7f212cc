"""The report template."""

from kedro.pipeline import Node, Pipeline

from beatwise.pipelines.report import nodes


def create_report(namespace: str) -> Pipeline:
    """Results into figures and one report.

    Args:
        namespace: Whose results they are, e.g. ``baseline``.
    """
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
                nodes.plot_confusion_matrix,
                inputs="metrics",
                outputs="confusion_matrix_figure",
                name="plot_confusion_matrix",
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
                    "data_summary": "data_summary",
                    "run_card": "run_card",
                    "report": "params:report",
                    "source": "params:source",
                    "class_counts": "class_counts_figure",
                    "example_beats": "example_beats_figure",
                    "learning_curves": "learning_curves_figure",
                    "confusion_matrix": "confusion_matrix_figure",
                    "per_class": "per_class_figure",
                    "data_summary_figure": "data_summary_figure",
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
        inputs={"test_beats", "data_summary", "data_summary_figure", "run_card"},
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
