"""A file of captions that are all distinct and distributed as those of the real sample.

Detectors and `ftfy` take their time by how long a caption is and by what is not plain ASCII in it,
so recombined captions are drawn until each kind of caption has its share.
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import numpy as np
import polars as pl
import pyarrow.parquet as pq

from laion_probe.groups import load_group
from laion_probe.steps import Batch
from tools.bench.data import SCHEMA, SEED, Corpus, recombined, with_metadata

#: What distributions are compared by: the groups of that name, and what `ftfy` may have to mend.
COMPARED = ("length", "script", "signs")
#: Most that a distribution may differ by, in total variation.
MOST_OFF = 0.02

_DRAWN = 200_000
_MOST_DRAWS = 30
_OWN_SEED = 1 << 20
_FINE = 10  # characters


def levels(texts: pl.Series) -> pl.DataFrame:
    """The levels of `COMPARED` of each caption, and its length in tens of characters."""
    batch = Batch(pl.DataFrame({"text": texts}))
    signs = pl.select(
        pl.when(texts.str.contains(r"[^ -~]"))
        .then(pl.lit("not ASCII"))
        .when(texts.str.contains(r"&#?[0-9A-Za-z]+;"))
        .then(pl.lit("entity"))
        .when(texts.str.contains("&", literal=True))
        .then(pl.lit("ampersand"))
        .otherwise(pl.lit("plain"))
    ).to_series()
    tens = texts.str.len_chars() // _FINE
    columns = [load_group(name).levels(batch).alias(name) for name in ("length", "script")]
    return pl.DataFrame([*columns, signs.alias("signs"), tens.alias("tens")])


def distinct_captions(corpus: Corpus, n: int) -> pl.Series:
    """``n`` recombined captions, no two alike, in a random order: always the same.

    Every kind (tens of characters, length, script, signs) gets its share of the sample's captions.
    Raises `ValueError` where the sample's captions do not have so many in them.
    """
    kinds = ["tens", *COMPARED]
    given = levels(corpus.texts).group_by(kinds, maintain_order=True).len("wanted")
    wanted = given.with_columns((pl.col("wanted") * n / corpus.n).round().cast(pl.Int64))
    fitting = pl.DataFrame({"TEXT": pl.Series([], dtype=pl.String)})
    for draw in range(_MOST_DRAWS):
        rng = np.random.default_rng((SEED, _OWN_SEED, draw))
        texts = recombined(corpus, rng, _DRAWN, corpus.n // 5).str.strip_chars(" ")
        drawn = pl.concat([fitting, texts.to_frame()]).unique(maintain_order=True)
        ranked = (
            pl.concat([drawn, levels(drawn["TEXT"])], how="horizontal")
            .join(wanted, kinds, "left", maintain_order="left")
            .with_columns(fits=pl.int_range(pl.len()).over(kinds) < pl.col("wanted").fill_null(0))
        )
        fitting = ranked.filter("fits").select("TEXT")
        if n - fitting.height <= n * MOST_OFF / 2:
            # kinds that are full give the few that others lack
            rest = ranked.filter(~pl.col("fits")).select("TEXT").head(max(0, n - fitting.height))
            chosen = pl.concat([fitting, rest])["TEXT"].head(n)
            return chosen.gather(rng.permutation(n))
    raise ValueError(f"only {fitting.height} of {n} captions after {_MOST_DRAWS} draws")


def off_by(texts: pl.Series, corpus: Corpus) -> dict[str, float]:
    """Total variation between the captions' distribution and the sample's, by `COMPARED`."""
    made, given = levels(texts), levels(corpus.texts)
    out = {}
    for name in COMPARED:
        shares = [f[name].value_counts(normalize=True, name="share") for f in (made, given)]
        both = shares[0].join(shares[1], name, "full", suffix="_given").fill_null(0.0)
        out[name] = float((both["share"] - both["share_given"]).abs().sum()) / 2
    return out


def write_captions(path: Path, corpus: Corpus, texts: Iterable[pl.Series], group_rows: int) -> None:
    """A file of the captions, one series after another, each row with a URL of its own."""
    first = 0
    with pq.ParquetWriter(path, SCHEMA, compression="snappy") as writer:
        for captions in texts:
            rng = np.random.default_rng((SEED, _OWN_SEED, _MOST_DRAWS, first))
            table = with_metadata(corpus, rng, captions, first).to_arrow().cast(SCHEMA)
            writer.write_table(table, row_group_size=group_rows)
            first += len(captions)
