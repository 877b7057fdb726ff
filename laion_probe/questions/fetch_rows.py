"""Which rows are fetched: all of shards or of a run's neighbours, or a random sample of them.

Within a stratum the sample is simple random, without replacement: the rows with the lowest of
numbers that depend on the seed and the row's place alone (its unit, known by its content, and its
row there). A row's inclusion probability is then the number drawn over the stratum's rows
(Särndal, Swensson, Wretman 1992, ch. 3.3 and 3.7).
"""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import polars as pl

from laion_probe import formats
from laion_probe.config import DataConfig, FetchConfig
from laion_probe.errors import ConfigError, SchemaError, ShardError
from laion_probe.fetching.finishing import PLAN, shard_name
from laion_probe.fetching.gate import ROW_HOST
from laion_probe.groups import Group, load_group
from laion_probe.ratings.sampling import allocate
from laion_probe.shards import Shard, Unit, file_sha256, list_shards, list_units, read_unit
from laion_probe.steps import Batch
from laion_probe.steps.base import uniform

__all__ = ["Source", "open_source", "write_plan"]

Progress = Callable[[str, int, int], None]

#: Length in hex digits of the hashes of bytes that sources carry.
_HASHES = {"sha256": 64, "md5": 32}
_OF_RUN = ("neighbours.parquet", "sample.parquet")
_BASE = {c: PLAN[c] for c in ("url", "text", "unit", "row", "hash", "stratum")}


@dataclass(frozen=True)
class Source:
    """Rows that are read a unit at a time; ``fingerprint`` is the same for the same content.

    ``units()`` gives the columns of the plan that do not depend on a sample, a frame a unit.
    """

    fingerprint: str
    n_units: int
    units: Callable[[], Iterator[pl.DataFrame]]


def open_source(config: FetchConfig) -> Source:
    """What the config names. Raises a `LaionProbeError` where that has no rows with addresses."""
    if config.strata is not None and config.sample is None:
        raise ConfigError("--strata divides a sample: give --sample too")
    if config.strata == "language":
        raise ConfigError("--strata language is a recipe's; give language:DETECTOR, such as cld2")
    group = None if config.strata is None else load_group(config.strata)
    if len(config.source) == 1 and (run := Path(config.source[0])).is_dir():
        if (run / _OF_RUN[0]).is_file():
            return _run_source(run, group)
        if (run / "result.json").is_file():
            raise ConfigError(
                f"{run} is a run, but has no {_OF_RUN[0]}: give one of `laion-probe neighbours`, "
                "or shards"
            )
    shards = list_shards(config.source, DataConfig(column=config.column).columns)
    for shard in shards:
        if not shard.error and "url" not in shard.columns.source:
            raise SchemaError(
                f"{shard.name}: no column for url among {', '.join(shard.names)}; name the one "
                "that holds addresses with --column url=NAME"
            )
    units = list_units(shards)
    prints = "".join(sorted(s.fingerprint + str(sorted(s.columns.source.items())) for s in shards))
    return Source(
        hashlib.sha256(prints.encode()).hexdigest(),
        len(units),
        lambda: (_unit_rows(unit, group, not config.any_hash) for unit in units),
    )


def _run_source(run: Path, group: Group | None) -> Source:
    """The neighbours of all concepts and the rows drawn for raters, each row once."""
    if group is not None and not {*group.needs} <= {"url", "text"}:
        raise ConfigError(
            f"--strata {group.name} needs {', '.join(group.needs)}: a run has no such"
        )
    paths = [run / name for name in _OF_RUN if (run / name).is_file()]
    try:
        rows = pl.concat(
            pl.read_parquet(path, columns=["row", "url", "text"]).cast(
                {"row": pl.Int64, "url": pl.String, "text": pl.String}
            )
            for path in paths
        ).unique("row", keep="first", maintain_order=True)
    except (OSError, pl.exceptions.PolarsError) as error:
        reason = str(error).splitlines()[0]
        raise SchemaError(f"{run}: no rows with addresses and captions ({reason})") from error
    if rows["url"].null_count() == rows.height:
        raise SchemaError(f"{run}: its embeddings' metadata have no addresses, so none to fetch")
    prints = "".join(file_sha256(path) for path in paths)
    frame = _framed(rows, "embeddings", None, group)
    return Source(hashlib.sha256(prints.encode()).hexdigest(), 1, lambda: iter([frame]))


def _unit_rows(unit: Unit, group: Group | None, hashed: bool) -> pl.DataFrame:
    needs = () if group is None else group.needs
    rows = read_unit(unit, dict.fromkeys(("url", "text", *needs)))
    return _framed(rows, unit.id, _hashes(unit) if hashed else None, group)


def _framed(
    rows: pl.DataFrame, unit: str, hashes: pl.Series | None, group: Group | None
) -> pl.DataFrame:
    stratum = pl.lit("") if group is None else group.levels(Batch(rows))
    return rows.select(
        "url",
        "text",
        pl.lit(unit).alias("unit"),
        "row",
        (pl.lit(None, pl.String) if hashes is None else hashes).alias("hash"),
        stratum.alias("stratum"),
    ).cast(_BASE)  # type: ignore[arg-type]


def _hashes(unit: Unit) -> pl.Series | None:
    """Of a unit's rows, the hash of the picture's bytes where the file has it."""
    shard = unit.shard
    for kind, digits in _HASHES.items():
        column = _named(shard, kind)
        if column is None:
            continue
        found = formats.read(
            shard.file, shard.kind, shard.names, shard.parts, unit.row_group, {kind: column}
        )[column]
        if found.dtype == pl.String:
            hex_only = found.str.to_lowercase().str.extract(rf"^([0-9a-f]{{{digits}}})$")
            return f"{kind}:" + hex_only  # null stays null
    return None


def _named(shard: Shard, kind: str) -> str | None:
    return next((name for name in shard.names if name.lower() == kind), None)


def write_plan(source: Source, config: FetchConfig, folder: Path, progress: Progress) -> list[int]:
    """Write the rows to fetch as ``00000.parquet`` … in ``folder``; returns their numbers of rows.

    Raises `ShardError` where there are none.
    """
    frames = _everything(source, progress) if config.sample is None else None
    if frames is None:
        frames = iter([_drawn(source, config, progress)])
    sizes: list[int] = []
    rest = pl.DataFrame(schema={**_BASE, "probability": pl.Float64})
    for frame in frames:
        rest = pl.concat([rest, frame])
        while rest.height >= config.shard_rows:
            _write(rest.head(config.shard_rows), folder, sizes)
            rest = rest.slice(config.shard_rows)
    if rest.height:
        _write(rest, folder, sizes)
    if not sizes:
        raise ShardError("the source has no rows to fetch")
    return sizes


def _write(rows: pl.DataFrame, folder: Path, sizes: list[int]) -> None:
    ask = pl.format(f"http://{ROW_HOST}/{len(sizes)}/{{}}", pl.int_range(rows.height))
    rows.select(ask.alias("ask"), pl.all()).select(*PLAN).write_parquet(
        folder / f"{shard_name(len(sizes))}.parquet"
    )
    sizes.append(rows.height)


def _everything(source: Source, progress: Progress) -> Iterator[pl.DataFrame]:
    for number, frame in enumerate(source.units(), 1):
        yield frame.with_columns(probability=1.0)
        progress("row groups", number, source.n_units)


def _drawn(source: Source, config: FetchConfig, progress: Progress) -> pl.DataFrame:
    """The sample, in its random order, so that its beginning is a sample too.

    As many rows of each stratum as the whole sample are held until all are counted.
    """
    assert config.sample is not None, "only called for a sample"
    sizes: Counter[str] = Counter()
    held: pl.DataFrame | None = None
    n_least = 0  # of held rows when they were last thinned out
    for number, frame in enumerate(source.units(), 1):
        progress("row groups", number, source.n_units)
        if frame.is_empty():
            continue
        sizes.update(dict(frame["stratum"].value_counts().iter_rows()))
        rows = frame["row"].to_numpy().astype(np.uint64)
        drawn = frame.with_columns(draw=uniform(rows, config.seed, f"fetch:{frame['unit'][0]}"))
        drawn = _lowest(drawn, config.sample)
        held = drawn if held is None else pl.concat([held, drawn])
        if held.height > 2 * n_least:
            held = _lowest(held, config.sample)
            n_least = held.height
    if held is None or held.is_empty():
        raise ShardError("the source has no rows to draw from")
    names = sorted(sizes)
    if config.strata is None:  # one stratum, and no variance of each to be known
        n_drawn = [min(config.sample, sizes[name]) for name in names]
    else:
        n_drawn = allocate([sizes[name] for name in names], config.sample)
    shares = pl.DataFrame(
        {
            "stratum": names,
            "n_drawn": n_drawn,
            "probability": [k / sizes[name] for k, name in zip(n_drawn, names, strict=True)],
        }
    )
    return _lowest(held.join(shares, on="stratum", how="left"), pl.col("n_drawn")).select(
        *_BASE, "probability"
    )


def _lowest(rows: pl.DataFrame, n: int | pl.Expr) -> pl.DataFrame:
    """In each stratum the ``n`` rows with the lowest draws, in the order of the draws."""
    place = pl.int_range(pl.len()).over("stratum")
    return rows.sort("draw", "unit", "row").filter(place < n)
