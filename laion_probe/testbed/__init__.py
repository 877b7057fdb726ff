"""A small text-conditional image model that is trained under a chosen recipe.

`codebook`, `words` and `planting` need numpy alone; `model`, `training` and `running` load torch.
"""

from __future__ import annotations

from laion_probe.testbed.codebook import Codebook, learn_codebook
from laion_probe.testbed.words import Vocabulary, learn_vocabulary

__all__ = ["Codebook", "Vocabulary", "learn_codebook", "learn_vocabulary"]
