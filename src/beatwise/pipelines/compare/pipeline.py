"""The pipeline `compare`."""

from collections.abc import Callable

from kedro.pipeline import Node, Pipeline

from beatwise.comparison.documents import PlannedRow
from beatwise.comparison.leaderboard import rank_rows
from beatwise.comparison.plan import plan_rows
from beatwise.pipelines.compare import nodes
from beatwise.pipelines.ingest import create_pipeline as create_ingest
from beatwise.report.html import render_leaderboard
from beatwise.report.results import draw_leaderboard

FIT_PARAMETERS = {name: f"params:{name}" for name in ("task", "resample", "tensors", "model", "train")}


def create_pipeline(plan: Callable[..., list[PlannedRow]] = plan_rows) -> Pipeline:
    """Raw beats to a leaderboard over models × strategies × seeds.

    Args:
        plan: Writes down the rows: ``plan_rows``, or what chooses the comparison for it.
    """
    comparison = Pipeline(
        [
            Node(
                plan,
                inputs={"comparison": "params:compare", "ingest": "params:ingest", **FIT_PARAMETERS},
                outputs="plan",
                name="plan_rows",
                tags=["compare", "configure"],
            ),
            Node(
                nodes.fit,
                inputs=[
                    "plan",
                    "raw_beats",
                    "params:ingest",
                    "params:seed",
                    "checkpoints",
                    "finished_rows",
                    "params:ray",
                ],
                outputs=["rows", "row_predictions"],
                name="fit_rows",
                tags=["compare", "train"],
            ),
            Node(
                nodes.measure,
                inputs=["rows", "row_predictions", "params:evaluate", "params:seed", "params:ray"],
                outputs=["scores", "draws"],
                name="measure_rows",
                tags=["compare", "evaluate"],
            ),
            Node(
                rank_rows,
                inputs=["scores", "draws", "params:evaluate"],
                outputs="leaderboard",
                name="rank_rows",
                tags=["compare", "evaluate"],
            ),
            Node(
                draw_leaderboard,
                inputs=["leaderboard", "rows"],
                outputs="figures",
                name="draw_figures",
                tags=["compare", "report"],
            ),
            Node(
                render_leaderboard,
                inputs=[
                    "leaderboard",
                    "figures",
                    "rows",
                    "scores",
                    "params:evaluate",
                    "params:report",
                    "params:source",
                ],
                outputs="report",
                name="render_leaderboard",
                tags=["compare", "report"],
            ),
        ]
    )
    names = ("compare", "ingest", "ray", "evaluate", "report", "seed", "source")
    parameters = {*FIT_PARAMETERS.values(), *(f"params:{name}" for name in names)}
    shared = {"raw_beats", "checkpoints", "finished_rows"}
    return create_ingest() + Pipeline(comparison, namespace="comparison", inputs=shared, parameters=parameters)
