"""Whether a model made a folder of embeddings: by its key or, as far as possible, by captions."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from laion_probe.embed import Embedder
from laion_probe.errors import EmbedderMismatch
from laion_probe.neighbourhood import prompts
from laion_probe.neighbours_result import ModelCheck
from laion_probe.questions.neighbours_captions import caption_rows, texts_of
from laion_probe.questions.neighbours_tables import unit_rows
from laion_probe.vectors import Embeddings, same_model

__all__ = ["check_model", "paired_test"]

Floats = NDArray[np.float32]

_CHECKED = 200
_FEWEST = 20
_PERMUTATIONS = 1_999
_ALPHA = 0.001
#: Pictures of few kinds can lie nearer to their own captions by chance, a little: own cosines must
#: stand out by so many standard deviations of the others too.
_STANDS_OUT = 0.5


def check_model(embeddings: Embeddings, embedder: Embedder, seed: int = 0) -> ModelCheck:
    """Whether the model made these embeddings, as far as that can be known.

    Raises `EmbedderMismatch` where the key names another model, where vectors have another
    length than the model's, or where pictures do not lie nearer to their own captions than to
    those of other pictures.
    """
    mine, folder = embedder.key, embeddings.folder
    dim = embedder.texts(prompts("picture")).shape[1]
    if embeddings.key is not None and not same_model(embeddings.key, mine):
        theirs = embeddings.key
        raise EmbedderMismatch(
            f"embeddings in {folder} were made by {theirs.get('model')} (weights "
            f"{str(theirs.get('weights_sha256'))[:12]}), not by {mine['model']} (weights "
            f"{mine['weights_sha256'][:12]}): give that model with --model and --pretrained"
        )
    if dim != embeddings.dim:
        raise EmbedderMismatch(
            f"embeddings in {folder} have {embeddings.dim} numbers a row, where {mine['model']} "
            f"makes {dim}: they are of another model; name it with --model and --pretrained"
        )
    if embeddings.key is not None:
        sentence = f"Their key names the model: {mine['model']}, the same weights and preprocessing"
        return ModelCheck(basis="key", sentence=sentence + ".")
    pairs = _with_captions(embeddings, seed)
    if pairs is None:
        return ModelCheck(
            basis="word",
            sentence="No key lies beside the embeddings, and too few captions to check by: that "
            f"{mine['model']} made them is the word of whoever ran this.",
        )
    vectors, captions = pairs
    cosines = (vectors @ embedder.texts(captions).T).astype(np.float64)
    own, others, p = paired_test(cosines, seed)
    spread = float(cosines[~np.eye(len(cosines), dtype=bool)].std())
    apart = (own - others) / spread if spread else 0.0
    compared = (
        f"{len(captions)} pictures have a mean cosine of {own:.3f} with their own captions and of "
        f"{others:.3f} with those of others, {apart:.1f} standard deviations apart (permutation "
        f"test, p = {p:.4f})"
    )
    if p > _ALPHA or apart < _STANDS_OUT:
        raise EmbedderMismatch(
            f"embeddings in {folder} have no key, and do not fit {mine['model']}: {compared}, "
            "where the model that made them would tell them apart. Name the model that made them "
            "with --model and --pretrained; or the metadata are not of these rows"
        )
    return ModelCheck(
        basis="captions",
        sentence="No key lies beside the embeddings: that "
        f"{mine['model']} made them is the word of whoever ran this, and fits: {compared}.",
        n=len(captions),
        own=own,
        others=others,
        p_value=p,
    )


def paired_test(cosines: NDArray[np.float64], seed: int = 0) -> tuple[float, float, float]:
    """Mean cosine of pairs (the diagonal), of all others, and a one-sided p-value.

    Captions are dealt to pictures at random 1 999 times (Phipson and Smyth 2010: p is never 0).

    >>> paired_test(np.eye(30))[2]
    0.0005
    """
    n = len(cosines)
    own = float(np.trace(cosines)) / n
    others = float((cosines.sum() - np.trace(cosines)) / (n * (n - 1)))
    rng = np.random.default_rng(seed)
    at, reached = np.arange(n), 0
    for _ in range(_PERMUTATIONS):
        reached += int(cosines[at, rng.permutation(n)].mean() >= own - 1e-12)
    return own, others, (1 + reached) / (1 + _PERMUTATIONS)


def _with_captions(embeddings: Embeddings, seed: int) -> tuple[Floats, list[str]] | None:
    """Vectors of some rows with captions of their own, all different; None where there are few."""
    rows = caption_rows(embeddings, 40 * _CHECKED, seed)
    if not len(rows):
        return None
    texts = texts_of(embeddings, rows)
    order = np.random.default_rng(seed).permutation(len(rows))
    chosen: list[int] = []
    seen: set[str] = set()
    for i in order.tolist():
        text = texts[i].strip()
        if text and text not in seen:
            seen.add(text)
            chosen.append(i)
        if len(chosen) == 2 * _CHECKED:
            break
    if len(chosen) < _FEWEST:
        return None
    vectors, where, _, _ = unit_rows(embeddings.vectors(rows[chosen]))
    kept = where[:_CHECKED]
    if len(kept) < _FEWEST:
        return None
    return vectors[:_CHECKED], [texts[chosen[i]] for i in kept.tolist()]
