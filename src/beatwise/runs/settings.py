"""The settings of tracking, ``mlflow.yml``."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from pydantic import Field

from beatwise.core.settings import Block, checked


class MlflowSettings(Block):
    """Where and how runs are tracked.

    Attributes:
        tracking_uri: A server, a database or a folder of the project; None for MLflow's own default.
        registry_uri: Where models are registered; None for the same place.
        experiment: Name of the experiment that runs belong to; made where it is not there yet.
        artifact_location: Folder or address for the files of a new experiment; None for the server's default.
        run_name: Name of the MLflow runs; None for the name of the pipeline, then of the model.
        disabled_pipelines: Pipelines whose runs are not tracked.
        host: Address at which ``kedro mlflow ui`` serves.
        port: Port at which ``kedro mlflow ui`` serves.
    """

    tracking_uri: str | None = None
    registry_uri: str | None = None
    experiment: str
    artifact_location: str | None = None
    run_name: str | None = None
    disabled_pipelines: list[str] = Field(default_factory=list)
    host: str = "127.0.0.1"
    port: int = 5000

    def tracks(self, pipelines: Sequence[str] | None) -> bool:
        """Whether a run of these pipelines is tracked: one of them at least is not disabled."""
        return not set(pipelines or ["__default__"]) <= set(self.disabled_pipelines)


def read_mlflow_settings(given: dict[str, Any], project: Path) -> MlflowSettings:
    """Check ``mlflow.yml`` as the configuration loader merged it.

    Args:
        given: The merged file.
        project: The project's folder, which folders without a leading slash lie in.

    Raises:
        BeatwiseError: One line a problem, each naming the key.
    """
    settings = checked(MlflowSettings, given, "mlflow.yml cannot be used:", kind="key")
    folders = {
        name: (project / uri).absolute().as_uri()
        for name in ("tracking_uri", "registry_uri", "artifact_location")
        if (uri := getattr(settings, name)) and ":" not in uri and not uri.startswith("databricks")
    }
    return settings.model_copy(update=folders)
