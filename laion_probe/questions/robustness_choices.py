"""Which other choices a probe could have made, and the specifications that they make up."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import polars as pl

from laion_probe.attributes import UNKNOWN
from laion_probe.config.robustness import RobustnessConfig
from laion_probe.errors import ConfigError, UnknownName
from laion_probe.language import DETECTORS
from laion_probe.neighbourhood import prompts
from laion_probe.ratings.labels import ADJUDICATED
from laion_probe.ratings.table import Ratings
from laion_probe.recipes import Recipe
from laion_probe.robustness_result import AXES, Choice

__all__ = [
    "NONE",
    "RUN",
    "Listed",
    "choices_of",
    "list_specifications",
    "prompts_of",
    "ratings_by",
    "with_detector",
]

#: On every axis: what the run itself chose.
RUN = "run"
#: Of raters: nobody's ratings, the classifier alone.
NONE = "none"

_TEMPLATES = ("bare", "photo", "picture", "portrait", "illustration")
_RATER = "rater:"


@dataclass(frozen=True)
class Listed:
    """Specifications as choices by axis, the run's own first; ``listed`` aligns with them.

    There are ``n_possible``; those ``listed`` are all of them, or a random sample without
    replacement.
    """

    specifications: tuple[dict[str, str], ...]
    listed: tuple[bool, ...]
    n_possible: int

    @property
    def sampled(self) -> bool:
        """Whether only a part was drawn."""
        return sum(self.listed) < self.n_possible


def choices_of(
    config: RobustnessConfig, recipe: Recipe, concept: str, ratings: Ratings | None
) -> tuple[Choice, ...]:
    """The choices that differ, axis by axis.

    Left out is what comes to the same: a detector that is the recipe's, any other one where the
    recipe detects no language, rules for raters where nobody rated, or one alone. Raises
    `ConfigError` or `UnknownName` for what is no choice.
    """
    axes: dict[str, dict[str, str]] = {axis: {} for axis in AXES}
    for name in dict.fromkeys(config.detectors):
        if name == RUN:
            axes["detector"][name] = _own_detector(recipe)
        elif with_detector(recipe, name) != recipe:
            axes["detector"][name] = f"language by {name} in place of the recipe's detector"
    for name in dict.fromkeys(config.thresholds):
        axes["threshold"][name] = _threshold_words(name)
    for name in dict.fromkeys(config.prompts):
        asked = "as the run asked" if name == RUN else ", ".join(prompts_of(name, concept))
        axes["prompts"][name] = asked
    axes["raters"] = dict(_raters(config.raters, ratings))
    return tuple(
        Choice(axis=axis, name=name, about=about)
        for axis, named in axes.items()
        for name, about in (named or {RUN: "as in the run"}).items()
    )


def with_detector(recipe: Recipe, name: str) -> Recipe:
    """The recipe with another language detector, NAME or NAME:reliable."""
    detector, colon, how = name.partition(":")
    _ = DETECTORS[detector]  # an unknown one is an error
    if colon and how != "reliable":
        raise ConfigError(f"detector '{name}' is not NAME or NAME:reliable")
    params = {"detector": detector, "reliable_only": bool(colon)}
    steps = tuple(
        s.model_copy(update={"params": s.params | params})
        if s.kind == "detect-language" and _reads(s.params) != (detector, bool(colon))
        else s
        for s in recipe.step
    )
    return recipe if steps == recipe.step else Recipe(**dict(recipe) | {"step": steps})


def _reads(params: Mapping[str, object]) -> tuple[object, bool]:
    return params.get("detector"), bool(params.get("reliable_only", False))


def _own_detector(recipe: Recipe) -> str:
    own = [s.params["detector"] for s in recipe.step if s.kind == "detect-language"]
    return f"language by {own[-1]}, the recipe's" if own else "the recipe detects no language"


def _threshold_words(name: str) -> str:
    words = {
        RUN: "by the run's rule",
        "half": "the nearest half of the pictures that the run's rule takes",
        "double": "twice as many pictures as the run's rule takes",
    }
    if name in words:
        return words[name]
    kind, _, number = name.rpartition(":")
    try:
        if kind == "top" and int(number) > 0:
            return f"the {int(number)} nearest pictures"
        if not kind and -1 <= float(number) <= 1:
            return f"a cosine of at least {float(number):g}"
    except ValueError:
        pass
    raise ConfigError(f"threshold '{name}' is not run, half, double, top:N or a cosine")


def prompts_of(name: str, concept: str) -> tuple[str, ...]:
    """The prompts of a choice: one of the run's templates, or the user's own.

    >>> prompts_of("photo", "engineer"), prompts_of("an engineer|engineering", "engineer")
    (('a photo of an engineer',), ('an engineer', 'engineering'))
    """
    if name in _TEMPLATES:
        return (prompts(concept)[_TEMPLATES.index(name)],)
    own = tuple(part.strip() for part in name.split("|") if part.strip())
    if not own:
        raise ConfigError("prompts: an empty one is no choice; give words")
    return own


def _raters(asked: Sequence[str], ratings: Ratings | None) -> Iterator[tuple[str, str]]:
    if ratings is None:
        yield RUN, "the classifier's labels: nobody rated"
        return
    people = sorted({*ratings.frame["rater"]} - {ADJUDICATED})
    for name in dict.fromkeys(asked):
        if name == RUN:
            yield name, "the level that most raters gave; an adjudicated one stands instead"
        elif name == NONE:
            yield name, "the classifier's labels alone, uncorrected"
        elif name == "unanimous":
            if len({*ratings.frame["rater"]}) > 1:
                yield name, "unknown wherever two raters differ"
        elif name == "each":
            for person in people if len(people) > 1 else ():
                yield f"{_RATER}{person}", f"the ratings of {person} alone"
        elif name.startswith(_RATER):
            if name.removeprefix(_RATER) not in people:
                raise UnknownName("rater", name.removeprefix(_RATER), people)
            yield name, f"the ratings of {name.removeprefix(_RATER)} alone"
        else:
            raise UnknownName("rater rule", name, (RUN, NONE, "unanimous", "each", "rater:NAME"))


def ratings_by(rule: str, ratings: Ratings | None) -> Ratings | None:
    """The ratings as a rule takes them; None where it takes nobody's."""
    if ratings is None or rule in (RUN, NONE):
        return ratings if rule == RUN else None
    frame = ratings.frame
    if rule == "unanimous":
        differ = pl.col("level").n_unique().over("picture", "source", "attribute") > 1
        level = pl.when(differ).then(pl.lit(UNKNOWN)).otherwise("level")
        frame = frame.with_columns(level=level)
    else:
        frame = frame.filter(pl.col("rater") == rule.removeprefix(_RATER))
    return Ratings(frame, ratings.n_rows, ratings.ignored)


def list_specifications(choices: Sequence[Choice], most: int, seed: int) -> Listed:
    """Every combination of choices, or a random sample of ``most`` where there are more.

    The run's own is first whatever was drawn; ``listed`` tells whether it was.
    """
    names = {axis: [c.name for c in choices if c.axis == axis] for axis in AXES}
    sizes = [len(of_axis) for of_axis in names.values()]
    n = math.prod(sizes)
    if n <= most:
        drawn = [dict(zip(AXES, one, strict=True)) for one in itertools.product(*names.values())]
    else:
        numbers = np.sort(np.random.default_rng(seed).choice(n, most, replace=False))
        places = zip(*np.unravel_index(numbers, sizes), strict=True)
        drawn = [
            {axis: names[axis][i] for axis, i in zip(AXES, place, strict=True)} for place in places
        ]
    own = dict.fromkeys(AXES, RUN)
    others = [one for one in drawn if one != own]
    return Listed((own, *others), (own in drawn, *(True for _ in others)), n)
