"""Runners: the same results in the same order whoever computes, and nothing lost with a worker."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from shardmaker import frame, write
from workers import Label

from laion_probe.errors import ConfigError
from laion_probe.runners import Failure, RunOptions, run_in_order
from laion_probe.shards import Unit, list_shards, list_units
from laion_probe.store import Partials

SERIAL = RunOptions("serial")
POOL = RunOptions("processes", workers=2, retries=1, backoff_s=0.01)
RAY = RunOptions("ray", workers=2, retries=1, backoff_s=0.01)
EVERYONE = pytest.mark.parametrize(
    "options",
    [SERIAL, POOL, pytest.param(RAY, marks=pytest.mark.ray)],
    ids=lambda o: o.runner,
)
THE_MORTAL = pytest.mark.parametrize(
    "options", [POOL, pytest.param(RAY, marks=pytest.mark.ray)], ids=lambda o: o.runner
)


@pytest.fixture
def units(tmp_path: Path) -> tuple[Unit, ...]:
    return list_units(list_shards([str(write(tmp_path / "shards", frame(80), 2, 5))]))


@pytest.fixture(autouse=True)
def _small_tasks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("laion_probe.runners._TASK_ROWS", 12)
    monkeypatch.setenv("PYTHONPATH", str(Path(__file__).parent))  # where Ray's workers find ours


@pytest.fixture
def kept(tmp_path: Path) -> Partials[str]:
    return Partials(tmp_path / "kept", str.encode, lambda unit, data: data.decode())


def run(units, work, options, kept) -> list[str | Failure]:
    found = list(run_in_order(units, work, options, kept))
    assert [u for u, _ in found] == list(units)
    return [r for _, r in found]


@EVERYONE
@pytest.mark.filterwarnings("ignore::ResourceWarning", "ignore::DeprecationWarning")
def test_results_come_in_the_order_of_the_units(units, kept, options) -> None:
    work = Label(slow=(units[0].label, units[5].label), broken=(units[3].label,))
    found = run(units, work, options, kept)
    assert isinstance(found[3], Failure)
    assert found[3].reason == f"{units[3].label}: broken on purpose"
    assert [f for i, f in enumerate(found) if i != 3] == [
        u.label for i, u in enumerate(units) if i != 3
    ]
    assert len(units) == 16


@THE_MORTAL
@pytest.mark.filterwarnings("ignore::ResourceWarning", "ignore::DeprecationWarning")
def test_a_worker_that_dies_costs_only_the_unit_that_kills_it(
    units, kept, options, tmp_path
) -> None:
    marks = tmp_path / "marks"
    marks.mkdir()
    work = Label(
        dies=(units[6].label,), dies_once=(units[2].label, units[9].label), marks=str(marks)
    )
    found = run(units, work, options, kept)
    assert isinstance(found[6], Failure)
    assert f"{units[6].label}: its worker died 2 times" in found[6].reason
    assert [f for i, f in enumerate(found) if i != 6] == [
        u.label for i, u in enumerate(units) if i != 6
    ]


def test_a_unit_that_kills_the_fast_reader_is_read_by_the_careful_one(units, kept) -> None:
    found = run(units, Label(dies_fast=(units[3].label,)), POOL, kept)
    assert found == [u.label for u in units]


def test_an_error_of_our_own_is_raised_and_not_listed_as_a_bad_unit(units, kept) -> None:
    def work(unit: Unit) -> str:
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        run(units, work, SERIAL, kept)


@EVERYONE
@pytest.mark.filterwarnings("ignore::ResourceWarning", "ignore::DeprecationWarning")
def test_finished_units_are_not_computed_again(units, kept, options, tmp_path) -> None:
    marks = tmp_path / "marks"
    marks.mkdir()
    work = Label(marks=str(marks))
    results = run_in_order(units, work, options, kept)
    begun = [next(results) for _ in range(5)]
    results.close()
    finished = {u.label for u in units if kept.has(u)}
    assert len(finished) >= 5 == len(begun)
    for mark in marks.iterdir():
        mark.unlink()
    assert run(units, work, options, kept) == [u.label for u in units]
    computed = {m.name.rpartition(".")[0] for m in marks.iterdir()}
    assert computed == {u.label for u in units} - finished


def test_a_damaged_partial_is_made_again(units, kept) -> None:
    run(units, Label(), SERIAL, kept)
    path = kept.path(units[4])
    path.write_bytes(path.read_bytes()[:-1])
    kept.path(units[5]).write_bytes(b"")
    assert run(units, Label(), SERIAL, kept) == [u.label for u in units]
    assert kept.load(units[4]) == units[4].label


def test_workers_end_with_the_iterator(units, kept) -> None:
    import multiprocessing

    results = run_in_order(units, Label(slow=tuple(u.label for u in units)), POOL, kept)
    next(results)
    workers = multiprocessing.active_children()
    assert workers
    results.close()
    # another thread may be the one that reaps it
    ended = time.monotonic() + 30
    while any(w.is_alive() for w in workers) and time.monotonic() < ended:
        time.sleep(0.01)
    assert [w.exitcode for w in workers] == [-signal.SIGTERM] * len(workers)


def test_what_waits_for_its_turn_is_bounded(units, kept, monkeypatch) -> None:
    monkeypatch.setattr("laion_probe.runners._AHEAD", 1)
    sent: list[Unit] = []

    class Watched(Partials[str]):
        def save(self, unit: Unit, result: str) -> None:
            sent.append(unit)
            super().save(unit, result)

    watched = Watched(kept.folder, str.encode, lambda unit, data: data.decode())
    work = Label(slow=(units[0].label,))
    results: Iterator[object] = run_in_order(units, work, POOL, watched)
    next(results)
    # 12 rows a task, 2 workers: at most 24 rows ahead, and the task that crossed the line
    assert len(sent) <= 8 < len(units)


def test_a_cache_that_cannot_be_written_says_what_to_do(units, tmp_path) -> None:
    (tmp_path / "file").write_text("")
    kept = Partials(tmp_path / "file" / "kept", str.encode, lambda unit, data: data.decode())
    with pytest.raises(ConfigError, match=r"cannot keep partial results in .*; free some space or"):
        run(units, Label(), SERIAL, kept)


def test_the_number_of_workers_is_not_more_than_asked(units, kept) -> None:
    import multiprocessing

    one = RunOptions("processes", workers=1)
    results = run_in_order(units, Label(), one, kept)
    next(results)
    assert len(multiprocessing.active_children()) == 1 <= (os.cpu_count() or 1)
    results.close()
