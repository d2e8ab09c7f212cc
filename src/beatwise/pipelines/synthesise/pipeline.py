"""The pipeline `synthesise`."""

from kedro.pipeline import Node, Pipeline

from beatwise.pipelines.segment import create_pipeline as create_segment
from beatwise.pipelines.synthesise import nodes


def create_pipeline() -> Pipeline:
    """Synthetic records, segmented, into the sample that is bundled."""
    # Names of their own, so that no environment can mistake them for, or overwrite, the records of a real source.
    segment = Pipeline(create_segment(), inputs={"records": "synthetic_records"}, outputs={"beats": "synthetic_beats"})
    return (
        Pipeline(
            [
                Node(
                    nodes.make_records,
                    inputs=["params:synthesise", "params:seed"],
                    outputs="synthetic_records",
                    name="synthesise_records",
                    tags="synthesise",
                ),
                Node(
                    nodes.cut_sample,
                    inputs=["synthetic_beats", "params:synthesise", "params:seed"],
                    outputs=["sample_train", "sample_test"],
                    name="cut_sample",
                    tags="synthesise",
                ),
            ]
        )
        + segment
    )
