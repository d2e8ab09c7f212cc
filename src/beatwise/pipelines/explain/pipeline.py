"""The explanation template, and the pipeline `explain`."""

from kedro.pipeline import Node, Pipeline

from beatwise.explanation.explain import explain_model
from beatwise.pipelines.nested import template
from beatwise.training.trained_model import rebuild_tensors


def create_explanation(namespace: str) -> Pipeline:
    """A model, validation tensors and validation predictions into saliency and an embedding."""
    explain = Node(
        explain_model,
        inputs=[
            *("model", "val_tensors", "val_beats", "val_predictions"),
            *("params:explain", "params:seed", "params:sample_rate"),
        ],
        outputs="explanation",
        name="explain_model",
        tags="explain",
    )
    return template(Pipeline([explain]), namespace, {"val_beats"})


def create_pipeline() -> Pipeline:
    """Explain the stored baseline again."""
    rebuild = Node(
        rebuild_tensors,
        inputs=["model", "val_beats"],
        outputs=["val_tensors"],
        name="rebuild_val_tensors",
        tags="tensors",
    )
    return template(Pipeline([rebuild]), "baseline", {"val_beats"}) + create_explanation("baseline")
