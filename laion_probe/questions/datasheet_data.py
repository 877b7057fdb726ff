"""What a pass over shards answers of a datasheet, question by question."""

from __future__ import annotations

import re
from collections.abc import Iterator

from laion_probe.data_result import DataResult, GroupShares
from laion_probe.datasheet_result import Number, Statement
from laion_probe.groups import NONE_NAMED, UNKNOWN
from laion_probe.questions.datasheet_numbers import Source, say, size_field

__all__ = ["Said", "brief", "of_data"]

#: The id of a question, and a statement that answers it.
Said = tuple[str, Statement]

_LEVELS_SHOWN, _DOMAINS_SHOWN, _COLUMNS_SHOWN = 8, 8, 60
_BY_MODELS = (
    "similarity",
    "similarity_l14",
    "punsafe",
    "pwatermark",
    "aesthetic",
    "nsfw_score",
)
_TAGS = {"language": "a language tag", "nsfw": "an NSFW tag", "uid": "an identifier"}
_REPEATED = {
    "url": "address",
    "text": "caption",
    "url and text": "address and caption",
}
_LEVELS = {("script", "none"): "no letters", ("language", "und"): "no language told (und)"}
_TEXTS = {"string", "large_string", "string_view"}  # of these a blank one counts as missing
_NOTE_SHOWN = 220
_NOBODYS = "This is what captions say, by lists of words; it is nobody's identity."


def of_data(source: Source, r: DataResult) -> Iterator[Said]:
    """Every statement that the shards support."""
    yield from _instances(source, r)
    yield from _columns(source, r)
    yield from _scores(source, r)
    yield from _repeated(source, r)
    yield from _outside(source, r)
    yield from _groups(source, r)
    yield from _before(source, r)


def _instances(s: Source, r: DataResult) -> Iterator[Said]:
    served = {c.serves for c in r.columns}
    what = "the address of a picture and its caption" if "url" in served else "a caption"
    rest = " The picture itself is not in it." if "url" in served else ""
    yield "composition-instances", say(f"One instance is a row with {what}.{rest}")
    size = size_field(r.reading)
    least = "at least " if size == "n_rows_read" and r.reading.n_units_failed else ""
    yield (
        "composition-count",
        say(
            f"There are {least}{{}} rows in {{}} file{'s' * (r.n_files != 1)} ({{}} row "
            f"group{'s' * (r.reading.n_units != 1)}, {{}} bytes).",
            s.count("reading", size),
            s.count("n_files"),
            s.count("reading", "n_units"),
            s.count("n_bytes"),
            caution="Whether these files are all of a set or a part of it is for people to say; "
            "what is counted holds of these rows, and no interval reaches beyond them.",
        ),
    )
    if not r.reading.full:
        yield (
            "composition-count",
            say(
                "What follows was counted on {} of these rows: a random sample of {} row groups.",
                s.count("reading", "n_rows_read"),
                s.count("reading", "n_units_tried"),
                caution="Brackets hold intervals by row group.",
            ),
        )
    if r.reading.n_units_failed:
        held = "brackets hold what shares could be with them" if r.reading.full else "not in shares"
        yield (
            "composition-errors",
            say(
                f"Row groups that could not be read: {{}} ({held}).",
                s.count("reading", "n_units_failed"),
            ),
        )


def _columns(s: Source, r: DataResult) -> Iterator[Said]:
    listed = []
    for c in r.columns[:_COLUMNS_SHOWN]:
        role = f", read as {c.serves}" if c.serves and c.serves != c.name.lower() else ""
        listed.append(f"{c.name} ({' or '.join(c.types)}{role})")
    more = f" and {len(r.columns) - _COLUMNS_SHOWN} more" if len(r.columns) > len(listed) else ""
    yield (
        "composition-data",
        say(f"Each row holds {len(r.columns)} columns: {{}}.", ", ".join(listed) + more),
    )
    for i, _ in enumerate(r.notes):
        yield "composition-data", say("A note on how it was read: {}.", s.words("notes", i))
    for name, what in (("characters", "characters"), ("words", "words")):
        found = _score(r, name)
        if found is not None:
            q = ("scores", found, "quantiles")
            yield (
                "composition-data",
                say(
                    f"Half of the captions have {{}} {what} or fewer; nine in ten have from {{}} "
                    "to {}.",
                    s.plain(*q, "50"),
                    s.plain(*q, "5"),
                    s.plain(*q, "95"),
                ),
            )
    whole = [c.name for c in r.columns if c.n_missing == 0]
    for i, c in enumerate(r.columns):
        if c.n_missing:
            what = "is missing or blank" if _TEXTS & set(c.types) else "is missing"
            yield (
                "composition-missing",
                say(
                    "{} " + what + " in {} rows, {} of those in files that have the column.",
                    c.name,
                    s.count("columns", i, "n_missing"),
                    s.share("columns", i, "missing"),
                ),
            )
    if whole:
        yield "composition-missing", say("Nothing is missing in {}.", ", ".join(whole))
    if unread := [c.name for c in r.columns if c.n_missing is None]:
        yield "composition-missing", say("Not counted: {}.", ", ".join(unread))
    if r.absent:
        words = ", ".join(r.absent)
        yield "composition-missing", say("Other such sets also have: {}.", words)


def _score(r: DataResult, name: str) -> int | None:
    return next((i for i, x in enumerate(r.scores) if x.name == name), None)


def _scores(s: Source, r: DataResult) -> Iterator[Said]:
    names = {c.serves: c.name for c in r.columns if c.serves}
    by_models = [names[n] for n in _BY_MODELS if n in names]
    tags = [f"{names[n]} ({what})" for n, what in _TAGS.items() if n in names]
    if by_models or tags:
        listed = ", ".join([*(f"{n} (a score)" for n in by_models), *tags])
        yield (
            "composition-labels",
            say(
                "No column is known to hold a label that a person gave. Beside the caption there "
                "are {}.",
                listed,
            ),
        )
    else:
        yield "composition-labels", say("No column is known to hold a label beside the caption.")
    if by_models:
        yield (
            "collection-acquired",
            say(
                "Addresses and captions are as they stand in the files; {} are, by their names, "
                "scores that models gave, and nothing here says how well.",
                ", ".join(by_models),
            ),
        )
    for i, x in enumerate(r.scores):
        q = ("scores", i, "quantiles")
        if x.name in ("characters", "words"):
            continue
        of = f" ({x.source})" if x.source else ""
        yield (
            "composition-labels" if x.name in _BY_MODELS else "composition-data",
            say(
                "{}: half of the rows have {} or less, nine in ten from {} to {}.",
                f"{names.get(x.name, x.name)}, {x.title}{of}",
                s.plain(*q, "50"),
                s.plain(*q, "5"),
                s.plain(*q, "95"),
            ),
        )
        for j in range(len(x.at_least)):
            where = "composition-offensive" if x.name != "pwatermark" else "composition-errors"
            yield (
                where,
                say(
                    "{} of the rows that have {} are at {} or above, {} rows.",
                    s.share("scores", i, "at_least", j, "share"),
                    names.get(x.name, x.name),
                    s.plain("scores", i, "at_least", j, "threshold"),
                    s.count("scores", i, "at_least", j, "n"),
                    caution=f"{x.title.capitalize()}. Its errors, and on whom they fall, are not "
                    "measured here.",
                ),
            )


def _repeated(s: Source, r: DataResult) -> Iterator[Said]:
    for i, x in enumerate(r.repeated):
        of, share = _REPEATED[x.key], s.share("repeated", i, "repeated")
        rarely = "" if x.one_in == 1 else f"Counted on one in {x.one_in:,}, by a hash."
        text = f"{{}} of the rows repeat the {of} of a row before them"
        if x.most > 1:
            most = s.count("repeated", i, "most")
            found = say(text + "; the most frequent one stands on {} rows.", share, most)
        else:
            found = say(text + ".", share)
        yield "composition-errors", found.model_copy(update={"caution": rarely})
        if x.key == "url":
            twice = "so that some pictures have several captions or occur twice"
            yield (
                "composition-relationships",
                say(
                    f"Nothing ties rows together. {text}{', ' + twice if x.most > 1 else ''}.",
                    share,
                ),
            )
    if r.why_no_repeats:
        yield "composition-errors", say("Duplicates were not counted: {}.", r.why_no_repeats)
    if r.sizes is not None and r.sizes.n_exchanged > r.sizes.n_agree:
        yield (
            "composition-errors",
            say(
                "Width and height are exchanged: against the pictures' own sizes {} rows agree "
                "only the other way round, {} as they are.",
                s.count("sizes", "n_exchanged"),
                s.count("sizes", "n_agree"),
            ),
        )


def _outside(s: Source, r: DataResult) -> Iterator[Said]:
    d = r.domains
    if d is None:
        return
    yield (
        "composition-external",
        say(
            "The pictures lie elsewhere: rows hold their addresses. {} rows have none, or one "
            "without a registered domain (an IP address, or a name that is reserved, such as "
            "those under .example).",
            s.count("domains", "n_without"),
            caution="Whether the pictures still are there is measured by “laion-probe fetch” and "
            "“laion-probe nonresponse”.",
        ),
    )
    numbers: list[Number | str] = []
    for i, x in enumerate(d.top[:_DOMAINS_SHOWN]):
        numbers += [x.domain, s.share("domains", "top", i, "share")]
    if not numbers:
        return
    listed = ", ".join("{} {}" for _ in numbers[::2])
    if d.n_distinct is not None:
        text = f"They lie on {{}} registered domains; the most frequent are {listed}."
        yield (
            "composition-external",
            say(text, s.count("domains", "n_distinct"), *numbers),
        )
        yield (
            "collection-source",
            say(
                "From third parties: pages on {} registered domains.",
                s.count("domains", "n_distinct"),
                caution="A registered domain says neither who is in a picture nor who took it.",
            ),
        )
        return
    yield (
        "composition-external",
        say(
            f"More registered domains than can be followed; the most frequent are {listed}.",
            *numbers,
            caution=f"Each of these counts may have missed up to {d.missed:,} rows.",
        ),
    )


def _groups(s: Source, r: DataResult) -> Iterator[Said]:
    if any(group.name.startswith("identity-") for group in r.groups):
        yield (
            "composition-sensitive",
            say("Health, political opinions and where people live were not looked for."),
        )
    for i, group in enumerate(r.groups):
        kind = group.name.partition(":")[0]
        if kind == "language":
            yield "composition-data", _listed(s, i, group, "Captions by language")
            english = next((j for j, x in enumerate(group.levels) if x.level == "en"), None)
            if english is not None:
                yield (
                    "uses-impact",
                    say(
                        "{} of the captions are read as English (by {}).",
                        s.share("groups", i, "levels", english, "share"),
                        group.name.partition(":")[2],
                        caution=brief(group.note, f"/groups/{i}/note"),
                    ),
                )
        elif kind == "nsfw":
            if any(x.level != UNKNOWN for x in group.levels):
                yield "composition-offensive", _listed(s, i, group, "By the rows' own NSFW tag")
        elif kind in ("region", "tld", "domain"):
            if all(x.level == UNKNOWN for x in group.levels):
                continue
            words = group.title[:1].upper() + group.title[1:]
            yield "composition-external", _listed(s, i, group, words)
        elif kind == "script":
            yield "composition-data", _listed(s, i, group, "Captions by script")
        elif kind == "person":
            words = group.title[:1].upper() + group.title[1:]
            yield "composition-identifiable", _listed(s, i, group, words)
        else:
            words = group.title[:1].upper() + group.title[1:]
            yield "composition-subpopulations", _listed(s, i, group, words)
            if kind.startswith("identity-") and kind != "identity-gender":
                yield "composition-sensitive", _named(s, i, group)


def _listed(s: Source, i: int, group: GroupShares, words: str) -> Statement:
    """The levels of a group with their shares."""
    numbers: list[Number | str] = []
    for j, x in enumerate(group.levels[:_LEVELS_SHOWN]):
        level = _LEVELS.get((group.name.partition(":")[0], x.level), x.level)
        numbers += [level, s.share("groups", i, "levels", j, "share")]
    more = len(group.levels) - _LEVELS_SHOWN
    rest = f"; and {more} more" if more > 0 else ""
    text = f"{{}}: {'; '.join('{} {}' for _ in numbers[::2])}{rest}."
    return say(text, words, *numbers, caution=brief(group.note, f"/groups/{i}/note"))


def brief(note: str, pointer: str) -> str:
    """The first sentences of a long note, and where all of it stands."""
    if len(note) <= _NOTE_SHOWN:
        return note
    kept = ""
    for sentence in re.split(r"(?<=[.;]) ", note):
        if kept and len(kept) + len(sentence) > _NOTE_SHOWN:
            break
        kept += sentence + " "
    return f"{kept.strip()} … (all of it: {pointer})"


def _named(s: Source, i: int, group: GroupShares) -> Statement:
    """How many captions name a level at all."""
    beside = (NONE_NAMED, UNKNOWN)
    named = [(j, x) for j, x in enumerate(group.levels) if x.level not in beside]
    if not named:
        return say(
            "None was found, in {} captions in which a list of words was looked for: {}.",
            _looked_in(s, i, group),
            group.title,
            caution=f"{_NOBODYS} Other words and other languages than the list's are missed.",
        )
    numbers: list[Number | str] = []
    for j, x in named[:_LEVELS_SHOWN]:
        numbers += [x.level, s.count("groups", i, "levels", j, "n")]
    text = f"{{}}, rows that name one: {', '.join('{} {}' for _ in numbers[::2])}."
    words = group.title[:1].upper() + group.title[1:]
    return say(text, words, *numbers, caution=_NOBODYS)


def _looked_in(s: Source, i: int, group: GroupShares) -> Number | str:
    """The number of captions that name none: all that the list could be read on."""
    for j, x in enumerate(group.levels):
        if x.level == NONE_NAMED:
            return s.count("groups", i, "levels", j, "n")
    return "no"


def _before(s: Source, r: DataResult) -> Iterator[Said]:
    if r.already not in ("none", "unknown"):
        yield (
            "preprocessing-done",
            say(
                "The rows had passed {} before ({}): whom that removed cannot be seen in them.",
                s.words("already"),
                s.words("already_note"),
            ),
        )
        yield (
            "composition-sample",
            say("It is what {} left of something larger, or a part of that.", s.words("already")),
        )
    elif r.already == "none":
        yield (
            "preprocessing-done",
            say("No filter is behind these rows ({}).", s.words("already_note")),
        )
