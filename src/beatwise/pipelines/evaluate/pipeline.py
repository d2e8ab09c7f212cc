"""The evaluation template, and the pipeline `evaluate`."""

from kedro.pipeline import Node, Pipeline

from beatwise.pipelines.explain.pipeline import create_explanation
from beatwise.pipelines.nested import stage, template
from beatwise.pipelines.report.pipeline import create_report
from beatwise.scoring.scorer import make_scorer
from beatwise.training.trained_model import TrainedModel, rebuild_tensors

OF_SCORER = [f"params:{name}" for name in ("evaluate", "segment", "source", "sample_rate")]


def create_evaluation(namespace: str) -> Pipeline:
    """A model and tensors into predictions, metrics, and a scorer for new recordings."""
    evaluate = stage(
        "evaluate",
        Node(
            TrainedModel.predict_held_out,
            inputs=["model", "val_tensors", "test_tensors"],
            outputs=["val_predictions", "predictions"],
            name="predict_beats",
            tags="evaluate",
        ),
        Node(
            TrainedModel.measure,
            inputs=["model", "val_predictions", "predictions", "params:evaluate", "params:seed"],
            outputs="metrics",
            name="measure_predictions",
            tags="evaluate",
        ),
        Node(
            TrainedModel.assess,
            inputs=["model", "val_predictions", "predictions", "params:evaluate", "params:seed"],
            outputs="assessment",
            name="assess_predictions",
            tags="evaluate",
        ),
        Node(
            make_scorer,
            inputs=["model", "metrics", "val_predictions", "predictions", "train_beats", "test_beats", *OF_SCORER],
            outputs="scorer",
            name="make_scorer",
            tags="evaluate",
        ),
    )
    return template(evaluate, namespace, {"train_beats", "test_beats"})


def create_pipeline() -> Pipeline:
    """Measure the stored baseline again, the latest version or one given by ``--load-versions``; nothing is trained."""
    rebuild = Node(
        rebuild_tensors,
        inputs=["model", "val_beats", "test_beats"],
        outputs=["val_tensors", "test_tensors"],
        name="rebuild_tensors",
        tags="tensors",
    )
    rebuilt = template(Pipeline([rebuild]), "baseline", {"val_beats", "test_beats"})
    return rebuilt + create_evaluation("baseline") + create_explanation("baseline") + create_report("baseline")
