"""The study of `explore`'s intervals and its word "shown": a short run, and its page."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from tools.spread_coverage import (
    CLUSTERS,
    DESIGNS,
    MARKS,
    PAGE,
    Design,
    distance_covered,
    pair,
    shares,
    shown,
    write,
)


@pytest.mark.parametrize("design", DESIGNS[:4], ids=lambda d: d.name)
def test_of_two_sets_of_one_process_little_is_shown(design: Design) -> None:
    found = shown(design, 12, 40)
    assert found["entropy by all"] <= 4 / 40  # 5 or more of 40 at 5 %: one time in twenty
    assert found["distance by all"] <= 1 / 40
    assert found["entropy by all"] <= found["entropy by one"]


def test_style_alone_is_shown_as_a_distance_and_seldom_as_evenness() -> None:
    found = shown(DESIGNS[5], 24, 30)
    assert found["distance by all"] >= 0.9
    assert found["entropy by all"] < found["entropy by one"] / 2
    planted = shown(DESIGNS[4], 12, 30)
    assert planted["distance by all"] >= 0.6


def test_the_designs_are_what_they_are_called() -> None:
    assert [d.style > 0 for d in DESIGNS] == [False] * 5 + [True]
    assert {d.batches * d.each for d in DESIGNS} == {100}
    assert shares(48)[-1] < 0.05 * shares(48)[0]
    assert distance_covered(12, 0, 50) > 0.9
    assert len(pair(DESIGNS[0], 12, np.random.default_rng(0))) == 3


def test_the_tables_stand_between_the_marks_of_the_page(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text(f"before\n\n{MARKS[0]}\nold\n{MARKS[1]}\n\nafter\n")
    write(page, trials=20, sets=2)
    text = page.read_text()
    assert text.startswith("before\n")
    assert text.endswith(f"{MARKS[1]}\n\nafter\n")
    assert "old" not in text
    lines = [x.split("|")[1].strip() for x in text.splitlines() if x.startswith("| ")]
    committed = PAGE.read_text(encoding="utf-8").partition(MARKS[0])[2].partition(MARKS[1])[0]
    there = [x.split("|")[1].strip() for x in committed.splitlines() if x.startswith("| ")]
    assert lines == there
    assert len(CLUSTERS) == 3
    page.write_text("no marks")
    with pytest.raises(SystemExit, match="has no"):
        write(page, trials=20, sets=2)
