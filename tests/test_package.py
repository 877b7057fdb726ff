"""The package as a whole: cheap to import, typed, its errors readable."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

import laion_probe
from laion_probe import errors
from laion_probe.registry import Registry


def test_importing_the_package_loads_nothing_heavy() -> None:
    code = (
        "import sys, laion_probe; laion_probe.ProbeConfig, laion_probe.ProbeResult;"
        "heavy = ('torch', 'faiss', 'open_clip', 'ray', 'matplotlib');"
        "print([m for m in heavy if m in sys.modules])"
    )
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert out.stdout.strip() == "[]"


def test_the_package_is_typed_and_names_what_it_exports() -> None:
    assert (Path(laion_probe.__file__).parent / "py.typed").exists()
    for name in laion_probe.__all__:
        assert getattr(laion_probe, name) is not None
    with pytest.raises(AttributeError, match="no attribute 'prob'"):
        laion_probe.prob  # noqa: B018


def test_every_error_has_one_root() -> None:
    for name in errors.__all__:
        assert issubclass(getattr(errors, name), errors.LaionProbeError)
        assert name in (errors.__doc__ or "")


def test_an_unknown_name_lists_the_nearest() -> None:
    parts: Registry[int] = Registry("detector")
    parts.add("langdetect", 1)
    parts.add("cld2", 2)
    with pytest.raises(
        errors.UnknownName, match=r"unknown detector 'langdetct': did you mean lang"
    ):
        parts["langdetct"]
    with pytest.raises(errors.UnknownName, match="known: cld2, langdetect"):
        parts["zzz"]
    with pytest.raises(ValueError, match="registered twice"):
        parts.add("cld2", 3)
