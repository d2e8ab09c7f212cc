"""Jobs run in parallel by Ray, on this machine or on a cluster."""

from __future__ import annotations

import logging
import os
import socket
import subprocess
import sys
from collections.abc import Callable, Generator, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Final

from beatwise.core.errors import BeatwiseError
from beatwise.search.settings import RaySettings
from beatwise.search.watchdog import watched

log = logging.getLogger(__name__)

# Time limits (s) for the connection to a machine and for the answer of its cluster. An answer takes a second, and half
# a minute on a busy machine. Ray itself retries for minutes.
CONNECT_TIMEOUT: Final = 5.0
STATUS_TIMEOUT = 60.0
# Systems allow 103 to 107 characters for the path of a socket, of which Ray adds 68.
LONGEST_TMPDIR: Final = 35


@dataclass(frozen=True)
class Failure:
    """A failed job.

    Attributes:
        reason: The reason, in one line.
    """

    reason: str


@contextmanager
def started_ray(settings: RaySettings) -> Iterator[Any]:
    """Start Ray for this block, unless it runs.

    Yields:
        The module ``ray``.

    Raises:
        BeatwiseError: If there is no cluster at the address, Ray does not start here, or jobs need a GPU and Ray finds
            none.
    """
    import ray

    if ray.is_initialized():
        yield ray
        return
    with watched():
        if settings.address is None:
            # With no address at all, Ray would join any cluster that runs on this machine.
            _start(ray, settings.cpus)
        else:
            # The number of cores is a setting of the cluster.
            _join(ray, settings.address)
        try:
            if settings.gpus_per_fit > ray.cluster_resources().get("GPU", 0):
                raise BeatwiseError(
                    f"ray.gpus_per_fit is {settings.gpus_per_fit:g}, and Ray finds no GPU. Set it to 0 to train on "
                    "processors."
                )
            yield ray
        finally:
            ray.shutdown()


def _start(ray: Any, cpus: int | None) -> None:
    folder = _short_temporary_folder()
    try:
        ray.init(
            address="local",
            num_cpus=cpus,
            include_dashboard=False,
            log_to_driver=False,
            logging_level=logging.ERROR,
            _temp_dir=folder,
        )
    except Exception as error:
        # Ray has no class of its own for processes that take longer than 30 s.
        if "timed out during startup" not in str(error):
            raise
        raise BeatwiseError(
            "Ray has not started within its time: this machine is too busy, or short of memory. Give the same command "
            "again when less runs on it; what is finished is kept."
        ) from error


def _short_temporary_folder() -> str | None:
    """The folder of Ray's sockets where that of the environment is too long for one; None where it is not."""
    given = os.environ.get("RAY_TMPDIR") or os.environ.get("TMPDIR") or ""
    if os.name != "posix" or len(given) <= LONGEST_TMPDIR:
        return None
    log.warning(
        "TMPDIR is longer than %d characters, too long for Ray's sockets: they lie in /tmp/ray.", LONGEST_TMPDIR
    )
    return "/tmp/ray"


def check_address(address: str) -> None:
    """Check that a Ray cluster answers at an address.

    Raises:
        BeatwiseError: If nothing answers, or if it is no Ray cluster, or if it denies access.
    """
    try:
        host, _, port = address.removeprefix("ray://").rpartition(":")
        if host and port.isdecimal():
            socket.create_connection((host.strip("[]"), int(port)), timeout=CONNECT_TIMEOUT).close()
        if not address.startswith("ray://"):
            # A separate process, because calls of Ray to another service hang and cannot be cancelled.
            where = [] if address == "auto" else ["--address", address]
            command = [sys.executable, "-m", "ray.scripts.scripts", "status", *where]
            subprocess.run(command, timeout=STATUS_TIMEOUT, check=True, capture_output=True, text=True)
    except subprocess.TimeoutExpired:
        raise _no_cluster(address, f"the service there does not answer as Ray within {STATUS_TIMEOUT:g} s") from None
    except subprocess.CalledProcessError as error:
        raise _no_cluster(address, (error.stderr.strip().splitlines() or ["no answer"])[-1]) from error
    except (OSError, OverflowError, ValueError) as error:
        raise _no_cluster(address, one_line(error)) from error


def _no_cluster(address: str, reason: str) -> BeatwiseError:
    return BeatwiseError(
        f"ray.address: no Ray cluster at {address!r} ({reason}). Start one with `ray start --head`, which prints its "
        "address; or leave ray.address out to train on this machine. For a cluster that asks for a token, Ray's "
        "default, set RAY_AUTH_MODE=token and copy ~/.ray/auth_token from its head."
    )


def _join(ray: Any, address: str) -> None:
    check_address(address)
    try:
        ray.init(address=address, log_to_driver=False, logging_level=logging.ERROR)
    except (OSError, RuntimeError, ValueError) as error:
        raise _no_cluster(address, one_line(error)) from error


def run_jobs(
    function: Callable[[Any, Any], Any], jobs: Mapping[str, Any], shared: Any, settings: RaySettings
) -> Generator[tuple[str, Any]]:
    """Call an importable function for each job and the shared data: one thread a job, one job a core.

    Yields:
        Key and result of each job at its end; the result of a failed job is a :class:`Failure`.
    """
    if not jobs:
        return
    with started_ray(settings) as ray:
        data = ray.put(shared)
        call = ray.remote(num_cpus=1, num_gpus=settings.gpus_per_fit, max_retries=1)(_on_one_thread)
        running = {call.remote(function, job, data): key for key, job in jobs.items()}
        try:
            while running:
                (done,), _ = ray.wait(list(running), num_returns=1)
                yield running.pop(done), _outcome(ray, done)
        finally:
            # The caller has stopped; a Ray that outlives this block would run the remaining jobs.
            for left in running:
                ray.cancel(left, force=True)


def _outcome(ray: Any, done: Any) -> Any:
    try:
        return ray.get(done)
    except ray.exceptions.WorkerCrashedError:
        return Failure("its process was killed, twice; did the machine run out of memory?")
    except ray.exceptions.RayError as error:
        return Failure(one_line(getattr(error, "cause", None) or error))


def one_thread() -> None:
    """Set up a worker of Ray: one thread, and only the GPUs that Ray assigned."""
    import ray

    if not ray.get_gpu_ids():
        # Ray leaves all GPUs visible to a worker without a share, so all such jobs would run on the first.
        os.environ["CUDA_VISIBLE_DEVICES"] = ""
    import torch

    # Two trainings with one thread each are faster than one with two threads, and never wait for each other.
    torch.set_num_threads(1)


def _on_one_thread(function: Callable[[Any, Any], Any], job: Any, data: Any) -> Any:
    one_thread()
    try:
        return function(job, data)
    except Exception as error:
        # The message only, because not every error can be pickled. The traceback is in the logs of Ray.
        log.exception("A job failed")
        return Failure(one_line(error))


def one_line(error: BaseException) -> str:
    """The message of an error, in one line."""
    first = (str(error).strip().splitlines() or [""])[0]
    # Messages of the project need no name of an exception.
    return first if isinstance(error, BeatwiseError) else f"{type(error).__name__}: {first}"
