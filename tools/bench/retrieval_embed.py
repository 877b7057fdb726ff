"""`laion-probe embed` beside a bare open_clip loop: same model, batch, decoding and device.

``python -m tools.bench.retrieval_embed`` prints what `measure` found. The bare loop reads, decodes,
preprocesses and embeds batch after batch in one process, with torch's own threads, and keeps the
vectors in memory; ours also lists the tars, hashes them and writes the folder of embeddings, which
is in its time. Both take turns, so that they see the same machine.
"""

from __future__ import annotations

import argparse
import json
import shutil
import statistics
import tarfile
import tempfile
import time
import warnings
from collections.abc import Callable
from itertools import islice
from pathlib import Path
from typing import Any

from PIL import Image

from laion_probe.embed import (
    Embedder,
    EmbeddingFolder,
    Pace,
    Source,
    cores,
    decode,
    embed_parts,
    load_embedder,
)
from laion_probe.pictures import list_downloads, list_picture_shards
from tools.bench.measure import ROOT

__all__ = ["measure"]

DEMO = ROOT / "data" / "demo"
BATCH = 256
WANTED = 0.9
#: Pictures, and turns of each contender, by model.
MODELS = {"demo": (1_000, 4), "ViT-B-32": (128, 2)}


def measure() -> list[dict[str, Any]]:
    """For each model: pictures a second of both, the ratio of their medians, and the bar.

    ``ratios`` has the ratio of each pair of turns. The ViT has random weights: time is the same.
    """
    with tempfile.TemporaryDirectory() as scratch:
        return [_of(model, *sizes, Path(scratch)) for model, sizes in MODELS.items()]


def _of(model: str, n: int, turns: int, scratch: Path) -> dict[str, Any]:
    embedder = _loaded(model)
    images = _some_pictures(n, scratch / f"{model}-images")
    folder = scratch / f"{model}-out"
    contenders: dict[str, Callable[[], object]] = {
        "bare": lambda: _bare(embedder, images),
        "ours": lambda: _ours(embedder, images, folder),
    }
    seconds: dict[str, list[float]] = {name: [] for name in contenders}
    embedder.images([Image.new("RGB", (8, 8))])  # libraries are loaded
    for turn in range(turns):
        for name in list(contenders)[:: 1 if turn % 2 else -1]:
            shutil.rmtree(folder, ignore_errors=True)
            started = time.perf_counter()
            contenders[name]()
            seconds[name].append(time.perf_counter() - started)
    rates = {name: [n / s for s in each] for name, each in seconds.items()}
    ratio = statistics.median(rates["ours"]) / statistics.median(rates["bare"])
    return {
        "name": f"embed, {model}, {n} pictures, batches of {BATCH}, {embedder.device}",
        "pictures_per_s": {k: [round(r, 1) for r in each] for k, each in rates.items()},
        "ratios": [round(a / b, 3) for a, b in zip(rates["ours"], rates["bare"], strict=True)],
        "workers": cores(),
        "value": round(ratio, 3),
        "wanted": f"at least {WANTED} of the bare loop's pictures a second",
        "met": ratio >= WANTED,
    }


def _loaded(model: str) -> Embedder:
    demo = load_embedder(f"local-dir:{DEMO / 'clip'}", None)
    if model == "demo":
        return demo
    import open_clip

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        net, _, preprocess = open_clip.create_model_and_transforms(model, pretrained=None)
    return Embedder(net.eval(), preprocess, open_clip.get_tokenizer(model), demo.key)


def _some_pictures(n: int, folder: Path) -> Path:
    """Tars with ``n`` of the demo's pictures in all, each beside its parquet."""
    folder.mkdir()
    left = n
    for part in list_downloads(str(DEMO / "images")).parts:
        if not left:
            break
        shutil.copy((DEMO / "images" / part.name).with_suffix(".parquet"), folder)
        with (
            tarfile.open(DEMO / "images" / part.name) as whole,
            tarfile.open(folder / part.name, "w") as some,
        ):
            for m in islice((m for m in whole if m.name.endswith(".webp")), left):
                some.addfile(m, whole.extractfile(m))
                left -= 1
    return folder


def _bare(embedder: Embedder, images: Path) -> list[Any]:
    import torch

    files = [f for part in list_downloads(str(images)).parts for f in part.files]
    out = []
    for start in range(0, len(files), BATCH):
        pictures = [decode(f.read()) for f in files[start : start + BATCH]]
        batch = torch.stack([embedder.preprocess(p) for p in pictures]).to(embedder.device)
        with torch.inference_mode():
            out.append(embedder.model.encode_image(batch).cpu())  # type: ignore[operator]
    return out


def _ours(embedder: Embedder, images: Path, out: Path) -> list[Any]:
    shards = list_picture_shards([str(images)], 10_000)
    sources = [Source(n, s.open, {"stamp": s.stamp}) for n, s in enumerate(shards)]
    return list(embed_parts(sources, embedder, EmbeddingFolder(out), Pace(BATCH, cores())))


if __name__ == "__main__":
    argparse.ArgumentParser(description=__doc__).parse_args()
    print(json.dumps(measure()))
