"""The pipeline `segment`."""

from kedro.pipeline import Node, Pipeline

from beatwise.pipelines.segment import nodes


def create_pipeline() -> Pipeline:
    """Records into beats."""
    return Pipeline(
        [
            Node(
                nodes.cut_records,
                inputs=["records", "params:segment", "params:classes", "params:sample_rate", "params:beat_length"],
                outputs=["beats", "segment_summary"],
                name="segment_records",
                tags="segment",
            )
        ]
    )
