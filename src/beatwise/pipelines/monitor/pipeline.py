"""The pipeline `monitor`."""

from kedro.pipeline import Node, Pipeline

from beatwise.pipelines.monitor import nodes


def create_pipeline() -> Pipeline:
    """The latest scoring against the training part."""
    return Pipeline(
        [
            Node(
                nodes.watch_scored,
                inputs=["params:monitor", "scored", "params:seed"],
                outputs=["monitoring", "monitoring.page"],
                name="watch_scored",
                tags="monitor",
            )
        ]
    )
