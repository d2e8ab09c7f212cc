"""The evaluation template, and the pipeline `evaluate`."""

from kedro.pipeline import Node, Pipeline

from beatwise.pipelines.evaluate import nodes
from beatwise.pipelines.explain.pipeline import create_explanation
from beatwise.pipelines.report.pipeline import create_report


def create_evaluation(namespace: str) -> Pipeline:
    """A model and tensors into predictions and metrics.

    Args:
        namespace: Whose model it is, e.g. ``baseline``.
    """
    template = Pipeline(
        [
            Node(
                nodes.predict,
                inputs=["model", "val_tensors", "test_tensors"],
                outputs=["val_predictions", "predictions"],
                name="predict_beats",
                tags="evaluate",
            ),
            Node(
                nodes.measure,
                inputs=["model", "val_predictions", "predictions", "params:evaluate", "params:seed"],
                outputs="metrics",
                name="measure_predictions",
                tags="evaluate",
            ),
            Node(
                nodes.assess,
                inputs=["model", "val_predictions", "predictions", "params:evaluate", "params:seed"],
                outputs="assessment",
                name="assess_predictions",
                tags="evaluate",
            ),
            Node(
                nodes.find_mistakes,
                inputs=["predictions", "test_beats", "params:evaluate", "params:sample_rate"],
                outputs=["mistakes", "errors"],
                name="find_mistakes",
                tags="evaluate",
            ),
        ]
    )
    return Pipeline(
        template,
        namespace=namespace,
        inputs={"test_beats"},
        parameters={"params:evaluate", "params:seed", "params:sample_rate"},
    )


def create_rebuild(namespace: str) -> Pipeline:
    """A stored model and beats into the tensors that this model takes.

    Args:
        namespace: Whose model it is.
    """
    template = Pipeline(
        [
            Node(
                nodes.rebuild_tensors,
                inputs=["model", "val_beats", "test_beats"],
                outputs=["val_tensors", "test_tensors"],
                name="rebuild_tensors",
                tags="tensors",
            )
        ]
    )
    return Pipeline(template, namespace=namespace, inputs={"val_beats", "test_beats"})


def create_pipeline() -> Pipeline:
    """Measure the stored baseline again, the latest version or one given by ``--load-versions``; nothing is trained."""
    measured = create_rebuild("baseline") + create_evaluation("baseline")
    return measured + create_explanation("baseline") + create_report("baseline")
