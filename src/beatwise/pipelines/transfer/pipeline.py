"""The pipeline `transfer`."""

from kedro.pipeline import Pipeline

from beatwise.pipelines.compare import create_pipeline as create_comparison
from beatwise.pipelines.transfer import nodes


def create_pipeline() -> Pipeline:
    """The comparison `transfer`, whatever other one the parameters choose."""
    return create_comparison(nodes.plan_transfer)
