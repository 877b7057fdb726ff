"""What a datasheet says: measured statements tied to their numbers, and a person's answers.

The questions are those of Gebru et al. (2021), "Datasheets for Datasets", Communications of the ACM
64(12). A statement that was measured names, for each of its numbers, the result.json that it stands
in and its place there.
"""

from __future__ import annotations

from typing import Literal

from laion_probe.results import Document, Estimate, Value

__all__ = [
    "About",
    "Answer",
    "CompositionRow",
    "DatasheetResult",
    "Evidence",
    "Lineage",
    "LineageSample",
    "LineageStep",
    "Number",
    "Section",
    "Statement",
]

#: Raised whenever a field is renamed, removed or changes its meaning.
SCHEMA_VERSION = 1


class Evidence(Value):
    """One finished run that statements rest on; ``file`` is its copy, relative to the datasheet."""

    id: str  # "data", "filters-laion400m", "probe-doctor"
    kind: str  # the command that measured: data, probe, filters, scan, nonresponse, compose ...
    title: str
    file: str  # "evidence/probe-doctor.json"
    sha256: str
    n_rows: int | None  # rows (or pictures) that the run read
    full: bool  # whether it read everything, or a sample
    n_pictures: int | None = None  # of a probe: the rows whose picture it read


class Number(Value):
    """One number as a statement shows it. ``pointer`` is a JSON pointer (RFC 6901) into the file.

    ``value`` is what stands there: a plain number, or the ``value`` of an `Estimate`.
    """

    shown: str
    evidence: str
    pointer: str
    value: float | int | str | None


class Statement(Value):
    """A sentence with ``{0}``, ``{1}`` ... in the places of its numbers; other braces are doubled.

    ``caution`` says what a reader must know of it, or is empty.
    """

    text: str
    numbers: tuple[Number, ...] = ()
    caution: str = ""

    def plain(self) -> str:
        """The sentence with its numbers.

        >>> one = Number(shown="4,090", evidence="data", pointer="/n_rows", value=4090)
        >>> Statement(text="There are {0} rows.", numbers=(one,)).plain()
        'There are 4,090 rows.'
        """
        return self.text.format(*(n.shown for n in self.numbers))


class Answer(Value):
    """One question of the datasheet; ``person`` is what a person answered, or empty.

    ``by_data`` says how far data can answer such a question: of one that they answer "in part",
    ``measured`` is that part, and a person is still asked for the rest. ``beside`` are statements
    that help a person to answer and do not answer it.
    """

    id: str  # "composition-instances"
    question: str
    measured: tuple[Statement, ...] = ()
    person: str = ""
    hint: str = ""  # what a person could say here that data cannot
    by_data: Literal["whole", "in part"] = "whole"
    beside: tuple[Statement, ...] = ()

    @property
    def status(self) -> Literal["measured", "person", "both", "unanswered"]:
        """Who answered."""
        if self.measured:
            return "both" if self.person else "measured"
        return "person" if self.person else "unanswered"

    @property
    def in_part(self) -> bool:
        """Whether data answer it in part, and no person does."""
        return self.status == "measured" and self.by_data == "in part"

    @property
    def is_open(self) -> bool:
        """Whether a person is asked: nobody answers it, or data do in part."""
        return self.status == "unanswered" or self.in_part


class Section(Value):
    """One of the seven sections."""

    id: str  # motivation, composition, collection, preprocessing, uses, distribution, maintenance
    title: str
    answers: tuple[Answer, ...]

    @property
    def n_answered(self) -> int:
        """Questions that data or a person answered, wholly or in part."""
        return sum(a.status != "unanswered" for a in self.answers)

    @property
    def n_measured(self) -> int:
        """Questions that data answered, wholly or in part, whatever a person says."""
        return sum(bool(a.measured) for a in self.answers)

    @property
    def n_in_part(self) -> int:
        """Questions that data answered in part, and no person did."""
        return sum(a.in_part for a in self.answers)

    @property
    def n_person(self) -> int:
        """Questions that a person alone answered."""
        return sum(a.status == "person" for a in self.answers)


class About(Value):
    """What only a person knows of the set, from ``[about]`` of the answers file; all may be empty.

    ``license`` is an SPDX or Hugging Face id, ``languages`` are ISO 639-1 codes, dates ISO 8601.
    """

    name: str = ""
    title: str = ""
    description: str = ""
    license: str = ""
    url: str = ""
    version: str = ""
    date_published: str = ""
    creators: tuple[str, ...] = ()
    languages: tuple[str, ...] = ()
    citation: str = ""


class CompositionRow(Value):
    """A level's share at one stage: a row of the composition table, as the evidence has it.

    ``count`` is None of a share that raters corrected: it is estimated, and counts no pictures.
    """

    evidence: str
    pointer: str  # of the Estimate
    concept: str
    stage: str
    attribute: str
    level: str
    count: int | None
    share: float | None
    low: float | None
    high: float | None
    interval_level: float
    labels: str  # "uncorrected classifier labels", "raters", "corrected by raters"

    @property
    def estimate(self) -> Estimate:
        """The share with its interval; its n is ``count``, and its units are not known here."""
        return Estimate(
            value=self.share,
            low=self.low,
            high=self.high,
            level=self.interval_level,
            n=self.count or 0,
            units=0,
            method=self.labels,
        )


class LineageStep(Value):
    """One step of a recipe on these rows; counts are None where it is not observable.

    ``n_removed`` alone is None where the step could not be judged on any row: that is not 0.
    """

    id: str
    title: str
    source: str
    confidence: str
    observable: bool
    n_reached: int | None
    n_removed: int | None
    evidence: str
    pointer: str


class Lineage(Value):
    """A recipe as provenance: what these rows had passed before, or what was replayed on them.

    Where it was replayed on a sample its counts, and those of its steps, are of the rows sampled;
    the datasheet's ``samples`` then has what that says of all rows.
    """

    recipe: str
    title: str
    source: str
    already: bool  # True: the rows had passed it; False: simulated on them
    n_before: int | None
    n_after: int | None
    steps: tuple[LineageStep, ...] = ()


class LineageSample(Value):
    """What the replay of ``recipe`` on a random sample of row groups says of the whole set.

    ``n_read`` of ``n_rows`` rows were read (None: not known how many there are). ``kept`` is the
    share of rows that the recipe leaves, ``n_left`` what that is of ``n_rows`` rows, both with
    their interval; None where these data do not say. Steps that need every row were ``left_out``,
    by title: no number has what they remove.
    """

    evidence: str
    recipe: str
    pointer: str  # of the Estimate
    n_read: int
    n_rows: int | None
    kept: float | None
    low: float | None
    high: float | None
    interval_level: float
    n_left: int | None
    n_left_low: int | None
    n_left_high: int | None
    left_out: tuple[str, ...] = ()


class DatasheetResult(Document):
    """A datasheet: everything that its Markdown, HTML, cards and Croissant are drawn from."""

    schema_version: int = SCHEMA_VERSION
    about: About
    data_note: str = ""  # "Simulated ...": shown on top of whatever is drawn from this
    n_rows: int | None
    sections: tuple[Section, ...]
    evidence: tuple[Evidence, ...]
    compositions: tuple[CompositionRow, ...] = ()
    lineage: tuple[Lineage, ...] = ()
    samples: tuple[LineageSample, ...] = ()  # replays of the lineage that read a part of the rows
    generators: tuple[str, ...] = ()  # generators whose pictures a run compared
    cannot_say: tuple[str, ...] = ()
    interval_levels: tuple[float, ...] = ()  # of the intervals that it shows, such as 0.95
    version: str
    command: str
    earlier_commands: tuple[str, ...] = ()  # that made the datasheets whose evidence it took over

    def sample_of(self, one: Lineage) -> LineageSample | None:
        """What stands in ``samples`` of a recipe that was replayed; None where all was read."""
        replayed = (s for s in self.samples if s.recipe == one.recipe and not one.already)
        return next(replayed, None)
