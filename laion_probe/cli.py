"""The command line: thin, every option documented, errors in one line."""

from __future__ import annotations

import argparse
import os
import re
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any, TypeVar

from laion_probe import __version__
from laion_probe.commands import COMMANDS, JOBS, Command, Job, run_command
from laion_probe.config import (
    DataConfig,
    Options,
    PicturesConfig,
    PlanConfig,
    load_config,
    make_config,
)
from laion_probe.errors import ConfigError, LaionProbeError
from laion_probe.terminal import (
    attribute_list,
    estimator_list,
    group_list,
    one_line,
    recipe_list,
    recipe_text,
)

__all__ = ["main"]

C = TypeVar("C", bound=Options)
_DEMO = Path("data") / "demo" / "probe.toml"
_LISTS = {
    "groups": ("list the groups that rows can be counted by", group_list),
    "attributes": ("list the attributes that pictures can be read for", attribute_list),
    "estimators": (
        "list the estimators: what each is of, assumes, and when it fails",
        estimator_list,
    ),
}


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line; returns the exit code (0, 1 for a known error, 2 for usage)."""
    parser = _parser()
    args = parser.parse_args(argv)
    try:
        return int(args.do(args))
    except LaionProbeError as error:
        if args.debug:
            raise
        for line in f"laion-probe: {error}".splitlines():
            print(one_line(line), file=sys.stderr)
        return 1
    except BrokenPipeError:
        # The reader of our output (head, say) has gone; what was asked for is written.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except KeyboardInterrupt:
        print("laion-probe: stopped; finished units are kept, run again to go on", file=sys.stderr)
        return 130


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="laion-probe",
        description="Measure where the bias of an image-text data set comes from, stage by stage.",
        epilog="Exit codes: 0 done, 1 an error that is explained in one line, 2 wrong usage.",
    )
    parser.add_argument("--version", action="version", version=f"laion-probe {__version__}")
    commands = parser.add_subparsers(title="commands", metavar="COMMAND", required=True)
    for command in COMMANDS:
        _add_command(commands, command)
    for job in JOBS:
        _add_job(commands, job)
    _add_plan(commands)
    recipes = commands.add_parser("recipes", help="list the pre-processing recipes, or show one")
    recipes.add_argument(
        "action", nargs="?", choices=("list", "show"), default="list", help="list them, or show one"
    )
    recipes.add_argument("name", nargs="?", help="the recipe to show: a name, or a TOML file")
    recipes.set_defaults(do=_recipes)
    for name, (words, lines) in _LISTS.items():
        commands.add_parser(name, help=words).set_defaults(do=_print_list, lines=lines)
    for parts in commands.choices.values():
        parts.add_argument("--debug", action="store_true", help="show the traceback of an error")
    return parser


def _add_command(commands: Any, command: Command) -> None:
    p = commands.add_parser(command.name, help=command.help, description=command.description)
    if command.argument:
        field = command.config.model_fields[command.argument]
        more: dict[str, str] = {}
        if command.many or not field.is_required():
            more = {"nargs": "*" if command.many else "?", "metavar": command.argument.upper()}
        p.add_argument(command.argument, help=field.description, **more)
    _add_options(p, command.config, but=(command.argument,))
    p.set_defaults(do=_report, command=command)


def _add_job(commands: Any, job: Job) -> None:
    p = commands.add_parser(job.name, help=job.help, description=job.description)
    words = job.config.model_fields[job.argument].description
    nargs = "+" if job.many else None
    p.add_argument(job.argument, nargs=nargs, metavar=job.metavar, help=words)
    _add_options(p, job.config, but=(job.argument, *job.but))
    p.set_defaults(do=_lines, job=job)


def _add_plan(commands: Any) -> None:
    p = commands.add_parser(
        "plan",
        help="what a scan would read and take: rows, bytes, time, memory",
        description="Measure a scan on a few row groups and say what all of it would take, here "
        "and on more cores. A public set's name (laion2B-en, laion400m ...) uses built-in facts "
        "and needs no network.",
    )
    p.add_argument(
        "shards", nargs="+", metavar="SHARDS", help="shards as for scan, or a public set's name"
    )
    _add_options(p, PlanConfig, but=("shards",))
    p.set_defaults(do=_plan)


def _add_options(p: argparse.ArgumentParser, config: type[Options], but: Sequence[str]) -> None:
    """An option a field of the config; a flag that is not given stays with the TOML or default."""
    p.add_argument("--config", metavar="FILE", help="TOML file with these options; options win")
    for name, field in config.model_fields.items():
        if name in but:
            continue
        flag = "--" + name.replace("_", "-")
        default = "" if field.default in (None, (), "") else f" (default: {_words(field.default)})"
        kind = str(field.annotation)
        if "tuple" in kind:
            words = f"{field.description}{default}"
            p.add_argument(flag, nargs="+", action="extend", metavar="ITEM", help=words)
            continue
        if "bool" in kind:
            p.add_argument(flag, action="store_true", default=None, help=field.description)
            continue
        metavar = "X" if "float" in kind else "N" if "int" in kind else None
        if "Literal" in kind:
            metavar = "{" + ",".join(re.findall(r"'([\w-]+)'", kind)) + "}"
        p.add_argument(flag, metavar=metavar, help=f"{field.description}{default}")
    p.add_argument("--quiet", action="store_true", help="no progress on standard error")


def _words(default: object) -> str:
    if isinstance(default, float) and default >= 1 << 20:  # bytes
        return f"{default / (1 << 30):g}G" if default >= 1 << 30 else f"{default / (1 << 20):g}M"
    return " ".join(map(str, default)) if isinstance(default, tuple) else str(default)


def _report(args: argparse.Namespace) -> int:
    command: Command = args.command
    config = _config(args, command.config)
    said, out = run_command(command, config, args.quiet)
    for sentence in said.sentences:
        print(one_line(sentence))
    for reason in said.failed:
        print(one_line(f"failed: {reason}"), file=sys.stderr)
    print(f"report: {out / 'report.html'}")
    return 0


def _lines(args: argparse.Namespace) -> int:
    job: Job = args.job
    for line in job.run(_config(args, job.config), args.quiet):
        print(one_line(line), flush=True)
    return 0


def _plan(args: argparse.Namespace) -> int:
    config = _config(args, PlanConfig)
    os.environ["POLARS_MAX_THREADS"] = "1"  # what is measured is one core's time
    from laion_probe.questions.planning import plan

    for line in plan(config).lines():
        print(one_line(line))
    return 0


def _config(args: argparse.Namespace, kind: type[C]) -> C:
    names = [n for n in kind.model_fields if hasattr(args, n)]
    given = {n: v for n in names if (v := getattr(args, n)) not in (None, [])}
    for name, value in given.items():
        for text in value if isinstance(value, list) else [value]:
            # bytes that the shell gave and that are no text cannot stand in a result.json
            if isinstance(text, str) and _is_broken(text):
                raise ConfigError(f"{name}: {one_line(ascii(text))} is not UTF-8; rename it")
    if args.config:
        return load_config(Path(args.config), given, kind)
    if issubclass(kind, DataConfig) and not given.keys() & {"shards", "counts"}:
        if _DEMO.is_file() and issubclass(kind, PicturesConfig):
            return load_config(_DEMO, given, kind, shared=True)
        flag = "--shards with " if issubclass(kind, PicturesConfig) else ""
        raise ConfigError(
            f"no shards given: use {flag}files, a folder, a glob or URLs, or --config"
        )
    return make_config(given, kind)


def _is_broken(text: str) -> bool:
    return any("\ud800" <= c <= "\udfff" for c in text)


def _recipes(args: argparse.Namespace) -> int:
    if args.action == "show" and args.name is None:
        raise ConfigError("recipes show needs a name; `laion-probe recipes` lists them")
    for line in recipe_list() if args.action == "list" else recipe_text(args.name):
        print(one_line(line))
    return 0


def _print_list(args: argparse.Namespace) -> int:
    for line in args.lines():
        print(one_line(line))
    return 0


if __name__ == "__main__":
    sys.exit(main())
