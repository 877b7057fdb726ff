"""What `rebalance` writes beside its report: weights, a subset, and a sampler that runs."""

from __future__ import annotations

import tempfile
from pathlib import Path

import numpy as np
import polars as pl
from numpy.typing import NDArray

from laion_probe.questions.kept import KeptIds
from laion_probe.questions.rebalancing_inputs import Rows

__all__ = ["write_plan", "write_sampler"]

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

_SAMPLER = '''\
"""A WebDataset whose samples come up as often as weights.parquet asks; written by laion-probe.

    import webdataset
    from sampler import weighted

    data = webdataset.WebDataset("pictures/{00000..00009}.tar", shardshuffle=False)
    data = data.compose(weighted("weights.parquet", seed=0))

A sample passes with the chance that is its weight over the largest, anew in every pass; one that
is in no row of weights.parquet never does. Its row is found, in this order, by its uid (in its
json), by its address and caption together (url in its json; its txt, or caption in its json), by
its address alone, where rows of one address then count with their mean weight, and by TAR/KEY.
``python sampler.py weights.parquet SHARD.tar ...`` counts what one pass would give.
"""

import itertools
import json
import os
import random
import sys
import tarfile

import pyarrow.parquet as pq


def read_weights(path):
    """By id, (address, caption) and (address,): the mean of the weights, over the largest."""
    table = pq.read_table(path, columns=["id", "url", "text", "weight"]).to_pydict()
    largest = max(table["weight"])
    sums = {}
    for name, url, text, weight in zip(*(table[c] for c in ("id", "url", "text", "weight"))):
        for key in (name, (url, text or ""), (url,)) if url else (name,):
            total, n = sums.get(key, (0.0, 0))
            sums[key] = (total + weight / largest, n + 1)
    return {key: total / n for key, (total, n) in sums.items()}


def chance_of(sample, chance):
    """The chance of a WebDataset sample: a dict with __key__, and json, txt or __url__."""
    told = sample.get("json", b"{}")
    facts = told if isinstance(told, dict) else json.loads(told)
    url, text = facts.get("url"), sample.get("txt", facts.get("caption"))
    if isinstance(text, bytes):
        text = text.decode("utf-8", "replace")
    tar = os.path.basename(sample.get("__url__", "")).split(".")[0]
    names = [facts.get("uid"), (url, text or ""), (url,), tar + "/" + sample["__key__"]]
    return next((chance[name] for name in names if name in chance), 0.0)


def weighted(path, seed=0):
    """A stage for webdataset's ``compose``."""
    chance = read_weights(path)
    passes = itertools.count()

    def choose(samples):
        rng = random.Random(seed * 1_000_003 + next(passes))
        for sample in samples:
            if rng.random() < chance_of(sample, chance):
                yield sample

    return choose


def samples_of(tars):
    """Samples of tars with the standard library alone."""
    for path in tars:
        with tarfile.open(path) as tar:
            files = (f for f in tar if f.isfile())
            for key, members in itertools.groupby(files, lambda f: f.name.split(".")[0]):
                sample = {"__key__": key, "__url__": path}
                for member in members:
                    sample[member.name.split(".", 1)[-1]] = tar.extractfile(member).read()
                yield sample


if __name__ == "__main__":
    every = list(samples_of(sys.argv[2:]))
    passed = list(weighted(sys.argv[1])(every))
    print(len(passed), "of", len(every), "samples")
'''


def write_plan(
    folder: Path, rows: Rows, weight: Floats, chosen: Ints, chance: Floats
) -> dict[str, str]:
    """Write the files of the plan; what each holds, by its name.

    ``weight`` (N,) is 1 on average over the rows inside; ``chosen`` are the places of the subset,
    drawn with ``chance`` (N,).
    """
    folder.mkdir(parents=True, exist_ok=True)
    inside = np.flatnonzero(rows.inside).tolist()
    table = rows.frame.with_columns(pl.Series("weight", weight))
    table[inside].select("id", "url", "text", "weight").write_parquet(folder / "weights.parquet")
    left = weight[chosen] / chance[chosen]  # not all equal where some rows are in for certain
    table[chosen.tolist()].select(
        "url",
        pl.col("text").alias("caption"),
        pl.Series("weight", left / left.mean()),
        "id",
    ).write_parquet(folder / "subset.parquet")
    write_sampler(folder)
    files = {
        "weights.parquet": f"a weight for each of {len(inside):,} {rows.what}, 1 on average",
        "subset.parquet": f"{len(chosen):,} {rows.what} drawn by weight, with url, caption and "
        "weight: for img2dataset, or as a shard of a probe",
        "sampler.py": "a WebDataset stage by weights.parquet",
    }
    if "id_high" in rows.frame.columns:
        with (
            tempfile.TemporaryDirectory() as scratch,
            KeptIds(folder, "subset", Path(scratch)) as kept,
        ):
            kept.add(rows.frame[chosen.tolist()].select("id_high", "id_low"))
        files["kept-subset.npy"] = "the ids of the subset, sorted pairs u8,u8 as DataComp has them"
        files["kept-subset.parquet"] = "the same in hexadecimal"
    return files


def write_sampler(folder: Path) -> None:
    """Write ``sampler.py``, which reads the ``weights.parquet`` beside it."""
    (folder / "sampler.py").write_text(_SAMPLER, encoding="utf-8", newline="\n")
