"""The pipeline `ingest`."""

from kedro.pipeline import Node, Pipeline

from beatwise.pipelines.ingest import nodes


def create_pipeline() -> Pipeline:
    """Raw beats into train, validation and test, with a summary."""
    return Pipeline(
        [
            Node(
                nodes.split,
                inputs=["raw_beats", "params:ingest", "params:seed"],
                outputs=["train_beats", "val_beats", "test_beats"],
                name="split_beats",
                tags="ingest",
            ),
            Node(
                nodes.summarise,
                inputs=[
                    "train_beats",
                    "val_beats",
                    "test_beats",
                    "params:ingest",
                    "params:classes",
                    "params:sample_rate",
                ],
                outputs="data_summary",
                name="summarise_data",
                tags="ingest",
            ),
            Node(
                nodes.plot_data_summary,
                inputs="data_summary",
                outputs="data_summary_figure",
                name="plot_data_summary",
                tags="ingest",
            ),
        ]
    )
