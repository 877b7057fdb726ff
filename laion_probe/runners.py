"""Runners: take units to their partial results. One contract, whatever runs them.

`run_in_order` hands out the results in the order of the units, whoever computes them and in
whatever order they finish: an estimate that follows the order of completion is biased, since slow
units are different units. What is in flight or waiting for its turn is bounded.
"""

from __future__ import annotations

import math
import os
import time
from collections import deque
from collections.abc import Callable, Generator, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Generic, Protocol, TypeVar

from laion_probe import parquet
from laion_probe.errors import SchemaError, ShardError
from laion_probe.shards import Shard, Unit
from laion_probe.tasks import follow_parent, join_ray, uninterrupted

__all__ = ["Failure", "Kept", "RunOptions", "Work", "run_in_order"]

T = TypeVar("T")
Work = Callable[[Unit], T]  # picklable; models are loaded by the process that first needs them

#: Small units are sent together: so many rows at most, and what takes about so long. A run that is
#: ended loses what is in flight.
_TASK_ROWS, _TASK_S = 100_000, 1.0
#: Tasks that a worker has in hand, and the most that may be ahead of the unit whose turn it is.
_IN_FLIGHT, _AHEAD = 2, 8
#: Below so many rows starting worker processes takes longer than it saves.
_SERIAL_ROWS = 200_000


@dataclass(frozen=True, slots=True)
class Failure:
    """A unit that could not be read, with the reason in words."""

    unit: Unit
    reason: str


@dataclass(frozen=True, slots=True)
class RunOptions:
    """Who computes. None of this changes a result.

    ``runner`` is "serial", "processes", "ray", or "auto": processes where there is much to do.
    ``workers`` is the number of processes (default: one a core). A unit whose worker dies is tried
    again ``retries`` times, after ``backoff_s`` seconds that double each time.
    """

    runner: str = "auto"
    workers: int | None = None
    ray_address: str | None = None
    retries: int = 2
    backoff_s: float = 0.5


class Kept(Protocol[T]):
    """Where finished units are kept, so that a run that was ended goes on where it was."""

    def has(self, unit: Unit) -> bool:
        """Whether the unit is there; cheap."""

    def load(self, unit: Unit) -> T | None:
        """What was kept, or None if it cannot be read after all."""

    @property
    def encode(self) -> Callable[[T], bytes]:
        """A result as bytes, as workers send it; picklable."""

    def save(self, unit: Unit, data: bytes) -> T:
        """Keep a finished unit, and give the result that its bytes hold."""


_Place = tuple[int, int]  # a shard of the job, and the row group


class _WorkerLost(Exception):
    """A worker died. ``certain`` says that this very task was in it."""

    def __init__(self, reason: str, *, certain: bool) -> None:
        super().__init__(reason)
        self.certain = certain


@dataclass(frozen=True, slots=True)
class Done:
    """What came of a task: (bytes, "") or (b"", reason) a unit, and the seconds it took."""

    results: tuple[tuple[bytes, str], ...]
    seconds: float


class _Executor(Protocol):
    """Runs tasks. A task is some units."""

    @property
    def slots(self) -> int:
        """Tasks that run at the same time."""

    def submit(self, task: tuple[_Place, ...], *, careful: bool) -> Any:
        """A handle. ``careful``: not by the fast reader, which some damaged files make abort."""

    def wait(self, handles: list[Any]) -> list[Any]:
        """At least one handle that has ended."""

    def result(self, handle: Any) -> Done:
        """What came of it; `_WorkerLost`, or whatever the work raised."""

    def recover(self) -> None:
        """Be ready again after `_WorkerLost`."""

    def close(self) -> None:
        """End the workers."""


@dataclass
class _Task:
    indices: tuple[int, ...]
    alone: bool = False  # once more: while nothing else runs, so that a death is certainly its own


def run_in_order(
    units: Sequence[Unit], work: Work[T], options: RunOptions, kept: Kept[T]
) -> Generator[tuple[Unit, T | Failure], None, None]:
    """Each unit with its result, or the reason why there is none, in the order of ``units``.

    Units that ``kept`` has are not computed again; finished ones are kept at once. Closing the
    iterator ends the workers. A unit that cannot be read (`ShardError`, `SchemaError`) or whose
    workers died is a `Failure`; any other exception of the work is raised.
    """
    shards = {id(u.shard): u.shard for u in units}
    job = _Job(work, kept.encode, tuple(shards.values()))
    executor = _executor(units, job, options)
    try:
        yield from _Driver(units, executor, options, kept, job).run()
    finally:
        executor.close()


@dataclass(frozen=True)
class _Job:
    """What every worker gets once: the work, how its results are sent, and the shards."""

    work: Work[Any]
    encode: Callable[[Any], bytes]
    shards: tuple[Shard, ...]

    def __call__(self, place: _Place) -> bytes:
        return self.encode(self.work(Unit(self.shards[place[0]], place[1])))


class _Driver(Generic[T]):
    """The loop of `run_in_order`."""

    def __init__(
        self,
        units: Sequence[Unit],
        executor: _Executor,
        options: RunOptions,
        kept: Kept[T],
        job: _Job,
    ) -> None:
        self.units, self.executor, self.options = units, executor, options
        self.kept, self.job = kept, job
        self.shards = {id(shard): number for number, shard in enumerate(job.shards)}
        self.scheduled = 0  # units before this index were sent, or need not be
        self.finished: dict[int, T | Failure | None] = {}  # None: to be loaded when its turn comes
        self.running: dict[Any, _Task] = {}
        self.suspects: deque[_Task] = deque()
        self.attempts: dict[int, int] = {}
        self.ahead = 0  # rows that were sent and have not been handed out
        self.task_rows = 1.0  # what a worker does in about _TASK_S seconds, once that is known

    def run(self) -> Iterator[tuple[Unit, T | Failure]]:
        for turn, unit in enumerate(self.units):
            while turn not in self.finished:
                self._send()
                if turn not in self.finished:
                    self._receive()
            found = self.finished.pop(turn)
            if found is not None:
                self.ahead -= _size(unit)
            else:
                found = self.kept.load(unit)
            if found is None:  # kept, but damaged
                found = self._here(unit)
            yield unit, found

    def _send(self) -> None:
        """Keep the workers busy, within bounds."""
        slots = self.executor.slots
        if self.suspects:
            if not self.running:
                self._submit(self.suspects.popleft())
            return
        while len(self.running) < _IN_FLIGHT * slots and self.ahead <= _AHEAD * slots * _TASK_ROWS:
            task = self._next_task()
            if task is None:
                return
            self._submit(task)

    def _next_task(self) -> _Task | None:
        chosen: list[int] = []
        rows = 0
        while self.scheduled < len(self.units):
            index, unit = self.scheduled, self.units[self.scheduled]
            if self.kept.has(unit):
                self.finished[index] = None
            elif chosen and rows + _size(unit) > min(self.task_rows, _TASK_ROWS):
                break
            else:
                chosen.append(index)
                rows += _size(unit)
            self.scheduled += 1
        self.ahead += rows
        return _Task(tuple(chosen)) if chosen else None

    def _submit(self, task: _Task) -> None:
        places = tuple(self._place(self.units[i]) for i in task.indices)
        handle = self.executor.submit(places, careful=task.alone)
        self.running[handle] = task

    def _place(self, unit: Unit) -> _Place:
        return self.shards[id(unit.shard)], unit.row_group

    def _receive(self) -> None:
        if not self.running:
            return
        for handle in self.executor.wait(list(self.running)):
            if handle not in self.running:
                continue
            task = self.running.pop(handle)
            try:
                done = self.executor.result(handle)
            except _WorkerLost as lost:
                self._lost(task, lost)
                continue
            rows = sum(_size(self.units[i]) for i in task.indices)
            self.task_rows = rows / max(done.seconds, 1e-3) * _TASK_S
            for index, (data, reason) in zip(task.indices, done.results, strict=True):
                self.finished[index] = self._result(self.units[index], data, reason)

    def _lost(self, task: _Task, lost: _WorkerLost) -> None:
        """Try again: together with others the culprit is not known, so suspects go one by one."""
        if not lost.certain:
            # the executor is gone with everything in it
            suspects = [task, *self.running.values()]
            self.running.clear()
            self.executor.recover()
            if not task.alone:
                self.suspects.extend(_Task((i,), alone=True) for t in suspects for i in t.indices)
                return
        elif len(task.indices) > 1:
            self.suspects.extend(_Task((i,), alone=True) for i in task.indices)
            return
        (index,) = task.indices
        tried = self.attempts[index] = self.attempts.get(index, 0) + 1
        if tried > self.options.retries:
            unit = self.units[index]
            reason = f"{unit.label}: its worker died {tried} times ({lost}); is memory short?"
            self.finished[index] = Failure(unit, reason)
            return
        time.sleep(self.options.backoff_s * 2 ** (tried - 1))
        self.suspects.append(task)

    def _here(self, unit: Unit) -> T | Failure:
        """In this process."""
        ((data, reason),) = run_task(self.job, (self._place(unit),), careful=True).results
        return self._result(unit, data, reason)

    def _result(self, unit: Unit, data: bytes, reason: str) -> T | Failure:
        return Failure(unit, reason) if reason else self.kept.save(unit, data)


def _size(unit: Unit) -> int:
    return _TASK_ROWS if unit.n_rows is None else unit.n_rows


def run_task(job: _Job, task: tuple[_Place, ...], careful: bool) -> Done:
    """What a worker does with a task: a unit that cannot be read says so, the others go on."""
    parquet.LOCAL_BY_POLARS = not careful
    started = time.perf_counter()
    out: list[tuple[bytes, str]] = []
    for place in task:
        try:
            out.append((job(place), ""))
        except (ShardError, SchemaError) as error:
            out.append((b"", str(error)))
    return Done(tuple(out), time.perf_counter() - started)


def _executor(units: Sequence[Unit], job: _Job, options: RunOptions) -> _Executor:
    runner, workers = options.runner, options.workers or os.cpu_count() or 1
    if runner == "auto":
        runner = "processes" if sum(map(_size, units)) > _SERIAL_ROWS and workers > 1 else "serial"
    if runner == "ray":
        return _Ray(job, options)
    return _Processes(job, workers) if runner == "processes" else _Serial(job)


class _Serial:
    slots = 1

    def __init__(self, job: _Job) -> None:
        self.job = job
        self.queue: dict[int, tuple[_Place, ...]] = {}
        self.count = 0

    def submit(self, task: tuple[_Place, ...], *, careful: bool) -> int:
        self.count += 1
        self.queue[self.count] = task
        return self.count

    def wait(self, handles: list[int]) -> list[int]:
        return handles[:1]

    def result(self, handle: int) -> Done:
        # always careful: nobody is there to notice if this process is lost
        return run_task(self.job, self.queue.pop(handle), careful=True)

    def recover(self) -> None:
        raise AssertionError("this process cannot be lost to itself")

    def close(self) -> None:
        self.queue.clear()


class _Processes:
    """A pool of spawned processes, each with one thread for polars and pyarrow."""

    def __init__(self, job: _Job, workers: int) -> None:
        self.job, self.slots = job, workers
        self._start()

    def _start(self) -> None:
        import multiprocessing
        from concurrent.futures import ProcessPoolExecutor

        self.before = set(multiprocessing.active_children())
        self.pool = ProcessPoolExecutor(
            self.slots, multiprocessing.get_context("spawn"), _start_worker, (self.job,)
        )

    def submit(self, task: tuple[_Place, ...], *, careful: bool) -> Any:
        from concurrent.futures import Future
        from concurrent.futures.process import BrokenProcessPool

        try:
            with uninterrupted():
                return self.pool.submit(_run_here, task, careful)
        except BrokenProcessPool as error:
            handle: Future[Any] = Future()
            handle.set_exception(error)
            return handle

    def wait(self, handles: list[Any]) -> list[Any]:
        from concurrent.futures import FIRST_COMPLETED, wait

        return list(wait(handles, return_when=FIRST_COMPLETED).done)

    def result(self, handle: Any) -> Done:
        from concurrent.futures.process import BrokenProcessPool

        try:
            return handle.result()  # type: ignore[no-any-return]
        except BrokenProcessPool as error:
            raise _WorkerLost("killed, or out of memory", certain=False) from error

    def recover(self) -> None:
        self.close()
        self._start()

    def close(self) -> None:
        import multiprocessing

        self.pool.shutdown(wait=False, cancel_futures=True)
        mine = set(multiprocessing.active_children()) - self.before
        for process in mine:
            process.terminate()
        for process in mine:
            process.join()


_JOB: list[_Job] = []


def _start_worker(job: _Job) -> None:
    """In a new worker: one thread each, and no life without the parent."""
    os.environ["POLARS_MAX_THREADS"] = "1"
    os.environ["OMP_NUM_THREADS"] = "1"
    import pyarrow

    pyarrow.set_cpu_count(1)
    follow_parent()
    _JOB[:] = [job]


def _run_here(task: tuple[_Place, ...], careful: bool) -> Done:
    return run_task(_JOB[0], task, careful=careful)


class _Ray:
    """Ray tasks, in a cluster that is there or in one of this machine's cores."""

    def __init__(self, job: _Job, options: RunOptions) -> None:
        ray, self.started = join_ray(options.ray_address, options.workers)
        self.ray = ray
        self.job = ray.put(job)
        self.n_slots, self.asked = 1, -math.inf
        # we try again ourselves: one count of retries, whoever runs
        self.task = ray.remote(run_task).options(max_retries=0, num_cpus=1)

    @property
    def slots(self) -> int:
        """Cores of the cluster, asked anew every few seconds: nodes come and go."""
        if time.monotonic() >= self.asked + 5:
            resources = self.ray.cluster_resources()
            self.n_slots, self.asked = max(1, int(resources.get("CPU", 1))), time.monotonic()
        return self.n_slots

    def submit(self, task: tuple[_Place, ...], *, careful: bool) -> Any:
        return self.task.remote(self.job, task, careful)

    def wait(self, handles: list[Any]) -> list[Any]:
        done, _ = self.ray.wait(handles, num_returns=1)
        return list(done)

    def result(self, handle: Any) -> Done:
        errors = self.ray.exceptions
        try:
            return self.ray.get(handle)  # type: ignore[no-any-return]
        except errors.RayTaskError as error:
            raise error.as_instanceof_cause() from error
        except errors.RayError as error:
            words = " ".join(str(error).split()) or type(error).__name__
            raise _WorkerLost(words[:200], certain=True) from error

    def recover(self) -> None:
        """Ray replaces lost workers by itself."""

    def close(self) -> None:
        if self.started:
            self.ray.shutdown()
