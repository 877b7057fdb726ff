"""The search server: clip-retrieval's interface, what bends an answer, and what is withheld."""

from __future__ import annotations

import hashlib
import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from aiohttp.test_utils import TestClient
from fake_serving import (
    DIM,
    FACE,
    SCENE,
    FakeEncoder,
    N,
    as_text,
    ask,
    collection,
    knn,
    metadata,
    png,
    ranked,
    run,
    vectors,
    write_folder,
)

from laion_probe.errors import ConfigError
from laion_probe.questions.serving_removed import RemovalList, read_removal_list
from laion_probe.questions.serving_search import distinct


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_folder(tmp_path_factory.mktemp("embeddings"))


@pytest.fixture(scope="module")
def bare(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_folder(tmp_path_factory.mktemp("bare"), ["url", "caption"], text=True)


QUERY = vectors()[30].tolist()


# The interface


def test_collections_are_listed_in_order_and_the_first_is_the_default(folder: Path) -> None:
    both = [collection(folder, "one"), collection(folder, "two")]

    async def scenario(client: TestClient) -> None:
        async with client.get("/indices-list") as answer:
            assert await answer.json() == ["one", "two"]
        assert await knn(client, text="a cat") == await knn(client, text="a cat", indice_name="one")

    run(both, scenario)


def test_text_picture_and_embedding_give_the_nearest_rows_in_the_order_of_the_cosine(
    folder: Path,
) -> None:
    encoder = FakeEncoder()
    by_text = encoder.texts(["a cat"])[0]
    queries = [
        ({"text": "a cat"}, by_text),
        ({"text": "", "image": as_text(SCENE)}, None),
        ({"embedding_input": (3 * by_text).tolist()}, by_text),
        # Of several, the text counts.
        ({"text": "a cat", "image": "!", "embedding_input": [1.0]}, by_text),
    ]

    async def scenario(client: TestClient) -> None:
        for asked, query in queries:
            rows = await knn(client, num_images=N, **asked)
            similar = [r["similarity"] for r in rows]
            assert similar == sorted(similar, reverse=True)
            if query is not None:
                assert [r["id"] for r in rows] == ranked(query)
                assert rows[0]["similarity"] == pytest.approx(
                    float(vectors()[rows[0]["id"]] @ query), abs=1e-3
                )

    run(collection(folder), scenario)


def test_a_row_has_what_the_metadata_know_and_never_what_json_cannot_hold(folder: Path) -> None:
    frame = metadata()

    async def scenario(client: TestClient) -> None:
        rows = {r["id"]: r for r in await knn(client, embedding_input=QUERY, num_images=N)}
        assert len(rows) == N
        for i, row in rows.items():
            assert row["caption"] == (frame["caption"][i] or "")
            assert row.get("url") == frame["url"][i]
            assert row["image_path"] == f"{i:09d}"
            assert row["NSFW"] == "UNLIKELY"
            assert row.get("language") == frame["LANGUAGE"][i]
            assert row["uid"] == f"u{i}"
            assert "secret" not in row
            assert "image" not in row
            known = frame["punsafe"][i]
            assert row.get("punsafe") == (None if known is None or math.isnan(known) else known)

    run(collection(folder), scenario)


def test_more_ids_than_rows_with_metadata_which_is_asked_for_later(folder: Path) -> None:
    async def scenario(client: TestClient) -> None:
        rows = await knn(client, text="a cat", num_images=4, num_result_ids=50)
        assert len(rows) == 50
        assert all("caption" in r for r in rows[:4])
        assert all(set(r) == {"id", "similarity"} for r in rows[4:])
        ids = [r["id"] for r in rows[4:9]]
        body = json.dumps({"ids": [*ids, -1, N, 10**12], "indice_name": "made-up"})
        async with client.post("/metadata", data=body) as answer:
            found = await answer.json()
        assert [f["id"] for f in found] == ids
        assert found[0]["metadata"]["caption"] == (metadata()["caption"][ids[0]] or "")
        async with client.post("/metadata", data=json.dumps({"ids": []})) as answer:
            assert await answer.json() == []

    run(collection(folder), scenario)


def test_captions_are_searched_where_there_are_embeddings_of_them(folder: Path, bare: Path) -> None:
    async def scenario(client: TestClient) -> None:
        near = await knn(client, embedding_input=QUERY, num_images=N, indice_name="bare")
        far = await knn(
            client, embedding_input=QUERY, num_images=N, indice_name="bare", modality="text"
        )
        similar = {r["id"]: r["similarity"] for r in near}
        assert {r["id"]: -r["similarity"] for r in far} == pytest.approx(similar, abs=1e-6)
        assert far[0]["id"] == near[-1]["id"]
        status, body, _ = await ask(client, embedding_input=QUERY, modality="text")
        assert (status, body) == (400, {"error": "made-up has no text embeddings to search"})

    run([collection(folder), collection(bare, "bare")], scenario)


@pytest.mark.parametrize(
    ("asked", "status", "words"),
    [
        ({}, 400, "give text, image, image_url or embedding_input"),
        ({"text": ""}, 400, "give text"),
        ({"text": "x" * 10_001}, 400, "text: "),
        ({"text": 7}, 400, "text: "),
        ({"text": "a", "indice_name": "no"}, 404, "there are made-up"),
        ({"text": "a", "modality": "sound"}, 400, "modality: "),
        ({"text": "a", "num_images": 0}, 400, "num_images: "),
        ({"text": "a", "num_images": 10**9}, 400, "at most 10000 rows"),
        ({"text": "a", "num_result_ids": 10**9}, 400, "at most 10000 rows"),
        ({"text": "a", "aesthetic_score": 11}, 400, "aesthetic_score: "),
        ({"embedding_input": [1.0] * (DIM - 1)}, 400, "has 7 numbers; made-up needs 8"),
        ({"embedding_input": [0.0] * DIM}, 400, "not all of them 0"),
        ({"embedding_input": [float("nan")] * DIM}, 400, "finite"),
        ({"embedding_input": [float("inf")] * DIM}, 400, "finite"),
        ({"embedding_input": ["a"] * DIM}, 400, "embedding_input"),
        ({"embedding_input": [10**400] * DIM}, 400, "finite"),
        ({"image": "????"}, 400, "image: "),
        ({"image": "AAA"}, 400, "image: not base64"),
        ({"image": as_text(b"<svg xmlns='x'/>")}, 400, "not a readable picture"),
        ({"image": as_text(SCENE[:60])}, 400, "not a readable picture"),
        ({"image": as_text(png(size=(10_000, 9_000)))}, 400, "over the limit"),
    ],
)
def test_what_cannot_be_answered_is_said_in_words(
    folder: Path, asked: dict[str, Any], status: int, words: str
) -> None:
    async def scenario(client: TestClient) -> None:
        found, body, _ = await ask(client, **asked)
        assert (found, words in body["error"]) == (status, True), body

    run(collection(folder), scenario)


@pytest.mark.parametrize("body", [b"", b"{", b"[]", b"\xff", b"null", b"[" * 100_000])
def test_a_body_that_is_no_request_is_refused(folder: Path, body: bytes) -> None:
    async def scenario(client: TestClient) -> None:
        for path in ("/knn-service", "/metadata"):
            async with client.post(path, data=body) as answer:
                assert answer.status == 400
                assert (await answer.json())["error"]

    run(collection(folder), scenario)


def test_numbers_too_large_or_small_to_square_are_a_direction_all_the_same(folder: Path) -> None:
    async def scenario(client: TestClient) -> None:
        usual = await knn(client, embedding_input=QUERY)
        for by in (1e307, 1e-300):
            scaled = (by * np.array(QUERY)).tolist()
            assert [r["id"] for r in await knn(client, embedding_input=scaled)] == [
                r["id"] for r in usual
            ]

    run(collection(folder), scenario)


def test_a_caption_that_is_not_utf_8_fails_no_answer(tmp_path: Path) -> None:
    root = write_folder(tmp_path / "e", ["caption"], parts=1)
    wrong = pa.array([b"caf\xe9"] * N, pa.binary()).cast(pa.string(), safe=False)
    pq.write_table(pa.table({"caption": wrong}), root / "metadata" / "metadata_0.parquet")

    async def scenario(client: TestClient) -> None:
        assert {r["caption"] for r in await knn(client, text="a cat")} == {"caf\ufffd"}

    run(collection(root), scenario)


def test_without_an_encoder_only_embeddings_are_searched_by(folder: Path) -> None:
    async def scenario(client: TestClient) -> None:
        assert len(await knn(client, embedding_input=QUERY)) == 5
        for asked in ({"text": "a"}, {"image": as_text(SCENE)}):
            status, body, _ = await ask(client, **asked)
            assert (status, "by embedding alone" in body["error"]) == (400, True)

    run(collection(folder, encoder=None), scenario)


# What bends an answer

#: What clip-retrieval's client always sends.
DEFAULTS = {
    "deduplicate": True,
    "use_safety_model": True,
    "use_violence_detector": True,
    "use_mclip": False,
    "aesthetic_score": 9,
    "aesthetic_weight": 0.5,
}


def test_nothing_is_applied_that_was_not_asked_for(folder: Path) -> None:
    async def scenario(client: TestClient) -> None:
        for nothing in ({}, {"aesthetic_score": "", "aesthetic_weight": "0.5"}):
            _, rows, applied = await ask(client, embedding_input=QUERY, num_images=N, **nothing)
            assert [r["id"] for r in rows] == ranked(np.array(QUERY))
            assert applied == 'search;applied=?1;note="exact"'

    run(collection(folder), scenario)


def test_what_was_asked_for_is_applied_and_said(folder: Path) -> None:
    frame = metadata()

    async def scenario(client: TestClient) -> None:
        _, rows, applied = await ask(client, embedding_input=QUERY, num_images=N, **DEFAULTS)
        said = {item.split(";")[0]: item for item in applied.split('", ')}
        assert list(said) == [
            "search", "safety", "deduplicate", "aesthetic", "violence-detector",
        ]  # fmt: skip
        left = [r["id"] for r in rows]
        unsafe = [i for i in range(N) if not (frame["punsafe"][i] or 0) < 0.5]
        unknown = [i for i in range(N) if i % 10 in (8, 9)]
        gone = {*unsafe, *unknown}
        assert f";left-out={len(gone)};" in said["safety"]
        assert f"{len(unknown)} left out for want of it" in said["safety"]
        assert gone.isdisjoint(left)
        # Of those alike the lowest row is kept; row 41 was left out as row 40's own twin.
        assert 3 in left
        assert not {20, 21} & set(left)
        assert ";left-out=2;" in said["deduplicate"]
        assert "applied=?1" in said["aesthetic"]
        assert "applied=?0" in said["violence-detector"]
        # What is answered is still the cosine.
        for row in rows:
            cosine = float(vectors()[row["id"]] @ np.array(QUERY, np.float32))
            assert row["similarity"] == pytest.approx(cosine, abs=2e-3)

    run(collection(folder), scenario)


def test_what_cannot_be_applied_is_said_as_not_applied(bare: Path) -> None:
    async def scenario(client: TestClient) -> None:
        asked = {**DEFAULTS, "deduplicate": False, "use_mclip": True}
        _, rows, applied = await ask(client, embedding_input=QUERY, num_images=N, **asked)
        assert [r["id"] for r in rows] == ranked(np.array(QUERY))
        items = applied.split('", ')[1:]
        names = {item.partition(";")[0] for item in items if ";applied=?0;" in item}
        assert names == {"safety", "aesthetic", "violence-detector", "mclip"}

    run(collection(bare), scenario)


@pytest.mark.parametrize(("wished", "weight"), [(9, 1.0), (0, 1.0), (5, 0.5), (9, 0.0)])
def test_rows_are_reranked_by_nearness_of_their_score_to_the_one_wished_for(
    folder: Path, wished: float, weight: float
) -> None:
    score = dict(enumerate(metadata()["aesthetic"].to_list()))
    plain = ranked(np.array(QUERY))
    far = {i: math.inf if s is None else abs(s - wished) for i, s in score.items()}
    by_score = sorted(plain, key=lambda i: (far[i], plain.index(i)))
    mixed = sorted(
        plain,
        key=lambda i: (
            (1 - weight) * plain.index(i) + weight * by_score.index(i),
            plain.index(i),
        ),
    )

    async def scenario(client: TestClient) -> None:
        asked = {"aesthetic_score": wished, "aesthetic_weight": weight}
        _, rows, applied = await ask(client, embedding_input=QUERY, num_images=N, **asked)
        assert [r["id"] for r in rows] == mixed
        assert ("aesthetic" in applied) == (weight > 0)

    run(collection(folder), scenario)


def test_near_identical_rows_are_those_that_a_plain_loop_finds() -> None:
    rng = np.random.default_rng(0)
    centres = rng.normal(size=(300, 6))
    v = (centres[rng.integers(0, 300, 1300)] + rng.normal(0, 0.12, (1300, 6))).astype(np.float32)
    rows = rng.permutation(9000)[:1300]
    unit = v / np.linalg.norm(v, axis=1, keepdims=True)
    kept: list[int] = []
    for i in np.argsort(rows):
        if all(unit[i] @ unit[j] <= 0.96 for j in kept):
            kept.append(int(i))
    assert 100 < len(kept) < 1200
    assert np.flatnonzero(distinct(rows, v)).tolist() == sorted(kept)


# Faces, and what is removed


def test_a_picture_of_mostly_a_face_is_refused_and_a_scene_is_not(folder: Path) -> None:
    async def scenario(client: TestClient) -> None:
        status, body, _ = await ask(client, image=as_text(FACE))
        assert (status, "docs/ethics.md" in body["error"]) == (403, True)
        assert len(await knn(client, image=as_text(SCENE))) == 5
        async with client.get("/metrics") as answer:
            assert 'laion_probe_refused_total{reason="face"} 1.0' in await answer.text()

    run(collection(folder), scenario)


def test_search_by_picture_can_be_switched_off(folder: Path) -> None:
    async def off(client: TestClient) -> None:
        for asked in ({"image": as_text(SCENE)}, {"image_url": "https://a.example/b.png"}):
            assert (await ask(client, **asked))[0] == 403
        assert len(await knn(client, text="a cat")) == 5

    async def uploads(client: TestClient) -> None:
        assert (await ask(client, image_url="https://a.example/b.png"))[0] == 403
        assert len(await knn(client, image=as_text(SCENE))) == 5

    run(collection(folder), off, image_queries="off")
    run(collection(folder), uploads, image_queries="uploads")


LIST = f"""# asked for by their owners

http://pictures.EXAMPLE/5.jpg#top
sha256:{hashlib.sha256(b"https://Pictures.example/6.jpg").hexdigest()}
id:u10
row:made-up:11
https://elsewhere.example/x.jpg
"""


def test_listed_rows_never_come_back(folder: Path, tmp_path: Path) -> None:
    (tmp_path / "removed.txt").write_text(LIST, encoding="utf-8")
    listed = read_removal_list(tmp_path / "removed.txt")
    made = collection(folder)
    rows = listed.rows_of("made-up", made.spaces["image"].embeddings)
    assert rows.tolist() == [5, 6, 10, 11]
    assert listed.rows_of("another", made.spaces["image"].embeddings).tolist() == [5, 6, 10]

    async def scenario(client: TestClient) -> None:
        for row in rows.tolist():
            near = {"embedding_input": vectors()[row].tolist()}
            for more in ({}, {"num_images": 2, "num_result_ids": 40}):
                _, found, applied = await ask(client, **{"num_images": 40, **near, **more})
                assert row not in {r["id"] for r in found}
                assert len(found) == 40  # as many as asked for, all the same
                # How many there are near a query is nobody's to learn.
                assert 'removal-list;applied=?1;note="' in applied
        assert len(await knn(client, text="a cat", num_images=N)) == N - 4
        body = json.dumps({"ids": [4, *rows.tolist(), 12]})
        async with client.post("/metadata", data=body) as answer:
            assert [f["id"] for f in await answer.json()] == [4, 12]

    run(collection(folder, removed=rows), scenario)


@pytest.mark.parametrize("line", ["pictures.example/5.jpg", "id:", "row:x:y", "a" * 63, "sha256:1"])
def test_a_line_that_would_remove_nothing_is_an_error(tmp_path: Path, line: str) -> None:
    (tmp_path / "list").write_text(f"id:u1\n{line}\n", encoding="utf-8")
    with pytest.raises(ConfigError, match="line 2: not a URL"):
        read_removal_list(tmp_path / "list")


def test_a_list_that_cannot_be_honoured_is_an_error(tmp_path: Path, folder: Path) -> None:
    without = write_folder(tmp_path / "e", ["caption", "uid"])
    made = collection(without).spaces["image"].embeddings
    with pytest.raises(ConfigError, match="has no column of URLs"):
        RemovalList(urls=frozenset({"a.example/b"})).rows_of("e", made)
    assert RemovalList(ids=frozenset({"u2"})).rows_of("e", made).tolist() == [2]
    for part in (without / "metadata").iterdir():
        part.unlink()
    with pytest.raises(ConfigError, match="has no column uid, id or key"):
        RemovalList(ids=frozenset({"u2"})).rows_of(
            "e", collection(without).spaces["image"].embeddings
        )
    with pytest.raises(ConfigError, match="has no row 60"):
        RemovalList(rows={"e": frozenset({N})}).rows_of("e", made)
    with pytest.raises(ConfigError, match="give a text file"):
        read_removal_list(tmp_path / "nowhere")
