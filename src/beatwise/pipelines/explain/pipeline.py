"""The explanation template, and the pipeline `explain`."""

from kedro.pipeline import Node, Pipeline

from beatwise.pipelines.explain import nodes


def create_explanation(namespace: str) -> Pipeline:
    """A model, validation tensors and validation predictions into saliency and an embedding.

    Args:
        namespace: Whose model it is, e.g. ``baseline``.
    """
    template = Pipeline(
        [
            Node(
                nodes.explain,
                inputs=["model", "val_tensors", "val_beats", "val_predictions", "params:explain", "params:seed"],
                outputs=["saliency", "attributions"],
                name="explain_beats",
                tags="explain",
            ),
            Node(
                nodes.check,
                inputs=["model", "val_tensors", "val_beats", "attributions", "params:explain", "params:seed"],
                outputs=["saliency_check", "random_saliency"],
                name="check_saliency",
                tags="explain",
            ),
            Node(
                nodes.embed,
                inputs=["model", "val_tensors", "val_predictions", "params:explain", "params:seed"],
                outputs=["embedding", "projections"],
                name="embed_beats",
                tags="explain",
            ),
            Node(
                nodes.summarise,
                inputs=[
                    *("model", "val_tensors", "attributions", "saliency_check", "embedding", "projections"),
                    *("params:explain", "params:sample_rate"),
                ],
                outputs="explanation",
                name="summarise_explanation",
                tags="explain",
            ),
            Node(
                nodes.plot_saliency,
                inputs=["saliency", "params:classes", "params:sample_rate"],
                outputs="saliency_figure",
                name="plot_saliency",
                tags="report",
            ),
            Node(
                nodes.plot_explained_beats,
                inputs=["saliency", "attributions", "params:classes", "params:sample_rate"],
                outputs="explained_beats_figure",
                name="plot_explained_beats",
                tags="report",
            ),
            Node(
                nodes.plot_saliency_check,
                inputs=["saliency_check", "saliency", "random_saliency", "params:classes", "params:sample_rate"],
                outputs="saliency_check_figure",
                name="plot_saliency_check",
                tags="report",
            ),
            Node(
                nodes.plot_embedding,
                inputs=["embedding", "projections", "params:classes"],
                outputs="embedding_figure",
                name="plot_embedding",
                tags="report",
            ),
            Node(
                nodes.draw_embedding,
                inputs=["embedding", "projections", "params:classes"],
                outputs="embedding_plot",
                name="draw_embedding",
                tags="report",
            ),
        ]
    )
    return Pipeline(
        template,
        namespace=namespace,
        inputs={"val_beats"},
        parameters={"params:explain", "params:seed", "params:classes", "params:sample_rate"},
    )


def create_val_rebuild(namespace: str) -> Pipeline:
    """A stored model and validation beats into the tensors that this model takes.

    Args:
        namespace: Whose model it is.
    """
    rebuild = Node(
        nodes.rebuild_val_tensors,
        inputs=["model", "val_beats"],
        outputs="val_tensors",
        name="rebuild_val_tensors",
        tags="tensors",
    )
    return Pipeline([rebuild], namespace=namespace, inputs={"val_beats"})


def create_pipeline() -> Pipeline:
    """Explain the stored baseline again."""
    return create_val_rebuild("baseline") + create_explanation("baseline")
