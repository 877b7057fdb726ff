"""clip-retrieval's own client against our server, in an environment of its own.

Its package imports torch, FAISS, wandb and more when it is imported; its client needs none of them.
So the environment (requirements-client.lock) holds the client and what it does import, and the
package's ``__init__`` is passed over; the client's file is run as it is.

What clip-retrieval's test of its client (tests/test_clip_client.py, 2.44) checks is checked here:
by text, by a picture's file and by a picture's address, a search finds something, whose rows have
``url``, ``caption``, ``similarity`` and ``id``. That test needs a server at knn.laion.ai, which is
gone, and is skipped there.
"""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
from fake_serving import demo_folder, served_here
from servers import serving

from laion_probe.config.serving import ServeConfig
from laion_probe.embed import load_embedder
from laion_probe.errors import ConfigError, EmbedderMismatch, SchemaError
from laion_probe.questions.serving import Collection, open_collections
from laion_probe.vectors import open_embeddings

ROOT = Path(__file__).parent.parent
CLIENT = Path(os.environ.get("LAION_PROBE_CLIENT", ROOT / ".venv-client" / "bin" / "python"))
TOKEN = "a-token-of-a-test"

#: Run by the client's Python: asks what it is told to and prints the answers.
ASK = """
import importlib.util, json, sys, types
package = types.ModuleType("clip_retrieval")
package.__path__ = importlib.util.find_spec("clip_retrieval").submodule_search_locations
sys.modules["clip_retrieval"] = package
from clip_retrieval.clip_client import ClipClient, Modality
made, queries = json.loads(sys.argv[1])
made["modality"] = Modality(made.get("modality", "image"))
client = ClipClient(**made)
print(json.dumps([client.query(**query) for query in queries]))
"""
SERVER = """
import sys
from laion_probe.config.serving import ServeConfig
from laion_probe.web.serve import serve
for line in serve(ServeConfig.model_validate_json(sys.argv[1])):
    print(line, flush=True)
"""


@contextlib.contextmanager
def served(**options: Any) -> Iterator[str]:
    """The address of the command's server, in a process of its own, until the block ends."""
    given = json.dumps({"port": 0, "rate": 1e6, **options})
    command = [sys.executable, "-c", SERVER, given]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        try:
            address = ""
            while not address.startswith("search page: "):
                address = process.stdout.readline()
                assert address, "the server ended"
            yield address.split()[2]
        finally:
            process.send_signal(signal.SIGINT)
            assert process.wait(10) == 0  # Ctrl-C ends it as it should


def ask(address: str, queries: Sequence[dict[str, Any]], **made: Any) -> list[Any]:
    """What clip-retrieval's client gives for each query."""
    if not CLIENT.is_file():
        pytest.skip(f"no {CLIENT}: make .venv-client/.ready, which holds clip-retrieval's client")
    client = {"url": f"{address}knn-service", "indice_name": "demo", **made}
    command = [CLIENT, "-c", ASK, json.dumps([client, queries])]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    found: list[Any] = json.loads(done.stdout)
    return found


@pytest.fixture(scope="module")
def folder(demo: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return demo_folder(demo, tmp_path_factory)


@pytest.fixture(scope="module")
def pictures(demo: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A picture of a thing, and one of a person, drawn large, as files."""
    import tarfile

    out = tmp_path_factory.mktemp("pictures")
    truth = pl.read_parquet(demo / "truth.parquet").filter(kind="pool")
    kinds = dict(truth.select("url", "concept").iter_rows())
    with tarfile.open(demo / "images" / "00002.tar") as tar:
        for member in tar.getmembers():
            file = tar.extractfile(member)
            if member.name.endswith(".json") and file is not None:
                concept = kinds[json.load(file)["url"]]
                path = out / f"{concept}.webp"
                picture = tar.extractfile(member.name.replace(".json", ".webp"))
                if concept in ("thing", "person") and not path.exists() and picture is not None:
                    path.write_bytes(picture.read())
    return out


def test_the_client_searches_by_text_picture_address_and_embedding(
    folder: Path, pictures: Path, demo: Path
) -> None:
    model = f"local-dir:{demo / 'clip'}"
    embeddings = open_embeddings(folder)
    every = embeddings.vectors(np.arange(embeddings.n_rows))
    every /= np.linalg.norm(every, axis=1, keepdims=True)
    vector = load_embedder(model, None).texts(["a photo of a doctor"])[0]
    best = np.argsort(-(every @ vector), kind="stable")[:40]
    with serving(pictures) as site:
        host = site.url.removeprefix("http://")
        queries: list[dict[str, Any]] = [
            {"text": "a photo of a doctor"},
            {"image": str(pictures / "thing.webp")},
            {"image": f"{site.url}/thing.webp"},
            {"embedding_input": vector.tolist()},
            {"image": str(pictures / "person.webp")},
        ]
        with served(
            embeddings=[f"demo={folder}"], model=model, token=TOKEN, allow_private=[host]
        ) as address:
            assert address.endswith(f"/{TOKEN}/")
            plain = ask(address, queries, deduplicate=False)
            merged = ask(address, queries[:1], num_images=7, aesthetic_weight=0.0)
    *found, face = plain
    for rows in found:
        assert len(rows) == 40
        for row in rows:
            assert {"id", "similarity", "url", "caption"} <= set(row)
            assert isinstance(row["id"], int)
            assert -1 <= row["similarity"] <= 1
        similar = [row["similarity"] for row in rows]
        assert similar == sorted(similar, reverse=True)
    by_text, by_file, by_address, by_embedding = found
    assert by_text == by_embedding
    assert by_file == by_address
    assert {row["id"] for row in by_text} == set(best.tolist())
    known = embeddings.metadata(np.array([by_text[0]["id"]]), ["url", "caption"])
    assert (by_text[0]["url"], by_text[0]["caption"]) == known.select("url", "caption").row(0)
    # What it asks for by default is honoured: no two rows alike.
    ids = [row["id"] for row in merged[0]]
    alike = every[ids] @ every[ids].T
    assert (alike[~np.eye(len(ids), dtype=bool)] <= 0.961).all()
    assert "docs/ethics.md" in face["error"]


def test_the_client_searches_captions_where_there_are_embeddings_of_them(
    folder: Path, tmp_path: Path
) -> None:
    both = tmp_path / "both"
    both.mkdir()
    for name in ("img_emb", "metadata"):
        (both / name).symlink_to(folder / name)
    (both / "text_emb").mkdir()
    for path in sorted((folder / "img_emb").iterdir()):
        turned = -np.load(path)
        np.save(both / "text_emb" / path.name.replace("img", "text"), turned)
    vector = np.load(folder / "img_emb" / "img_emb_0.npy")[5].astype(float).tolist()
    asked = [{"embedding_input": vector}]
    opened = open_collections(ServeConfig(embeddings=(f"demo={both}",)))
    with served_here(opened) as address:
        (near,) = ask(address, asked, num_images=1, deduplicate=False)
        (far,) = ask(address, asked, num_images=1, deduplicate=False, modality="text")
        (refused,) = ask(address, [{"text": "a doctor"}])
    assert near[0]["id"] == 5
    assert near[0]["similarity"] == pytest.approx(1, abs=1e-3)
    assert far[0]["id"] != 5
    assert "by embedding alone" in refused["error"]


def test_folders_of_another_model_or_run_are_refused(
    folder: Path, demo: Path, tmp_path: Path
) -> None:
    root, model = tmp_path, f"local-dir:{demo / 'clip'}"

    def opened(name: str) -> Collection:
        return open_collections(ServeConfig(embeddings=(str(root / name),), model=model))[0]

    def copied(name: str) -> Path:
        return Path(shutil.copytree(folder, root / name))

    assert opened(copied("right").name).model_check == ""
    (copied("unkeyed") / "key.json").unlink()
    assert "captions" in opened("unkeyed").model_check
    vectors = np.load(root / "right" / "img_emb" / "img_emb_0.npy")
    (copied("shuffled") / "key.json").unlink()
    for path in (root / "shuffled" / "img_emb").iterdir():
        np.save(path, np.load(path)[::-1])
    with pytest.raises(EmbedderMismatch, match="have no key, and do not fit"):
        opened("shuffled")
    key = json.loads((copied("named") / "key.json").read_text(encoding="utf-8"))
    key["weights_sha256"] = "0" * 64
    (root / "named" / "key.json").write_text(json.dumps(key), encoding="utf-8")
    with pytest.raises(EmbedderMismatch, match="were made by"):
        opened("named")
    (copied("texts") / "text_emb").mkdir()
    np.save(root / "texts" / "text_emb" / "text_emb_0.npy", vectors[:, :7])
    with pytest.raises(SchemaError, match="not of the same rows and model"):
        opened("texts")
    (root / "empty" / "img_emb").mkdir(parents=True)
    np.save(root / "empty" / "img_emb" / "img_emb_0.npy", vectors[:0])
    with pytest.raises(ConfigError, match="holds no rows"):
        opened("empty")
