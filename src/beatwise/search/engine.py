"""Jobs run side by side by Ray: on this machine, or on a cluster by its address."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from beatwise.params import RaySettings

log = logging.getLogger(__name__)


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
    """
    import ray

    if ray.is_initialized():
        yield ray
        return
    ray.init(
        address=settings.address,
        # How many cores a cluster has is for the cluster to say.
        num_cpus=settings.cpus if settings.address is None else None,
        include_dashboard=None if settings.address else False,
        log_to_driver=False,
        logging_level=logging.ERROR,
    )
    try:
        yield ray
    finally:
        ray.shutdown()


def run_jobs(
    function: Callable[[Any, Any], Any], jobs: Mapping[str, Any], shared: Any, settings: RaySettings
) -> Iterator[tuple[str, Any]]:
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
        while running:
            (done,), _ = ray.wait(list(running), num_returns=1)
            key = running.pop(done)
            try:
                yield key, ray.get(done)
            except ray.exceptions.RayTaskError as error:
                yield key, Failure(_one_line(error.cause))
            except ray.exceptions.RayError as error:
                yield key, Failure(_one_line(error))


def _on_one_thread(function: Callable[[Any, Any], Any], job: Any, data: Any) -> Any:
    import torch

    # Two one-thread trainings side by side get more done than one with two threads, and never wait for each other.
    torch.set_num_threads(1)
    return function(job, data)


def _one_line(error: BaseException) -> str:
    first = str(error).strip().splitlines() or [""]
    return f"{type(error).__name__}: {first[0]}"
