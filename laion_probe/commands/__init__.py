"""What the commands of the command line run."""

from __future__ import annotations

from laion_probe.commands.jobs import JOBS, Job
from laion_probe.commands.reports import COMMANDS, Command
from laion_probe.commands.run_folders import run, run_command

__all__ = ["COMMANDS", "JOBS", "Command", "Job", "run", "run_command"]
