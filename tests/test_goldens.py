"""What the code computed when somebody last looked, compared number by number."""

from __future__ import annotations

import json

import pytest

from tools.goldens import CASES, GOLDENS, compute


def same(a: object, b: object, where: str = "") -> None:
    """Equal, with room for the last digits of floating-point numbers."""
    if isinstance(a, dict) and isinstance(b, dict):
        assert list(a) == list(b), where
        for key in a:
            same(a[key], b[key], f"{where}/{key}")
    elif isinstance(a, list) and isinstance(b, list):
        assert len(a) == len(b), where
        for i, (x, y) in enumerate(zip(a, b, strict=True)):
            same(x, y, f"{where}/{i}")
    elif isinstance(a, float) and isinstance(b, float):
        assert a == pytest.approx(b, rel=1e-9, abs=1e-12), where
    else:
        assert a == b, where


@pytest.mark.parametrize("name", CASES)
def test_results_are_the_goldens(name: str) -> None:
    golden = json.loads((GOLDENS / f"{name}.json").read_text(encoding="utf-8"))
    same(json.loads(compute(name)), golden)
