"""How far what is near the concept by another choice is what the run took for near.

An encoder reads words that it does not know as something: prompts that were meant as another way
to ask for the same may find other pictures, and a specification with them is then of another
question. Their overlap with the run's own neighbourhood shows it.
"""

from __future__ import annotations

from collections.abc import Iterable

from laion_probe.errors import NotEnoughData
from laion_probe.questions.robustness_choices import RUN
from laion_probe.questions.robustness_reruns import Again, Bools, nearest
from laion_probe.robustness_result import Choice, Nearby

__all__ = ["LIKE", "beside_the_run", "nearby_of", "other_pictures"]

#: At the run's size, prompts that find less than this part of the run's pictures find others. A
#: convention: what another wording finds cannot be told from what another question finds.
LIKE = 2 / 3


def beside_the_run(again: Again, choices: Iterable[Choice]) -> tuple[Choice, ...]:
    """The choices, those of thresholds and prompts with how far they are near as the run."""
    return tuple(
        c.model_copy(update={"nearby": _nearby(again, c)})
        if c.axis in ("threshold", "prompts")
        else c
        for c in choices
    )


def _nearby(again: Again, choice: Choice) -> Nearby | None:
    own = again.o.concept.near
    prompts = choice.name if choice.axis == "prompts" else RUN
    threshold = choice.name if choice.axis == "threshold" else RUN
    try:
        like = nearest(again.similarity(prompts), int(own.sum()))
    except NotEnoughData:
        return None
    try:
        near: Bools | None = again.near(prompts, threshold)
    except NotEnoughData:
        near = None
    return nearby_of(own, near, like)


def nearby_of(own: Bools, near: Bools | None, like: Bools) -> Nearby:
    """The overlap of what the run took with ``near``, and with as many by the choice (``like``).

    >>> import numpy as np
    >>> own, near = np.array([1, 1, 0, 0], bool), np.array([0, 1, 1, 1], bool)
    >>> found = nearby_of(own, near, np.array([0, 1, 1, 0], bool))
    >>> found.share_of_run, found.jaccard, found.n_like, found.other_pictures
    (0.5, 0.25, 1, True)
    """
    n_run, n_like = int(own.sum()), int((like & own).sum())
    both = int((near & own).sum()) if near is not None else None
    return Nearby(
        n=int(near.sum()) if near is not None else None,
        n_run=n_run,
        n_both=both,
        share_of_run=both / n_run if both is not None else None,
        jaccard=both / int((near | own).sum()) if near is not None and both is not None else None,
        n_like=n_like,
        other_pictures=n_like < LIKE * n_run,
    )


def other_pictures(choices: Iterable[Choice]) -> list[Choice]:
    """The choices whose nearest pictures, as many as the run's, are too few of the run's."""
    return [c for c in choices if c.nearby is not None and c.nearby.other_pictures]
