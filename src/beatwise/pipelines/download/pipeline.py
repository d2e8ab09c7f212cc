"""The pipeline `download`."""

from kedro.pipeline import Node, Pipeline

from beatwise.pipelines.download import nodes


def create_pipeline() -> Pipeline:
    """Fetch records from PhysioNet."""
    return Pipeline(
        [
            Node(
                nodes.request,
                inputs="params:download",
                outputs="physionet_records",
                name="download_records",
                tags="download",
            )
        ]
    )
