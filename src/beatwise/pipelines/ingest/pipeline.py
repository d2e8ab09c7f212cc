"""The pipeline `ingest`."""

from kedro.pipeline import Node, Pipeline

from beatwise.data.splits import ingest_parts
from beatwise.pipelines.ingest import nodes
from beatwise.pipelines.nested import stage
from beatwise.report.html import render_data

PARTS = ("train_beats", "val_beats", "test_beats")


def create_pipeline() -> Pipeline:
    """Raw beats into train, validation and test, with a summary and a page that shows them."""
    ingest = stage(
        "ingest",
        Node(
            ingest_parts,
            inputs=["raw_beats", "params:ingest", "params:seed"],
            outputs=list(PARTS),
            name="split_beats",
            tags="ingest",
        ),
        Node(
            nodes.summarise,
            inputs=[*PARTS, "params:ingest", "params:classes", "params:sample_rate"],
            outputs="data_summary",
            name="summarise_data",
            tags="ingest",
        ),
        Node(
            nodes.draw_data,
            inputs={
                **{name: name for name in (*PARTS, "data_summary")},
                **{name: f"params:{name}" for name in ("report", "classes", "sample_rate", "seed")},
            },
            outputs=["shares_plot", "signals_plot"],
            name="draw_data",
            tags="report",
        ),
        Node(
            render_data,
            inputs=["shares_plot", "signals_plot", "data_summary", "params:report", "params:source"],
            outputs="page",
            name="render_page",
            tags="report",
        ),
    )
    return Pipeline(ingest, outputs={name: f"data.{name}" for name in ("shares_plot", "signals_plot", "page")})
