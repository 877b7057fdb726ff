"""The encoder's own default, for the attributes that a probe reads zero-shot."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from laion_probe.attributes import UNKNOWN
from laion_probe.attributes.zero_shot import calibrate_temperature, zero_shot_logits
from laion_probe.config import ProbeConfig
from laion_probe.embed import Embedder
from laion_probe.encoder import (
    LabelledPictures,
    confusion_by_group,
    encoder_default,
    image_default,
    unspecified,
)
from laion_probe.encoder_result import EncoderDefault, GroupConfusion
from laion_probe.errors import NotEnoughData
from laion_probe.estimators.association import Permutations
from laion_probe.questions.chain import Chain
from laion_probe.questions.concept import Pool
from laion_probe.questions.inputs import Inputs
from laion_probe.shifts import Labelled

__all__ = ["encoder_defaults"]

Floats = NDArray[np.float32]

_PERMUTATIONS = 999
#: Pictures of one level are drawn down to so many, so that a large pool is no slower.
_MOST = 5000


def encoder_defaults(
    inputs: Inputs, config: ProbeConfig, pool: Pool, chain: Chain
) -> tuple[EncoderDefault, ...]:
    """Which way the encoder leans, for each attribute that it reads by prompts.

    Texts among texts; the pool's pictures (with levels as rated where people rated them, else as
    read) near texts that state nothing; and, where people rated, what it misreads, by the level of
    every other attribute. A picture counts once, however many rows have it.
    """
    if inputs.embedder is None:
        return ()
    found = []
    plan = Permutations(draws=_PERMUTATIONS, seed=config.seed, level=config.level)
    labelled = {name: _once(data) for name, data in chain.labelled.items()}
    for a in inputs.attributes:
        data = labelled.get(a.name)
        if a.reader != "zero-shot" or data is None:
            continue
        vectors = pool.vectors[_first(chain.labelled[a.name])]
        one = encoder_default(
            a,
            unspecified(inputs.embedder, a),
            _confusion(data, labelled, config.level),
            image_default(
                _pictures(data, vectors, config.seed), a, inputs.embedder, permutations=plan
            ),
        )
        notes = (*one.notes, *_design(data), *_temperature(data, vectors, inputs.embedder))
        found.append(one.model_copy(update={"notes": notes}))
    return tuple(found)


def _first(data: Labelled) -> NDArray[np.int64]:
    """The first row of each picture."""
    if data.picture is None:
        return np.arange(len(data.label))
    return np.sort(np.unique(data.picture, return_index=True)[1])


def _once(data: Labelled) -> Labelled:
    """Labels and ratings of each picture once."""
    rows = _first(data)
    panel = data.panel
    if panel is not None:
        panel = replace(
            panel,
            level=panel.level[rows],
            probability=panel.probability[rows],
            stratum=panel.stratum[rows],
        )
    return replace(data, label=data.label[rows], panel=panel, picture=None)


def _design(data: Labelled) -> Iterator[str]:
    """That raters' pictures were drawn by what the classifier reads, where chances differ."""
    if data.panel is None or not (data.panel.level >= 0).any():
        return
    chances = data.panel.probability[data.panel.level >= 0]
    if data.panel.declared and not np.allclose(chances, chances[0]):
        yield (
            "Rated pictures had unequal chances of being drawn, from "
            f"{100 * chances.min():.1f} to {100 * chances.max():.1f} %, and count alike here: "
            "their shares are not those of the pool."
        )


def _temperature(data: Labelled, vectors: Floats, embedder: Embedder) -> Iterator[str]:
    """What the rated pictures say of the temperature at which probabilities are read."""
    if data.panel is None:
        return
    rated = (data.panel.level >= 0) & vectors.any(axis=1)
    truth, a = data.panel.level[rated], data.attribute
    logits = zero_shot_logits(vectors[rated], a, embedder)
    has_column = truth < logits.shape[1]
    try:
        fit = calibrate_temperature(logits[has_column], truth[has_column], a.unknown_at)
    except NotEnoughData:
        return
    yield (
        f"Of {fit.n} rated pictures, the temperature {a.temperature * fit.temperature:.2f} fits "
        f"best, where {a.temperature:g} is used: log loss {fit.log_loss_before:.2f} to "
        f"{fit.log_loss_after:.2f}, calibration error {100 * fit.ece_before:.0f} to "
        f"{100 * fit.ece_after:.0f} points. An attribute's TOML may set it as temperature; which "
        "pictures are unknown then changes, and so do uncorrected shares."
    )


def _pictures(data: Labelled, vectors: Floats, seed: int) -> LabelledPictures:
    """Rated pictures where there are some of both levels, else all, or a sample of them."""
    panel = data.panel
    levels = data.attribute.levels
    if panel is not None:
        rated = panel.level >= 0
        both = (levels.index(n) for n in (data.attribute.contrast, data.attribute.against))
        if all((panel.level[rated] == i).sum() > 1 for i in both):
            return LabelledPictures(vectors[rated], panel.level[rated], "as rated")
    chosen = np.arange(len(vectors))
    if len(chosen) > _MOST:
        chosen = np.sort(np.random.default_rng(seed).choice(chosen, _MOST, replace=False))
    return LabelledPictures(vectors[chosen], data.label[chosen])


def _confusion(
    data: Labelled, everything: Mapping[str, Labelled], level: float
) -> tuple[GroupConfusion, ...]:
    """What rated pictures are read as: all of them, and by the other attributes as rated."""
    if data.panel is None:
        return ()
    true, read, a = data.panel.level, data.label, data.attribute
    groups = [""] * len(true)
    for name, other in everything.items():
        if name == a.name or other.panel is None:
            continue
        names = [*other.attribute.levels]
        names[names.index(UNKNOWN)] = f"{other.attribute.title} {UNKNOWN}"
        groups = [
            ", ".join(filter(None, (g, names[i] if i >= 0 else "")))
            for g, i in zip(groups, other.panel.level, strict=True)
        ]
    named = [g or "not rated otherwise" for g in groups]
    tables = confusion_by_group(true, read, named, a, level)
    return tables if len(set(np.array(named, dtype=object)[true >= 0])) > 1 else tables[:1]
