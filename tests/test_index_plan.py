from __future__ import annotations

import pytest

from laion_probe.errors import ConfigError
from laion_probe.index.plan import KINDS, Budget, IndexPlan, plan_index

MIB = 2**20
GIB = 2**30


@pytest.mark.parametrize(
    ("n", "dim", "memory", "kind"),
    [
        (500, 64, GIB, "flat"),
        (100_000, 512, GIB, "ivf"),
        (100_000, 512, 100 * MIB, "fastscan"),
        (2_000_000, 512, 512 * MIB, "fastscan"),
        (2_000_000, 512, 100 * MIB, "ivfpq"),
        (2_000_000, 512, 20 * MIB, "on-disk"),
        (5_850_000_000, 768, 4 * GIB, "on-disk"),
    ],
)
def test_the_first_kind_that_fits(n: int, dim: int, memory: float, kind: str) -> None:
    plan = plan_index(n, dim, Budget(memory, threads=2))
    assert plan.kind == kind
    assert plan.n_memory <= memory


def test_less_memory_never_gives_a_larger_index_in_memory() -> None:
    sizes = [plan_index(2_000_000, 512, Budget(m * MIB)).n_memory for m in range(600, 10, -30)]
    assert sizes == sorted(sizes, reverse=True)
    assert len(set(sizes)) > 4


def test_the_bar_is_kept_with_room() -> None:
    plan = plan_index(2_000_000, 512, Budget(2_000_000 * 256, threads=2))
    assert plan.n_bytes <= 2_000_000 * 512 * 4 / 8
    assert plan.n_training * 512 * 4 <= 2_000_000 * 256  # the sample fits in the same memory


def test_less_time_gives_fewer_lists() -> None:
    def planned(max_time_s: float | None) -> IndexPlan:
        return plan_index(2_000_000, 512, Budget(GIB, max_time_s, 2))

    usual, hasty = planned(None), planned(60)
    assert hasty.seconds <= 60 < usual.seconds
    assert 0 < hasty.n_lists < usual.n_lists
    with pytest.raises(ConfigError, match=r"some \d+ s to build, where 1 s are given"):
        planned(1)


def test_what_does_not_fit_is_said_with_its_bytes() -> None:
    plan = plan_index(2_000_000, 512, Budget(200 * MIB, threads=2))
    assert "PQ256x4fsr): 261 MiB do not fit in 200 MiB." in plan.reasons[0]
    assert plan.reasons[1].startswith("Chosen, the first that fits: 4-bit codes of 1 bits")
    assert "raw embeddings" in plan.reasons[-1]


@pytest.mark.parametrize("kind", KINDS)
def test_a_kind_can_be_asked_for(kind: str) -> None:
    plan = plan_index(50_000, 96, Budget(GIB, kind=kind))
    assert plan.kind == kind
    assert plan.exact == (kind in ("flat", "ivf"))


def test_nothing_fits() -> None:
    with pytest.raises(ConfigError, match=r"no index of 2000000 × 512 fits.*--max-memory"):
        plan_index(2_000_000, 512, Budget(MIB))
    with pytest.raises(ConfigError, match="no kind of index 'hnsw'"):
        plan_index(10, 8, Budget(MIB, kind="hnsw"))
    with pytest.raises(ConfigError, match="do not fit"):
        plan_index(100_000, 512, Budget(MIB, kind="flat"))


def test_too_few_rows_for_codes_are_flat() -> None:
    assert plan_index(1, 512, Budget(MIB)).kind == "flat"
    with pytest.raises(ConfigError):
        plan_index(100, 512, Budget(MIB, kind="fastscan"))


def test_an_odd_dimension_has_no_halves() -> None:
    plan = plan_index(2_000_000, 509, Budget(2 * GIB))  # prime: no 4-bit codes of two numbers each
    assert plan.kind == "on-disk"
