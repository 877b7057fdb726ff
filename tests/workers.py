"""Work that spawned processes and Ray workers can import: it dies, dawdles or fails on purpose."""

from __future__ import annotations

import os
import signal
import time
from dataclasses import dataclass
from pathlib import Path

from laion_probe import parquet
from laion_probe.errors import ShardError
from laion_probe.shards import Unit


@dataclass(frozen=True)
class Label:
    """The unit's label; what is wrong with some units is given by label."""

    slow: tuple[str, ...] = ()
    broken: tuple[str, ...] = ()
    dies: tuple[str, ...] = ()  # every time
    dies_fast: tuple[str, ...] = ()  # where the fast reader reads
    dies_once: tuple[str, ...] = ()
    marks: str = ""  # folder: a file a call

    def __call__(self, unit: Unit) -> str:
        name = unit.label
        if name in self.slow:
            time.sleep(0.5)
        if self.marks:
            mark = Path(self.marks) / f"{name.replace('/', '_')}.{time.time_ns()}"
            first = not list(Path(self.marks).glob(f"{name.replace('/', '_')}.*"))
            mark.touch()
            if first and name in self.dies_once:
                os.kill(os.getpid(), signal.SIGKILL)
        if name in self.dies or (name in self.dies_fast and parquet.LOCAL_BY_POLARS):
            os.kill(os.getpid(), signal.SIGKILL)
        if name in self.broken:
            raise ShardError(f"{name}: broken on purpose")
        return name
