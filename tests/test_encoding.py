"""The encoder's own default in a probe: whose levels, which pictures, and what is said of them."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from test_encoder import LeaningEncoder

from laion_probe.attributes import Attribute, load_attribute
from laion_probe.config import ProbeConfig
from laion_probe.encoder_result import EncoderDefault
from laion_probe.estimate import Sample
from laion_probe.questions.chain import Chain
from laion_probe.questions.concept import Pool
from laion_probe.questions.encoding import encoder_defaults
from laion_probe.questions.inputs import Inputs
from laion_probe.recipes import load_recipe
from laion_probe.shifts import Labelled, Panel

GENDER, SKIN = load_attribute("gender_presentation"), load_attribute("skin_tone")
WOMAN, MAN, NEUTRAL, UNKNOWN = range(4)
CONFIG = ProbeConfig(concept="doctor")
N = 120


def inputs_of(*attributes: Attribute, embedder: object = None) -> Inputs:
    return Inputs(
        recipe=load_recipe("none"),
        already=None,
        already_note="",
        attributes=attributes,
        shards=(),
        downloads=None,
        generated=None,
        examples=(),
        references={},
        embedder=embedder or LeaningEncoder(),
        known_errors=(),
        cache=Path(),
        scores={},
        ratings=None,
    )


def pool_of(label: np.ndarray, seed: int = 0) -> Pool:
    """Pictures about the axis of their level, as `LeaningEncoder` has them."""
    rng = np.random.default_rng(seed)
    v = np.eye(4)[label] + rng.normal(scale=0.3, size=(len(label), 4))
    v /= np.linalg.norm(v, axis=1, keepdims=True)
    return Pool(pl.DataFrame(), pl.DataFrame(), v.astype(np.float32), (), 0, {})


def labelled(a: Attribute, label: np.ndarray, said: np.ndarray | None = None) -> Labelled:
    """As read and, where it is given, as rated (-1 where not)."""
    equal = (
        Panel(said, np.full(len(label), 0.5), np.zeros(len(label), int))
        if said is not None
        else None
    )
    return Labelled(a, label, Sample(np.arange(len(label))), "as read", panel=equal)


def chain_of(*found: Labelled) -> Chain:
    return Chain((), (), (), {}, {d.attribute.name: d for d in found}, {})


READ = np.tile([WOMAN, MAN, UNKNOWN], N // 3)
#: Of a third that was rated, raters see every second man as a woman.
SAID = np.where(
    np.arange(N) < N // 3, np.where((READ == MAN) & (np.arange(N) % 2 == 0), WOMAN, READ), -1
)


def ask(
    chain: Chain, *attributes: Attribute, pool: Pool | None = None
) -> tuple[EncoderDefault, ...]:
    return encoder_defaults(inputs_of(*attributes), CONFIG, pool or pool_of(READ), chain)


def test_without_ratings_levels_are_as_read_and_that_is_said() -> None:
    (found,) = ask(chain_of(labelled(GENDER, READ)), GENDER)
    assert found.confusion == ()
    assert {a.labels for a in found.associations} == {"as read"}
    assert {(a.association.n_x, a.association.n_y) for a in found.associations} == {(40, 40)}
    assert {u.nearest for u in found.unspecified} == {"man"}
    assert any("Levels as read by this encoder share its errors" in n for n in found.notes)
    assert any("No labelled pictures" in n for n in found.notes)
    assert not any("temperature" in n for n in found.notes)


def test_where_people_rated_levels_are_theirs_and_misreading_is_counted() -> None:
    (found,) = ask(chain_of(labelled(GENDER, READ, SAID)), GENDER)
    assert {a.labels for a in found.associations} == {"as rated"}
    n_women, n_men = ((level == SAID).sum() for level in (WOMAN, MAN))
    sizes = {(a.association.n_x, a.association.n_y) for a in found.associations}
    assert sizes == {(n_women, n_men)}
    (table,) = found.confusion
    assert (table.group, table.n) == ("all", N // 3)
    moved = int(((READ == MAN) & (SAID == WOMAN)).sum())
    assert moved > 0
    assert table.counts["woman"]["man"] == moved
    assert table.recall["man"].value == 1
    assert table.recall["woman"].value == pytest.approx(1 - moved / n_women)
    assert not any("as read by this encoder" in n for n in found.notes)
    assert not any("unequal chances" in n for n in found.notes)


def test_ratings_of_one_level_alone_leave_levels_as_read() -> None:
    only_men = np.where(SAID == MAN, MAN, -1)
    (found,) = ask(chain_of(labelled(GENDER, READ, only_men)), GENDER)
    assert {a.labels for a in found.associations} == {"as read"}
    assert found.confusion[0].n == (only_men >= 0).sum()


def test_misreading_is_told_by_the_other_attributes_as_rated() -> None:
    tone = np.where(SAID >= 0, np.arange(N) % 3, -1)
    both = chain_of(labelled(GENDER, READ, SAID), labelled(SKIN, tone.clip(0), tone))
    names = [name for name in SKIN.levels if name != "unknown"]
    found = ask(both, GENDER, SKIN)[0].confusion
    assert [c.group for c in found] == ["all", *sorted([*names, f"{SKIN.title} unknown"])]
    assert sum(c.n for c in found[1:]) == found[0].n
    # Where the other attribute was not rated there is one group, which is all.
    alone = chain_of(labelled(GENDER, READ, SAID), labelled(SKIN, tone.clip(0)))
    assert [c.group for c in ask(alone, GENDER, SKIN)[0].confusion] == ["all"]


def test_a_picture_counts_once_however_many_rows_have_it() -> None:
    once, pool = labelled(GENDER, READ, SAID), pool_of(READ)
    rows = np.concatenate([np.arange(N), np.arange(30), np.arange(30)])
    panel = once.panel
    assert panel is not None
    repeated = replace(
        once,
        label=READ[rows],
        sample=Sample(np.arange(len(rows))),
        panel=Panel(panel.level[rows], panel.probability[rows], panel.stratum[rows]),
        picture=rows,
    )
    for a, b in ((once, repeated), (replace(once, panel=None), replace(repeated, panel=None))):
        more = replace(pool, vectors=pool.vectors[rows])
        assert ask(chain_of(a), GENDER, pool=pool) == ask(chain_of(b), GENDER, pool=more)


def test_unequal_chances_and_the_temperature_are_told() -> None:
    data = labelled(GENDER, READ, SAID)
    assert data.panel is not None
    chance = np.where(READ == WOMAN, 0.034, 0.5)
    (found,) = ask(chain_of(replace(data, panel=replace(data.panel, probability=chance))), GENDER)
    assert (
        "Rated pictures had unequal chances of being drawn, from 3.4 to 50.0 %, and count alike "
        "here: their shares are not those of the pool."
    ) in found.notes
    (told,) = [n for n in found.notes if "temperature" in n]
    assert told.startswith(f"Of {N // 3} rated pictures, the temperature ")
    assert "where 1 is used" in told
    taken_as_equal = replace(data.panel, probability=chance, declared=False)
    (plain,) = ask(chain_of(replace(data, panel=taken_as_equal)), GENDER)
    assert not any("unequal chances" in n for n in plain.notes)


def test_only_what_is_read_by_prompts_has_a_default() -> None:
    imported = GENDER.model_copy(update={"reader": "scores"})
    chain = chain_of(labelled(imported, READ))
    assert ask(chain, imported) == ()
    assert ask(chain_of(), GENDER) == ()
    without = replace(inputs_of(GENDER), embedder=None)
    assert encoder_defaults(without, CONFIG, pool_of(READ), chain_of(labelled(GENDER, READ))) == ()


def test_a_pool_without_such_pictures_has_texts_alone() -> None:
    nobody = np.full(20, UNKNOWN)
    (found,) = ask(chain_of(labelled(GENDER, nobody)), GENDER, pool=pool_of(nobody))
    assert len(found.unspecified) == 4
    for a in found.associations:
        assert a.association.effect_size is None
        assert a.association.p_value is None
        assert a.nearest is None


def test_the_same_pictures_give_the_same_bytes() -> None:
    many = np.tile(READ, 60)  # more than are looked at: a seeded sample of them
    pool = pool_of(many)
    one, two = (ask(chain_of(labelled(GENDER, many)), GENDER, pool=pool)[0] for _ in range(2))
    assert one.model_dump_json() == two.model_dump_json()
    assert sum(e.n for e in one.associations[0].mean_cosine.values()) == 5000
    other = encoder_defaults(
        inputs_of(GENDER),
        CONFIG.model_copy(update={"seed": 1}),
        pool,
        chain_of(labelled(GENDER, many)),
    )
    assert other[0].associations != one.associations
