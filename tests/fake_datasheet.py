"""A made-up `DatasheetResult`, with hostile texts and numbers that are not defined.

Nothing here was measured.
"""

from __future__ import annotations

import hashlib
from pathlib import Path

from fake_result import HOSTILE

from laion_probe.datasheet_result import (
    About,
    Answer,
    CompositionRow,
    DatasheetResult,
    Evidence,
    Lineage,
    LineageStep,
    Number,
    Section,
    Statement,
)
from laion_probe.questions.datasheet_files import asked_sections

__all__ = ["ABOUT", "SHARES", "fake_datasheet", "write_evidence"]

#: Everything that a person could say, in the form that cards take.
ABOUT = About(
    name="demo",
    title="The demo: doctors & others",
    description="Pictures of doctors, drawn for tests.\n\nA second paragraph_with *marks*.",
    license="cc-by-4.0",
    url="https://example.org/demo_set",
    version="1.2.0",
    date_published="2026-11-22",
    creators=("A. Person (person)", "An Institute"),
    languages=("en", "de"),
    citation="@misc{demo,\n  title = {```The demo```},\n}",
)

#: Shares that a decimal of few digits, or a parser that rounds, would not give back.
SHARES = (1 / 3, 0.1 + 0.2, 2 / 3e9, 0.9999999999999999, 5e-324, 0.0, 1.0, None)
#: Names of levels that a reader of CSV takes for nothing, for numbers or for formulas.
LEVELS = ("None", "NA", "", "1e3", "007", "true", "=1+1", "unknown")


def fake_datasheet(about: About = ABOUT, *, bare: bool = False) -> DatasheetResult:
    """A datasheet with a probe, filters and a generator; ``bare`` is one that knows nothing."""
    if bare:
        return DatasheetResult(
            about=about,
            n_rows=None,
            sections=_sections({}, {}),
            evidence=(),
            version="0.0",
            command="laion-probe datasheet",
        )
    said = {
        "composition-count": (_count(), _plain("A second sentence without a number.")),
        "composition-missing": (_plain("Of {{TEXT}} nothing is missing."),),
        "composition-subpopulations": tuple(_plain(_braces(words)) for words in HOSTILE),
        "preprocessing-done": (
            Statement(text="Filters removed rows.", caution="Only some can be seen: <i>none</i>."),
        ),
    }
    person = {"motivation-purpose": "For tests.", "composition-count": "So *many*."}
    return DatasheetResult(
        about=about,
        data_note="Simulated data <b>for tests</b>.",
        n_rows=4090,
        sections=_sections(said, person),
        evidence=(_run("data", "data", full=True), _run("probe-doctor", "probe", full=False)),
        compositions=(*_exact(), *_doctors()),
        lineage=_lineage(),
        generators=("stub <generator>",),
        cannot_say=("Who people are: only how they are perceived.", *HOSTILE[:3]),
        version="0.0",
        command="laion-probe datasheet data/demo",
    )


def write_evidence(folder: Path) -> None:
    """Write the evidence of `fake_datasheet` into a folder."""
    for name in ("data", "probe-doctor"):
        file = folder / "evidence" / f"{name}.json"
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(_content(name))


def _content(name: str) -> bytes:
    return f'{{"fake": "{name}"}}\n'.encode()


def _run(name: str, kind: str, *, full: bool) -> Evidence:
    return Evidence(
        id=name,
        kind=kind,
        title=f"run {HOSTILE[0]}",
        file=f"evidence/{name}.json",
        sha256=hashlib.sha256(_content(name)).hexdigest(),
        n_rows=5_850_000_000 if full else None,
        full=full,
    )


def _braces(words: str) -> str:
    return words.replace("{", "{{").replace("}", "}}")


def _plain(said: str) -> Statement:
    return Statement(text=said)


def _count() -> Statement:
    hostile = Number(shown="[4](x) <b>", evidence="probe-doctor", pointer='/a"b|c', value=None)
    rows = Number(shown="4,090", evidence="data", pointer="/n_rows", value=4090)
    return Statement(text="There are {0} rows and {1}.", numbers=(rows, hostile))


def _sections(
    said: dict[str, tuple[Statement, ...]], person: dict[str, str]
) -> tuple[Section, ...]:
    return tuple(
        Section(
            id=section.id,
            title=section.title,
            answers=tuple(
                Answer(
                    id=asked.id,
                    question=asked.question,
                    measured=said.get(asked.id, ()),
                    person=person.get(asked.id, ""),
                    hint=asked.hint,
                )
                for asked in section.questions
            ),
        )
        for section in asked_sections()
    )


def _exact() -> list[CompositionRow]:
    """Rows whose numbers and names are hard to read back."""
    return [
        CompositionRow(
            evidence="data",
            pointer=f"/groups/0/levels/{i}/share",
            concept="",
            stage="captions",
            attribute="gender-words",
            level=level,
            count=i * 1_000_000_007,
            share=share,
            low=None if i % 3 == 0 else share,
            high=None if i % 3 == 0 else share,
            interval_level=0.95,
            labels="what captions say",
        )
        for i, (level, share) in enumerate(zip(LEVELS, SHARES, strict=True))
    ]


def _doctors() -> list[CompositionRow]:
    shares = {"all": 0.41, "neighbourhood": 0.362, "matched": 0.4, "generated": 0.08}
    rows = []
    for stage, woman in shares.items():
        for level, share in (("woman", woman), ("man", 0.95 - woman), ("unknown", 0.05)):
            rows.append(
                CompositionRow(
                    evidence="probe-doctor",
                    pointer=f'/stages/{stage}/"|{level}',
                    concept="doctor",
                    stage=stage,
                    attribute="gender_presentation",
                    level=level,
                    count=round(200 * share),
                    share=share,
                    low=None if level == "unknown" else max(0.0, share - 0.06),
                    high=None if level == "unknown" else min(1.0, share + 0.07),
                    interval_level=0.95,
                    labels="uncorrected classifier labels",
                )
            )
    return [*rows, rows[0].model_copy(update={"concept": HOSTILE[0], "level": HOSTILE[5]})]


def _lineage() -> tuple[Lineage, ...]:
    def step(n: int, *, observable: bool) -> LineageStep:
        return LineageStep(
            id=f"step-{n}",
            title=f"step {n} {HOSTILE[1]}",
            source="a paper",
            confidence="verified",
            observable=observable,
            n_reached=4000 if observable else None,
            n_removed=40 * n if observable else None,
            evidence="data",
            pointer=f"/steps/{n}",
        )

    return (
        Lineage(
            recipe="laion5b-en",
            title="LAION-5B, English",
            source="Schuhmann et al. 2022",
            already=True,
            n_before=None,
            n_after=4090,
            steps=(step(1, observable=False), step(2, observable=False)),
        ),
        Lineage(
            recipe="dalle2",
            title="DALL-E 2's filters",
            source="Nichol 2022",
            already=False,
            n_before=4090,
            n_after=3000,
            steps=(step(1, observable=True), step(2, observable=True)),
        ),
        Lineage(recipe="mine", title="mine", source="", already=True, n_before=None, n_after=None),
    )
