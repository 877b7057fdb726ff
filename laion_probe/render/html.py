"""``report.html``: one file that opens from disk and asks the network for nothing."""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import Mapping
from importlib.resources import files
from pathlib import Path

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from laion_probe.probe_result import ProbeResult
from laion_probe.render import geometry, text
from laion_probe.render.pointers import form_of, pointer
from laion_probe.render.view import raster, view
from laion_probe.results import Document, Estimate

__all__ = ["environment", "page", "policy_hash", "report_html", "tied", "write_report"]

_CAPTION_SHOWN = 100


def report_html(result: ProbeResult) -> str:
    """The whole report as one HTML page; the same result gives the same text."""
    return page(
        environment(),
        "report.html.j2",
        {
            "r": result,
            "v": view(result),
            "config": json.dumps(result.provenance.config, ensure_ascii=False, indent=2),
        },
    )


def write_report(out: Path, html: str, result: Document) -> None:
    """Write ``report.html`` and ``result.json`` into ``out``, which is made if need be."""
    out.mkdir(parents=True, exist_ok=True)
    (out / "report.html").write_text(html, encoding="utf-8", newline="\n")
    (out / "result.json").write_text(result.to_json(), encoding="utf-8", newline="\n")


def page(env: Environment, template: str, values: Mapping[str, object]) -> str:
    """A template as one self-contained page: with our style, our script, and their hashes."""
    templates = files("laion_probe.render") / "templates"
    style = (templates / "report.css").read_text(encoding="utf-8")
    script = (templates / "report.js").read_text(encoding="utf-8")
    ours = {
        # Markup, since the policy's hashes are of these very bytes; both are ours.
        "style": Markup(style),
        "script": Markup(script),
        "style_hash": policy_hash(style),
        "script_hash": policy_hash(script),
    }
    return env.get_template(template).render({**values, **ours})


def policy_hash(content: str) -> str:
    """What a content security policy calls an element with this very text.

    >>> policy_hash("")
    'sha256-47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU='
    """
    digest = base64.b64encode(hashlib.sha256(content.encode()).digest()).decode()
    return f"sha256-{digest}"


def environment() -> Environment:
    """Where every report is drawn: all is escaped and cleaned, and what is missing is an error."""
    env = Environment(
        loader=PackageLoader("laion_probe.render"),
        autoescape=True,
        undefined=StrictUndefined,
        finalize=_finalize,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    env.globals.update(
        est=_est,
        num=_num,
        ptr=pointer,
        percent=geometry.percent,
        removal_words=text.removal_words,
        short=_short,
        alt=_alt,
        raster=raster,
        CAPTION_SHOWN=_CAPTION_SHOWN,
    )
    env.filters.update(
        attribute=text.attribute_name,
        level=text.level_name,
        outcome=text.outcome_words,
        confidence=text.confidence_words,
        number=text.number,
        count=text.count,
        listed=text.join,
        capital=lambda words: words[:1].upper() + words[1:],
    )
    return env


def _finalize(value: object) -> object:
    """Every string that reaches the page is cleaned; a None there is a mistake in a template."""
    if value is None:
        raise TypeError("a template tried to print None")
    if isinstance(value, Markup) or not isinstance(value, str):
        return value
    return text.clean(value)


def _est(estimate: Estimate, where: str, form: text.Form | None = None) -> Markup:
    """An estimate with its interval, tied to its place in ``result.json``."""
    form = form or form_of(where)
    return tied(estimate, where, form, text.show(estimate, form))


def tied(estimate: Estimate, where: str, form: str, shown: text.Shown) -> Markup:
    """An estimate as ``shown``, tied to its place in ``result.json``."""
    interval = Markup(' <span class="ci">{}</span>').format(shown.interval)
    return Markup(
        '<span class="est" data-pointer="{}" data-form="{}" data-value="{}">'
        '<span class="value">{}</span>{}</span>'
    ).format(
        where,
        form,
        "" if estimate.value is None else repr(estimate.value),
        shown.value,
        interval if shown.interval else "",
    )


def _num(value: float, where: str, digits: int | None = None, scale: int = 1) -> Markup:
    """A plain number, a count unless it has ``digits``, tied to its place in ``result.json``."""
    if digits is not None and scale * value == round(scale * value):
        digits = 0 if scale > 1 else digits  # parity is 50 %, not 50.0 %
    shown = text.count(int(value)) if digits is None else text.number(scale * value, digits)
    return Markup(
        '<span class="num" data-pointer="{}" data-form="{}" data-value="{}">{}</span>'
    ).format(where, "number" if scale == 1 else "percent", repr(value), shown)


def _short(words: str, most: int) -> str:
    """The beginning of a long text, or all of a short one."""
    words = " ".join(words.split())
    return words if len(words) <= most else words[: most - 1].rstrip() + "…"


def _alt(caption: str, labels: dict[str, str]) -> str:
    """What a screen reader says of a picture: its caption, and how it was read."""
    said = "Picture without a caption"
    if caption.strip():
        said = f"Picture with the caption “{_short(caption, _CAPTION_SHOWN)}”"
    read = text.join([text.level_name(level) for level in labels.values()])
    return f"{said}; read as {read}" if read else said
