"""Jobs run side by side by Ray: on this machine, or on a cluster by its address."""

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

log = logging.getLogger(__name__)

# How long a machine may take to take a call, and its cluster to answer (s): a second as a rule, half a minute where the
# machine is busy. Ray itself goes on asking for minutes.
PATIENCE: Final = 5.0
PATIENCE_OF_RAY = 60.0


@dataclass(frozen=True)
class Failure:
    """A job that did not come to its end.

    Attributes:
        reason: Why, in one line.
    """

    reason: str


@contextmanager
def started_ray(settings: RaySettings) -> Iterator[Any]:
    """Ray, started for this block unless it is running already.

    Args:
        settings: Where it runs.

    Yields:
        The module ``ray``.

    Raises:
        BeatwiseError: If there is no cluster at the address, or no GPU where each job is to have a share of one.
    """
    import ray

    if ray.is_initialized():
        yield ray
        return
    if settings.address is None:
        # Without an address Ray would join any cluster that it finds on this machine.
        ray.init(
            address="local",
            num_cpus=settings.cpus,
            include_dashboard=False,
            log_to_driver=False,
            logging_level=logging.ERROR,
        )
    else:
        # How many cores a cluster has is for the cluster to say.
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


def check_address(address: str) -> None:
    """Ask the Ray cluster at an address whether it is there.

    Args:
        address: ``host:port``, ``ray://host:port``, or ``auto`` for one that runs on this machine.

    Raises:
        BeatwiseError: If nothing answers there, or what answers is no Ray that lets us in.
    """
    try:
        host, _, port = address.removeprefix("ray://").rpartition(":")
        if host and port.isdecimal():
            socket.create_connection((host.strip("[]"), int(port)), timeout=PATIENCE).close()
        if not address.startswith("ray://"):
            # A process of its own, because Ray's calls cannot be given up: at what is no Ray they hang.
            where = [] if address == "auto" else ["--address", address]
            command = [sys.executable, "-m", "ray.scripts.scripts", "status", *where]
            subprocess.run(command, timeout=PATIENCE_OF_RAY, check=True, capture_output=True, text=True)
    except subprocess.TimeoutExpired:
        raise _no_cluster(address, f"what answers there does not answer as Ray within {PATIENCE_OF_RAY:g} s") from None
    except subprocess.CalledProcessError as error:
        raise _no_cluster(address, (error.stderr.strip().splitlines() or ["no answer"])[-1]) from error
    except (OSError, OverflowError, ValueError) as error:
        raise _no_cluster(address, one_line(error)) from error


def _no_cluster(address: str, reason: str) -> BeatwiseError:
    return BeatwiseError(
        f"ray.address: no Ray cluster at {address!r} ({reason}). Start one with `ray start --head`, which prints its "
        "address; or leave ray.address out to train on this machine. A cluster that asks for a token, as Ray's do "
        "unless told otherwise, lets in who sets RAY_AUTH_MODE=token and has the head's ~/.ray/auth_token."
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
    """Call a function once a job, each on one thread, as many at once as there are cores.

    Args:
        function: Takes a job and the shared data; found by its name on every machine.
        jobs: Jobs by key.
        shared: Sent to each machine once.
        settings: Where Ray runs.

    Yields:
        Key and result of each job as it ends; a :class:`Failure` in the result's place where it failed.
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
            # Whoever asked has stopped listening; a Ray that was running before would go on with them.
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
    """Set up a process of Ray's: one thread, and no GPU but those that it was given."""
    import ray

    if not ray.get_gpu_ids():
        # Ray hides only GPUs that others were given: without a share of one, all jobs would be on the first together.
        os.environ["CUDA_VISIBLE_DEVICES"] = ""
    import torch

    # Two one-thread trainings side by side get more done than one with two threads, and never wait for each other.
    torch.set_num_threads(1)


def _on_one_thread(function: Callable[[Any, Any], Any], job: Any, data: Any) -> Any:
    one_thread()
    try:
        return function(job, data)
    except Exception as error:
        # Told in words, because not every error can be sent to another process. The rest stands in Ray's own logs.
        log.exception("A job failed")
        return Failure(one_line(error))


def one_line(error: BaseException) -> str:
    """What went wrong, in one line."""
    first = (str(error).strip().splitlines() or [""])[0]
    # Our own messages stand for themselves.
    return first if isinstance(error, BeatwiseError) else f"{type(error).__name__}: {first}"
