"""A datasheet of a data set: what was measured of it, and what people say, question by question."""

from __future__ import annotations

import contextlib
import hashlib
import json
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from laion_probe import __version__
from laion_probe.config import FiltersConfig
from laion_probe.config.datasheet import DatasheetConfig
from laion_probe.config.loading import change_paths
from laion_probe.datasheet_result import (
    Answer,
    DatasheetResult,
    Evidence,
    Lineage,
    LineageSample,
    Section,
    Statement,
)
from laion_probe.errors import ConfigError
from laion_probe.probe_result import ProbeResult
from laion_probe.questions.datasheet_files import (
    ANSWERS,
    DATASHEET,
    EVIDENCE,
    Answers,
    agreed_answers,
    as_given,
    asked_sections,
    is_datasheet,
    keep_answers,
    read_datasheet,
    read_evidence,
    write_file,
)
from laion_probe.questions.datasheet_numbers import Source, size_field
from laion_probe.questions.datasheet_runs import statements_of
from laion_probe.questions.datasheet_tables import (
    compositions_of,
    generators_of,
    lineage_of,
    sample_of,
    size_of,
    title_of,
)
from laion_probe.questions.describing import describe
from laion_probe.questions.filters import filters
from laion_probe.questions.inputs import Progress
from laion_probe.questions.opening_runs import opened, result_file
from laion_probe.questions.repeating import command
from laion_probe.results import Document
from laion_probe.scan_result import Reading

__all__ = ["datasheet", "datasheet_folder", "told", "unanswered"]

_FOLDER = "datasheet"
_COUNT = "composition-count"


#: A run's kind, its value, and the bytes of its JSON.
_Found = tuple[str, Document, bytes]


@dataclass(frozen=True)
class _Run:
    """A result with its bytes; ``id`` names its evidence."""

    id: str
    kind: str
    result: Document
    text: bytes

    @property
    def file(self) -> str:
        return f"{EVIDENCE}/{self.id}.json"


def datasheet(
    config: DatasheetConfig, progress: Progress = lambda what, done, of: None
) -> DatasheetResult:
    """Make a datasheet, or make one anew, and write its JSON, evidence and form of answers.

    Shards among the inputs are counted; finished runs and earlier datasheets are only read. A
    person's ``answers.toml`` in the folder is kept, those of earlier datasheets are taken. Raises a
    `LaionProbeError` that says what to do when an input cannot be used; then nothing was changed.

    >>> sheet = datasheet(DatasheetConfig(shards=("data/demo/shards",)))  # doctest: +SKIP
    >>> sheet.n_rows  # doctest: +SKIP
    21600
    """
    folder = datasheet_folder(config)
    mine, others = _forms(config, folder)
    answers = agreed_answers(mine, others)
    new, earlier = list(_opened(config)), list(_earlier(config))
    if len({data for kind, _, data in earlier if kind == "data"}) > 1:
        raise ConfigError(
            "the datasheets that are named count different shards, and a datasheet is of one set: "
            "name one of them, or the shards of all"
        )
    new += _measured(config, progress)
    runs = _named(new, earlier)
    result = _result(config, runs, answers)
    keep_answers(folder / ANSWERS, [*mine, *others], answers)
    _write(folder, runs, result)
    return result


def datasheet_folder(config: DatasheetConfig) -> Path:
    """Where the datasheet goes: ``out``, else the folder of a datasheet that is named."""
    named = [Path(place) for place in config.shards if is_datasheet(Path(place))]
    folder = Path(config.out) if config.out else (named[0] if named else Path(_FOLDER))
    if folder.exists() and not folder.is_dir():
        raise ConfigError(f"{folder} is a file: give another --out")
    ours = is_datasheet(folder) or (folder / ANSWERS).is_file()
    if folder.is_dir() and not ours and any(folder.iterdir()):
        raise ConfigError(f"{folder} holds something else than a datasheet: give another --out")
    return folder


def unanswered(result: DatasheetResult) -> tuple[Answer, ...]:
    """The questions that neither data nor a person answered."""
    return tuple(a for s in result.sections for a in s.answers if a.status == "unanswered")


def told(result: DatasheetResult) -> Iterator[str]:
    """What a command prints of a datasheet: how complete each section is, and what to do next."""
    done = sum(s.n_answered for s in result.sections)
    n = sum(len(s.answers) for s in result.sections)
    part = sum(s.n_in_part for s in result.sections)
    in_part = f", {part} of them in part, by data" if part else ""
    yield f"{done} of {n} questions are answered{in_part}:"
    for s in result.sections:
        people = sum(bool(a.person) for a in s.answers)
        by = f", {people} by a person" if people else ""
        by += f", {s.n_in_part} in part" if s.n_in_part else ""
        yield f"  {s.title}: {s.n_answered} of {len(s.answers)}{by}"
    still = sum(a.is_open for s in result.sections for a in s.answers)
    if still and not any(a.person for s in result.sections for a in s.answers):
        yield f"write answers into {ANSWERS} beside it and run again: it is never written over"
    elif still:
        yield f"{still} questions are open to a person, in {ANSWERS} beside it"


def _forms(config: DatasheetConfig, folder: Path) -> tuple[list[Path], list[Path]]:
    """Files of a person's answers: the folder's and the one named; those of other datasheets."""
    own, named = folder / ANSWERS, [] if config.answers is None else [Path(config.answers)]
    sheets = [Path(place) for place in config.shards if is_datasheet(Path(place))]
    others = [s / ANSWERS for s in sheets if s.resolve() != folder.resolve()]
    return [*([own] if own.is_file() else []), *named], [f for f in others if f.is_file()]


def _opened(config: DatasheetConfig) -> Iterator[_Found]:
    """The finished runs among the inputs."""
    for place in map(Path, config.shards):
        if is_datasheet(place):
            continue
        file = result_file(place)
        if file is not None:
            data = file.read_bytes()
            kind, result = opened(data, str(file))
            if kind == "datasheet":
                raise ConfigError(f"{file}: name the folder of the datasheet, not the file")
            yield kind, result, data


def _shards(config: DatasheetConfig) -> tuple[str, ...]:
    """The inputs that are neither runs nor datasheets."""
    return tuple(p for p in config.shards if result_file(Path(p)) is None)


def _measured(config: DatasheetConfig, progress: Progress) -> Iterator[_Found]:
    """What the shards among the inputs hold, and whom recipes would remove of them."""
    shards = _shards(config)
    if not config.shards:
        raise ConfigError("nothing to make a datasheet of: name finished runs, or shards")
    if not shards:
        if config.recipe:
            raise ConfigError("--recipe is replayed on shards: name some")
        return
    asked = config.model_copy(update={"shards": shards})
    found = describe(asked, lambda done, of, rows: progress("count", done, of))
    yield "data", found, found.to_json().encode()
    if config.recipe:
        same = {
            name: getattr(asked, name)
            for name in FiltersConfig.model_fields
            if name in DatasheetConfig.model_fields and name not in ("out", "by")
        }
        by = tuple(name for name in config.by if name != "language")
        replay = filters(
            FiltersConfig(**same, by=by, detectors=(), audit_captions=0, examples=0),
            lambda done, of, rows: progress("replay", done, of),
        )
        yield "filters", replay, replay.to_json().encode()


def _earlier(config: DatasheetConfig) -> Iterator[_Found]:
    """The evidence of earlier datasheets; shards that are counted now take the place of theirs."""
    counted = bool(_shards(config))
    for folder in map(Path, config.shards):
        if not is_datasheet(folder):
            continue
        for evidence in read_datasheet(folder).evidence:
            data = read_evidence(folder, evidence)
            kind, result = opened(data, str(folder / evidence.file))
            if not (kind == "data" and counted):
                yield kind, result, data


def _named(new: Sequence[_Found], earlier: Sequence[_Found]) -> list[_Run]:
    """Each run once, shards first, with a name for each; a new one takes an earlier one's place."""
    asked = {(kind, _command(data)) for kind, _, data in new}
    found = [*new, *(e for e in earlier if (e[0], _command(e[2])) not in asked)]
    runs: list[_Run] = []
    for kind, result, data in sorted(found, key=lambda run: run[0] != "data"):
        if any(run.text == data for run in runs):
            continue
        slug = re.sub(r"[^\w]+", "-", title_of(kind, result)[0].lower()).strip("-")[:40]
        stem = f"{kind}-{slug}" if slug else kind
        taken = {run.id for run in runs}
        number = next(n for n in range(1, len(taken) + 2) if _numbered(stem, n) not in taken)
        runs.append(_Run(_numbered(stem, number), kind, result, data))
    return runs


def _command(data: bytes) -> str:
    raw = json.loads(data)
    return str(raw.get("command") or raw["provenance"]["command"])


def _numbered(stem: str, number: int) -> str:
    return stem if number == 1 else f"{stem}-{number}"


def _result(config: DatasheetConfig, runs: Sequence[_Run], answers: Answers) -> DatasheetResult:
    said: dict[str, list[Statement]] = {}
    for run in runs:
        for question, statement in statements_of(Source(run.id, json.loads(run.text)), run.result):
            # counted once: by the pass over the shards, or else by the first run that did
            if question != _COUNT or not said.get(question) or run.kind == "data":
                said.setdefault(question, []).append(statement)
    earlier = [read_datasheet(Path(p)) for p in config.shards if is_datasheet(Path(p))]
    notes = list(dict.fromkeys(sheet.data_note for sheet in earlier if sheet.data_note))
    for run in runs:
        note = getattr(run.result, "data_note", "")
        notes += [note] if not any(note in known for known in notes) else []
    unsaid = [
        f"{run.id}: {words}" for run in runs for words in getattr(run.result, "cannot_say", ())
    ]
    lineage, samples = _lineage(runs)
    commands = _commands(config, earlier)
    return DatasheetResult(
        about=answers.about,
        data_note=config.data_note or " ".join(notes).strip(),
        n_rows=_n_rows(runs),
        sections=tuple(
            Section(
                id=section.id,
                title=section.title,
                answers=tuple(
                    Answer(
                        id=q.id,
                        question=q.question,
                        measured=() if q.by_data == "not" else tuple(said.get(q.id, ())),
                        person=answers.said.get(q.id, ""),
                        hint=q.hint,
                        by_data="whole" if q.by_data == "whole" else "in part",
                        beside=tuple(said.get(q.id, ())) if q.by_data == "not" else (),
                    )
                    for q in section.questions
                ),
            )
            for section in asked_sections()
        ),
        evidence=tuple(_evidence(run) for run in runs),
        compositions=tuple(c for run in runs for c in compositions_of(run.id, run.result)),
        lineage=lineage,
        samples=samples,
        generators=tuple(dict.fromkeys(g for run in runs for g in generators_of(run.result))),
        cannot_say=tuple(dict.fromkeys(unsaid)),
        interval_levels=tuple(sorted(set(_levels(runs, said)))),
        version=__version__,
        command=commands[0],
        earlier_commands=tuple(commands[1:]),
    )


def _commands(config: DatasheetConfig, earlier: Sequence[DatasheetResult]) -> list[str]:
    """The command that makes it again, from the folder that it was made in, and earlier ones.

    One that only reads its own folder anew makes no number: the one before it stays.
    """
    given = dict(config)
    named = change_paths(DatasheetConfig, given, as_given)
    mine = command("datasheet", config.model_copy(update=named), "shards")
    before = [c for sheet in earlier for c in (sheet.command, *sheet.earlier_commands)]
    alone = len(config.shards) == 1 and len(earlier) == 1 and not config.data_note
    if alone and Path(config.shards[0]).resolve() == datasheet_folder(config).resolve():
        return list(dict.fromkeys(before))
    return list(dict.fromkeys((mine, *before)))


def _levels(runs: Sequence[_Run], said: Mapping[str, Sequence[Statement]]) -> Iterator[float]:
    """The level of every interval that is shown."""
    sources = {run.id: Source(run.id, json.loads(run.text)) for run in runs}
    for statements in said.values():
        for number in (n for statement in statements for n in statement.numbers):
            found = sources[number.evidence].get(number.pointer)
            if isinstance(found, dict) and found.get("low") is not None:
                yield float(found["level"])
    for run in runs:
        for row in compositions_of(run.id, run.result):
            if row.low is not None and row.low != row.high:
                yield row.interval_level


def _n_rows(runs: Sequence[_Run]) -> int | None:
    """Rows of the whole set: as its shards say, else as a run that read rows does."""
    for run in runs:
        reading = getattr(run.result, "reading", None)
        if isinstance(reading, Reading):
            rows: int | None = getattr(reading, size_field(reading))
            return rows
    for run in runs:
        if run.kind in ("probe", "neighbours"):
            return size_of(run.result)[0]
    return None


def _evidence(run: _Run) -> Evidence:
    n_rows, full = size_of(run.result)
    return Evidence(
        id=run.id,
        kind=run.kind,
        title=title_of(run.kind, run.result)[1],
        file=run.file,
        sha256=hashlib.sha256(run.text).hexdigest(),
        n_rows=n_rows,
        full=full,
        n_pictures=_pictures(run.result),
    )


def _pictures(result: Document) -> int | None:
    """Of a probe, the rows whose picture it read."""
    if not isinstance(result, ProbeResult):
        return None
    return next((s.n_pictures for s in result.stages if s.id == "all"), None)


def _lineage(runs: Sequence[_Run]) -> tuple[tuple[Lineage, ...], tuple[LineageSample, ...]]:
    """Each recipe once, what the rows had passed first; and which of them only read a sample."""
    once: dict[tuple[bool, str], tuple[Lineage, LineageSample | None]] = {}
    for run in runs:
        for one in lineage_of(run.id, run.result):
            sample = None if one.already else sample_of(run.id, run.result, one.recipe)
            once.setdefault((not one.already, one.recipe), (one, sample))
    found = sorted(once.values(), key=lambda pair: not pair[0].already)
    return tuple(one for one, _ in found), tuple(sample for _, sample in found if sample)


def _write(folder: Path, runs: Sequence[_Run], result: DatasheetResult) -> None:
    """Write evidence and JSON; evidence of an earlier datasheet that is not used goes."""
    before: set[str] = set()
    with contextlib.suppress(ConfigError):  # none, or of another version: what it holds stays
        before = {e.file for e in read_datasheet(folder).evidence}
    for run in runs:
        write_file(folder / run.file, run.text.decode())
    write_file(folder / DATASHEET, result.to_json())
    for name in before - {run.file for run in runs}:
        (folder / name).unlink(missing_ok=True)
