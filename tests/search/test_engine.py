"""Jobs run by a real Ray."""

from __future__ import annotations

import os
import socket
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from beatwise.core.errors import BeatwiseError
from beatwise.search import engine
from beatwise.search.engine import Failure, check_address, run_jobs, started_ray
from beatwise.search.settings import RaySettings

HERE = RaySettings(cpus=2)


@pytest.fixture(scope="module")
def ray() -> Iterator[Any]:
    """One Ray for the tests of this module that do not ask how it is started."""
    import ray.cloudpickle

    with started_ray(HERE) as module:
        # Workers cannot import tests: the functions travel with the jobs.
        ray.cloudpickle.register_pickle_by_value(sys.modules[__name__])
        yield module
    ray.cloudpickle.unregister_pickle_by_value(sys.modules[__name__])


class TwoWords(Exception):  # noqa: N818
    """Cannot be made again from its message alone, so it cannot be sent to another process."""

    def __init__(self, one: str, other: str) -> None:
        super().__init__(f"{one} {other}")


def doubled(job: int, shared: int) -> int:
    return 2 * job + shared


def meet(job: str, place: Path) -> int:
    """Wait for another job that runs at the same time."""
    (place / job).touch()
    wait_until(lambda: len(list(place.iterdir())) == 2)
    return os.getpid()


def timed(job: float, _: None) -> tuple[float, float]:
    started = time.time()
    time.sleep(job)
    return started, time.time()


def wait_for_a_file(job: Path | None, _: None) -> None:
    if job is not None:
        wait_until(job.exists)


def wait_until(condition: Callable[[], bool]) -> None:
    until = time.monotonic() + 120
    while not condition():
        if time.monotonic() > until:
            raise TimeoutError
        time.sleep(0.02)


def leave_a_mark(job: Path, _: None) -> None:
    time.sleep(0.3)
    job.touch()


def limits(_job: None, _: None) -> tuple[int, str | None, str | None]:
    import torch

    return torch.get_num_threads(), os.environ.get("OMP_NUM_THREADS"), os.environ.get("CUDA_VISIBLE_DEVICES")


def behave(job: str, _: None) -> Any:
    if job == "fails":
        raise KeyError("no such thing")
    if job == "is refused":
        raise BeatwiseError("train.epochs: too many.\nAllowed: fewer.")
    if job == "fails in its own way":
        raise TwoWords("out of", "paper")
    if job == "gives what cannot be sent":
        return socket.socket()
    if job == "is killed":
        os.kill(os.getpid(), 9)
    return job


@pytest.mark.slow
def test_every_job_gives_its_result_under_its_key_and_sees_what_is_shared(ray: Any) -> None:
    results = dict(run_jobs(doubled, {"a": 1, "b": 2, "c": 3}, 100, HERE))
    assert results == {"a": 102, "b": 104, "c": 106}


@pytest.mark.slow
def test_as_many_jobs_run_side_by_side_as_there_are_cores(ray: Any, tmp_path: Path) -> None:
    processes = dict(run_jobs(meet, {"first": "first", "second": "second"}, tmp_path, HERE))
    assert len(set(processes.values())) == 2
    spans = [span for _, span in run_jobs(timed, {str(i): 0.3 for i in range(4)}, None, HERE)]
    assert max(sum(start <= moment < end for start, end in spans) for moment, _ in spans) <= 2


@pytest.mark.slow
def test_a_result_is_there_as_soon_as_its_job_has_ended(ray: Any, tmp_path: Path) -> None:
    results = run_jobs(wait_for_a_file, {"slow": tmp_path / "seen", "quick": None}, None, HERE)
    assert next(results) == ("quick", None)
    (tmp_path / "seen").touch()
    assert list(results) == [("slow", None)]


@pytest.mark.slow
def test_each_job_computes_on_one_thread_and_sees_no_gpu_that_it_was_not_given(ray: Any) -> None:
    assert dict(run_jobs(limits, {"a": None, "b": None}, None, HERE)) == {"a": (1, "1", ""), "b": (1, "1", "")}


@pytest.mark.slow
def test_a_job_that_fails_says_why_in_one_line_and_the_others_go_on(ray: Any) -> None:
    jobs = ["fails", "is refused", "fails in its own way", "gives what cannot be sent", "is killed", "ends well"]
    outcomes = dict(run_jobs(behave, {job: job for job in jobs}, None, HERE))
    assert set(outcomes) == set(jobs)
    assert outcomes.pop("ends well") == "ends well"
    reasons = {key: outcome.reason for key, outcome in outcomes.items() if isinstance(outcome, Failure)}
    assert reasons["fails"] == "KeyError: 'no such thing'"
    assert reasons["is refused"] == "train.epochs: too many."
    assert reasons["fails in its own way"] == "TwoWords: out of paper"
    assert reasons["gives what cannot be sent"].startswith("TypeError: cannot pickle")
    assert "process was killed" in reasons["is killed"]


@pytest.mark.slow
def test_a_ray_that_was_running_before_runs_on(ray: Any) -> None:
    dict(run_jobs(doubled, {"a": 1}, 0, HERE))
    assert ray.is_initialized()


@pytest.mark.slow
def test_jobs_that_nobody_listens_to_any_more_are_stopped(ray: Any, tmp_path: Path) -> None:
    jobs = run_jobs(leave_a_mark, {str(i): tmp_path / str(i) for i in range(12)}, None, HERE)
    next(jobs)
    jobs.close()
    wait_until(lambda: ray.available_resources().get("CPU") == 2)
    left = len(list(tmp_path.iterdir()))
    time.sleep(1)
    assert len(list(tmp_path.iterdir())) == left < 12


def test_no_jobs_start_no_ray(monkeypatch: pytest.MonkeyPatch) -> None:
    import ray

    def started(**_: Any) -> None:
        raise AssertionError("Ray was started for nothing")

    monkeypatch.setattr(ray, "init", started)
    assert list(run_jobs(doubled, {}, 0, HERE)) == []


@pytest.fixture
def no_ray(monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """Ray as if it were not running yet; how it is asked to start is written down, and it does not."""
    import ray

    asked: dict[str, Any] = {}
    monkeypatch.setattr(ray, "is_initialized", lambda: False)
    monkeypatch.setattr(ray, "init", lambda **options: asked.update(options))
    monkeypatch.setattr(ray, "shutdown", lambda: asked.update(ended=True))
    monkeypatch.setattr(ray, "cluster_resources", lambda: {"CPU": 2.0})
    return asked


def test_without_an_address_ray_starts_here_and_joins_no_cluster_that_it_may_find(no_ray: dict[str, Any]) -> None:
    with started_ray(RaySettings(cpus=3)):
        pass
    assert (no_ray["address"], no_ray["num_cpus"]) == ("local", 3)
    assert no_ray["ended"]


def test_a_long_temporary_folder_is_kept_out_of_the_paths_of_sockets(
    no_ray: dict[str, Any], monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.delenv("RAY_TMPDIR", raising=False)
    for folder, instead in (("/tmp", None), ("/scratch/" + "x" * 60, "/tmp/ray")):
        monkeypatch.setenv("TMPDIR", folder)
        with started_ray(HERE):
            pass
        assert no_ray["_temp_dir"] == instead
    assert [record.message[:30] for record in caplog.records] == ["TMPDIR is longer than 35 chara"]


def test_a_cluster_says_itself_how_many_cores_it_has(no_ray: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(engine, "check_address", lambda address: None)
    with started_ray(RaySettings(address="auto", cpus=3)):
        pass
    assert no_ray["address"] == "auto"
    assert "num_cpus" not in no_ray


def test_a_share_of_a_gpu_is_refused_where_there_is_none_rather_than_waited_for(no_ray: dict[str, Any]) -> None:
    with pytest.raises(BeatwiseError, match=r"ray\.gpus_per_fit is 0\.5, and Ray finds no GPU"):
        dict(run_jobs(doubled, {"a": 1}, 0, RaySettings(gpus_per_fit=0.5)))
    assert no_ray["ended"]


def test_an_address_where_nothing_answers_is_refused_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    import ray

    monkeypatch.setattr(ray, "is_initialized", lambda: False)
    with socket.socket() as taken:  # bound, and not listening
        taken.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{taken.getsockname()[1]}"
        started = time.monotonic()
        with pytest.raises(BeatwiseError, match=rf"ray\.address: no Ray cluster at '{address}'.*ray start --head"):
            dict(run_jobs(doubled, {"a": 1}, 0, RaySettings(address=address)))
    assert time.monotonic() - started < 10


@pytest.mark.slow
def test_what_answers_and_is_no_ray_is_refused_when_patience_is_over(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(engine, "STATUS_TIMEOUT", 5.0)
    with socket.create_server(("127.0.0.1", 0)) as silent:  # takes calls, and says nothing
        address = f"127.0.0.1:{silent.getsockname()[1]}"
        started = time.monotonic()
        with pytest.raises(BeatwiseError, match=rf"ray\.address: no Ray cluster at '{address}' \(the service there"):
            check_address(address)
    assert time.monotonic() - started < 30  # Ray itself waits for minutes


@pytest.mark.parametrize("address", ["host:port", "127.0.0.1:99999", "ray://127.0.0.1:1"])
def test_what_is_no_address_is_refused(address: str, monkeypatch: pytest.MonkeyPatch) -> None:
    import ray

    monkeypatch.setattr(ray, "is_initialized", lambda: False)
    with pytest.raises(BeatwiseError, match=rf"ray\.address: no Ray cluster at '{address}'"):
        dict(run_jobs(doubled, {"a": 1}, 0, RaySettings(address=address)))
