"""A report command from its config to its run folder, for the command line and from Python."""

from __future__ import annotations

import json
import platform
import time
from pathlib import Path

from laion_probe.commands.reports import COMMANDS, Command, Said
from laion_probe.config import RunConfig

__all__ = ["run", "run_command"]


def run(config: RunConfig) -> Path:
    """Do what a report command does: its question, with the report and tables in a run folder.

    Returns the folder: ``config.out``, or a new one in ``runs``, as the command names it.
    `open_result` reads it (and `frames` its result); datasheet, rebalance, robustness, annotate and
    others take it as RUN. A `ConfigError` where the folder holds something already; a `TypeError`
    for what is not the config of a report command.

    >>> folder = run(ProbeConfig(concept="doctor", shards=("shards",)))  # doctest: +SKIP
    """
    command = next((c for c in COMMANDS if c.config is type(config)), None)
    if command is None:
        names = ", ".join(c.config.__name__ for c in COMMANDS)
        raise TypeError(f"run() takes one of {names}, not {type(config).__name__}")
    return run_command(command, config, quiet=True)[1]


def run_command(command: Command, config: RunConfig, quiet: bool) -> tuple[Said, Path]:
    """What the command says, and its run folder, with ``run.json`` for what is no result."""
    from laion_probe.store import free_run_folder, run_folder

    out = Path(config.out) if config.out else free_run_folder(Path("runs"), command.slug(config))
    started = time.monotonic()
    with run_folder(out) as scratch:
        said = command.run(config, quiet, scratch)
        about = {
            "seconds": round(time.monotonic() - started, 2),
            "host": platform.node(),
            "python": platform.python_version(),
            "working_directory": str(Path.cwd()),
            "out": str(out),
            "config": config.model_dump(mode="json"),
        }
        (scratch / "run.json").write_text(json.dumps(about, indent=2) + "\n", encoding="utf-8")
    return said, out
