"""Tasks: whoever computes gives the same; errors, deaths and early ends are handled."""

from __future__ import annotations

import multiprocessing
import os
import signal
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from laion_probe.errors import ConfigError, ShardError
from laion_probe.index.exact import SearchOptions, search
from laion_probe.tasks import TaskOptions, join_ray, run_tasks
from laion_probe.vectors import open_embeddings

POOL = TaskOptions("processes", workers=2, retries=2)


@dataclass(frozen=True)
class Work:
    """Squares, and what is wrong with some tasks; ``marks`` gets a file a call."""

    marks: str
    fails: tuple[int, ...] = ()
    dies: tuple[int, ...] = ()  # every time
    dies_once: tuple[int, ...] = ()
    slow: tuple[int, ...] = ()

    def __call__(self, task: int) -> int:
        first = not list(Path(self.marks).glob(f"{task}.*"))
        (Path(self.marks) / f"{task}.{time.time_ns()}.{os.getpid()}").touch()
        if task in self.dies or (task in self.dies_once and first):
            os.kill(os.getpid(), signal.SIGKILL)
        if task in self.fails:
            raise ConfigError(f"task {task} is wrong")
        if task in self.slow:
            time.sleep(60)
        return task * task


@pytest.fixture(autouse=True)
def _workers_find_this_file(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PYTHONPATH", str(Path(__file__).parent))


def calls(folder: Path, task: int) -> int:
    return len(list(folder.glob(f"{task}.*")))


@pytest.mark.parametrize("runner", ["serial", "processes"])
def test_every_task_has_its_result_and_errors_are_raised(tmp_path: Path, runner: str) -> None:
    check_results_and_errors(tmp_path, TaskOptions(runner, workers=2))


def check_results_and_errors(folder: Path, options: TaskOptions) -> None:
    results = dict(run_tasks(Work(str(folder)), range(7), options))
    assert results == {i: i * i for i in range(7)}
    assert all(calls(folder, i) == 1 for i in range(7))
    with pytest.raises(ConfigError, match="task 3 is wrong"):
        list(run_tasks(Work(str(folder), fails=(3,)), range(5), options))
    assert list(run_tasks(Work(str(folder)), [], options)) == []


def test_a_worker_that_is_killed_is_replaced_and_its_task_tried_again(tmp_path: Path) -> None:
    # three deaths of three tasks are more than the retries of one
    work = Work(str(tmp_path), dies_once=(1, 2, 4))
    assert dict(run_tasks(work, range(6), POOL)) == {i: i * i for i in range(6)}
    assert all(calls(tmp_path, i) >= 2 for i in (1, 2, 4))


def test_a_task_that_always_kills_is_named(tmp_path: Path) -> None:
    options = TaskOptions("processes", workers=2, retries=1)
    with pytest.raises(ShardError, match=r"died 2 times on the same task \(number 2"):
        list(run_tasks(Work(str(tmp_path), dies=(2,)), range(4), options))
    # together with others, and then twice alone
    assert 2 <= calls(tmp_path, 2) <= 3


def test_closing_ends_the_workers(tmp_path: Path) -> None:
    before = set(multiprocessing.active_children())
    tasks = run_tasks(Work(str(tmp_path), slow=(1, 2, 3)), range(4), POOL)
    assert next(tasks) == (0, 0)
    started = time.monotonic()
    tasks.close()  # type: ignore[attr-defined]
    assert time.monotonic() - started < 30
    _wait_for(lambda: set(multiprocessing.active_children()) <= before)


def test_workers_do_not_outlive_a_parent_that_is_killed(tmp_path: Path) -> None:
    context = multiprocessing.get_context("spawn")
    parent = context.Process(target=run_slowly, args=(str(tmp_path),))
    parent.start()
    _wait_for(lambda: calls(tmp_path, 0) == 1)
    (mark,) = tmp_path.glob("0.*")
    worker = int(mark.name.rsplit(".", 1)[1])
    assert parent.pid is not None and worker != parent.pid
    os.kill(parent.pid, signal.SIGKILL)
    parent.join()
    _wait_for(lambda: not _alive(worker))


def run_slowly(folder: str) -> None:
    list(run_tasks(Work(folder, slow=(0, 1)), range(2), POOL))


def _alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] != "Z"
    except FileNotFoundError:
        return False


def _wait_for(condition: Callable[[], Any], seconds: float = 30) -> None:
    ended = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < ended, "waited too long"
        time.sleep(0.02)


@pytest.mark.ray
@pytest.mark.slow
def test_on_ray_it_is_the_same_and_so_is_an_exact_search(tmp_path: Path) -> None:
    options = TaskOptions("ray", workers=2, retries=1)
    ray, begun = join_ray(None, 2)
    assert begun
    try:
        check_results_and_errors(tmp_path, options)
        assert dict(run_tasks(Work(str(tmp_path), dies_once=(8,)), [7, 8], options)) == {
            0: 49,
            1: 64,
        }
        with pytest.raises(ShardError, match="a Ray worker died of a task"):
            list(run_tasks(Work(str(tmp_path), dies=(9,)), [9, 10], options))
        assert (calls(tmp_path, 8), calls(tmp_path, 9)) == (2, 2)
        check_an_exact_search(tmp_path / "search")
        assert ray.is_initialized(), "whoever connected Ray ends it"
    finally:
        ray.shutdown()


def check_an_exact_search(folder: Path) -> None:
    """Here, since a cluster takes longer to begin than all the rest."""
    rng = np.random.default_rng(3)
    (folder / "img_emb").mkdir(parents=True)
    for part, n in enumerate((6000, 1, 13_999)):
        vectors = rng.standard_normal((n, 48)).astype(np.float16)
        vectors[::50] = vectors[0]  # ties
        np.save(folder / "img_emb" / f"img_emb_{part}.npy", vectors)
    embeddings = open_embeddings(folder)
    queries = rng.standard_normal((9, 48)).astype(np.float32)
    here = search(embeddings, queries, SearchOptions(k=50))
    there = search(embeddings, queries, SearchOptions(50, runner="ray", workers=2, task_rows=4096))
    for name in ("rows", "scores", "histogram"):
        np.testing.assert_array_equal(getattr(there, name), getattr(here, name))
    assert (there.n_rows, there.spans) == (20_000, here.spans)
