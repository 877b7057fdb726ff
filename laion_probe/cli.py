"""The command line: thin, every option documented, errors in one line."""

from __future__ import annotations

import argparse
import json
import os
import platform
import re
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from laion_probe import __version__
from laion_probe.config import ProbeConfig, load_config, make_config
from laion_probe.errors import ConfigError, LaionProbeError

__all__ = ["main"]

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
        print(f"laion-probe: {_one_line(str(error))}", file=sys.stderr)
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
    recipes = commands.add_parser("recipes", help="list the pre-processing recipes, or show one")
    recipes.add_argument("action", nargs="?", choices=("list", "show"), default="list")
    recipes.add_argument("name", nargs="?", help="the recipe to show: a name, or a TOML file")
    recipes.set_defaults(run=_recipes)
    for command in commands.choices.values():
        command.add_argument("--debug", action="store_true", help="show the traceback of an error")
    return parser


def _add_probe(commands: Any) -> None:
    fields = ProbeConfig.model_fields
    p = commands.add_parser(
        "probe",
        help="follow a concept from the pool through a recipe to generated pictures",
        description="Follow a concept from the pool through a recipe to generated pictures. "
        "Without --shards and --config, the embedded demo data (data/demo) are used.",
    )
    p.add_argument("concept", help=fields["concept"].description)
    p.add_argument("--config", metavar="FILE", help="TOML file with these options; options win")
    for name in ("shards", "examples", "attributes", "reference"):
        p.add_argument(f"--{name}", nargs="+", metavar="ITEM", help=fields[name].description)
    for name in (
        "images",
        "generated",
        "prompt",
        "recipe",
        "already",
        "data-note",
        "model",
        "pretrained",
        "embeddings",
        "out",
        "cache",
    ):
        p.add_argument(f"--{name}", help=_help(name.replace("-", "_")))
    for name, kind in (("seed", int), ("show", int), ("audit-captions", int)):
        p.add_argument(f"--{name}", type=kind, metavar="N", help=_help(name.replace("-", "_")))
    for name in ("threshold", "level", "max-failed-share"):
        p.add_argument(f"--{name}", type=float, metavar="X", help=_help(name.replace("-", "_")))
    p.add_argument("--quiet", action="store_true", help="no progress on standard error")
    p.set_defaults(run=_probe)


def _help(name: str) -> str:
    field = ProbeConfig.model_fields[name]
    default = "" if field.default is None else f" (default: {field.default})"
    return f"{field.description}{default}"


def _probe(args: argparse.Namespace) -> int:
    config = _config(args)
    from laion_probe.questions.probe import probe
    from laion_probe.render import render_run
    from laion_probe.store import free_run_folder, run_folder

    out = Path(config.out) if config.out else free_run_folder(Path("runs"), _slug(config.concept))
    started = time.monotonic()
    with run_folder(out) as scratch:
        with _Progress(quiet=args.quiet) as progress:
            result = probe(config, progress)
        render_run(result, scratch)
        run = {
            "seconds": round(time.monotonic() - started, 2),
            "host": platform.node(),
            "python": platform.python_version(),
            "working_directory": str(Path.cwd()),
            "out": str(out),
        }
        (scratch / "run.json").write_text(json.dumps(run, indent=2) + "\n", encoding="utf-8")
    for sentence in result.finding.sentences:
        print(_one_line(sentence))
    print(f"report: {out / 'report.html'}")
    return 0


def _config(args: argparse.Namespace) -> ProbeConfig:
    names = [n for n in ProbeConfig.model_fields if hasattr(args, n)]
    given = {n: v for n in names if (v := getattr(args, n)) is not None}
    if args.config:
        return load_config(Path(args.config), given)
    if "shards" not in given:
        if _DEMO.is_file():
            return load_config(_DEMO, given)
        raise ConfigError(
            "no shards given: use --shards with parquet files, a folder or a glob, or --config"
        )
    return make_config(given)


def _recipes(args: argparse.Namespace) -> int:
    from laion_probe.recipes import known_recipes, load_recipe

    if args.action == "show" and args.name is None:
        raise ConfigError(f"recipes show needs a name: {', '.join(known_recipes())}")
    if args.action == "list":
        for name in known_recipes():
            print(f"{name:12} {load_recipe(name).title}")
        return 0
    recipe = load_recipe(args.name)
    print(f"{recipe.name}: {recipe.title}\nsource: {recipe.source} ({recipe.confidence})")
    for number, step in enumerate(recipe.step, 1):
        print(f"{number:3}. {step.id:12} {step.title}")
        print(f"     {step.kind} ({step.role}) {step.params or ''}".rstrip())
        if step.source:
            print(f"     source: {step.source} ({step.confidence or recipe.confidence})")
        if step.simulated != "yes":
            print(f"     simulated: {step.simulated}; {step.note}")
    return 0


def _slug(concept: str) -> str:
    return re.sub(r"[^\w]+", "-", concept.lower()).strip("-")[:60] or "probe"


def _one_line(text: str) -> str:
    """Text from data may hold control characters that a terminal would obey."""
    return "".join(c if c.isprintable() else " " for c in text)


class _Progress:
    """A progress bar a task, on standard error; nothing where it is not a terminal."""

    def __init__(self, quiet: bool) -> None:
        from rich.console import Console
        from rich.progress import Progress

        console = Console(stderr=True, quiet=quiet)
        self._bars = Progress(console=console, transient=True, disable=not console.is_terminal)
        self._tasks: dict[str, Any] = {}

    def __enter__(self) -> _Progress:
        self._bars.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._bars.stop()

    def __call__(self, what: str, done: int, of: int) -> None:
        if what not in self._tasks:
            self._tasks[what] = self._bars.add_task(what, total=of)
        self._bars.update(self._tasks[what], completed=done)


if __name__ == "__main__":
    sys.exit(main())
