"""The metadata of a run when it begins: its code, its command, its packages, its machine."""

from __future__ import annotations

import os
import platform
import re
import shlex
import subprocess
import sys
from collections.abc import Mapping
from datetime import UTC, datetime
from importlib import metadata
from pathlib import Path
from typing import Any, Final

import click
from pydantic import AwareDatetime, Field

import beatwise
from beatwise.core.nested import flatten
from beatwise.core.settings import Block

# Runs write the journal, so that a change there is no change of the code.
JOURNAL: Final = Path("docs/journal")


class RunMetadata(Block):
    """Metadata that every run stores."""

    began: AwareDatetime = Field(description="When it began.")
    ended: AwareDatetime | None = Field(None, description="When it ended; None until then.")
    command: str | None = Field(
        None, description="The command as typed, without absolute paths; None in a notebook or a script."
    )
    git_sha: str | None = Field(None, description="The commit that was checked out; None without git.")
    uncommitted: bool | None = Field(None, description="Whether anything but the journal differed from it.")
    environment: str = Field(description="Kedro's environment.")
    pipeline: str = Field(description="Names of the pipelines, joined by `+`.")
    source: str = Field(description="Name of the data source.")
    params: dict[str, Any] = Field({}, description="The values given by `--params`, flat.")
    mlflow_run: str | None = Field(None, description="ID of the MLflow run; None for a run that is not tracked.")

    @property
    def equal_command(self) -> str:
        """The command as it was typed, or one that does the same."""
        params = ",".join(f"{name}={value}" for name, value in self.params.items())
        options = {"pipeline": self.pipeline, "env": self.environment, **({"params": params} if params else {})}
        return self.command or shlex.join(["kedro", "run", *(f"--{name}={value}" for name, value in options.items())])


def run_metadata(run_params: Mapping[str, Any], source: str) -> dict[str, Any]:
    """The fields of :class:`RunMetadata` when a run begins, before its MLflow run is open."""
    project = Path(run_params["project_path"])
    git_sha, uncommitted = git_state(project)
    command = _typed_command()
    given = {name: value for name, value in flatten(run_params["runtime_params"]).items() if name != "hypothesis"}
    return {
        "began": now(),
        "command": command and without_paths(command, project),
        "git_sha": git_sha,
        "uncommitted": uncommitted,
        "environment": run_params["env"] or "base",
        "pipeline": "+".join(run_params["pipeline_names"] or ["__default__"]),
        "source": source,
        # A notebook may give anything.
        "params": {n: v if type(v) in (str, int, float, bool, type(None)) else str(v) for n, v in given.items()},
    }


class Hardware(Block):
    """The machine."""

    cpu: str | None = Field(description="Model of the processor; None where the system does not say.")
    cores: int = Field(description="Logical cores.")
    threads: int = Field(description="Threads of PyTorch, whose number may change the last digits.")
    memory: float | None = Field(description="Memory (GiB); None where the system does not say.")
    gpu: str | None = Field(description="Name of the GPU that PyTorch computes on; None without one.")
    system: str = Field(description="Operating system, its release and its architecture.")


def hardware() -> Hardware:
    """The machine that this process runs on."""
    import torch

    return Hardware(
        cpu=_cpu_model(),
        cores=os.cpu_count() or 1,
        threads=torch.get_num_threads(),
        memory=_memory(),
        gpu=torch.cuda.get_device_name() if torch.cuda.is_available() else None,
        system=f"{platform.system()} {platform.release()} {platform.machine()}",
    )


def _cpu_model() -> str | None:
    try:
        if sys.platform == "darwin":
            return _output("sysctl", "-n", "machdep.cpu.brand_string")
        found = re.search(r"^model name\s*: (.+)$", Path("/proc/cpuinfo").read_text(encoding="utf-8"), re.MULTILINE)
    except (OSError, subprocess.CalledProcessError):
        found = None
    return found[1] if found else platform.processor() or None


def _memory() -> float | None:
    try:
        return round(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30, 1)
    except (AttributeError, ValueError):  # Windows knows neither.
        return None


def package_versions() -> dict[str, str]:
    """Versions of Beatwise, of Python and of the packages that Beatwise requires, by name."""
    versions = {"beatwise": beatwise.__version__, "python": platform.python_version()}
    try:
        required = metadata.requires("beatwise") or []
    except metadata.PackageNotFoundError:  # Kedro runs a project that is not installed, too.
        required = []
    for requirement in required:
        name = re.split(r"[^\w.-]", requirement)[0]
        # Some are required by an extra or on another system only.
        if "extra ==" not in requirement and any(metadata.distributions(name=name)):
            versions[name] = metadata.version(name)
    return versions


def git_state(project: Path) -> tuple[str, bool] | tuple[None, None]:
    """The commit that is checked out, and whether anything but the journal differs from it; None without git."""
    git = ("git", "--no-optional-locks", "-C", str(project))
    try:
        changed = _output(*git, "status", "--porcelain", "--", ".", f":(exclude){JOURNAL.as_posix()}")
        return _output(*git, "rev-parse", "HEAD"), bool(changed)
    except (OSError, subprocess.CalledProcessError):
        return None, None


def _output(*command: str) -> str:
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()


def _typed_command() -> str | None:
    """The command line that started this process; None in a notebook or a script, whose arguments are not Kedro's."""
    if click.get_current_context(silent=True) is None:
        return None
    program = Path(sys.argv[0])
    return shlex.join([program.parent.name if program.stem == "__main__" else program.stem, *sys.argv[1:]])


def without_paths(text: str, project: Path) -> str:
    """A text with absolute paths made relative to the project, or cut down to their last name."""
    for folder, short in ((project, "."), (Path.home(), "~")):
        if folder != Path(folder.root):
            text = text.replace(str(folder), short)
    # The host of an address is no folder.
    return re.sub(r"(?<![\w.~])(?<!:/)/(?:[^\s/'\"]+/)+", "…/", text)


def now() -> datetime:
    """The time, to the second."""
    return datetime.now(UTC).replace(microsecond=0)
