"""Training with captions dropped at random, and sampling with classifier-free guidance.

A dropped caption is the empty one (Ho and Salimans 2022), so that rows whose captions were emptied
before training, and rows whose captions are dropped in training, teach the same thing: what to draw
when nothing is asked for.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F  # noqa: N812 - as torch's own documentation names it
from numpy.typing import NDArray

from laion_probe.testbed.model import ImageWriter, ModelShape

__all__ = ["SampleOptions", "TrainOptions", "sample", "train"]

Tokens = NDArray[np.int64]

_WARM_UP = 0.05  # of the steps
_CLIP = 1.0


@dataclass(frozen=True)
class TrainOptions:
    """``dropped`` is the share of captions that are emptied at each step, drawn anew."""

    steps: int
    batch_size: int
    dropped: float
    seed: int
    rate: float = 2e-3


@dataclass(frozen=True)
class SampleOptions:
    """``guidance`` 1 is none; with an empty caption any is the same. ``top_k`` 0 is all codes."""

    seed: int
    guidance: float = 1.0
    temperature: float = 1.0
    top_k: int = 0
    batch_size: int = 256


def train(
    captions: Tokens,
    pictures: Tokens,
    sizes: tuple[int, int],
    options: TrainOptions,
    progress: Callable[[int, int], None] = lambda done, of: None,
) -> tuple[ImageWriter, float]:
    """A model of captions (n, places) and cuts of pictures (n, cuts, t), and its last loss in nats.

    ``sizes`` are those of the vocabularies of words and codes. Rows come in random order, each as
    often as any other, in a random cut; AdamW, a rise of the rate and a cosine fall. The last loss
    is the mean over the last tenth of the steps.
    """
    torch.manual_seed(options.seed)
    rng = np.random.default_rng([options.seed, 3])
    model = ImageWriter(ModelShape(*sizes, pictures.shape[2]))
    optimiser = torch.optim.AdamW(
        model.parameters(), options.rate, betas=(0.9, 0.98), weight_decay=0.01
    )
    known = torch.from_numpy(captions)
    order = np.zeros(0, dtype=np.int64)
    losses = []
    for step in range(options.steps):
        if len(order) < options.batch_size:
            order = np.concatenate([order, rng.permutation(len(captions))])
        rows, order = order[: options.batch_size], order[options.batch_size :]
        said = known[rows] * torch.from_numpy(rng.random((len(rows), 1)) >= options.dropped)
        for group in optimiser.param_groups:
            group["lr"] = options.rate * _pace(step, options.steps)
        drawn = torch.from_numpy(pictures[rows, rng.integers(pictures.shape[1], size=len(rows))])
        loss = F.cross_entropy(model(said, drawn).flatten(0, 1), drawn.flatten())
        optimiser.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        torch.nn.utils.clip_grad_norm_(model.parameters(), _CLIP)
        optimiser.step()
        losses.append(loss.item())
        progress(step + 1, options.steps)
    last = losses[-max(1, options.steps // 10) :]
    return model.eval(), sum(last) / len(last)


def sample(model: ImageWriter, captions: Tokens, options: SampleOptions) -> Tokens:
    """Image tokens (n, image_tokens) that answer captions (n, places), token by token.

    With guidance g the logits are those without a caption plus g times what the caption adds.
    """
    dice = torch.Generator().manual_seed(options.seed)
    found = []
    with torch.inference_mode():
        for start in range(0, len(captions), options.batch_size):
            some = torch.from_numpy(captions[start : start + options.batch_size])
            found.append(_drawn(model, some, options, dice).numpy())
    return np.concatenate(found)


def _drawn(
    model: ImageWriter, captions: torch.Tensor, options: SampleOptions, dice: torch.Generator
) -> torch.Tensor:
    guided = options.guidance != 1 and bool(captions.any())
    said = model.read(torch.cat([captions, torch.zeros_like(captions)]) if guided else captions)
    logits, past = model.begin(said)
    tokens: list[torch.Tensor] = []
    for place in range(1, model.shape.image_tokens + 1):
        if guided:
            told, untold = logits.chunk(2)
            logits = untold + options.guidance * (told - untold)
        likely, codes = logits.topk(min(options.top_k or logits.shape[1], logits.shape[1]))
        odds = torch.softmax(likely / options.temperature, dim=1)
        token = codes.gather(1, torch.multinomial(odds, 1, generator=dice))[:, 0]
        tokens.append(token)
        if place < model.shape.image_tokens:
            logits = model.go_on(said, token.repeat(2) if guided else token, place, past)
    return torch.stack(tokens, dim=1)


def _pace(step: int, steps: int) -> float:
    """The share of the full rate: up in a straight line, down as a cosine."""
    rise = max(1, round(_WARM_UP * steps))
    if step < rise:
        return (step + 1) / rise
    return 0.5 * (1 + math.cos(math.pi * (step - rise) / max(1, steps - rise)))
