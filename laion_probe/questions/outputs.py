"""Generated pictures: which of them answer the concept, and their vectors."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import polars as pl
from numpy.typing import NDArray

from laion_probe.config import ProbeConfig
from laion_probe.errors import ConfigError
from laion_probe.neighbourhood import names_concept
from laion_probe.pictures import PictureFile
from laion_probe.questions.inputs import Inputs, Progress, check_generated, embed_parts
from laion_probe.results import GeneratedSummary

__all__ = ["Outputs", "embed_outputs"]


@dataclass(frozen=True)
class Outputs:
    """Generated pictures of the concept. ``unit[i]`` numbers the seed batch of picture i."""

    summary: GeneratedSummary
    vectors: NDArray[np.float32]
    files: tuple[PictureFile, ...]
    prompts: tuple[str, ...]
    unit: NDArray[np.int64]
    names_concept: bool  # whether the prompt names the concept, so that it answers for it


def embed_outputs(
    inputs: Inputs, config: ProbeConfig, wanted: tuple[str, ...], progress: Progress
) -> Outputs | None:
    """The generated pictures whose prompt names the concept (or is ``config.prompt``).

    None when none were given, or none of the prompts fits. Pictures without a known prompt are
    taken as answering the concept when no picture has one. Raises `ConfigError` when several
    prompts name it: "a female doctor" must not be pooled with "a doctor".
    """
    if inputs.generated is None:
        return None
    rows = inputs.generated.rows
    vectors = embed_parts(inputs, inputs.generated.parts, "generated", progress)
    n_broken = check_generated(vectors, config.max_failed_share)
    chosen = _chosen(rows, config, wanted) & (vectors.rows["error"] == "").to_numpy()
    if not chosen.any():
        return None
    files = [file for part in inputs.generated.parts for file in part.files]
    mine = rows.filter(pl.Series(chosen))
    prompts = tuple(sorted({p for p in mine["prompt"].to_list() if p is not None}))
    if len(prompts) > 1:
        listed = ", ".join(repr(p) for p in prompts[:12])
        raise ConfigError(
            f"{len(prompts)} different prompts of {config.generated} name “{config.concept}”: "
            f"{listed}; choose one with --prompt"
        )
    generators = sorted(set(mine["generator"].to_list()) - {""})
    keys = [
        f"{r['prompt']}\0{r['batch']}" if r["batch"] is not None else f"picture {i}"
        for i, r in enumerate(mine.iter_rows(named=True))
    ]
    numbers = {key: i for i, key in enumerate(dict.fromkeys(keys))}
    simulated = any("simulat" in g.lower() for g in generators)
    return Outputs(
        GeneratedSummary(
            n_pictures=int(chosen.sum()),
            prompts=prompts,
            generator=", ".join(generators),
            simulated=simulated,
            n_unreadable=n_broken,
            note="drawn by a documented simulator, not by a model" if simulated else "",
        ),
        vectors.image[chosen],
        tuple(f for f, c in zip(files, chosen, strict=True) if c),
        tuple(p or "" for p in mine["prompt"].to_list()),
        np.array([numbers[key] for key in keys], dtype=np.int64),
        all(names_concept(pl.Series(prompts, dtype=pl.String), wanted)),
    )


def _chosen(rows: pl.DataFrame, config: ProbeConfig, wanted: tuple[str, ...]) -> NDArray[np.bool_]:
    if config.prompt is not None:
        mask = (rows["prompt"] == config.prompt).fill_null(False).to_numpy()
        if not mask.any():
            known = sorted({repr(p) for p in rows["prompt"].to_list() if p is not None})
            raise ConfigError(
                f"no generated picture has the prompt {config.prompt!r}; there are "
                f"{', '.join(known[:12]) or 'none with a known prompt'}"
            )
        return np.asarray(mask, dtype=bool)
    if rows["prompt"].is_null().all():
        return np.ones(len(rows), dtype=bool)
    return np.asarray(names_concept(rows["prompt"].fill_null(""), wanted).to_numpy(), dtype=bool)
