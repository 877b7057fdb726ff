"""Each kind of step, and each shipped recipe, against a plain loop over rows (`plain_steps`)."""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import plain_steps as plain
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from shardmaker import CAPTIONS, write

from laion_probe.groups import load_group
from laion_probe.lexicons.names import replace_names
from laion_probe.measures import WHITE_SPACE
from laion_probe.recipes import Recipe, Step, known_recipes, load_recipe
from laion_probe.records import CANONICAL
from laion_probe.rewriting import dalle_mini, hypernyms
from laion_probe.shards import list_shards, list_units
from laion_probe.steps import STEPS, Batch, Outcome
from laion_probe.unit_scan import judge_rows, judge_unit, resolve

SCHEMA = {name: getattr(pl, dtype) for name, dtype in CANONICAL.items()}

WORDS = (
    *("kid", "Kid", "KID", "kick", "teen", "canteen", "child", "baby", "ass", "class", "photo"),
    *("a photo of", "Emma Stone", "Dr. Salman Khan", "<PERSON>", "3 May 2019", "#DoctorWho"),
    *("café", "cafe\u0301", "CAFÉ", "Straße", "STRASSE", "ΟΔΟΣ", "ΟΔΟΣ ΟΔΟΣ", "ς", "İstanbul"),
    *(
        "\u212aid",
        "\u212aic\u212a",
        "kid\u0301",
        "kid²",
        "kid①",
        "kid_",
        "kid‿",
        "kid\u200d",
        "4kid",
    ),
    *(
        "गांड",
        "गांडू",
        "चूत",
        "चूतिया",
        "шлюха",
        "Шлюха!",
        "секс",
        "变态",
        "一个变态的",
        "エッチ",
        "เย็ด",
    ),
    *(
        "médecin avec",
        "डॉक्टर",
        "طبيب في مستشفى",
        "医者",
        "의사",
        "👩‍⚕️",
        "👍🏽",
        "&amp;",
        "&lt;b&gt;",
        "&nbsp;",
    ),
    *(
        "caf\u00c3\u00a9",
        "â€™",
        "“quoted”",
        "ﬁne",
        "<b>bold</b>",
        "\x1b[31m",
        "http://a.example/x",
        "1,000",
    ),
    *(
        "\x00",
        "\x01",
        "\x7f",
        "\x9f",
        "\u200b",
        "\ufeff",
        "\u2028",
        "\u00ad",
        "\U0001f600",
        "\ufffd",
        "_",
    ),
)
SPACES = (*WHITE_SPACE, "  ", "\r\n", " \t ")
ANY = st.characters(exclude_categories=["Cs", "Cn"])
fragments = st.one_of(
    st.sampled_from(WORDS),
    st.sampled_from(SPACES),
    st.just(" "),
    st.sampled_from(list(",.!-;'\"()/#")),
    st.text(ANY, max_size=4),
)
captions = st.one_of(
    st.lists(fragments, max_size=8).map("".join),
    st.sampled_from(["", " ", *CAPTIONS]),
    st.builds(lambda a, n: a * n, fragments, st.integers(1, 400)),
)
HOSTS = (
    *("a.example", "A.Example", "www.a.example", "ba.example", "a.example.", "a.example:80", ""),
    *("user:pw@a.example", "a.example@b.example:8080", "[::1]", "[bad", "127.0.0.1:x", "h ost"),
    *(
        "münchen.example",
        "MÜNCHEN.example",
        "xn--mnchen-3ya.example",
        "℀.example",
        "\u212aid.example",
    ),
    *(
        "a.exa\tmple",
        "a.\nexample",
        "İ" * 7,
        "a" * 9,
        "a" * 10,
        "a" * 11,
        "例え.テスト",
        "a\\b",
        "a..example",
    ),
)
HOST_NAMES = [h for h in HOSTS if h and ".." not in h and not set(h) & set(" \t\n:@[\\")]
hosts = st.one_of(st.sampled_from(HOSTS), st.text(ANY, max_size=12))
urls = st.one_of(
    st.none(),
    st.builds(
        lambda *parts: "".join(parts),
        st.sampled_from(
            ["http://", "HTTPS://", "//", "", "data:", " http://", "ht\ntp:/\n/", "x:"]
        ),
        hosts,
        st.sampled_from(
            ["", "/", "/a.JPG", "?x=//a.example", "#.svg", "/JavaScript:", "/\u212aid.GIF"]
        ),
    ),
    st.text(ANY, max_size=10),
)
sizes = st.one_of(
    st.none(),
    st.sampled_from([0, 1, 199, 200, 400, 401, 1023, 1024, 2**31, 2**32, 2**40, 2**62]),
    st.integers(0, 1500),
)
NUMBERS = (0.0, -0.0, 0.1, 0.26, 0.28, 0.3, 0.5, 1.0, 4.5, 5.0, -1.0)
scores = st.one_of(
    st.none(),
    st.sampled_from(
        [*NUMBERS, float("nan"), float("inf"), float("-inf"), 5e-324, 0.30000000000000004]
    ),
    st.floats(),
)
tags = st.sampled_from([None, "UNLIKELY", "UNSURE", "NSFW", "unlikely", "", "Error"])
VALUES: dict[str, st.SearchStrategy[Any]] = {
    "url": urls,
    "text": captions,
    "nsfw": tags,
    "language": st.sampled_from([None, "en", "nolang"]),
    "uid": st.sampled_from([None, "u"]),
}


def tables(needs: Sequence[str]) -> st.SearchStrategy[list[dict[str, Any]]]:
    """Rows with something in these columns (a caption always)."""
    columns = {"text": st.just("a photo")}
    columns |= {n: VALUES[n] if n in VALUES else _numbers(n) for n in needs}
    blank = dict.fromkeys(SCHEMA)
    return st.lists(st.fixed_dictionaries(columns).map(lambda row: {**blank, **row}), max_size=10)


def _numbers(name: str) -> st.SearchStrategy[Any]:
    return sizes if SCHEMA[name] == pl.Int64 else scores


bounds = st.sampled_from(NUMBERS)
BANNED = ("kid", "KID ", "a photo", "café", "गांड", "шлюха", "变态", "straße", "οδος", "$$", "i")
banned = st.lists(st.sampled_from(BANNED), min_size=1, max_size=3).map(tuple)
some_words = st.lists(st.sampled_from(WORDS), min_size=1, max_size=4).map(tuple)
url_parts = (".svg", ".gif", "javascript:", "JAVASCRIPT:", "kid", "é", "ü", "Ü", "İ")


def either(**ends: st.SearchStrategy[Any]) -> st.SearchStrategy[dict[str, Any]]:
    """At least one of the parameters, which leave something between them."""

    def sound(p: dict[str, Any]) -> bool:
        low = [v for k, v in p.items() if k.startswith(("min", "at_least", "above"))]
        high = [v for k, v in p.items() if k.startswith(("max", "at_most", "below"))]
        strict = "above" in p or "below" in p
        return bool(p) and all(a < b or (a == b and not strict) for a in low for b in high)

    return st.fixed_dictionaries({}, optional=ends).filter(sound)


small = st.integers(1, 12)
PARAMS: dict[str, st.SearchStrategy[dict[str, Any]]] = {
    "caption-length": either(min_characters=small, max_characters=st.integers(1, 300)),
    "word-count": either(min_words=small, max_words=small),
    "url-substrings": st.fixed_dictionaries(
        {
            "any_of": st.lists(st.sampled_from(url_parts), min_size=1, max_size=3),
            "ignore_case": st.booleans(),
        }
    ),
    "domain-length": st.fixed_dictionaries({"max_characters": st.integers(1, 14)}),
    "domains": st.fixed_dictionaries(
        {
            "any_of": st.lists(
                st.sampled_from([*HOST_NAMES, "example", ".a.example"]),
                min_size=1,
                max_size=3,
            )
        }
    ),
    "image-pixels": st.fixed_dictionaries({"max_pixels": st.sampled_from([1, 40_000, 89_478_484])}),
    "image-side": st.fixed_dictionaries({"min_pixels": st.sampled_from([1, 200, 401, 1024])}),
    "aspect-ratio": st.fixed_dictionaries(
        {"max_ratio": st.sampled_from([1.0, 1.15, 2.5, 3.0, 1e300])}
    ),
    "score": st.builds(
        lambda column, ends: {"column": column, **ends},
        st.sampled_from(
            ["similarity", "similarity_l14", "punsafe", "pwatermark", "aesthetic", "nsfw_score"]
        ),
        either(at_least=bounds, above=bounds, at_most=bounds, below=bounds),
    ),
    "nsfw-tag": st.fixed_dictionaries(
        {"any_of": st.lists(st.sampled_from(["NSFW", "UNSURE", ""]), min_size=1)}
    ),
    "nsfw-substrings": st.fixed_dictionaries({"any_of": some_words}),
    "ban-list": st.one_of(
        st.fixed_dictionaries({"words": banned, "whole_word": st.booleans()}),
        st.fixed_dictionaries(
            {
                "lists": st.sampled_from(
                    [("ldnoobw",), ("ldnoobw:en", "ldnoobw:hi"), ("ldnoobw:ja",)]
                ),
                "words": st.one_of(st.just(()), banned),
                "whole_word": st.booleans(),
            }
        ),
    ),
    "detect-language": st.fixed_dictionaries(
        {"detector": st.sampled_from(sorted(plain.DETECTORS)), "reliable_only": st.booleans()},
        optional={"rename": st.just({"und": "en", "en": "und", "ja": "jp"})},
    ),
    "keep-language": st.builds(
        lambda which, languages, others: {which: languages, "others": others},
        st.sampled_from(["keep", "all_but"]),
        st.sampled_from([("en",), ("und", "fr")]),
        st.sampled_from(["drop", "route"]),
    ),
    "empty-other-languages": st.fixed_dictionaries(
        {"keep": st.sampled_from([("en",), ("und", "fr")])}
    ),
    "clean-text": st.fixed_dictionaries({"printable_only": st.booleans()}),
    "truncate": st.fixed_dictionaries({"max_characters": small}),
    "drop-captions": st.fixed_dictionaries(
        {"probability": st.sampled_from([0.0, 0.1, 0.5, 1.0]), "seed": st.integers(0, 3)}
    ),
    "replace-names": st.sampled_from([{}, {"by": "<PERSON>"}]),
    "dalle-mini": st.fixed_dictionaries(
        {"transliteration": st.sampled_from(["anyascii", "none"]), "seed": st.integers(0, 3)}
    ),
    **{kind: st.just({}) for kind in ("caption-present", "not-simulated")},
    **{kind: st.just({}) for kind in ("collapse-white-space", "hypernyms")},
}


def one(rewrite: Callable[[pl.Series], pl.Series], text: str) -> str:
    """A rewrite of whole columns, on one caption alone."""
    return str(rewrite(pl.Series([text], dtype=pl.String)).item())


REWRITES: plain.Rewrites = {
    "dalle-mini": lambda text, p, draw: one(
        lambda t: dalle_mini(t, np.array([draw]), p["transliteration"]), text
    ),
    "hypernyms": lambda text, _p, _draw: one(hypernyms, text),
    "replace-names": lambda text, p, _draw: one(lambda t: replace_names(t, p["by"]), text),
}


def batch_of(rows: Sequence[dict[str, Any]]) -> Batch:
    columns = {name: [r.get(name) for r in rows] for name in SCHEMA}
    return Batch(pl.DataFrame(columns, schema=SCHEMA))


def names(outcomes: Any) -> list[str]:
    return [Outcome(int(o)).name for o in outcomes]


def by_step(recipe: Recipe) -> list[tuple[str, dict[str, Any]]]:
    return [(step.kind, step.parsed().model_dump()) for step in recipe.step]


BY_LANGUAGE = ("keep-language", "empty-other-languages")


def check(kind: str, given_params: dict[str, Any], rows: Sequence[dict[str, Any]]) -> None:
    """The step on the batch equals the plain step on each row."""
    parsed = STEPS[kind].Params.model_validate(given_params)
    params = parsed.model_dump()
    batch, loop = batch_of(rows), [plain.Row(r) for r in rows]
    if kind in BY_LANGUAGE and len(rows) % 3:  # else no detection came before
        batch.language = pl.Series([r["language"] or "und" for r in rows], dtype=pl.String)
        for row in loop:
            row.language = row.columns["language"] or "und"
    got = names(STEPS[kind].judge(batch, parsed))
    expected = [plain.judge(kind, params, row, REWRITES).name for row in loop]
    for row, is_, should in zip(rows, got, expected, strict=True):
        read = {name: value for name, value in row.items() if value is not None}
        assert (is_, read) == (should, read), f"{kind} {params}"
    assert batch.text.to_list() == [row.text for row in loop]
    language = [None] * len(rows) if batch.language is None else batch.language.to_list()
    assert language == [row.language for row in loop]


def test_the_loop_knows_every_kind_of_step() -> None:
    assert set(STEPS) == plain.KINDS
    assert {k for k in STEPS if STEPS[k].role != "set"} == set(PARAMS)


@pytest.mark.parametrize("kind", sorted(PARAMS))
@settings(max_examples=30)
@given(data=st.data())
def test_a_step_equals_the_plain_loop(kind: str, data: st.DataObject) -> None:
    params = data.draw(PARAMS[kind])
    step = Step(id="s", kind=kind, title="t", params=params)
    more = ("language",) if kind in BY_LANGUAGE else ()
    check(kind, params, data.draw(tables((*step.needs, *more))))


KID = {"words": ["kid"]}
TRICKY: tuple[tuple[str, dict[str, Any], dict[str, Any]], ...] = (
    # white space that polars does not strip
    ("truncate", {"max_characters": 2}, {"text": "\x1c\x1fa"}),
    ("collapse-white-space", {}, {"text": "\x1c\x1f"}),
    ("caption-present", {}, {"text": "\x1c\x85\u3000"}),
    # products that do not fit 64 bits
    ("image-pixels", {"max_pixels": 1000}, {"width": 2**32, "height": 2**32}),
    ("image-pixels", {"max_pixels": 1000}, {"width": 199, "height": 2**62}),
    # line breaks and tabs are no part of a URL, and case is not ASCII's alone
    ("domain-length", {"max_characters": 5}, {"url": "http:/\n/abcdef.example/"}),
    ("domain-length", {"max_characters": 5}, {"url": "http://İİİ/"}),
    ("domains", {"any_of": ["a.example"]}, {"url": "http://a.exa\tmple/x.jpg"}),
    ("domains", {"any_of": ["münchen.example"]}, {"url": "http://www.MÜNCHEN.example/"}),
    ("domains", {"any_of": ["kid.example"]}, {"url": "http://\u212aid.example/"}),
    ("url-substrings", {"any_of": ["kid"]}, {"url": "http://a.example/\u212aID"}),
    # what C4's regular expression, Python's, takes for a part of a word
    *(("ban-list", KID, {"text": f"a {word}"}) for word in WORDS if "kid" in word.lower()),
    ("ban-list", {"lists": ["ldnoobw:hi"]}, {"text": "गांडू"}),
    ("ban-list", {"words": ["i"]}, {"text": "İstanbul"}),
    ("ban-list", {"words": ["kid"], "whole_word": False}, {"text": "\u212aids"}),
)


@pytest.mark.parametrize(("kind", "params", "row"), TRICKY)
def test_a_tricky_row_is_judged_as_by_the_plain_loop(
    kind: str, params: dict[str, Any], row: dict[str, Any]
) -> None:
    check(kind, params, [{**dict.fromkeys(SCHEMA), "text": "a photo", **row}])


def test_no_host_is_longer_than_a_large_bound() -> None:
    row = {**dict.fromkeys(SCHEMA), "text": "", "url": f"http://{'a' * 300}/"}
    check("domain-length", {"max_characters": 100_000}, [row])


ODD = ("", " ", "\x1c", "\u3000", "\x85", "a\x00b", "&amp;", "\u2028", "x" * 2500, "İ" * 30)


def varied_rows(n: int) -> list[dict[str, Any]]:
    """Rows with some of everything, repeats and missing values too; always the same."""
    rng = random.Random(5)
    pool = [
        *CAPTIONS,
        *ODD,
        *("".join(rng.choices((*WORDS, *SPACES, " ", " "), k=rng.randint(1, 9))) for _ in range(n)),
        *(
            f"{a} woman and {b} in {c}"
            for a, b, c in zip(WORDS, WORDS[5:], WORDS[9:], strict=False)
        ),
    ]
    hosts_ = [*(h for h in HOSTS if "\n" not in h and "\t" not in h), "h" * 61 + ".example"]
    ends = ("/1.jpg", "/2.JPG", "/x.svg", "/x.SVG", "/i.gif?a", "/data:image/png", "")

    def number(*values: float) -> float | None:
        return rng.choice((None, float("nan"), *values, rng.uniform(-1, 1), rng.random() * 10))

    rows = []
    for _ in range(n):
        url = f"http://{rng.choice(hosts_)}{rng.choice(ends)}"
        rows.append(
            {
                "url": rng.choice((*[url] * 12, None)),
                "text": rng.choice((*rng.choices(pool, k=20), *CAPTIONS[:3], None)),
                "width": rng.choice((None, 0, 199, 200, 401, 512, 1024, 9460, 30_000)),
                "height": rng.choice((None, 0, 199, 200, 401, 512, 1024, 9459, 30_000)),
                "similarity": number(0.26, 0.28, 0.3, 0.31, 0.35, 0.4),
                "similarity_l14": number(0.1, 0.2, 0.3),
                "punsafe": number(0.0, 0.1, 0.5, 0.98),
                "pwatermark": number(0.1, 0.5, 0.8),
                "aesthetic": number(4.5, 5.0, 6.5, 7.0, 8.0),
                "nsfw_score": number(0.1, 0.5),
                "language": None,
                "nsfw": rng.choice((None, "UNLIKELY", "UNLIKELY", "UNSURE", "NSFW")),
                "uid": None,
            }
        )
    return [{**dict.fromkeys(SCHEMA), **row} for row in rows]


IN_THE_WILD = {
    "similarity_l14": "clip_l14_similarity_score",
    "nsfw_score": "nsfw_score_opennsfw2",
}


@pytest.fixture(scope="module", params=["every column", "text alone"])
def varied(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> tuple[Path, list[dict[str, Any]]]:
    """Rows in three shards of several row groups, and what is to be read of them."""
    bare = request.param == "text alone"
    rows = varied_rows(60 if bare else 300)
    kept = [c for c in SCHEMA if any(r[c] is not None for r in rows)]
    kept = ["text"] if bare else kept
    table = pl.DataFrame(rows, schema=SCHEMA).select(kept)
    folder = write(
        tmp_path_factory.mktemp("varied"),
        table.rename({k: v for k, v in IN_THE_WILD.items() if k in kept}),
        3,
        41,
    )
    read = [{c: v if c in kept else None for c, v in row.items()} for row in rows]
    for row in read:
        row["text"] = row["text"] or ""
        row["url"] = row["url"] if "url" in kept else None
    return folder, read


@pytest.mark.parametrize("name", known_recipes())
def test_a_recipe_equals_the_plain_loop(
    name: str, varied: tuple[Path, list[dict[str, Any]]]
) -> None:
    folder, rows = varied
    recipe = load_recipe(name)
    levels = {g: levels_one_by_one(g, rows) for step in recipe.step for g in step.groups}
    plainly = plain.run(by_step(recipe), rows, REWRITES, levels)
    units = list_units(list_shards([str(folder)]))
    scan = resolve(recipe, [judge_unit(unit, recipe) for unit in units])
    for i, step in enumerate(recipe.step):
        got = names(scan.rows[f"outcome_{i}"])
        expected = [outcomes[i].name for outcomes in plainly.outcomes]
        wrong = [
            (row["url"], row["text"], is_, should)
            for row, is_, should in zip(rows, got, expected, strict=True)
            if is_ != should
        ]
        assert not wrong, f"{step.id} ({step.kind})"
    assert scan.removed_at.tolist() == plainly.removed_at
    assert scan.rows["language"].to_list() == [row.language for row in plainly.rows]


def levels_one_by_one(group: str, rows: Sequence[dict[str, Any]]) -> list[str]:
    return [load_group(group).levels(batch_of([row])).item() for row in rows]


STEPS_OF_A_RECIPE = st.lists(
    st.sampled_from(sorted(PARAMS)).flatmap(
        lambda kind: PARAMS[kind].map(
            lambda params: Step(id="s", kind=kind, title="t", params=params)
        )
    ),
    max_size=5,
).map(lambda steps: Recipe(name="r", title="t", source="s", step=tuple(steps)))
SOME_RECIPES = st.one_of(st.sampled_from(known_recipes()).map(load_recipe), STEPS_OF_A_RECIPE)


def judged(batch: Batch, recipe: Recipe) -> tuple[Any, ...]:
    found = judge_rows(batch, recipe, "keep")
    keys = {i: key.to_list() for i, key in found.keys.items()}
    language = None if batch.language is None else batch.language.to_list()
    return found.code.tolist(), repr(keys), batch.text.to_list(), language


@settings(max_examples=40)
@given(st.lists(SOME_RECIPES, min_size=2, max_size=3))
def test_recipes_that_share_measures_judge_as_alone(recipes: list[Recipe]) -> None:
    rows = varied_rows(40)
    for row in rows:
        row["url"], row["text"] = row["url"] or "", row["text"] or ""
    shared = batch_of(rows)
    for recipe in recipes:
        assert judged(shared.fork(), recipe) == judged(batch_of(rows), recipe)
    again = shared.fork()
    assert again.text.to_list() == [row["text"] for row in rows]
    assert again.language is None
