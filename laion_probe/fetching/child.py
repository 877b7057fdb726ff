"""img2dataset in a process of its own: ``python -m laion_probe.fetching.child``.

The first line of the standard input has the options of its ``download`` as JSON. When that input
ends, the parent has ended, however it was killed: then this process and its workers end at once,
so that none of them goes on without the gate and takes every picture for lost.
"""

from __future__ import annotations

import json
import os
import signal
import sys
import threading
import types

if __name__ in ("__main__", "__mp_main__"):  # the workers that it spawns too
    # img2dataset imports these at its start, and they take most of it. What it needs of torch and
    # Ray is optional; of wandb (telemetry) it only needs the name, since it is never switched on.
    sys.modules["torch"] = None  # type: ignore[assignment]
    sys.modules["ray"] = None  # type: ignore[assignment]
    sys.modules["wandb"] = types.ModuleType("wandb")
    if sys.version_info >= (3, 13):  # gone from Python; for an option that is not used here
        sys.modules["imghdr"] = types.ModuleType("imghdr")


def main() -> None:
    """Read the options and download."""
    options = json.loads(sys.stdin.readline())
    threading.Thread(target=_end_with_parent, daemon=True).start()
    from img2dataset import download

    download(**options)


def _end_with_parent() -> None:
    sys.stdin.read()
    os.killpg(os.getpgrp(), signal.SIGKILL)


if __name__ == "__main__":
    main()
