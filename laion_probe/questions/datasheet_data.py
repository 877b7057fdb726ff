"""What a pass over shards answers of a datasheet, question by question."""

from __future__ import annotations

import re
from collections.abc import Iterator

from laion_probe.data_result import ColumnFacts, DataResult
from laion_probe.datasheet_result import Number, Statement
from laion_probe.questions.datasheet_data_groups import (
    Said,
    brief,
    has_intervals,
    is_complete,
    of_groups,
    of_rows,
    rows,
)
from laion_probe.questions.datasheet_numbers import Source, say, size_field

__all__ = ["Said", "brief", "of_data"]

_DOMAINS_SHOWN, _COLUMNS_SHOWN = 8, 60
_BY_MODELS = (
    "similarity",
    "similarity_l14",
    "punsafe",
    "pwatermark",
    "aesthetic",
    "nsfw_score",
)
_TAGS = {"language": "a language tag", "nsfw": "an NSFW tag", "uid": "an identifier"}
# what repeats, which rows the share is of, and what a key is of
_REPEATED = {
    "url": ("the address", "of the rows with an address", "addresses"),
    "text": ("the caption", "of the rows with a caption", "captions"),
    "url and text": (
        "both the address and the caption",
        "of the rows with an address",
        "addresses with their captions",
    ),
}
_TEXTS = {"string", "large_string", "string_view"}  # of these a blank one counts as missing
#: Columns that hold no data of the rows. pandas names them so: its developers' guide, "Storing
#: pandas DataFrame objects in Apache Parquet format", and `read_csv` of a column without a name.
_INDEX = re.compile(r"__index_level_\d+__|Unnamed: 0")
_IS_INDEX = "an index that pandas wrote into the file, which says nothing of the picture or caption"
_ROUNDED = "Values were rounded to three significant digits before they were counted."
_HELD = {"text": "of the rows with a caption", "url": "of the rows with an address"}


def of_data(source: Source, r: DataResult) -> Iterator[Said]:
    """Every statement that the shards support."""
    yield from _instances(source, r)
    yield from _columns(source, r)
    yield from _scores(source, r)
    yield from _repeated(source, r)
    yield from _outside(source, r)
    yield from of_groups(source, r)
    yield from _contacts(source, r)
    yield from _before(source, r)


def _instances(s: Source, r: DataResult) -> Iterator[Said]:
    served = {c.serves for c in r.columns}
    what = (
        "an address, meant as that of a picture, and a caption" if "url" in served else "a caption"
    )
    rest = " The picture itself is not in it." if "url" in served else ""
    yield "composition-instances", say(f"One instance is a row: {what}.{rest}")
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
                "What follows was counted on {} of these rows: a random sample of {} row "
                f"group{'s' * (r.reading.n_units_tried != 1)}.",
                s.count("reading", "n_rows_read"),
                s.count("reading", "n_units_tried"),
                caution="Brackets hold intervals by row group; counts and quantiles are of the "
                "rows that were read."
                if has_intervals(r)
                else "One row group gives no interval: what follows is of the rows that were read, "
                "and how far that holds of the others is not known.",
            ),
        )
    if r.reading.n_units_failed:
        held = "brackets hold what shares could be with them"
        if not r.reading.full:
            held = "their rows are not in shares; brackets hold what those could be with them"
        failed: list[Number | str] = [s.count("reading", "n_units_failed")]
        with_rows = ""
        if r.reading.n_rows_failed is not None:
            failed.append(s.count("reading", "n_rows_failed"))
            with_rows = ", with {} rows"
        yield (
            "composition-errors",
            say(
                f"Row groups that could not be read: {{}}{with_rows} ({held}).",
                *failed,
                caution="Counts and quantiles are of the rows that were read.",
            ),
        )


def _columns(s: Source, r: DataResult) -> Iterator[Said]:
    listed, whole = [], all(_is_everywhere(c, r) for c in r.columns)
    for c in r.columns[:_COLUMNS_SHOWN]:
        role = f", read as {c.serves}" if c.serves and c.serves != c.name.lower() else ""
        role += f"; {_IS_INDEX}" if _is_index(c) else ""
        role += "" if _is_everywhere(c, r) else "; not in every file"
        listed.append(f"{c.name} ({' or '.join(c.types)}{role})")
    more = f" and {len(r.columns) - _COLUMNS_SHOWN} more" if len(r.columns) > len(listed) else ""
    yield (
        "composition-data",
        say(
            f"{'Each row holds' if whole else 'The files have, in all,'} {len(r.columns)} "
            f"column{'s' * (len(r.columns) != 1)}: {{}}.",
            ", ".join(listed) + more,
        ),
    )
    for i, _ in enumerate(r.notes):
        yield "composition-data", say("A note on how it was read: {}.", s.words("notes", i))
    for what in ("characters", "words"):
        found = _score(r, what)
        if found is not None:
            q = ("scores", found, "quantiles")
            yield (
                "composition-data",
                say(
                    f"The length of captions that are not blank, in {what}: half have {{}} or "
                    "fewer, nine in ten from {} to {}.",
                    s.plain(*q, "50"),
                    s.plain(*q, "5"),
                    s.plain(*q, "95"),
                ),
            )
    for i, c in enumerate(r.columns):
        if c.n_missing:
            what = "is missing or blank" if _TEXTS & set(c.types) else "is missing"
            every = _is_everywhere(c, r)
            of = of_rows(r) if every else "of the rows in files that have the column"
            yield (
                "composition-missing",
                say(
                    f"{{}} {what} in {{}} {rows(r, c.n_missing)}, {{}} {of}.",
                    c.name,
                    s.count("columns", i, "n_missing"),
                    s.share("columns", i, "missing"),
                ),
            )
    full = [c for c in r.columns if c.n_missing == 0 and not _is_index(c)]
    everywhere = "" if is_complete(r) else " (of the rows read)"
    for every, of in ((True, everywhere), (False, f" (of the {rows(r)} in files that have it)")):
        if names := [c.name for c in full if _is_everywhere(c, r) == every]:
            yield "composition-missing", say(f"Nothing is missing in {{}}{of}.", ", ".join(names))
    if unread := [c.name for c in r.columns if c.n_missing is None]:
        yield "composition-missing", say("Not counted: {}.", ", ".join(unread))
    if r.absent:
        words = ", ".join(r.absent)
        text = "Columns that other sets of this kind have, and no file here has: {}."
        yield "composition-missing", say(text, words)


def _is_index(c: ColumnFacts) -> bool:
    return not c.serves and _INDEX.fullmatch(c.name) is not None


def _is_everywhere(c: ColumnFacts, r: DataResult) -> bool:
    """Whether all files that were read have the column."""
    return c.n_rows == r.reading.n_rows_read


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
                "{}: of the rows that have it, half have {} or less, nine in ten from {} to {}.",
                f"{names.get(x.name, x.name)}, {x.title}{of}",
                s.plain(*q, "50"),
                s.plain(*q, "5"),
                s.plain(*q, "95"),
                caution=_ROUNDED if x.quantiles["95"] >= 1000 else "",
            ),
        )
        for j, y in enumerate(x.at_least):
            where = "composition-offensive" if x.name != "pwatermark" else "composition-errors"
            yield (
                where,
                say(
                    "{} of the rows that have {} are at {} or above, {} " + f"{rows(r, y.n)}.",
                    s.share("scores", i, "at_least", j, "share"),
                    names.get(x.name, x.name),
                    s.plain("scores", i, "at_least", j, "threshold"),
                    s.count("scores", i, "at_least", j, "n"),
                    caution=f"{x.title[:1].upper()}{x.title[1:]}. Its errors, and on whom they "
                    "fall, are not measured here.",
                ),
            )


def _repeated(s: Source, r: DataResult) -> Iterator[Said]:
    for i, x in enumerate(r.repeated):
        what, of, keys = _REPEATED[x.key]
        share, most = s.share("repeated", i, "repeated"), s.count("repeated", i, "most")
        text = f"{{}} {of} repeat {what} of a row before them"
        if x.key == "url and text" and any(c.serves == "text" and c.n_missing for c in r.columns):
            text += " (rows of one address that have no caption count as alike)"
        if x.one_in > 1:
            one_in = s.count("repeated", i, "one_in")
            words = f"{text} (counted on the rows of one in {{}} {keys}, chosen by a hash"
            end = "; the most frequent of these stands on {} rows)." if x.most > 1 else ")."
            numbers = [share, one_in, most] if x.most > 1 else [share, one_in]
            found = say(
                words + end,
                *numbers,
                caution="One that stands on a large part of the rows is in this with all of them, "
                "or not at all; the brackets do not allow for that.",
            )
        elif x.most > 1:
            found = say(text + "; the most frequent one stands on {} rows.", share, most)
        else:
            found = say(text + ".", share)
        yield "composition-errors", found
        if x.key == "url":
            twice = ", so that some pictures have several captions or occur twice"
            yield (
                "composition-relationships",
                say(
                    "No column is known to tie rows together. "
                    f"{text}{twice if x.most > 1 else ''}.",
                    share,
                ),
            )
    if r.why_no_repeats:
        yield "composition-errors", say("Duplicates were not counted: {}.", r.why_no_repeats)
    if r.sizes is not None and r.sizes.n_exchanged > r.sizes.n_agree:
        yield (
            "composition-errors",
            say(
                f"Width and height are exchanged: against the pictures' own sizes {{}} {rows(r)} "
                "agree only the other way round, {} as they are.",
                s.count("sizes", "n_exchanged"),
                s.count("sizes", "n_agree"),
            ),
        )


def _outside(s: Source, r: DataResult) -> Iterator[Said]:
    d = r.domains
    if d is None:
        return
    which = "an IP address, or a name that is reserved, such as those under .example"
    none, numbered = f"{{}} have none, or one without a registered domain ({which})", ["n_without"]
    if d.n_no_domain is not None:
        none = f"{{}} have no address, {{}} have one without a registered domain ({which})"
        numbered = ["n_no_address", "n_no_domain"]
    elif any(c.serves == "url" and c.n_missing == 0 and _is_everywhere(c, r) for c in r.columns):
        none = f"{{}} have one without a registered domain ({which})"  # of an earlier version
    yield (
        "composition-external",
        say(
            f"The pictures lie elsewhere: rows hold addresses. Of {{}} {rows(r)} {none}.",
            s.count("domains", "n_rows"),
            *(s.count("domains", field) for field in numbered),
            caution="Whether the pictures still are there is measured by “laion-probe fetch” and "
            "“laion-probe nonresponse”.",
        ),
    )
    if d.n_not_web:
        yield (
            "composition-errors",
            say(
                f"In {{}} {rows(r, d.n_not_web)} the address is none of the web: it begins with "
                "another scheme than http or https, such as data: or javascript:.",
                s.count("domains", "n_not_web"),
            ),
        )
    numbers: list[Number | str] = []
    for i, x in enumerate(d.top[:_DOMAINS_SHOWN]):
        numbers += [x.domain, s.share("domains", "top", i, "share")]
    if not numbers:
        return
    listed = f"{', '.join('{} {}' for _ in numbers[::2])} ({of_rows(r)})"
    if d.n_distinct is not None:
        what = "The addresses" if not d.n_without else "The others"
        read = "" if is_complete(r) else " that were read"
        n = s.count("domains", "n_distinct")
        domains = f"{{}} registered domain{'s' * (d.n_distinct != 1)}"
        text = f"{what}{read} are of {domains}; the most frequent: {listed}."
        yield "composition-external", say(text, n, *numbers)
        least = "" if is_complete(r) else "at least "
        yield "collection-source", _from_domains(f"{least}{domains}", n)
        return
    yield (
        "composition-external",
        say(
            f"The addresses are of more than {{}} registered domains, as many as can be followed; "
            f"the most frequent: {listed}. Each count may have missed up to {{}} rows, which "
            "the brackets allow for.",
            s.count("domains", "n_followed"),
            *numbers,
            s.count("domains", "missed"),
        ),
    )
    n = s.count("domains", "n_followed")
    yield "collection-source", _from_domains("more than {} registered domains", n)


def _from_domains(domains: str, n: Number) -> Statement:
    return say(
        f"The addresses are on {domains}.",
        n,
        caution="A registered domain says neither who is in a picture, nor who took it, nor from "
        "whom it was taken.",
    )


def _contacts(s: Source, r: DataResult) -> Iterator[Said]:
    """Captions, and addresses, with an e-mail address or a telephone number: counts alone."""
    rest = "Names, home addresses, account numbers and faces were not searched for."
    if any(g.name == "person" for g in r.groups):
        rest = (
            "Names were looked for by lists alone; home addresses, account numbers and faces were "
            "not searched for."
        )
    for column, of in _HELD.items():
        numbers: list[Number | str] = []
        for i, x in enumerate(r.contacts):
            if x.column == column and x.share.n:
                like = f"{x.title} ({x.words})" if column == "text" else x.title
                share, n = s.share("contacts", i, "share"), s.count("contacts", i, "n")
                numbers += [share, n, rows(r, x.n), like]
        if not numbers:
            continue
        listed = ", and ".join("{} ({} {}) hold what is written like {}" for _ in numbers[::4])
        if column == "text":
            text = f"{of}, {listed}. {rest}"
        else:
            text = f"{of}, {listed} after the host, by the same patterns."
        yield (
            "composition-identifiable",
            say(
                text[:1].upper() + text[1:],
                *numbers,
                caution="Told by how it is written alone: what is written otherwise is missed, a "
                "product number of that form is counted, and it may be a firm's. What was found is "
                "kept nowhere.",
            ),
        )


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
