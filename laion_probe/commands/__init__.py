"""What the commands of the command line run."""

from __future__ import annotations

from laion_probe.commands.jobs import JOBS, Job
from laion_probe.commands.reports import COMMANDS, Command

__all__ = ["COMMANDS", "JOBS", "Command", "Job"]
