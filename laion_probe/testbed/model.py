"""A transformer that writes image tokens from caption tokens: DALL·E mini's design in miniature.

DALL·E mini (Dayma et al. 2021) is an encoder and decoder of 0.4 billion parameters; here one causal
transformer reads the caption and goes on with the picture. Both learn the empty caption from rows
that have none, by nature or by chance, and answer the empty prompt from that.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F  # noqa: N812 - as torch's own documentation names it
from torch import Tensor, nn

__all__ = ["ImageWriter", "ModelShape"]


@dataclass(frozen=True)
class ModelShape:
    """``words`` and ``codes`` are the sizes of the two vocabularies; word 0 is "no word here"."""

    words: int
    codes: int
    image_tokens: int
    width: int = 128
    layers: int = 3
    heads: int = 4


class ImageWriter(nn.Module):
    """Next-token logits of pictures, given captions; a caption of zeros is the empty one.

    A caption is read as its words together, without their order: their mean is the first token, and
    is added to every later one. So short a training would not learn to look words up.
    """

    def __init__(self, shape: ModelShape) -> None:
        super().__init__()
        self.shape = shape
        self.words = nn.EmbeddingBag(shape.words, shape.width, mode="mean", padding_idx=0)
        self.nothing = nn.Parameter(torch.empty(shape.width))
        self.codes = nn.Embedding(shape.codes, shape.width)
        self.places = nn.Parameter(torch.empty(shape.image_tokens, shape.width))
        self.blocks = nn.ModuleList(_Block(shape.width, shape.heads) for _ in range(shape.layers))
        self.norm = nn.LayerNorm(shape.width)
        self.head = nn.Linear(shape.width, shape.codes)
        for weights in (self.words.weight, self.codes.weight, self.places, self.nothing):
            nn.init.normal_(weights, std=0.02)

    def forward(self, captions: Tensor, pictures: Tensor) -> Tensor:
        """Logits (n, image_tokens, codes) of captions (n, words) and pictures' tokens."""
        x = F.pad(self.codes(pictures[:, :-1]), (0, 0, 1, 0)) + self.places
        x = x + self.read(captions)[:, None]
        for block in self.blocks:
            x = block(x, None)
        logits: Tensor = self.head(self.norm(x))
        return logits

    def read(self, captions: Tensor) -> Tensor:
        """What captions (n, words) say, (n, width)."""
        empty = ~captions.any(dim=1, keepdim=True)
        said: Tensor = self.words(captions) + empty * self.nothing
        return said

    def begin(self, said: Tensor) -> tuple[Tensor, list[_Past]]:
        """Logits (n, codes) of the first token after `read`, and what later ones look back at."""
        past = [_Past() for _ in self.blocks]
        return self._last(said[:, None] + self.places[0], past), past

    def go_on(self, said: Tensor, token: Tensor, place: int, past: list[_Past]) -> Tensor:
        """Logits (n, codes) of token number ``place``, after ``token`` (n,)."""
        return self._last((self.codes(token) + said)[:, None] + self.places[place], past)

    def _last(self, x: Tensor, past: list[_Past]) -> Tensor:
        for block, mine in zip(self.blocks, past, strict=True):
            x = block(x, mine)
        logits: Tensor = self.head(self.norm(x[:, -1]))
        return logits


class _Past:
    """Keys and values of the tokens so far, (n, heads, tokens, width of a head)."""

    def __init__(self) -> None:
        self.keys: Tensor | None = None
        self.values: Tensor | None = None

    def joined(self, keys: Tensor, values: Tensor) -> tuple[Tensor, Tensor]:
        if self.keys is not None and self.values is not None:
            keys = torch.cat([self.keys, keys], dim=2)
            values = torch.cat([self.values, values], dim=2)
        self.keys, self.values = keys, values
        return keys, values


class _Block(nn.Module):
    """Attention and a small network, each behind a norm (Radford et al. 2019)."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.first, self.second = nn.LayerNorm(width), nn.LayerNorm(width)
        self.look = nn.Linear(width, 3 * width)
        self.join = nn.Linear(width, width)
        self.widen, self.narrow = nn.Linear(width, 4 * width), nn.Linear(4 * width, width)

    def forward(self, x: Tensor, past: _Past | None) -> Tensor:
        n, length, width = x.shape
        looks = self.look(self.first(x)).view(n, length, 3, self.heads, width // self.heads)
        queries, keys, values = looks.permute(2, 0, 3, 1, 4)
        if past is not None:
            keys, values = past.joined(keys, values)
        # a single token looks at all before it
        seen = F.scaled_dot_product_attention(queries, keys, values, is_causal=length > 1)
        x = x + self.join(seen.transpose(1, 2).reshape(n, length, width))
        out: Tensor = x + self.narrow(F.gelu(self.widen(self.second(x))))
        return out
