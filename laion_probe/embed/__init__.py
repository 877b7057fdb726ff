"""Pictures and prompts to vectors with open_clip, and the key that ties vectors to a model.

Embeddings are stored in clip-retrieval's layout (``img_emb/img_emb_N.npy`` in half precision beside
``metadata/metadata_N.parquet``, row-aligned) with one file more, ``key.json``: the model, a hash of
its weights and its preprocessing. Vectors under another key are refused, never mixed.
"""

from __future__ import annotations

from laion_probe.embed.cache import Vectors, embed_all
from laion_probe.embed.decoding import MAX_PIXELS, decode
from laion_probe.embed.folder import EmbeddingFolder
from laion_probe.embed.model import Embedder, load_embedder, resolve_device
from laion_probe.embed.parts import Pace, PartDone, Source, cores, embed_parts

__all__ = [
    "MAX_PIXELS",
    "Embedder",
    "EmbeddingFolder",
    "Pace",
    "PartDone",
    "Source",
    "Vectors",
    "cores",
    "decode",
    "embed_all",
    "embed_parts",
    "load_embedder",
    "resolve_device",
]
