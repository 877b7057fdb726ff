"""Targets that a user names, gaps that a run measured, and shares of training pictures from both.

The rule for a gap: what the generator draws of a profession has the share g of a level, the target
is t. The training pictures get the share w at which they and the drawn ones, r times as many of the
first as of the second, have the share t together: (g + r w) / (1 + r) = t. As a rule r is 1 and w
lies as far beyond the target as g falls short of it; where that would need a share under 0 or over
1, r is the least with which it does not. That is arithmetic of pictures and no forecast of what a
model learns from them.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from laion_probe.attributes import UNKNOWN
from laion_probe.compare_result import CompareResult
from laion_probe.config.dft import DftConfig
from laion_probe.errors import ConfigError, UnknownName
from laion_probe.probe_result import ProbeResult
from laion_probe.questions.dft_lists import Axis, folded
from laion_probe.results import Document, Estimate

__all__ = [
    "Beyond",
    "Measured",
    "beyond",
    "by_concept",
    "fewest",
    "measured_in",
    "targets_of",
    "unnamed",
]

_SUM = 1e-9


@dataclass(frozen=True)
class Measured:
    """The share of ``level`` among it and ``others`` in what is drawn of one concept.

    ``allowed`` is the range of the true share that the classifier's measured errors allow.
    """

    concept: str
    attribute: str
    level: str
    others: tuple[str, ...]
    share: Estimate
    labels: str
    allowed: Estimate | None = None

    def differs(self, target: float) -> bool:
        """Whether the interval leaves the target out, and what errors allow does on that side.

        One without ends tells nothing.
        """
        ranges = (self.share, *((self.allowed,) if self.allowed is not None else ()))
        return {_side(e, target) for e in ranges} in ({-1}, {1})


def _side(e: Estimate, target: float) -> int:
    """-1 for a range below the target, 1 above it, 0 where it has the target in it or no end."""
    if e.low is None or e.high is None:
        return 0
    return (e.low > target) - (e.high < target)


@dataclass(frozen=True)
class Beyond:
    """Training pictures: ``share`` of the level, ``weight`` times as many as drawn ones."""

    share: float
    weight: float


def beyond(drawn: float, target: float, least: float = 1.0) -> Beyond:
    """The share of a level in training pictures that brings them and drawn ones to the target.

    ``drawn`` and ``target`` are shares in [0, 1], ``least`` the smallest weight. A target of 0 or 1
    is never reached by adding: the training pictures then have it alone.

    >>> found = beyond(0.1, 0.5)
    >>> round(found.share, 3), found.weight
    (0.9, 1.0)
    """
    if not 0 < target < 1:
        return Beyond(target, least)
    weight = fewest(drawn, target, least)
    share = ((1 + weight) * target - drawn) / weight
    return Beyond(min(1.0, max(0.0, share)), weight)


def fewest(drawn: float, target: float, least: float = 1.0) -> float:
    """How many times as many training pictures as drawn ones it takes, at the least.

    >>> fewest(0.9, 0.3)
    2.0
    """
    if not 0 < target < 1:
        return least
    needed = max(drawn / target, (1 - drawn) / (1 - target)) - 1
    return max(least, round(needed, 12))


def targets_of(asked: Sequence[str], axes: Sequence[Axis]) -> dict[str, dict[str, float]]:
    """Axis to the share of each of its levels, for the axes that a target is named for.

    An axis may go by the attribute that reads it. Levels that are not named share what is left
    equally. Raises `ConfigError` or `UnknownName`.
    """
    by_name = {name: axis for axis in axes for name in (axis.name, axis.attribute) if name}
    shares: dict[str, dict[str, float]] = {}
    parity: set[str] = set()
    for item in asked:
        name, colon, rest = item.partition(":")
        level, equals, number = rest.rpartition("=")
        if not colon or not (rest.strip() == "parity" or (equals and level.strip())):
            raise ConfigError(
                f"target '{item}' is not AXIS:parity or AXIS:LEVEL=SHARE, such as gender:woman=0.5"
            )
        if name.strip() not in by_name:
            raise UnknownName("axis of a target", name.strip(), by_name)
        axis = by_name[name.strip()]
        own = shares.setdefault(axis.name, {})
        if rest.strip() == "parity":
            parity.add(axis.name)
            continue
        if level.strip() not in axis.levels:
            raise UnknownName(f"level of {axis.name}", level.strip(), axis.levels)
        if level.strip() in own:
            raise ConfigError(f"target {axis.name}:{level.strip()} is given twice: give one share")
        own[level.strip()] = _share(number, item)
    return {
        axis.name: _filled(axis, shares[axis.name], parity) for axis in axes if axis.name in shares
    }


def unnamed(asked: Sequence[str], axis: Axis) -> tuple[str, ...]:
    """Levels of an axis to which a target left what is left; () for parity, or without a target.

    >>> from laion_probe.questions.dft_lists import open_axes
    >>> unnamed(["gender:woman=0.5"], open_axes(["gender"])[0])
    ('man', 'nonbinary')
    """
    mine = [i.partition(":")[2].strip() for i in asked if _names(i, axis)]
    if not mine or "parity" in mine:
        return ()
    named = {item.rpartition("=")[0].strip() for item in mine}
    return tuple(level for level in axis.levels if level not in named)


def _names(item: str, axis: Axis) -> bool:
    """Whether a target is of this axis, which may go by its attribute."""
    return item.partition(":")[0].strip() in {axis.name, axis.attribute or axis.name}


def _share(number: str, item: str) -> float:
    try:
        value = float(number.strip().removesuffix("%")) * (
            0.01 if number.strip()[-1:] == "%" else 1
        )
    except ValueError:
        value = -1.0
    if not 0 <= value <= 1:
        raise ConfigError(f"target '{item}': give a share from 0 to 1, or percent")
    return value


def _filled(axis: Axis, named: Mapping[str, float], parity: set[str]) -> dict[str, float]:
    if axis.name in parity:
        if named:
            raise ConfigError(
                f"target of {axis.name}: parity and shares contradict each other; give the one or "
                "the other"
            )
        return {level: 1 / len(axis.levels) for level in axis.levels}
    left = 1 - sum(named.values())
    rest = [level for level in axis.levels if level not in named]
    if left < -_SUM or (left > _SUM and not rest):
        raise ConfigError(
            f"target of {axis.name}: the shares add up to {sum(named.values()):.6g}, and all of "
            f"its {'levels are named' if not rest else 'levels together are 1'}: make it 1"
        )
    return {level: named.get(level, max(0.0, left) / max(1, len(rest))) for level in axis.levels}


def measured_in(result: Document, config: DftConfig) -> tuple[Measured, ...]:
    """What the run says of generated pictures, by concept and attribute.

    Shares as raters give them take the place of a classifier's where the run has them. Raises
    `ConfigError` where the run is of another kind, or holds no generated pictures.
    """
    if isinstance(result, ProbeResult):
        found = tuple(_of_probe(result))
    elif isinstance(result, CompareResult):
        found = tuple(_of_compare(result, config))
    else:
        raise ConfigError(
            f"run {config.folder}: a plan takes its numbers from a probe or compare run, and this "
            "is another"
        )
    if not found:
        raise ConfigError(
            f"run {config.folder}: it has no composition of generated pictures; give a run with "
            "--generated, or none"
        )
    return found


def _of_probe(result: ProbeResult) -> Iterator[Measured]:
    for stage in result.stages:
        if stage.id != "generated":
            continue
        for name, c in stage.compositions.items():
            by_raters = c.corrected
            yield Measured(
                result.concept.name,
                name,
                c.contrast_level,
                (c.against_level,),
                c.contrast if by_raters is None else by_raters.contrast,
                c.labels if by_raters is None else f"raters ({by_raters.estimator})",
                c.with_known_errors if by_raters is None else None,
            )


def _of_compare(result: CompareResult, config: DftConfig) -> Iterator[Measured]:
    drew = tuple(s.name for s in result.sources if s.kind == "generator")
    if config.generator is not None and config.generator not in drew:
        raise UnknownName("generator", config.generator, drew)
    if config.generator is None and len(drew) > 1:
        raise ConfigError(
            f"run {config.folder} compares {len(drew)} generators: say with --generator which one "
            f"is to be fine-tuned: {', '.join(drew)}"
        )
    labels = {s.name: s.labels for s in result.sources}
    others = tuple(x for x in result.base if x not in (result.reported, UNKNOWN))
    for concept in result.concepts:
        for cell in concept.generators:
            if cell.generator == (config.generator or drew[0]):
                yield Measured(
                    concept.name,
                    result.attribute,
                    result.reported,
                    others,
                    cell.share,
                    labels[cell.generator],
                )


def by_concept(found: Sequence[Measured]) -> dict[str, list[Measured]]:
    """What was measured, by the concept's name as `folded` writes it."""
    out: dict[str, list[Measured]] = {}
    for one in found:
        out.setdefault(folded(one.concept), []).append(one)
    return out
