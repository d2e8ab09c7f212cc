"""The pipeline `train`: raw beats to the report of the baseline."""

from kedro.pipeline import Pipeline

from beatwise.pipelines.evaluate.pipeline import create_evaluation
from beatwise.pipelines.explain.pipeline import create_explanation
from beatwise.pipelines.fit import create_pipeline as create_baseline_fit
from beatwise.pipelines.ingest import create_pipeline as create_ingest
from beatwise.pipelines.report.pipeline import create_report


def create_pipeline() -> Pipeline:
    """Everything from raw beats to the report of the baseline."""
    measured = create_ingest() + create_baseline_fit() + create_evaluation("baseline")
    return measured + create_explanation("baseline") + create_report("baseline", trained=True)
