"""Write docs/reference from the parser and the docstrings: `python -m tools.reference`.

The pages are committed, so that they can be read where the repository lies; a test says whether
they are current.
"""

from __future__ import annotations

import argparse
import ast
import inspect
import re
import sys
import textwrap
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any, get_args

import laion_probe
from laion_probe.cli import _parser
from laion_probe.commands import COMMANDS, JOBS
from laion_probe.render.frames import TABLES
from laion_probe.render.tables import ESTIMATE
from laion_probe.results import Value

__all__ = ["FOLDER", "parsers", "reference"]

FOLDER = Path(__file__).parent.parent / "docs" / "reference"
_MADE = "Made by `python -m tools.reference`."
_EVERYWHERE = ("--help", "--config", "--quiet", "--debug")


def main() -> None:
    FOLDER.mkdir(exist_ok=True)
    for name, text in reference().items():
        (FOLDER / name).write_text(text, encoding="utf-8", newline="\n")


def reference() -> dict[str, str]:
    """The pages: file name to text."""
    pages = {"commands.md": _commands(), "api.md": _api(), "tables.md": _tables()}
    return {name: "\n".join(lines).rstrip() + "\n" for name, lines in pages.items()}


# Commands


def parsers() -> dict[str, argparse.ArgumentParser]:
    """The parser of each command, by its name, as the command line has them."""
    found = [a for a in _parser()._actions if isinstance(a, argparse._SubParsersAction)]
    return dict(found[0].choices)


def _commands() -> Iterator[str]:
    yield "# Commands"
    yield ""
    yield (
        f"{_MADE} Every command also takes `--debug` (the traceback of an error) and says all of "
        "this with `--help`. Those with options take them from a TOML file too (`--config FILE`, "
        "names with `_` for `-`; options win), and are silent with `--quiet`."
    )
    for name, parser in parsers().items():
        yield from ("", f"## {name}", "", f"`{_usage(parser)}`", "")
        yield _cell(parser.description or _help_of(name))
        rows = [a for a in parser._actions if not set(a.option_strings) & set(_EVERYWHERE)]
        if rows:
            yield from ("", "| option | takes | what it is |", "| --- | --- | --- |")
            yield from (_option(parser, action) for action in rows)


def _usage(parser: argparse.ArgumentParser) -> str:
    """The name of the program, the command and what is given without a flag."""
    words = [parser.prog]
    for action in parser._actions:
        if not action.option_strings:
            name = str(action.metavar or action.dest).upper()
            many = {"*": f"[{name}...]", "+": f"{name}...", "?": f"[{name}]"}
            words.append(many.get(str(action.nargs), name))
    return " ".join([*words, "[OPTIONS]"])


def _help_of(name: str) -> str:
    actions = [a for a in _parser()._actions if isinstance(a, argparse._SubParsersAction)]
    return next(str(a.help) for a in actions[0]._choices_actions if a.dest == name)


def _option(parser: argparse.ArgumentParser, action: argparse.Action) -> str:
    help_ = parser._get_formatter()._expand_help(action) if action.help else ""
    if action.option_strings:
        name = f"`{action.option_strings[0]}`"
        takes = "" if action.nargs == 0 else str(action.metavar or action.dest.upper())
        takes += " ..." if action.nargs == "+" else ""
    else:
        name, takes = f"`{str(action.metavar or action.dest).upper()}`", ""
    return f"| {name} | {f'`{_bars(takes)}`' if takes else ''} | {_cell(help_)} |"


def _bars(words: str) -> str:
    return words.replace("|", "\\|")


def _cell(words: str) -> str:
    """Words of plain text as Markdown; what is in ticks stays."""
    parts = " ".join(words.split()).replace("|", "\\|").split("`")
    plain = [
        re.sub(r"([<>*\[\]])", r"\\\1", part) if i % 2 == 0 else part
        for i, part in enumerate(parts)
    ]
    return "`".join(plain)


# Python


def _api() -> Iterator[str]:
    yield from ("# Python", "", _MADE, "", *_prose(laion_probe.__doc__ or ""), "")
    names = [name for name in laion_probe.__all__ if not name.startswith("__")]
    yield "## Functions"
    for name in names:
        value = getattr(laion_probe, name)
        if not inspect.isclass(value):
            yield from ("", f"### {name}", "", "```python", _signature(name, value), "```", "")
            yield from _prose(value.__doc__ or "")
    yield from ("", "## Configs", "")
    yield (
        "A config's fields are the options of its command, with `_` for `-`; a field that takes "
        "several words is a tuple. They are checked when it is made: a wrong one raises "
        "`pydantic.ValidationError`."
    )
    yield from ("", "| config | command |", "| --- | --- |")
    commands = {c.config.__name__: c.name for c in (*COMMANDS, *JOBS)}
    for name in names:
        if name.endswith("Config"):
            yield f"| `{name}` | [{commands[name]}](commands.md#{commands[name]}) |"
    yield from ("", "## Results", "")
    yield (
        "A result is a frozen pydantic model: `to_json()` gives the bytes of a run's `result.json`,"
        " `from_json(text)` reads them back, `laion_probe.frames(result)` gives its "
        "[tables](tables.md)."
    )
    results = [getattr(laion_probe, name) for name in names if name.endswith("Result")]
    for model in results:
        yield from _model(model)
    yield from ("", "## Values", "", "What results are made of.")
    for model in sorted(_parts(results), key=lambda m: (m.__name__.lower(), m.__module__)):
        yield from _model(model)


def _signature(name: str, function: Callable[..., Any]) -> str:
    """The signature as it is written; a default that is a function is three dots."""
    given = inspect.signature(function)
    shown = [
        p.replace(default=...) if callable(p.default) and p.default is not p.empty else p
        for p in given.parameters.values()
    ]
    text = name + str(given.replace(parameters=shown)).replace("'", "").replace("Ellipsis", "...")
    if len(text) <= 88:
        return text
    inner = ",\n".join(f"    {str(p).replace(chr(39), '')}" for p in shown)
    result = str(given.return_annotation).strip("'")
    return f"{name}(\n{inner},\n) -> {result}".replace("Ellipsis", "...")


def _prose(doc: str) -> list[str]:
    """A docstring as Markdown: examples in fences, literals in single ticks."""
    lines: list[str] = []
    code = False
    for line in inspect.cleandoc(doc).splitlines():
        bare = line.strip()
        starts = bare.startswith(">>>")
        if starts and not code:
            lines += [*([""] if lines and lines[-1] else []), "```pycon"]
            code = True
        elif code and not bare:
            lines.append("```")
            code = False
        if bare in ("Example:", "Examples:"):
            continue
        lines.append(bare.replace("  # doctest: +SKIP", "") if code else _literals(bare))
    return [*lines, "```"] if code else lines


def _literals(line: str) -> str:
    return line.replace("``", "`")


def _model(model: type[Value]) -> Iterator[str]:
    yield from ("", f"### {model.__name__}", "", f"`{model.__module__}`", "")
    if model.__doc__:
        yield from _prose(model.__doc__)
    written: dict[str, str] = {}
    for kind in reversed(model.__mro__):
        written |= {
            k: v
            for k, v in vars(kind).get("__annotations__", {}).items()
            if k in model.model_fields
        }
    if written:
        yield from ("", "| field | type |", "| --- | --- |")
        yield from (f"| `{name}` | `{_bars(kind)}` |" for name, kind in written.items())


def _parts(models: Iterable[type[Value]]) -> set[type[Value]]:
    """The values that are in these, and in those again, without these."""
    given = set(models)
    found: set[type[Value]] = set()
    todo = list(given)
    while todo:
        for field in todo.pop().model_fields.values():
            new = set(_values(field.annotation)) - found - given
            found |= new
            todo += new
    return found


def _values(annotation: Any) -> Iterator[type[Value]]:
    if inspect.isclass(annotation) and issubclass(annotation, Value):
        yield annotation
    for inner in get_args(annotation):
        yield from _values(inner)


# Tables


def _tables() -> Iterator[str]:
    yield from ("# Tables", "")
    yield (
        f"{_MADE} A run folder's `tables/*.csv`, and the frames of `laion_probe.frames(result)` by "
        "the same names. One row an estimate: its number, interval and how it was come by are in "
        "`value low high level n units method assumptions`, written *estimate* below. What is not "
        "defined is an empty cell (null in a frame), never a zero."
    )
    for model, tables in TABLES.items():
        yield from ("", f"## {model.__name__}", "", "| table | columns |", "| --- | --- |")
        for name, header in _headers(tables):
            shown = header.removesuffix(ESTIMATE)
            of = ", *estimate*" if shown != header else ""
            yield f"| `{name}` | {', '.join(f'`{c}`' for c in shown.split())}{of} |"


def _headers(function: Callable[..., Any]) -> Iterator[tuple[str, str]]:
    """The names and headers in the dictionary that a function of tables returns."""
    tree = ast.parse(textwrap.dedent(inspect.getsource(function)))
    returned = [n.value for n in ast.walk(tree) if isinstance(n, ast.Return)]
    (tables,) = [value for value in returned if isinstance(value, ast.Dict)]
    scope = vars(sys.modules[function.__module__])
    for key, value in zip(tables.keys, tables.values, strict=True):
        assert isinstance(key, ast.Constant)
        assert isinstance(value, ast.Tuple)
        header = eval(compile(ast.Expression(value.elts[0]), "", "eval"), scope)
        yield str(key.value), str(header)


if __name__ == "__main__":
    main()
