"""One run: train on a table of captions and tokens, and draw. It can be sent to another process."""

from __future__ import annotations

import time
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from laion_probe.testbed.words import learn_vocabulary

__all__ = ["CAPTION_WORDS", "Drawn", "Job", "run_job"]

Tokens = NDArray[np.int64]

CAPTION_WORDS = 16


@dataclass(frozen=True)
class Job:
    """Captions after the recipe, tokens of cuts of pictures (n, cuts, t), how to train and draw.

    ``n_empty`` pictures answer the empty prompt, ``n_asked`` answer ``prompt``, with guidance.
    """

    captions: tuple[str, ...]
    tokens: Tokens
    codes: int
    steps: int
    batch_size: int
    dropped: float
    rate: float
    n_empty: int
    n_asked: int
    prompt: str
    guidance: float
    temperature: float
    top_k: int
    seed: int


@dataclass(frozen=True)
class Drawn:
    """Tokens drawn for the empty prompt and for the one with words; the last loss, in nats."""

    empty: Tokens
    asked: Tokens
    loss: float
    seconds: float


def run_job(job: Job) -> Drawn:
    """Train on one core and draw. Torch is loaded here."""
    import torch

    from laion_probe.testbed.training import SampleOptions, TrainOptions, sample, train

    torch.set_num_threads(1)
    started = time.monotonic()
    words = learn_vocabulary(job.captions, CAPTION_WORDS)
    options = TrainOptions(job.steps, job.batch_size, job.dropped, job.seed, job.rate)
    sizes = (words.size, job.codes)
    model, loss = train(words.encode(job.captions), job.tokens, sizes, options)
    draw = SampleOptions(job.seed, job.guidance, job.temperature, job.top_k)
    empty = sample(model, words.encode([""] * job.n_empty), draw)
    asked = empty[:0]
    if job.n_asked:
        asked = sample(model, words.encode([job.prompt] * job.n_asked), draw)
    return Drawn(empty, asked, loss, time.monotonic() - started)
