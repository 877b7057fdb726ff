"""Commands that fill a folder of their own, which is gone on with, or that serve a page.

A job is one line of `JOBS`. It writes no run folder: what it has done lies where it was told to,
and the lines that it gives are printed as they come.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from laion_probe.config import (
    AnnotateConfig,
    CardConfig,
    DatasheetConfig,
    EmbedConfig,
    FetchConfig,
    GenerateConfig,
    IndexConfig,
    Options,
    PreregisterConfig,
    ServeConfig,
)
from laion_probe.errors import ConfigError
from laion_probe.terminal import Progress

if TYPE_CHECKING:
    from laion_probe.attributes import Attribute
    from laion_probe.ratings.store import RatingStore

__all__ = ["JOBS", "Job"]


@dataclass(frozen=True)
class Job:
    """A command that gives lines to print as it goes.

    ``argument`` is the field of the config that is given without a flag, shown as ``metavar``;
    ``many`` says that it takes any number of words. Fields in ``but`` have no flag.
    """

    name: str
    help: str
    description: str
    config: type[Options]
    argument: str
    metavar: str
    many: bool
    run: Callable[[Any, bool], Iterator[str]]
    but: tuple[str, ...] = ()


def _embed(config: EmbedConfig, quiet: bool) -> Iterator[str]:
    from laion_probe.questions.embedding import embed

    with Progress(quiet=quiet) as progress:
        done = embed(config, progress)
    yield from done.sentences


def _index(config: IndexConfig, quiet: bool) -> Iterator[str]:
    from laion_probe.questions.indexing import index

    with Progress(quiet=quiet) as progress:
        done = index(config, progress)
    yield from done.sentences


def _fetch(config: FetchConfig, quiet: bool) -> Iterator[str]:
    from laion_probe.questions.fetching import fetch

    with Progress(quiet=quiet) as progress:
        done = fetch(config, progress)
    yield from done.lines


def _generate(config: GenerateConfig, quiet: bool) -> Iterator[str]:
    from laion_probe.questions.generating import generate

    with Progress(quiet=quiet) as progress:
        done = generate(config, progress)
    yield from done.sentences


def _datasheet(config: DatasheetConfig, quiet: bool) -> Iterator[str]:
    from laion_probe.questions.datasheet import datasheet, datasheet_folder, told
    from laion_probe.questions.datasheet_diff import datasheet_diff, is_diff
    from laion_probe.render import render_datasheet, render_datasheet_diff

    if is_diff(config):
        diff = datasheet_diff(Path(config.shards[1]), Path(config.shards[2]))
        out = Path(config.out or "datasheet-diff")
        render_datasheet_diff(diff, out)
        yield from diff.finding
        yield f"report: {out / 'diff.html'}"
        return
    with Progress(quiet=quiet) as progress:
        sheet = datasheet(config, progress)
    folder = datasheet_folder(config)
    render_datasheet(sheet, folder)
    yield from told(sheet)
    yield f"datasheet: {folder / 'datasheet.html'}"


def _card(config: CardConfig, quiet: bool) -> Iterator[str]:
    from laion_probe.questions.card import card
    from laion_probe.render.card import write_card

    yield from write_card(card(config))


def _preregister(config: PreregisterConfig, quiet: bool) -> Iterator[str]:
    from laion_probe.questions.preregistering import preregister

    with Progress(quiet=quiet) as progress:
        lines = preregister(config, progress)
    yield from lines


def _serve(config: ServeConfig, quiet: bool) -> Iterator[str]:
    from laion_probe.web.serve import serve

    yield from serve(config)


def _annotate(config: AnnotateConfig, quiet: bool) -> Iterator[str]:
    """Take in, export or serve the ratings of a run; the lines to print, as it goes."""
    from laion_probe.questions import annotating
    from laion_probe.questions.annotating_sample import SHOWS
    from laion_probe.web.annotate import make_app, read_guidance, serve, session_token

    if config.export and not config.import_ratings:
        with contextlib.closing(annotating.saved(config)) as store:
            yield from _exported(store, config.export, config.level)
        return
    guidance = _guidance(config) or read_guidance()
    with Progress(quiet=quiet) as progress:
        session = annotating.annotate(config, progress)
    with contextlib.closing(session.store) as store:
        if config.import_ratings:
            yield from _taken_in(store, session.attributes, config.import_ratings)
            if config.export:
                yield from _exported(store, config.export, config.level)
            return
        read, token = session.reader(), session_token(store)
        app = make_app(store, read, session.attributes, guidance, token)
        drawn = store.sample["source"].value_counts().sort("source").rows()
        said = " and ".join(f"{k} {source} pictures" for source, k in drawn)
        titles = {a.name: a.title for a in session.attributes}
        asked = ", ".join(titles.get(name, name) for name in store.levels)
        more = ""
        if max(k for _, k in drawn) > store.n:
            more = f" (more than {store.n}: two at least of each group that the classifier sees)"
        gone = store.n - store.sample.height
        if SHOWS in store.levels and gone > 0:
            more = f" ({gone} of the {store.n} rows that were drawn have no picture there)"
        yield f"to rate: {said}{more}, for {asked}; every keystroke is saved in {store.path}"
        serve(app, config.port, _announce)
        n = store.sample.height
        rated = ", ".join(f"{name} {done} of {n}" for name, done in _done(store))
    yield f"rated: {rated or 'nothing yet'}; the same command goes on"
    if rated:
        yield f"to write a table of them: laion-probe annotate {config.folder} --export FOLDER"


def _done(store: RatingStore) -> Iterator[tuple[str, int]]:
    """How many pictures each rater has said anything of."""
    for rater in store.raters():
        yield rater.name, sum(bool(look.labels) for look in store.looks(rater).values())


def _taken_in(store: RatingStore, attributes: Sequence[Attribute], path: str) -> Iterator[str]:
    from laion_probe.ratings.export import take_in
    from laion_probe.ratings.table import read_ratings

    ratings = read_ratings(path, attributes)
    n = take_in(store, ratings)
    yield f"taken in: {n} rating{'s' * (n != 1)}, each of one picture by one rater"
    if ratings.ignored:
        asked = ", ".join(a.name for a in attributes)
        yield (
            f"not read: the columns {', '.join(ratings.ignored)}, which name no attribute that is "
            f"rated here ({asked}), nor anything else that is known; if one is misspelt, correct "
            "it and take the file in again"
        )


def _exported(store: RatingStore, folder: str, level: float) -> Iterator[str]:
    from laion_probe.ratings.export import export

    told = export(store, Path(folder), level)
    yield (
        f"{told.n_ratings} ratings by {told.n_raters} raters; labels that raters give differently: "
        f"{told.n_disputes}, of them adjudicated: {told.n_settled}"
    )
    yield f"ratings: {told.folder / 'ratings.parquet'}"
    yield (
        "to correct the run's shares by them, run its command again with --ratings (of one concept "
        "of several: --ratings CONCEPT=FILE)"
    )


def _announce(said: str) -> None:
    """Print the raters' address, and then the line with the one of whoever closes the rating."""
    rate = f"rate at {said} (Ctrl-C ends; nothing is lost)"
    print(rate if said.startswith("http") else said, flush=True)


def _guidance(config: AnnotateConfig) -> str:
    if config.guidance is None:
        return ""
    try:
        return Path(config.guidance).read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        reason = getattr(error, "strerror", None) or "not UTF-8 text"
        raise ConfigError(f"guidance {config.guidance}: {reason}; give a text file") from None


JOBS = (
    Job(
        "datasheet",
        "a datasheet for a data set, filled in from what was measured; diff compares two",
        "Answer the questions of Datasheets for Datasets (Gebru et al.) from finished runs and a "
        "count of shards, each number tied to its place in result.json. What only people know "
        "goes into answers.toml beside it, which is never written over; run the same command again "
        "to fill it in. `datasheet diff A B` says what a filter or a release changed.",
        DatasheetConfig,
        "shards",
        "INPUT",
        True,
        _datasheet,
    ),
    Job(
        "card",
        "a datasheet as a Hugging Face card, as Croissant and on one page",
        "Write what others ask for into a datasheet's folder: README.md for the Hugging Face Hub, "
        "croissant.json (1.1, with the vocabulary for responsible AI) with its tables, a one-page "
        "summary, and a section for the model card of a generator. What nobody stated is listed, "
        "never made up. See docs/cards.md.",
        CardConfig,
        "folder",
        "DATASHEET",
        False,
        _card,
    ),
    Job(
        "preregister",
        "write down, hashed, what a probe will do, before it runs",
        "Write concept, threshold rule, prompts, recipe, attributes, seeds and the fingerprints of "
        "all inputs into a file with a hash. `probe --preregistered FILE` then says in its report "
        "what was done otherwise. No picture is decoded here and no label read; that nobody did so "
        "before, the file cannot show.",
        PreregisterConfig,
        "concept",
        "CONCEPT",
        False,
        _preregister,
        but=("preregistered", "cache", "runner", "workers", "ray_address", "retries"),
    ),
    Job(
        "annotate",
        "rate a random sample of a run's pictures in the browser; export and import",
        "Draw a random, stratified sample of the pictures of a probe run and serve a "
        "page on this machine where people rate them, blind to each other and to the classifier. "
        "Every keystroke is saved; run the same command again to go on. --export writes the "
        "ratings and the raters' agreement; give ratings.parquet to `probe --ratings`.",
        AnnotateConfig,
        "folder",
        "RUN",
        False,
        _annotate,
        but=("out", "data_note"),
    ),
    Job(
        "fetch",
        "download pictures of rows with img2dataset: opt-outs honoured, private addresses refused",
        "Download the pictures of rows, or of a random sample of them, with img2dataset. What "
        "became of every URL is kept. Run the same command again to go on where it was ended.",
        FetchConfig,
        "source",
        "SOURCE",
        True,
        _fetch,
    ),
    Job(
        "generate",
        "draw pictures of prompts with a diffusers pipeline, every parameter recorded",
        "Draw pictures of prompts, the empty one too, with a diffusers pipeline: WebDataset tars, "
        "each beside a parquet of every parameter, and what the safety checker would block. Run "
        "the same command again to go on where it was ended. See docs/generate.md.",
        GenerateConfig,
        "model",
        "MODEL",
        False,
        _generate,
    ),
    Job(
        "embed",
        "pictures to a folder of embeddings, in clip-retrieval's layout",
        "Embed pictures with an open_clip model: img_emb/, metadata/ and, with --text, text_emb/, "
        "row by row, with a key that names the model. Pictures that cannot be read are recorded. "
        "Run the same command again to go on where it was ended.",
        EmbedConfig,
        "sources",
        "SOURCE",
        True,
        _embed,
    ),
    Job(
        "index",
        "a FAISS index of a folder of embeddings, under a memory budget, with its recall",
        "Choose, explain and build a FAISS index that fits a budget of memory and time, and "
        "measure its recall against the exact search. Run the same command again to go on where "
        "it was ended.",
        IndexConfig,
        "embeddings",
        "EMBEDDINGS",
        False,
        _index,
    ),
    Job(
        "serve",
        "search embeddings over HTTP, as clip-retrieval's client and front end expect",
        "Serve folders of embeddings on this machine: clip-retrieval's interface and a search "
        "page. Re-ranking by aesthetics, removal of duplicates and safety filters are off unless "
        "a request asks for them, and every answer says what was applied. See docs/ethics.md.",
        ServeConfig,
        "embeddings",
        "EMBEDDINGS",
        True,
        _serve,
    ),
)
