"""The pipeline `ingest`."""

from kedro.pipeline import Node, Pipeline

from beatwise.pipelines.ingest import nodes


def create_data_page() -> Pipeline:
    """The three parts into interactive figures and a page that holds them."""
    template = Pipeline(
        [
            Node(
                nodes.draw_data,
                inputs={
                    **{name: name for name in ("train_beats", "val_beats", "test_beats", "data_summary")},
                    **{name: f"params:{name}" for name in ("report", "classes", "sample_rate", "seed")},
                },
                outputs=["shares_plot", "signals_plot"],
                name="draw_data",
                tags="report",
            ),
            Node(
                nodes.render_page,
                inputs=["shares_plot", "signals_plot", "data_summary", "params:report", "params:source"],
                outputs="page",
                name="render_page",
                tags="report",
            ),
        ]
    )
    return Pipeline(
        template,
        namespace="data",
        inputs={"train_beats", "val_beats", "test_beats", "data_summary"},
        parameters={f"params:{name}" for name in ("report", "classes", "sample_rate", "seed", "source")},
    )


def create_pipeline() -> Pipeline:
    """Raw beats into train, validation and test, with a summary and a page that shows them."""
    split = Pipeline(
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
    return split + create_data_page()
