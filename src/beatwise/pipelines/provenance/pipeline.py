"""The pipeline `provenance`."""

from kedro.pipeline import Node, Pipeline

from beatwise.pipelines.provenance import nodes
from beatwise.pipelines.segment import create_pipeline as create_segment


def create_pipeline() -> Pipeline:
    """Segment the records, and find every row of the source among the beats."""
    recover = Node(
        nodes.recover,
        inputs=["raw_beats", "beats"],
        outputs=["provenance", "beats_with_records", "provenance_summary"],
        name="recover_provenance",
        tags="provenance",
    )
    return create_segment() + Pipeline([recover])
