"""The pipeline `segment`."""

from kedro.pipeline import Node, Pipeline

from beatwise.pipelines.segment import nodes


def create_pipeline() -> Pipeline:
    """Records into beats."""
    return Pipeline(
        [
            Node(
                nodes.cut_records,
                inputs=["records", "params:segment", "params:classes", "params:sample_rate"],
                outputs="beats",
                name="segment_records",
                tags="segment",
            )
        ]
    )
