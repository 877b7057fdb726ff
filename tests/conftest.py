"""What all tests share: where the data are, and that CI lets no tier be skipped."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from hypothesis import settings

# No timed assertions: these machines are shared.
settings.register_profile("laion-probe", deadline=None)
settings.load_profile("laion-probe")

ROOT = Path(__file__).parent.parent
DEMO = ROOT / "data" / "demo"
SHARED = ROOT.parent / "shared" / "data"

os.environ.setdefault("NO_ALBUMENTATIONS_UPDATE", "1")


@pytest.fixture(scope="session")
def demo() -> Path:
    """The embedded demo data; a clone always has them."""
    assert (DEMO / "truth.parquet").is_file(), "data/demo is part of the repository"
    return DEMO


@pytest.fixture(scope="session")
def shared() -> Path:
    """Real samples and published tables that are not part of the repository."""
    if not SHARED.is_dir():
        pytest.skip("../shared/data is not here: it is no part of the repository")
    return SHARED


def pytest_sessionfinish(session: pytest.Session, exitstatus: int) -> None:
    """In CI a skipped test is a failure: a tier that did not run has shown nothing."""
    reporter = session.config.pluginmanager.get_plugin("terminalreporter")
    skipped = len(reporter.stats.get("skipped", [])) if reporter else 0
    if os.environ.get("CI") == "true" and skipped and exitstatus == 0:
        reporter.write_line(
            f"CI: {skipped} tests were skipped, which counts as a failure", red=True
        )
        session.exitstatus = pytest.ExitCode.TESTS_FAILED
