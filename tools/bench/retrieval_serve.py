"""How `laion-probe serve` answers 50 clients at once, each asking again as soon as answered.

``python -m tools.bench.retrieval_serve [--seconds 60] [--clients 50] [--rows 200000]``: the command
serves a made-up, clustered set of rows in a process of its own; clients in this one ask by text,
embedding and picture in turn. Both share this machine's cores.
"""

from __future__ import annotations

import argparse
import asyncio
import base64
import io
import json
import re
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import aiohttp
import numpy as np
import polars as pl
from PIL import Image

from laion_probe.embed import load_embedder
from laion_probe.vectors import KEY_FILE

__all__ = ["Served", "measure", "write_rows"]

CHECKPOINT = Path(__file__).parent.parent.parent / "data" / "demo" / "clip"
DIM = 192
_PART_ROWS = 50_000
_WARM_S = 2.0


@dataclass(frozen=True)
class Served:
    """What came of it; milliseconds are from sending to the whole answer."""

    clients: int
    seconds: float
    rows: int
    answers: int
    errors: dict[str, int]
    answers_a_second: float
    p50_ms: float
    p95_ms: float
    p99_ms: float
    max_ms: float


def measure(rows: int = 200_000, clients: int = 50, seconds: float = 60.0) -> Served:
    """Serve made-up rows and have clients ask; an answer that is not 40 rows is an error."""
    with tempfile.TemporaryDirectory(prefix="lp") as name:
        folder = write_rows(Path(name) / "made-up", rows)
        command = [
            *(sys.executable, "-m", "laion_probe.cli", "serve", str(folder)),
            *("--model", f"local-dir:{CHECKPOINT}", "--port", "0", "--rate", "1000000"),
        ]
        with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as server:
            assert server.stdout is not None
            try:
                address = next(m[1] for m in map(_address, server.stdout) if m)
                return asyncio.run(_load(address, rows, clients, seconds))
            finally:
                server.send_signal(signal.SIGINT)


def write_rows(folder: Path, rows: int) -> Path:
    """Rows in 2 000 clusters of unequal size, fp16, with captions and addresses."""
    rng = np.random.default_rng(0)
    centres = rng.normal(size=(2000, DIM)).astype(np.float32)
    for name in ("img_emb", "metadata"):
        (folder / name).mkdir(parents=True)
    for number, start in enumerate(range(0, rows, _PART_ROWS)):
        n = min(_PART_ROWS, rows - start)
        which = (2000 * rng.random(n) ** 2).astype(int)
        v = centres[which] + 0.7 * rng.normal(size=(n, DIM)).astype(np.float32)
        v /= np.linalg.norm(v, axis=1, keepdims=True)
        np.save(folder / "img_emb" / f"img_emb_{number}.npy", v.astype(np.float16))
        frame = pl.DataFrame({"row": np.arange(start, start + n)}).select(
            caption=pl.format("a made-up caption of row {}", "row"),
            url=pl.format("https://pictures.example/{}.jpg", "row"),
            punsafe=pl.Series(rng.random(n)),
        )
        frame.write_parquet(folder / "metadata" / f"metadata_{number}.parquet")
    # made-up vectors would not pass for a model's by their captions
    key = load_embedder(f"local-dir:{CHECKPOINT}", None).key
    (folder / KEY_FILE).write_text(json.dumps(key), encoding="utf-8")
    return folder


def _address(line: str) -> re.Match[str] | None:
    return re.match(r"search page: (\S+)", line)


def _queries() -> list[dict[str, Any]]:
    rng = np.random.default_rng(1)
    out = io.BytesIO()
    Image.new("RGB", (256, 256), "#2a7a4a").save(out, "PNG")
    picture = base64.b64encode(out.getvalue()).decode()
    made: list[dict[str, Any]] = []
    for i in range(40):
        made.append({"text": f"a photo of a doctor number {i}"})
        made.append({"embedding_input": rng.normal(size=DIM).tolist()})
        made.append({"image": picture} if i % 4 == 0 else {"text": f"a sari {i}"})
    return made


async def _load(address: str, rows: int, clients: int, seconds: float) -> Served:
    bodies = [
        json.dumps({**q, "modality": "image", "num_images": 40, "indice_name": "made-up"})
        for q in _queries()
    ]
    took: list[float] = []
    errors: Counter[str] = Counter()
    begun = time.monotonic() + _WARM_S
    timeout = aiohttp.ClientTimeout(total=120)
    connector = aiohttp.TCPConnector(limit=clients)
    async with aiohttp.ClientSession(connector=connector, timeout=timeout) as session:

        async def client(number: int) -> None:
            i = 7 * number
            while (start := time.monotonic()) < begun + seconds:
                wrong = ""
                try:
                    async with session.post(
                        f"{address}knn-service", data=bodies[i % len(bodies)]
                    ) as answer:
                        found = await answer.json()
                        if answer.status != 200 or len(found) != 40:
                            wrong = f"{answer.status}: {str(found)[:80]}"
                except (aiohttp.ClientError, TimeoutError) as error:
                    wrong = type(error).__name__
                if start >= begun:
                    took.append(time.monotonic() - start)
                    if wrong:
                        errors[wrong] += 1
                i += 1

        await asyncio.gather(*map(client, range(clients)))
    p50, p95, p99 = (1000 * np.quantile(took, q) for q in (0.5, 0.95, 0.99))
    return Served(
        clients=clients,
        seconds=seconds,
        rows=rows,
        answers=len(took),
        errors=dict(errors),
        answers_a_second=round(len(took) / seconds, 1),
        p50_ms=round(float(p50), 1),
        p95_ms=round(float(p95), 1),
        p99_ms=round(float(p99), 1),
        max_ms=round(1000 * max(took), 1),
    )


def main() -> int:
    """Print what was measured; the exit code is 1 where there was an error."""
    parser = argparse.ArgumentParser(prog="python -m tools.bench.retrieval_serve")
    parser.add_argument("--rows", type=int, default=200_000)
    parser.add_argument("--clients", type=int, default=50)
    parser.add_argument("--seconds", type=float, default=60.0)
    args = parser.parse_args()
    found = measure(args.rows, args.clients, args.seconds)
    print(json.dumps(asdict(found)))
    return int(bool(found.errors))


if __name__ == "__main__":
    sys.exit(main())
