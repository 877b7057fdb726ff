"""The command line: thin, every option documented, errors in one line."""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import platform
import re
import sys
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, TypeVar

from laion_probe import __version__
from laion_probe.config import (
    DataConfig,
    FiltersConfig,
    PlanConfig,
    ProbeConfig,
    ScanConfig,
    load_config,
    make_config,
)
from laion_probe.errors import ConfigError, LaionProbeError
from laion_probe.terminal import Live, Progress, group_list, one_line, recipe_list, recipe_text

__all__ = ["main"]

C = TypeVar("C", bound=DataConfig)
_DEMO = Path("data") / "demo" / "probe.toml"


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line; returns the exit code (0, 1 for a known error, 2 for usage)."""
    parser = _parser()
    args = parser.parse_args(argv)
    try:
        return int(args.run(args))
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
    _add_probe(commands)
    _add_filters(commands)
    _add_scan(commands)
    _add_plan(commands)
    recipes = commands.add_parser("recipes", help="list the pre-processing recipes, or show one")
    recipes.add_argument("action", nargs="?", choices=("list", "show"), default="list")
    recipes.add_argument("name", nargs="?", help="the recipe to show: a name, or a TOML file")
    recipes.set_defaults(run=_recipes)
    groups = commands.add_parser("groups", help="list the groups that rows can be counted by")
    groups.set_defaults(run=_groups)
    for command in commands.choices.values():
        command.add_argument("--debug", action="store_true", help="show the traceback of an error")
    return parser


def _add_probe(commands: Any) -> None:
    p = commands.add_parser(
        "probe",
        help="follow a concept from the pool through a recipe to generated pictures",
        description="Follow a concept from the pool through a recipe to generated pictures. "
        "Without --shards and --config, the embedded demo data (data/demo) are used.",
    )
    p.add_argument("concept", help=ProbeConfig.model_fields["concept"].description)
    _add_options(p, ProbeConfig, but=("concept",))
    p.set_defaults(run=_probe)


def _add_scan(commands: Any) -> None:
    p = commands.add_parser(
        "scan",
        help="run a recipe over any amount of shards: who is left after each step",
        description="Run a recipe over shards and count who is left after each step. Everything is "
        "read, or, with --until or a --max, a random sample of row groups, with intervals that "
        "hold whenever one stops. Run the same command again to go on where it was ended.",
    )
    p.add_argument(
        "shards", nargs="*", metavar="SHARDS", help=ScanConfig.model_fields["shards"].description
    )
    _add_options(p, ScanConfig, but=("shards",))
    p.set_defaults(run=_scan)


def _add_filters(commands: Any) -> None:
    p = commands.add_parser(
        "filters",
        help="replay recipes side by side: who is filtered out, by which step",
        description="Replay published filters on captions and metadata and account for who is "
        "removed, by which step: by script, caption-stated gender, religion ... Everything is "
        "read, or, with --max-units or --max-rows, a random sample of row groups.",
    )
    p.add_argument(
        "shards", nargs="*", metavar="SHARDS", help=FiltersConfig.model_fields["shards"].description
    )
    _add_options(p, FiltersConfig, but=("shards",))
    p.set_defaults(run=_filters)


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
    p.set_defaults(run=_plan)


def _add_options(p: argparse.ArgumentParser, config: type[DataConfig], but: Sequence[str]) -> None:
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
        p.add_argument(flag, metavar=metavar, help=f"{field.description}{default}")
    p.add_argument("--quiet", action="store_true", help="no progress on standard error")


def _words(default: object) -> str:
    return " ".join(map(str, default)) if isinstance(default, tuple) else str(default)


def _probe(args: argparse.Namespace) -> int:
    config = _config(args, ProbeConfig)
    from laion_probe.questions.probe import probe
    from laion_probe.render import render_run

    with _run(args, config, _slug(config.concept)) as (scratch, out):
        with Progress(quiet=args.quiet) as progress:
            result = probe(config, progress)
        render_run(result, scratch)
    for sentence in result.finding.sentences:
        print(one_line(sentence))
    print(f"report: {out / 'report.html'}")
    return 0


def _scan(args: argparse.Namespace) -> int:
    config = _config(args, ScanConfig)
    from laion_probe.questions.scanning import scan
    from laion_probe.render import render_scan

    with _run(args, config, f"scan-{_slug(Path(config.recipe).stem)}") as (scratch, out):
        with Live(quiet=args.quiet) as watch:
            result = scan(config, watch)
        render_scan(result, scratch)
    for sentence in result.finding:
        print(one_line(sentence))
    for failed in result.failed_units:
        print(one_line(f"failed: {failed.reason}"), file=sys.stderr)
    print(f"report: {out / 'report.html'}")
    return 0


def _filters(args: argparse.Namespace) -> int:
    config = _config(args, FiltersConfig)
    from laion_probe.questions.filters import filters
    from laion_probe.render import render_filters

    slug = "-".join(_slug(Path(name).stem) for name in config.recipe)[:60]
    with _run(args, config, f"filters-{slug}") as (scratch, out):
        with Progress(quiet=args.quiet) as progress:
            result = filters(
                config,
                lambda done, of, rows: progress("filters", done, of, f"{rows:,} rows"),
                scratch,
            )
        render_filters(result, scratch)
    for sentence in result.finding:
        print(one_line(sentence))
    for failed in result.failed_units:
        print(one_line(f"failed: {failed.reason}"), file=sys.stderr)
    print(f"report: {out / 'report.html'}")
    return 0


def _plan(args: argparse.Namespace) -> int:
    config = _config(args, PlanConfig)
    os.environ["POLARS_MAX_THREADS"] = "1"  # what is measured is one core's time
    from laion_probe.questions.planning import plan

    for line in plan(config).lines():
        print(one_line(line))
    return 0


@contextlib.contextmanager
def _run(args: argparse.Namespace, config: DataConfig, slug: str) -> Iterator[tuple[Path, Path]]:
    """The folder of a run, with ``run.json`` for what is not part of a result."""
    from laion_probe.store import free_run_folder, run_folder

    out = Path(config.out) if config.out else free_run_folder(Path("runs"), slug)
    started = time.monotonic()
    with run_folder(out) as scratch:
        yield scratch, out
        run = {
            "seconds": round(time.monotonic() - started, 2),
            "host": platform.node(),
            "python": platform.python_version(),
            "working_directory": str(Path.cwd()),
            "out": str(out),
            "config": config.model_dump(mode="json"),
        }
        (scratch / "run.json").write_text(json.dumps(run, indent=2) + "\n", encoding="utf-8")


def _config(args: argparse.Namespace, kind: type[C]) -> C:
    names = [n for n in kind.model_fields if hasattr(args, n)]
    given = {n: v for n in names if (v := getattr(args, n)) not in (None, [])}
    if args.config:
        return load_config(Path(args.config), given, kind)
    if "shards" not in given:
        if _DEMO.is_file() and kind is ProbeConfig:
            return load_config(_DEMO, given, kind)
        flag = "--shards with " if kind is ProbeConfig else ""
        raise ConfigError(
            f"no shards given: use {flag}files, a folder, a glob or URLs, or --config"
        )
    return make_config(given, kind)


def _recipes(args: argparse.Namespace) -> int:
    if args.action == "show" and args.name is None:
        raise ConfigError("recipes show needs a name; `laion-probe recipes` lists them")
    for line in recipe_list() if args.action == "list" else recipe_text(args.name):
        print(one_line(line))
    return 0


def _groups(args: argparse.Namespace) -> int:
    for line in group_list():
        print(one_line(line))
    return 0


def _slug(concept: str) -> str:
    return re.sub(r"[^\w]+", "-", concept.lower()).strip("-")[:60] or "probe"


if __name__ == "__main__":
    sys.exit(main())
