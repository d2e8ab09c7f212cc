"""The settings of tracking, ``mlflow.yml``."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from pydantic import Field

from beatwise.core.settings import Block, checked


class MlflowSettings(Block):
    """Where and how runs are tracked."""

    tracking_uri: str | None = Field(
        None, description="A server, a database or a folder of the project; None for MLflow's own default."
    )
    registry_uri: str | None = Field(None, description="Where models are registered; None for the same place.")
    experiment: str = Field(description="Name of the experiment that runs belong to; made where it is not there yet.")
    artifact_location: str | None = Field(
        None, description="Folder or address for the files of a new experiment; None for the server's default."
    )
    run_name: str | None = Field(
        None, description="Name of the MLflow runs; None for the name of the pipeline, then of the model."
    )
    disabled_pipelines: list[str] = Field([], description="Pipelines whose runs are not tracked.")
    host: str = Field("127.0.0.1", description="Address at which `kedro mlflow ui` serves.")
    port: int = Field(5000, description="Port at which `kedro mlflow ui` serves.")

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
