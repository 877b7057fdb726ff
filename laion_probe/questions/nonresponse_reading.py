"""Every URL that img2dataset tried: what became of it, and what is known of its row."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime
from pathlib import Path

import numpy as np
import polars as pl
from numpy.typing import NDArray

from laion_probe.config import DataConfig, NonresponseConfig
from laion_probe.errors import ConfigError, SchemaError, ShardError
from laion_probe.estimate import MIN_UNITS
from laion_probe.questions.inputs import shard_records
from laion_probe.records import CANONICAL, known_columns
from laion_probe.results import InputRecord
from laion_probe.shards import file_sha256, list_shards, list_units, read_unit
from laion_probe.webplaces import hosts, registered_domains

__all__ = ["Tried", "read_tried", "reason_of"]

#: The column of the crawl's date, as text, null where it is not known.
CRAWLED = "crawled"
_SUCCESS = "success"


@dataclass(frozen=True)
class Tried:
    """Rows in the order of img2dataset's files.

    ``rows`` holds ``id`` (shard/key), ``status``, ``reason``, the canonical columns (null where
    neither img2dataset's files nor the shards have them) and ``crawled``. ``domains`` are
    registered ones, or hosts, null without either; ``cluster`` numbers them, a row without one is
    its own. ``n_pool`` counts the shards' rows, None without shards, and ``n_pool_tried`` those of
    them whose URL was tried. ``worth`` is 1 / the chance with which `laion-probe fetch` drew each
    row, (N,), None where all had the same. ``notes`` are what a reader must know of the files.
    """

    rows: pl.DataFrame
    came: NDArray[np.bool_]
    domains: pl.Series
    cluster: NDArray[np.int64]
    fetched: tuple[str, str] | None
    crawled: tuple[str, str] | None
    n_pool: int | None
    n_pool_tried: int
    worth: NDArray[np.float64] | None
    inputs: tuple[InputRecord, ...]
    notes: tuple[str, ...]


def read_tried(config: NonresponseConfig) -> Tried:
    """Read what img2dataset left. Raises a `LaionProbeError` that says what to do."""
    folder = Path(config.images)
    if not folder.is_dir():
        raise ConfigError(f"images folder {folder} does not exist: give img2dataset's output")
    paths = sorted(folder.glob("*.parquet"))
    if not paths:
        raise ConfigError(
            f"images folder {folder} holds no .parquet: give the folder that img2dataset wrote, "
            "with the tables that it leaves beside its shards"
        )
    date_column = None if config.crawled is None or _is_date(config.crawled) else config.crawled
    rows = pl.concat([_read(path, date_column) for path in paths])
    if rows.is_empty():
        raise ShardError(f"{folder}: img2dataset's tables have no rows: nothing was tried")
    inputs = [_record(path) for path in paths]
    n_pool, n_pool_tried = None, 0
    if config.shards:
        rows, n_pool, n_pool_tried, records = _with_pool(rows, config)
        inputs += records
    domains = _domains(rows["url"])
    came = (rows["status"] == _SUCCESS).to_numpy()
    unfinished = sum(1 for tar in folder.glob("*.tar") if not tar.with_suffix(".parquet").exists())
    notes = []
    if unfinished:
        notes.append(
            f"{unfinished} tars have no table of what was tried beside them (a download that was "
            "not finished), and are left out."
        )
    cluster = _clusters(domains)
    notes += [*_not_tried(folder, len(rows)), *_few_domains(cluster)]
    worth = _worth(paths)
    if worth is not None:
        notes.append(
            "The rows tried were drawn with chances that differ (the column probability of "
            "`laion-probe fetch`): loss and shares count each by one over its chance, and are of "
            "the set that they were drawn from. Numbers of rows, coverage, reasons and the check "
            "on held-out domains are of the rows tried."
        )
    return Tried(
        rows=rows,
        came=came,
        domains=domains,
        cluster=cluster,
        fetched=_fetched(config, paths),
        crawled=_crawled(config, rows),
        n_pool=n_pool,
        n_pool_tried=n_pool_tried,
        worth=worth,
        inputs=tuple(inputs),
        notes=tuple(notes),
    )


def _read(path: Path, date_column: str | None) -> pl.DataFrame:
    try:
        names = list(pl.read_parquet_schema(path))
        if missing := [c for c in ("url", "key", "status") if c not in names]:
            raise SchemaError(f"{path}: no column '{missing[0]}': is it a table of img2dataset's?")
        if date_column is not None and date_column not in names:
            raise ConfigError(
                f"--crawled {date_column} is no date YYYY-MM-DD, and no column of {path.name}; it "
                f"has {', '.join(names)}"
            )
        source = known_columns(names)
        asked = {"key", "status", *source.values()}
        asked |= {c for c in ("error_message", date_column) if c in names and c is not None}
        table = pl.read_parquet(path, columns=sorted(asked))
    except (pl.exceptions.PolarsError, OSError) as error:
        reason = str(error).splitlines()[0]
        raise ShardError(f"{path}: cannot be read ({reason}); fetch this shard again") from error
    said = pl.col("error_message") if "error_message" in table.columns else pl.lit(None)
    crawled = pl.lit(None) if date_column is None else pl.col(date_column)
    return table.select(
        (pl.lit(f"{path.stem}/") + pl.col("key").cast(pl.String)).alias("id"),
        pl.col("status").cast(pl.String).fill_null("unknown"),
        said.cast(pl.String).alias("said"),
        *(
            (pl.col(source[c]) if c in source else pl.lit(None))
            .cast(getattr(pl, kind), strict=False)
            .alias(c)
            for c, kind in CANONICAL.items()
        ),
        crawled.cast(pl.String).alias(CRAWLED),
    ).with_columns(
        pl.col("said").replace_strict(_reasons(table), default=None).alias("reason"),
        pl.col("text").fill_null(""),
        pl.col("url").fill_null(""),
    )


def _reasons(table: pl.DataFrame) -> dict[str, str]:
    if "error_message" not in table.columns:
        return {}
    said = table["error_message"].cast(pl.String).drop_nulls().unique().to_list()
    return {words: reason_of(words) for words in said}


_KNOWN = (
    (r"HTTP Error (\d{3})", r"HTTP \1"),
    (r"timed? ?out|took too long", "timed out"),
    (r"getaddrinfo|name or service not known|name does not resolve|nodename", "no such host"),
    (r"certificate|ssl", "no valid certificate"),
    (r"directive|robots|opted out|tdm-reservation", "opted out"),
    (r"decod|identify image|no raster picture", "not a readable picture"),
    (r"refused: (.*)", r"refused: \1"),
    (r"connection|remote end closed|reset by peer|incompleteread|no answer", "connection broken"),
)


def reason_of(words: str) -> str:
    """Why a picture did not come, alike for all that failed alike.

    >>> reason_of("HTTP Error 404: Not Found"), reason_of("<urlopen error timed out>")
    ('HTTP 404', 'timed out')
    >>> reason_of("IncompleteRead(4945 bytes read, 4946 more expected)")
    'connection broken'
    """
    for pattern, reason in _KNOWN:
        if match := re.search(pattern, words, re.IGNORECASE):
            return _short(match.expand(reason))
    return _short(words)


def _short(words: str) -> str:
    plain = re.sub(r"\S+://\S+|\d{4,}", "…", words.removeprefix("<urlopen error ").rstrip(">"))
    return " ".join(plain.split())[:60]


def _worth(paths: Sequence[Path]) -> NDArray[np.float64] | None:
    """1 / the chance of each row, where `laion-probe fetch` drew some strata more often."""
    found = []
    for path in paths:
        # a column of that name alone may be anything; with the stratum it is of fetch
        ours = {"probability", "stratum"} <= set(pl.read_parquet_schema(path))
        column = pl.col("probability") if ours else pl.lit(None)
        table = pl.scan_parquet(path).select(pl.col("key"), column.cast(pl.Float64).alias("chance"))
        found.append(table.collect()["chance"])
    chances = pl.concat(found)
    if chances.drop_nulls().round(9).n_unique() < 2:
        return None
    if not (chances.is_between(0, 1, closed="right").fill_null(value=False)).all():
        raise SchemaError(
            f"{paths[0].parent}: some rows have no probability above 0 and at most 1, and others "
            "have one: give a folder of one run of `laion-probe fetch`"
        )
    return np.asarray(1 / chances.to_numpy(), float)


def _not_tried(folder: Path, n_tried: int) -> list[str]:
    """That a fetch has not come to its end, where its ``fetch.json`` says how many rows it has."""
    try:
        said = json.loads((folder / "fetch.json").read_text(encoding="utf-8"))
        n = sum(int(x) for x in said["rows"])
    except (OSError, ValueError, KeyError, TypeError):
        return []
    if n <= n_tried:
        return []
    return [
        f"The fetch has not come to its end: {n - n_tried:,} of its {n:,} rows were not tried yet, "
        "and are left out. Run `laion-probe fetch` again to go on."
    ]


def _with_pool(
    rows: pl.DataFrame, config: NonresponseConfig
) -> tuple[pl.DataFrame, int, int, list[InputRecord]]:
    """The rows with what the shards say of their URLs, and how many rows of the shards were tried.

    A URL that stands in several rows of the shards has the first one's columns.
    """
    shards = list_shards(config.shards, DataConfig(column=config.column).columns)
    urls = rows["url"].unique().implode()
    n_pool, found = 0, []
    for unit in list_units(shards):  # the pool may be far larger than what was tried
        part = read_unit(unit).drop("row")
        n_pool += len(part)
        found.append(part.filter(part["url"].is_in(urls)))
    tried = pl.concat(found)
    first = tried.unique("url", keep="first", maintain_order=True)
    joined = rows.join(first, on="url", how="left", suffix="_pool", maintain_order="left")
    others = [c for c in CANONICAL if c != "url"]
    # img2dataset's caption is that of the row; other columns it may have made itself
    filled = [pl.coalesce(pl.col(f"{c}_pool"), pl.col(c)).alias(c) for c in others if c != "text"]
    text = pl.when(pl.col("text") == "").then(pl.col("text_pool")).otherwise(pl.col("text"))
    full = joined.with_columns(*filled, text.fill_null("").alias("text")).select(rows.columns)
    records = list(shard_records(shards, "unknown", "the pool of what was tried"))
    return full, n_pool, len(tried), records


def _domains(urls: pl.Series) -> pl.Series:
    """The registered domain of each URL, or its host; null where there is neither."""
    name = pl.select(pl.coalesce(registered_domains(urls), hosts(urls)).alias("domain"))
    return name.to_series()


def _clusters(domains: pl.Series) -> NDArray[np.int64]:
    """The number of each row's domain; a row without one is its own."""
    own = pl.int_range(len(domains), eager=True).cast(pl.String)
    name = pl.select(pl.coalesce(domains, pl.lit("\0") + own)).to_series()
    return name.rank("dense").cast(pl.Int64).to_numpy() - 1


def _few_domains(cluster: NDArray[np.int64]) -> list[str]:
    """That the intervals rest on few domains, by Kish's (1965) effective number."""
    size = np.bincount(cluster).astype(float)
    effective, largest = float(size.sum() ** 2 / (size @ size)), float(size.max() / size.sum())
    if effective >= MIN_UNITS:
        return []
    return [
        f"Most rows are of few domains: {len(size):,} are worth {effective:.1f} of one size, and "
        f"the largest holds {100 * largest:.1f} % of the rows. What happens to one of them decides "
        "the figures: intervals are wide on purpose, and say little of domains that were not tried."
    ]


# Dates


def _is_date(words: str) -> bool:
    try:
        date.fromisoformat(words)
    except ValueError:
        return False
    return True


def _fetched(config: NonresponseConfig, paths: Sequence[Path]) -> tuple[str, str] | None:
    """The days of the download: as told, or as img2dataset's statistics have them (UTC)."""
    if config.fetched is not None:
        if not _is_date(config.fetched):
            raise ConfigError(f"--fetched {config.fetched} is no date: write YYYY-MM-DD")
        return config.fetched, config.fetched
    found: list[float] = []
    for path in paths:
        stats = path.with_name(f"{path.stem}_stats.json")
        try:
            said = json.loads(stats.read_text(encoding="utf-8"))
            found += [float(said[key]) for key in ("start_time", "end_time")]
        except (OSError, ValueError, KeyError, TypeError):
            continue
    if not found:
        return None
    first, last = (datetime.fromtimestamp(t, UTC).date() for t in (min(found), max(found)))
    return first.isoformat(), last.isoformat()


def _crawled(config: NonresponseConfig, rows: pl.DataFrame) -> tuple[str, str] | None:
    if config.crawled is None:
        return None
    if _is_date(config.crawled):
        return config.crawled, config.crawled
    years = rows[CRAWLED].str.extract(r"^(\d{4})").drop_nulls()
    return (str(years.min()), str(years.max())) if len(years) else None


def _record(path: Path) -> InputRecord:
    return InputRecord(
        kind="table",
        name=path.name,
        fingerprint=file_sha256(path),
        n_rows=pl.scan_parquet(path).select(pl.len()).collect().item(),
        already="",
        note="img2dataset's table of what was tried",
    )
