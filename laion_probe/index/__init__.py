"""Nearest vectors by cosine: exactly, in memory or streaming; and by FAISS indexes."""

from __future__ import annotations

from laion_probe.index.in_memory import similarities, top_k

__all__ = ["similarities", "top_k"]
