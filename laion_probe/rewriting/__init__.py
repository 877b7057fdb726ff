"""Rewrites of captions: published pre-processing replayed as pure functions.

Each maps captions (String, no nulls) to new captions, equally many and in the same order. A rewrite
may leave a caption without words; whether that row is then *emptied* is for the caller to say.
Random choices take uniform numbers a row, so that a rerun gives the same captions.
"""

from __future__ import annotations

import numpy as np
import polars as pl
from numpy.typing import NDArray

from laion_probe.rewriting.dalle_mini import dalle_mini, rank_costs
from laion_probe.rewriting.hypernyms import hypernyms

__all__ = ["collapse_white_space", "dalle_mini", "drop_captions", "hypernyms", "rank_costs"]


def collapse_white_space(texts: pl.Series) -> pl.Series:
    r"""Runs of white space become one space, none at either end.

    As in COYO-700M (kakaobrain/coyo-dataset, README, "Text Level").

    >>> collapse_white_space(pl.Series([" a\t\n cat "])).item()
    'a cat'
    """
    # Python's white space has four separators more than the \s of polars' regular expressions
    return texts.str.replace_all(r"[\s\x1c-\x1f]+", " ").str.strip_chars(" ")


def drop_captions(texts: pl.Series, draws: NDArray[np.float64], probability: float) -> pl.Series:
    """Captions blanked where the row's draw, uniform in [0, 1), is below ``probability``.

    Stable Diffusion v1-3 to v1-5 dropped 10 % of captions in training (CompVis/stable-diffusion,
    model card); DALL·E mini has ``blank_caption_prob``, 0 by default (borisdayma/dalle-mini).

    >>> drop_captions(pl.Series(["a", "b"]), np.array([0.05, 0.5]), 0.1).to_list()
    ['', 'b']
    """
    return texts.clone().scatter(np.flatnonzero(draws < probability), "")
