"""Project settings: Beatwise's hooks, and the configuration loader with its resolvers."""

import os
from pathlib import Path
from typing import Any

import yaml
from kedro.config import OmegaConfigLoader
from kedro.framework.project import LOGGING
from kedro.utils import find_kedro_project
from omegaconf import OmegaConf

from beatwise.core.errors import BeatwiseError
from beatwise.core.settings import overridden
from beatwise.hooks import OwnFilesHooks, ParameterHooks, Recorder, RepetitionHooks
from beatwise.hooks.mlflow_commands import leave_out_mlflow_commands

leave_out_mlflow_commands()


def _project_path(*parts: str) -> str:
    """An absolute path below the project folder, for what does not take one relative to it (MLflow's database)."""
    root = find_kedro_project(Path.cwd()) or Path.cwd()
    return root.joinpath(*parts).as_posix()


def _data_path(*parts: str) -> str:
    """A path below the folder of the real data: BEATWISE_DATA, by default data/01_raw of the project."""
    given = os.environ.get("BEATWISE_DATA")
    root = Path(given).absolute() if given else Path(_project_path("data", "01_raw"))
    return root.joinpath(*parts).as_posix()


def _from_environment(name: str, default: str) -> str:
    """A variable of the environment, for what differs between people and not between runs."""
    return os.environ.get(name) or default


def _from_conf(file: str, key: str) -> Any:
    """A block of a file below ``conf`` for environments that share it: ``${conf:mitdb/parameters.yml,model}``."""
    path = Path(_project_path("conf", file))
    found = OmegaConf.select(OmegaConf.load(path), key) if path.is_file() else None
    if found is None:
        raise BeatwiseError(f"${{conf:{file},{key}}}: there is no {key!r} in {path}.")
    return found


class ConfigLoader(OmegaConfigLoader):
    """Kedro's loader, for which a mapping with keys of one's own (a class map, a search space) is one value.

    Kedro knows two ways to put an environment over another: whole blocks, or every key by itself at any depth.
    """

    runtime_params: dict[str, Any] | None

    def __getitem__(self, key: str) -> dict[str, Any]:
        """Configuration of a kind, with the parameters of the command over that of the files."""
        if key != "parameters" or key in self:
            return super().__getitem__(key)
        # Kedro would put them over each file before the files are put together, where they cannot be told apart.
        from beatwise.training.settings import with_recipe

        given, self.runtime_params = self.runtime_params, {}
        try:
            return with_recipe(super().__getitem__(key), given or {})
        finally:
            self.runtime_params = given

    def _merge_configs(self, config: dict[str, Any], env_config: dict[str, Any], key: str, env_path: str) -> Any:
        if key != "parameters":
            return super()._merge_configs(config, env_config, key, env_path)
        from beatwise.params import Parameters

        return overridden(Parameters, config, env_config)


def log_as_in_project_folder() -> None:
    """Log as ``conf/logging.yml`` says in subfolders of the project, too: Kedro looks only in the working directory."""
    logging_file = Path(_project_path("conf", "logging.yml"))
    elsewhere = not Path("conf", "logging.yml").is_file() and logging_file.is_file()
    if elsewhere and "KEDRO_LOGGING_CONFIG" not in os.environ:
        LOGGING.configure(yaml.safe_load(logging_file.read_text(encoding="utf-8")))


log_as_in_project_folder()


# The recorder calls kedro-mlflow's hook itself; both at once would open two MLflow runs for every run.
DISABLE_HOOKS_FOR_PLUGINS = ("kedro_mlflow",)
HOOKS = (ParameterHooks(), RepetitionHooks(), OwnFilesHooks(), Recorder())
CONFIG_LOADER_CLASS = ConfigLoader
CONFIG_LOADER_ARGS = {
    "base_env": "base",
    "default_run_env": "local",
    "custom_resolvers": {
        "project_path": _project_path,
        "beatwise_data": _data_path,
        "from_environment": _from_environment,
        "conf": _from_conf,
    },
}
