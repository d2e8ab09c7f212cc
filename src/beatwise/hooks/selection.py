"""The names that a run is chosen by, and the stored datasets that it begins with, checked before anything runs."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from itertools import accumulate
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from beatwise.core.errors import BeatwiseError
from beatwise.core.registry import unknown_name
from beatwise.pipelines import check_pipelines

if TYPE_CHECKING:
    from kedro.io import DataCatalog
    from kedro.pipeline import Pipeline

# Options of `kedro run` with names of nodes or datasets, and the kind of these names.
NAMING: Final = {
    **dict.fromkeys(("node_names", "from_nodes", "to_nodes"), "node"),
    **dict.fromkeys(("from_inputs", "to_outputs", "load_versions"), "dataset"),
    **{"tags": "tag", "namespaces": "namespace"},
}
RUNNERS: Final = ("SequentialRunner", "ThreadRunner")


def check_selection(options: Mapping[str, Any], asked_for: Iterable[str], project: Path) -> None:
    """Refuse unknown names among the arguments of ``kedro run`` and the requested pipelines.

    Raises:
        BeatwiseError: On an unknown pipeline, environment, node, dataset, tag, namespace or runner.
    """
    names = list(asked_for) or ["__default__"]
    check_pipelines(names)
    check_environment(options.get("env"), project)
    runner = options.get("runner") or RUNNERS[0]
    if runner == "ParallelRunner":
        raise BeatwiseError(
            "ParallelRunner cannot be used, because nodes share tensors and models in memory. Leave out --runner: "
            "searches and comparisons train in parallel by themselves."
        )
    if "." not in runner and runner not in RUNNERS:
        raise BeatwiseError(unknown_name("runner", runner, RUNNERS))
    given = [(kind, name) for option, kind in NAMING.items() for name in options.get(option) or ()]
    if not given:
        return
    from kedro.framework.project import pipelines

    pipelines.set_requested(names)
    chosen = sum((pipelines[name] for name in names[1:]), pipelines[names[0]])
    known = {
        "node": {node.name for node in chosen.nodes},
        "dataset": chosen.datasets(),
        "tag": {tag for node in chosen.nodes for tag in node.tags},
        "namespace": {space for node in chosen.nodes for space in _with_outer(node.namespace)},
    }
    for kind, name in given:
        if name not in known[kind]:
            raise BeatwiseError(unknown_name(kind, name, known[kind]))


def check_environment(env: str | None, project: Path) -> None:
    """Refuse an environment that has no folder.

    Raises:
        BeatwiseError: If it has none.
    """
    from kedro.framework.project import settings

    folders = [folder.name for folder in (project / settings.CONF_SOURCE).glob("*") if folder.is_dir()]
    if env and env not in folders:
        raise BeatwiseError(unknown_name("environment", env, folders))


def _with_outer(namespace: str | None) -> Iterable[str]:
    return accumulate(namespace.split("."), "{}.{}".format) if namespace else ()


def check_inputs(pipeline: Pipeline, catalog: DataCatalog, run_params: Mapping[str, Any]) -> None:
    """Refuse to begin with what earlier runs have not made yet.

    Raises:
        BeatwiseError: If a dataset is missing that another pipeline makes.
    """
    begun_with = pipeline.inputs() - (run_params["load_versions"] or {}).keys()
    missing = {name for name in begun_with if not name.startswith("param") and not _is_there(name, catalog)}
    if not missing:
        return
    from kedro.framework.project import pipelines

    pipelines.set_requested(None)
    made = {name: registered.all_outputs() for name, registered in pipelines.items()}
    # Datasets that no pipeline makes say themselves how to get them.
    missing &= set().union(*made.values())
    if not missing:
        return

    def shortfall(name: str) -> tuple[int, int, int]:
        """How much a pipeline leaves missing, how much it lacks itself, and how much it does."""
        lacking = [x for x in pipelines[name].inputs() & set().union(*made.values()) if not _is_there(x, catalog)]
        return len(missing - made[name]), len(lacking), len(pipelines[name].nodes)

    best = min(made, key=shortfall)
    env = f" --env={run_params['env']}" if run_params["env"] not in (None, "local", "base") else ""
    raise BeatwiseError(f"{', '.join(sorted(missing))}: not there yet. To make it: kedro run --pipeline={best}{env}")


def _is_there(name: str, catalog: DataCatalog) -> bool:
    return name in catalog and bool(catalog[name].exists())
