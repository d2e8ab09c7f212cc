"""The pipeline `score`."""

from kedro.pipeline import Node, Pipeline

from beatwise.pipelines.score import nodes


def create_pipeline() -> Pipeline:
    """Recordings or beats into classified beats."""
    return Pipeline(
        [
            Node(
                nodes.score_input,
                inputs=["params:score", "scorers", "scored", "params:ray"],
                outputs="score_summary",
                name="score_input",
                tags="score",
            )
        ]
    )
