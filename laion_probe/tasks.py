"""Any tasks, in this process, in a pool of processes or on Ray: what the larger jobs share.

`laion_probe.runners` takes units of shards to partial results, in order, for estimates that need
the order. Here tasks are plain picklable values, and results come as they are ready: for work
whose result is a file, or a partial that merges in any order.
"""

from __future__ import annotations

import multiprocessing
import multiprocessing.connection
import os
import signal
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

from laion_probe.errors import MissingExtra, ShardError

__all__ = ["TaskOptions", "follow_parent", "join_ray", "run_tasks", "uninterrupted"]

T = TypeVar("T")
R = TypeVar("R")

#: Tasks that a worker has in hand.
_IN_FLIGHT = 2


@dataclass(frozen=True, slots=True)
class TaskOptions:
    """Who computes; none of this changes a result.

    ``runner`` is "serial", "processes" or "ray"; ``workers`` the processes (default: one a core).
    A task whose worker dies is tried again ``retries`` times.
    """

    runner: str = "serial"
    workers: int | None = None
    ray_address: str | None = None
    retries: int = 2


def run_tasks(
    work: Callable[[T], R], tasks: Sequence[T], options: TaskOptions
) -> Iterator[tuple[int, R]]:
    """Each task's number and result, as they are ready; ``work`` must be picklable.

    An error of ``work`` is raised here, as it is. Raises `ShardError` when a worker died of a task
    more than ``retries`` times, `MissingExtra` where Ray is asked for and not installed. Closing
    the iterator ends what runs.

    >>> sorted(run_tasks(abs, [-1, 2], TaskOptions()))
    [(0, 1), (1, 2)]
    """
    if options.runner == "ray":
        yield from _on_ray(work, tasks, options)
    elif options.runner == "processes" and len(tasks) > 1:
        yield from _in_processes(work, tasks, options)
    else:
        for number, task in enumerate(tasks):
            yield number, work(task)


def join_ray(address: str | None, workers: int | None) -> tuple[Any, bool]:
    """The package Ray, connected, and whether this call connected it (then whoever called ends it).

    Without an address a cluster is begun on this machine, of ``workers`` cores (default: all). Each
    task has one thread of polars and OpenMP: Ray counts cores, not threads.
    """
    try:
        os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
        if address is None:
            # Ray's switch for machines without clusters: it then stays on the loopback address
            os.environ.setdefault("RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER", "0")
        import ray
    except ImportError:
        raise MissingExtra(
            "the ray runner needs the package ray: pip install 'laion-probe[ray]'"
        ) from None
    begun = not ray.is_initialized()
    if begun:
        here = address is None
        ray.init(
            # never a cluster that happens to run here: its cores are somebody's
            address=address or "local",
            num_cpus=(workers or os.cpu_count()) if here else None,
            include_dashboard=False if here else None,
            configure_logging=False,
            log_to_driver=False,
            runtime_env={"env_vars": {"POLARS_MAX_THREADS": "1", "OMP_NUM_THREADS": "1"}},
        )
    return ray, begun


def _in_processes(
    work: Callable[[T], R], tasks: Sequence[T], options: TaskOptions
) -> Iterator[tuple[int, R]]:
    workers = min(options.workers or os.cpu_count() or 1, len(tasks))
    left = list(reversed(range(len(tasks))))
    suspects: list[int] = []
    died = dict.fromkeys(left, 0)
    pool = _Pool(work, workers)
    waiting: dict[Future[R], int] = {}
    try:
        while left or suspects or waiting:
            # Which of several tasks killed a worker is not known: they go on one by one.
            source, most = (suspects, 1) if suspects else (left, workers * _IN_FLIGHT)
            while source and len(waiting) < most:
                number = source.pop()
                waiting[pool.submit(tasks[number])] = number
            done, _ = wait(waiting, return_when=FIRST_COMPLETED)
            lost = [f for f in done if isinstance(f.exception(), BrokenProcessPool)]
            for future in done.difference(lost):
                yield waiting.pop(future), future.result()
            if lost:
                if len(waiting) == 1:
                    (number,) = waiting.values()
                    died[number] += 1
                    if died[number] > options.retries:
                        raise ShardError(
                            f"a worker died {died[number]} times on the same task (number "
                            f"{number}; out of memory?): give fewer --workers, and run again: "
                            "what is finished is kept"
                        )
                suspects.extend(waiting.values())
                waiting.clear()
                pool.close()
                pool = _Pool(work, workers)
    finally:
        pool.close()


class _Pool(Generic[T, R]):
    """Spawned processes: the threads of torch and polars do not survive a fork."""

    def __init__(self, work: Callable[[T], R], workers: int) -> None:
        self.before = set(multiprocessing.active_children())
        context = multiprocessing.get_context("spawn")
        self.executor = ProcessPoolExecutor(workers, context, _start_worker, (work,))

    def submit(self, task: T) -> Future[R]:
        """The task's result to be, or that the pool is broken."""
        try:
            with uninterrupted():
                return self.executor.submit(_in_worker, task)
        except BrokenProcessPool as error:
            future: Future[R] = Future()
            future.set_exception(error)
            return future

    def close(self) -> None:
        """End the processes at once, whatever they do."""
        self.executor.shutdown(wait=False, cancel_futures=True)
        mine = set(multiprocessing.active_children()) - self.before
        for process in mine:
            process.terminate()
        for process in mine:
            process.join()


@contextmanager
def uninterrupted() -> Iterator[None]:
    """Processes that are started meanwhile ignore Ctrl-C: the parent ends them."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)


def follow_parent() -> None:
    """In a worker process: end when the parent does, however it does."""
    parent = multiprocessing.parent_process()
    assert parent is not None
    sentinel = parent.sentinel

    def follow() -> None:
        # A worker whose parent was killed would wait for its next task for ever.
        multiprocessing.connection.wait([sentinel])
        os._exit(1)

    threading.Thread(target=follow, daemon=True).start()


#: The work of a worker process.
_WORK: list[Callable[[Any], Any]] = []


def _start_worker(work: Callable[[Any], Any]) -> None:
    follow_parent()
    _WORK[:] = [work]


def _in_worker(task: Any) -> Any:
    return _WORK[0](task)


def _on_ray(
    work: Callable[[T], R], tasks: Sequence[T], options: TaskOptions
) -> Iterator[tuple[int, R]]:
    ray, begun = join_ray(options.ray_address, options.workers)
    remote: Any = ray.remote(max_retries=options.retries)(_call)
    left = list(reversed(range(len(tasks))))
    waiting: dict[Any, int] = {}
    try:
        held = ray.put(work)
        while left or waiting:
            slots = int(ray.cluster_resources().get("CPU", 1)) * _IN_FLIGHT
            while left and len(waiting) < slots:
                number = left.pop()
                waiting[remote.remote(held, tasks[number])] = number
            done, _ = ray.wait(list(waiting), num_returns=1)
            for handle in done:
                try:
                    result = ray.get(handle)
                except ray.exceptions.RayTaskError as error:
                    raise error.cause from error
                except ray.exceptions.RayError as error:
                    raise ShardError(f"a Ray worker died of a task: {error}") from error
                yield waiting.pop(handle), result
    finally:
        # What is under way runs out, a few tasks a slot: a cancel that meets a task as it ends
        # makes Ray 2.60 abort this process ("Tried to complete task that was not pending").
        if begun:
            ray.shutdown()


def _call(work: Callable[[T], R], task: T) -> R:
    return work(task)
