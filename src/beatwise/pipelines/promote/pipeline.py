"""The pipeline `promote`: the latest registered scorer against the champion."""

from kedro.pipeline import Node, Pipeline

from beatwise.pipelines.promote import nodes


def create_pipeline() -> Pipeline:
    """Compare a candidate with the champion on the test part, and move the alias `champion` if it passes."""
    return Pipeline(
        [
            Node(
                nodes.compare,
                inputs=["registry", "test_beats", "params:promote", "params:evaluate", "params:seed"],
                outputs="promotion.decision",
                name="compare_candidate",
                tags="promote",
            ),
            Node(
                nodes.move_champion,
                inputs=["registry", "promotion.decision"],
                outputs="promotion.champion",
                name="move_champion",
                tags="promote",
            ),
        ]
    )
