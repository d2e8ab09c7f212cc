"""Nodes are named as they run, and the scores are shown when a run is over."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any

import pandas as pd
from kedro.framework.hooks import hook_impl
from kedro.io import DataCatalog
from kedro.pipeline import Pipeline
from kedro.pipeline.node import Node

from beatwise.hooks.paths import saved_path, short_path

log = logging.getLogger(__name__)


class ScoreHooks:
    """Names each node as it runs, and shows the score tables and the report's path when a run is over."""

    def __init__(self) -> None:
        self._shown: dict[str, Any] = {}
        self._catalog: DataCatalog | None = None
        self._started, self._nodes = 0, 0

    @hook_impl
    def before_pipeline_run(self, pipeline: Pipeline, catalog: DataCatalog) -> None:
        """Forget what an earlier run of this process made."""
        self._shown, self._catalog = {}, catalog
        self._started, self._nodes = 0, len(pipeline.nodes)

    @hook_impl
    def before_node_run(self, node: Node) -> None:
        """Say which node runs, and how many there are."""
        self._started += 1
        log.info("%2d/%d  %s", self._started, self._nodes, node.name)

    @hook_impl
    def after_dataset_saved(self, dataset_name: str, data: Any) -> None:
        """Remember the metrics and where the report went."""
        if self._catalog is not None and dataset_name.endswith((".metrics", ".leaderboard", ".against_baseline")):
            self._shown[dataset_name] = data
        elif self._catalog is not None and dataset_name.endswith((".report", "_report")):
            self._shown[dataset_name] = saved_path(self._catalog[dataset_name])

    @hook_impl
    def after_pipeline_run(self, pipeline: Pipeline, catalog: DataCatalog) -> None:
        """Print the tables; where there are none, what the pipeline has made and where it lies."""
        from rich import get_console

        from beatwise.report.tables import (
            HEADLINE,
            HEADLINE_BY_CLASS,
            PARTS_ON_TERMINAL,
            overall_table,
            paired_table,
            per_class_table,
            short_leaderboard_table,
        )
        from beatwise.report.terminal import as_rich

        console = get_console()
        if not self._shown:
            for name in sorted(pipeline.outputs()):
                console.print(f"{name}: {short_path(saved_path(catalog[name]))}", soft_wrap=True)
        for name, shown in self._shown.items():
            namespace = name.rpartition(".")[0]
            if isinstance(shown, Path):
                what = "the search" if name.endswith("search_report") else namespace
                console.print(f"Report of {what}:", style="bold")
                console.print(short_path(shown), soft_wrap=True)
            elif isinstance(shown, pd.DataFrame):
                console.print(as_rich(short_leaderboard_table(shown), title="Leaderboard"))
            elif "mcnemar" in shown:
                console.print(as_rich(paired_table(shown, HEADLINE), title="Baseline and tuned, test"))
            else:
                console.print(
                    as_rich(overall_table(shown, HEADLINE, PARTS_ON_TERMINAL), title=f"Scores of {namespace}")
                )
                console.print(as_rich(per_class_table(shown, HEADLINE_BY_CLASS)))
