"""Runners: take units to their partial results. One contract, whatever runs them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Generic, TypeVar

from laion_probe.errors import ShardError
from laion_probe.shards import Unit

__all__ = ["Failure", "Ran", "run_serial"]

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Failure:
    """A unit that could not be read, with the reason in words."""

    unit: Unit
    reason: str


@dataclass(frozen=True, slots=True)
class Ran(Generic[T]):
    """The partials of the units that could be read, in order, and the failures."""

    units: tuple[Unit, ...]
    partials: tuple[T, ...]
    failed: tuple[Failure, ...]


def run_serial(
    units: Sequence[Unit],
    work: Callable[[Unit], T],
    progress: Callable[[int, int], None] = lambda done, of: None,
    max_failed_share: float = 0.0,
) -> Ran[T]:
    """Run ``work`` on every unit in this process.

    A unit that raises `ShardError` is listed as failed; above ``max_failed_share`` of all units the
    run fails with the first reason.
    """
    done: list[Unit] = []
    partials: list[T] = []
    failed: list[Failure] = []
    for number, unit in enumerate(units):
        try:
            partials.append(work(unit))
            done.append(unit)
        except ShardError as error:
            failed.append(Failure(unit, str(error)))
        progress(number + 1, len(units))
    if failed and len(failed) > max_failed_share * len(units):
        raise ShardError(
            f"{len(failed)} of {len(units)} units failed, first: {failed[0].reason}; fetch the "
            "shard again, or allow it with --max-failed-share"
        )
    return Ran(tuple(done), tuple(partials), tuple(failed))
