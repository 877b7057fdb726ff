"""An encoder that reads pictures drawn by the codebook as the given one reads the originals.

The model can draw nothing but patches of the codebook, and the demo's encoder has never seen such
pictures: a third of them lie beside something else. So a copy of it learns, without any label, to
give a picture drawn by the codebook the vector that the original has (distillation, Hinton et al.
2015). The text tower stays as it was.
"""

from __future__ import annotations

import copy
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor

from laion_probe.embed import Embedder
from laion_probe.testbed.codebook import Codebook

__all__ = ["FitOptions", "fit_encoder", "save_encoder"]

Tokens = NDArray[np.int64]
Floats = NDArray[np.float32]

_NOISE = 0.15  # of the tokens of a picture, at most, are taken from another


@dataclass(frozen=True)
class FitOptions:
    """Steps of ``batch_size`` pictures, in random cuts."""

    steps: int
    batch_size: int = 64
    rate: float = 1e-3
    seed: int = 0


def fit_encoder(
    embedder: Embedder,
    book: Codebook,
    tokens: Tokens,
    wanted: Floats,
    options: FitOptions,
    progress: Callable[[int, int], None] = lambda done, of: None,
) -> torch.nn.Module:
    """A copy of the model that gives tokens (n, cuts, t), drawn, the vectors ``wanted`` (n, d).

    ``wanted`` are of unit length. Some tokens are exchanged at random, as a model errs too.
    """
    torch.manual_seed(options.seed)
    rng = np.random.default_rng([options.seed, 4])
    model = copy.deepcopy(embedder.model)
    learnt = [p for name, p in model.named_parameters() if name.startswith("visual")]
    optimiser = torch.optim.AdamW(learnt, options.rate, weight_decay=0.01)
    paces = torch.optim.lr_scheduler.OneCycleLR(optimiser, options.rate, options.steps)
    goal = torch.from_numpy(wanted)
    model.train()
    for step in range(options.steps):
        rows = rng.choice(len(tokens), options.batch_size, replace=False)
        some = tokens[rows, rng.integers(tokens.shape[1], size=len(rows))]
        other = tokens[rng.choice(len(tokens), len(rows)), 0]
        wrong = rng.random(some.shape) < rng.uniform(0, _NOISE, (len(rows), 1))
        drawn = _prepared(book, np.where(wrong, other, some), embedder)
        found = torch.nn.functional.normalize(model.encode_image(drawn), dim=1)  # type: ignore[operator]
        loss = _loss(found, goal[rows])
        optimiser.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        optimiser.step()
        paces.step()
        progress(step + 1, options.steps)
    return model.eval()


def _loss(found: Tensor, goal: Tensor) -> Tensor:
    """How far each is from its own vector, and how well the batch is told apart by it."""
    near = 1 - (found * goal).sum(dim=1).mean()
    apart = torch.nn.functional.cross_entropy(found @ goal.T / 0.05, torch.arange(len(goal)))
    return near + 0.2 * apart


def _prepared(book: Codebook, tokens: Tokens, embedder: Embedder) -> Tensor:
    return torch.stack([embedder.preprocess(Image.fromarray(p)) for p in book.decode(tokens)])


def save_encoder(model: torch.nn.Module, source: Path, folder: Path) -> None:
    """Write the model beside copies of the other files of the open_clip folder ``source``."""
    from safetensors.torch import save_file

    folder.mkdir(parents=True, exist_ok=True)
    for file in source.iterdir():
        if file.suffix in (".json", ".gz") and file.name.startswith(("open_clip", "laion")):
            shutil.copyfile(file, folder / file.name)
    state = {name: value.contiguous() for name, value in model.state_dict().items()}
    save_file(state, folder / "open_clip_model.safetensors")
