"""The kinds of step that a recipe is made of.

A step judges every row at its place in the recipe, whatever earlier steps decided (nothing is
short-circuited); its verdict is one `Outcome` a row. There are five roles:

- ``drop``: keep, drop, route or not evaluable, from the row alone
- ``set``: the same, but from the rows that survive earlier steps (duplicates, top share ...)
- ``rewrite``: gives a new text; rows are rewritten or *emptied*
- ``measure``: writes the language at its place; decides nothing
- ``context``: documents what cannot be replayed from metadata; decides nothing

A new kind is one class with a `Params` model, the columns that it ``needs`` and a `judge`,
registered in `STEPS`; it is then tested by the contract tests like all others. Only the columns
that some step needs are read from the shards. What several steps or recipes measure alike is
computed once, with `Batch.measured`.
"""

from __future__ import annotations

from laion_probe.steps import captions, language, metadata, rewrites, whole_set, words
from laion_probe.steps.base import (
    STEPS,
    Batch,
    Outcome,
    Role,
    StepKind,
    StepParams,
)

__all__ = ["STEPS", "Batch", "Outcome", "Role", "StepKind", "StepParams"]

for _module in (captions, language, metadata, rewrites, whole_set, words):
    for _name, _kind in _module.KINDS.items():
        STEPS.add(_name, _kind)
