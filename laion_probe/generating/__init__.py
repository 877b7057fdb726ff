"""Pictures drawn by a diffusers pipeline, with everything that it takes to draw them again."""

from __future__ import annotations

from laion_probe.generating.pipeline import Drawn, Pipeline, load_pipeline
from laion_probe.generating.plan import Plan, Planned
from laion_probe.generating.prompts import Prompt, read_prompts
from laion_probe.generating.writing import GeneratedFolder

__all__ = [
    "Drawn",
    "GeneratedFolder",
    "Pipeline",
    "Plan",
    "Planned",
    "Prompt",
    "load_pipeline",
    "read_prompts",
]
