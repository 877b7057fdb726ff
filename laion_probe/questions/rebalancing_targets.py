"""What the user asks for, as shares of all levels; and, in words, why it cannot be had."""

from __future__ import annotations

import csv
import itertools
import math
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal, InvalidOperation
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from laion_probe.errors import ConfigError, UnknownName
from laion_probe.estimators.raking import Margin, Problem
from laion_probe.estimators.raking_feasibility import Conflict, Wanted, attainable
from laion_probe.questions.rebalancing_inputs import Variable

__all__ = ["Aim", "Targets", "aim_of", "read_targets", "refuse"]

Floats = NDArray[np.float64]

_FORMS = (
    "NAME:LEVEL=SHARE, NAME:LEVEL,LEVEL=parity, NAME:parity, NAME:before or NAME=FILE.csv, such as "
    "gender_presentation:parity"
)


#: Shares that sum to 1 but for rounding: off by no more than half a unit of the last digit a line,
#: and by no more than this.
_ROUNDING = 0.01
#: More levels than this are counted in an error, not listed.
_LEVELS_TOLD = 6


@dataclass(frozen=True)
class Targets:
    """What is asked of one variable: shares of levels among those known, and sets to make equal.

    ``before`` asks for the shares before the filters. ``asked`` are the items as they were given.
    ``whole`` says that they came as a table, of which a sum near 1 is meant as 1; of a table by
    concept, ``concept`` is the one whose rows were taken. ``digit`` is a unit of the last digit of
    the share that was given with most.
    """

    variable: str
    shares: Mapping[str, float]
    equal: tuple[tuple[str, ...], ...]
    before: bool
    asked: tuple[str, ...]
    whole: bool = False
    digit: float = 1.0
    concept: str = ""

    @property
    def rounding(self) -> float:
        """What the sum of the shares may be off by, since they were rounded."""
        return min(_ROUNDING, len(self.shares) * self.digit / 2)


@dataclass(frozen=True)
class Aim:
    """The margin of one variable; levels of it that are ``skipped``, since nobody has them.

    ``asked_sum`` is what the shares asked for sum to, where they were scaled to sum to 1.
    """

    margin: Margin
    asked: tuple[str, ...]
    skipped: tuple[str, ...]
    asked_sum: float | None


def read_targets(items: Sequence[str], concept: str = "") -> tuple[Targets, ...]:
    """The targets by variable, in the order in which they are named first.

    ``concept`` is the run's: of a table by concept, its rows are taken.

    >>> read_targets(["skin_tone:darker=40%"])[0].shares
    {'darker': 0.4}
    """
    found: dict[str, Targets] = {}
    for item in items:
        new = _read(item, concept)
        old = found.get(new.variable, Targets(new.variable, {}, (), False, ()))
        if twice := [x for x in new.shares if x in old.shares]:
            raise ConfigError(f"--target {item}: {twice[0]} of {new.variable} has a target already")
        if old.asked and (new.before or old.before):
            raise ConfigError(
                f"--target {item}: {new.variable} has a target already; 'before' sets all"
            )
        found[new.variable] = Targets(
            new.variable,
            {**old.shares, **new.shares},
            (*old.equal, *new.equal),
            new.before,
            (*old.asked, item),
            old.whole or new.whole,
            min(old.digit, new.digit),
            old.concept or new.concept,
        )
    return tuple(found.values())


def _read(item: str, concept: str) -> Targets:
    """One item; equal levels () stand for the attribute's two."""
    asked_as = (item,)
    if item.endswith(".csv") and "=" in item:
        name, _, path = item.partition("=")
        shares, digit, taken = _table(path, concept)
        return Targets(name, shares, (), False, asked_as, True, digit, taken)
    name, _, asked = item.rpartition(":")
    levels, equals, share = asked.rpartition("=")
    if name and asked == "parity":
        return Targets(name, {}, ((),), False, asked_as)
    if name and asked == "before":
        return Targets(name, {}, (), True, asked_as)
    if name and equals and share == "parity" and "," in levels:
        equal = tuple(x.strip() for x in levels.split(","))
        return Targets(name, {}, (equal,), False, asked_as)
    if not (name and equals and levels):
        raise ConfigError(f"--target {item} is none of the forms {_FORMS}")
    number = _share(share)
    if number is None and share.strip() == "parity":
        raise ConfigError(
            f"--target {item}: parity is of two levels or more, such as "
            f"{name}:{levels.strip()},LEVEL=parity"
        )
    if number is None:
        raise ConfigError(
            f"--target {item}: {share!r} is no share from 0 to 1, nor from 0% to 100% (such as 0.4 "
            "or 40%)"
        )
    return Targets(name, {levels.strip(): number[0]}, (), False, asked_as, digit=number[1])


def _share(text: str) -> tuple[float, float] | None:
    """A share from 0 to 1, or percent, and a unit of its last digit; None where it is neither."""
    text = text.strip()
    of = Decimal(100 if text.endswith("%") else 1)
    try:
        number = Decimal(text.removesuffix("%").strip())
    except InvalidOperation:
        return None
    exponent = number.as_tuple().exponent
    if not isinstance(exponent, int) or not 0 <= number <= of:  # else infinite, or no number
        return None
    return float(number / of), float(10.0 ** min(exponent, 0) / float(of))


def _table(path: str, concept: str) -> tuple[dict[str, float], float, str]:
    """The shares of a CSV, a unit of the last digit of the share that has most, and whose they are.

    The last is '' where the table is not by concept.
    """
    try:
        with Path(path).open(encoding="utf-8-sig", newline="") as file:
            rows = list(csv.DictReader(file))
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise ConfigError(f"target {path} cannot be read ({error}): give a CSV file") from None
    if not rows:
        raise ConfigError(f"target {path} has no rows: give a CSV with the columns level and share")
    if not {"level", "share"} <= set(rows[0]):
        there = ", ".join(repr(name) for name in rows[0] if name)
        raise ConfigError(
            f"target {path} has the columns {there}: give a CSV, parted by commas, with the "
            "columns level and share"
        )
    found: dict[str, float] = {}
    digit, taken = 1.0, ""
    numbered = list(enumerate(rows, 1))
    if "concept" in rows[0]:
        taken = _concept_of(path, [row["concept"] or "" for row in rows], concept)
        numbered = [(i, row) for i, row in numbered if _same(row["concept"] or "", taken)]
    for number, row in numbered:
        level, share = (row["level"] or "").strip(), _share(row["share"] or "")
        if not level or share is None:
            raise ConfigError(
                f"target {path}, row {number}: give a level and a share from 0 to 1, or a "
                f"percentage with its % sign; it says {row['level']!r}, {row['share']!r}"
            )
        if level in found:
            raise ConfigError(f"target {path}, row {number}: {level!r} has a share already")
        found[level], digit = share[0], min(digit, share[1])
    return found, digit, taken


def _concept_of(path: str, there: Sequence[str], concept: str) -> str:
    """Which concept's rows of a table are meant: the run's, or the only one where there is no run.

    Such tables are what `compare` takes as references.
    """
    names = list(dict.fromkeys(name.strip() for name in there))
    if not concept and len(names) == 1:
        return names[0]
    own = [name for name in names if concept and _same(name, concept)]
    if own:
        return own[0]
    shown = ", ".join(names[:_LEVELS_TOLD]) + (", …" if len(names) > _LEVELS_TOLD else "")
    why = f"none of “{concept}”, which the run is of" if concept else "nothing says which is meant"
    raise ConfigError(
        f"target {path} has a column 'concept' with rows of {shown}, and {why}: give the share "
        "that you mean as NAME:LEVEL=SHARE, or a CSV of its rows alone, without that column"
    )


def _same(one: str, other: str) -> bool:
    return one.strip().casefold() == other.strip().casefold()


def aim_of(
    asked: Targets, v: Variable, inside: NDArray[np.bool_], unknown: str, skip_empty: bool
) -> Aim:
    """The share that each level is to have among the rows ``inside``.

    Levels that are not named keep their shares among each other; those of unknown rows stay as they
    are (``keep``) or become 0 (``drop``).
    """
    n = np.bincount(v.code[inside], minlength=len(v.levels)).astype(float)
    share = n / n.sum()
    target, asked_sum = (_before(v, asked), None) if asked.before else _named(asked, v, share)
    skipped: tuple[str, ...] = ()
    if skip_empty:
        skipped = tuple(
            x for x, t, s in zip(v.levels, target, share, strict=True) if t > 0 and s == 0
        )
        target[share == 0] = 0.0
    # what levels that are skipped, or dropped, would have had goes to the known ones
    is_unknown = np.isin(v.levels, v.unknown)
    known = float(target[~is_unknown].sum())
    if unknown == "drop":
        target[is_unknown] = 0.0
    elif not asked.before:
        target[is_unknown] = share[is_unknown]
    if known <= 0:
        raise ConfigError(
            f"--target {', '.join(asked.asked)}: no row has any level that is to have a share; "
            f"{v.name} has {_there(v, share)}"
        )
    target[~is_unknown] *= (1 - float(target[is_unknown].sum())) / known
    return Aim(Margin(v.name, v.levels, target / target.sum()), asked.asked, skipped, asked_sum)


def _named(asked: Targets, v: Variable, share: Floats) -> tuple[Floats, float | None]:
    """Shares of the known levels, which sum to 1; and their sum as given, where it was scaled."""
    known = np.array([level not in v.unknown for level in v.levels])
    if not (share[known] > 0).any():
        raise ConfigError(f"--target {asked.asked[0]}: every row is unknown by {v.name}")
    now = np.where(known, share, 0) / share[known].sum()
    target, free = now.copy(), known.copy()
    for level, value in asked.shares.items():
        at = _place(v, level)
        if not known[at]:
            raise ConfigError(
                f"--target {v.name}:{level}: what becomes of unknown rows is --unknown keep or drop"
            )
        target[at], free[at] = value, False
    named = float(target[known & ~free].sum())
    others = float(now[free].sum())
    asked_sum = None
    as_printed = abs(named - 1) <= asked.rounding + 1e-9
    # 0.7 + 0.2 + 0.1 is a little less than 1 in floating point: that little is nobody's
    whole = abs(named - 1) < 1e-12 or (asked.whole and not asked.equal)
    if as_printed and (named > 1 or others <= 0 or whole):
        target[known & ~free] /= named
        asked_sum, named = (named if abs(named - 1) > 1e-6 else None), 1.0
    if named > 1:
        raise ConfigError(
            f"--target {', '.join(asked.asked)}: the shares sum to {_exactly(named)}, more than "
            "all, and by more than rounding of their last digits; give shares of one whole"
        )
    if asked.shares:
        if others <= 0 and named < 1:
            raise ConfigError(
                f"--target {', '.join(asked.asked)}: the shares sum to {_exactly(named)}, and no "
                f"row of another known level of {v.name} could have the rest: make them sum to "
                "100 %"
            )
        target[free] = now[free] * ((1 - named) / others if others > 0 else 0.0)
    for equal in asked.equal:
        names = equal or v.pair
        if not names:
            raise ConfigError(
                f"--target {v.name}:parity: say of which levels, such as "
                f"{v.name}:{','.join(v.levels[:2])}=parity; it has {_there(v, share)}"
            )
        at_ = [_place(v, name) for name in names]
        if twice := [v.levels[i] for i in at_ if not free[i]]:
            raise ConfigError(
                f"--target {', '.join(asked.asked)}: {twice[0]} of {v.name} has a share already, "
                "or is unknown: it cannot be made equal to another as well"
            )
        target[at_] = target[at_].sum() / len(at_)
        free[at_] = False
    return np.asarray(target), asked_sum


def _before(v: Variable, asked: Targets) -> Floats:
    if v.before is None:
        raise ConfigError(
            f"--target {asked.asked[0]}: nothing says what {v.name} was before the filters: give a "
            "probe run with a recipe, or --before with a run of `filters` or `scan` that counted "
            f"it (--by {v.name})"
        )
    if lost := [x for x in v.before if x not in v.levels]:
        raise ConfigError(f"--target {asked.asked[0]}: the level {lost[0]} is not one of {v.name}")
    target = np.array([v.before.get(level, 0.0) for level in v.levels])
    return np.asarray(target / target.sum())


def _place(v: Variable, level: str) -> int:
    if level not in v.levels:
        raise UnknownName(f"level of {v.name}", level, v.levels)
    return v.levels.index(level)


def _there(v: Variable, share: Floats) -> str:
    return ", ".join(f"{x} ({_percent(s)})" for x, s in zip(v.levels, share, strict=True))


def refuse(
    conflict: Conflict, problem: Problem, targets: Sequence[Targets], variables: Sequence[Variable]
) -> ConfigError:
    """The error that says which levels of which variable cannot be had, and what to do.

    ``variables`` align with ``targets``, and with the margins of ``problem``.
    """
    involved = {w.margin for w in conflict.wanted}
    items = [item for t in targets if t.variable in involved for item in t.asked]
    asked = f"(asked for: {', '.join(items)}; shares here are of all rows, unknown ones included)"
    named = {(t.variable, x) for t in targets for x in (*t.shares, *itertools.chain(*t.equal))}
    wanted = _listed(conflict.wanted, named)
    if conflict.kind == "nobody":
        return ConfigError(
            f"the target {wanted} cannot be reached {asked}: no row has that level, and weights "
            "cannot bring anybody. Add rows that have it, leave it out of the targets, or let "
            "--skip-empty give its share to the other levels"
        )
    if conflict.kind == "bound":
        least = math.ceil(100 * conflict.least - 1e-6) / 100  # what is told must do
        return ConfigError(
            f"{wanted} cannot be reached with --max-weight {problem.most:g} {asked}: some weight "
            f"must be {least:g} or more. Allow that, or ask for less"
        )
    *others, last = conflict.wanted
    can = _can_be_asked(problem, involved, targets, variables) or (
        (
            f"With {' and '.join(f'{w.margin}:{w.level}' for w in others)} as asked, "
            if others
            else ""
        )
        + f"{last.margin}:{last.level} can only have {_range(conflict.low, conflict.high)}"
    )
    return ConfigError(
        f"the targets contradict one another: {wanted} cannot hold together in these rows, "
        f"whatever the weights {asked}. {can}: ask for what can be had, leave one of these targets "
        "out, or add rows of levels that nobody has together"
    )


def _can_be_asked(
    problem: Problem,
    involved: Collection[str],
    targets: Sequence[Targets],
    variables: Sequence[Variable],
) -> str:
    """What could be asked for in the place of the last target that can be mended so; '' if none.

    As targets count: among rows whose level is known.
    """
    for t, v, margin in reversed(list(zip(targets, variables, problem.margins, strict=True))):
        if t.variable not in involved or t.equal or t.before:
            continue
        known = 1 - float(margin.target[np.isin(margin.levels, v.unknown)].sum())
        following = [x for x in v.levels if x not in t.shares and x not in v.unknown]
        for level in reversed(list(t.shares)):
            if found := attainable(problem, t.variable, level, following):
                of = "" if known > 1 - 1e-9 else ", of the rows whose level is known"
                can = _range(*(min(1.0, share / known) for share in found))
                return (
                    f"With all other targets as asked, {t.variable}:{level} can only have {can}{of}"
                )
    return ""


def _listed(wanted: Sequence[Wanted], named: Collection[tuple[str, str]]) -> str:
    """The levels; where they are many, those that were asked for by name, and how many follow."""
    shown = [w for w in wanted if len(wanted) <= _LEVELS_TOLD or (w.margin, w.level) in named]
    if not shown:
        shown = list(wanted[:_LEVELS_TOLD])
    rest = len(wanted) - len(shown)
    more = f" and {rest} more levels, which have what these leave," if rest else ""
    return f"{' and '.join(map(_said, shown))}{more}"


def _said(w: Wanted) -> str:
    return f"{w.margin}:{w.level} = {_percent(w.target)} (now {_percent(w.share)})"


def _range(low: float, high: float) -> str:
    """In percent, rounded inwards, so that its ends can be had; as they are where that is none."""
    up, down = math.ceil(1000 * low - 1e-4) / 10, math.floor(1000 * high + 1e-4) / 10
    if up > down:
        up, down = 100 * low, 100 * high
    return f"{up:.4g} %" if up == down else f"from {up:.4g} % to {down:.4g} %"


def _percent(share: float) -> str:
    """With one decimal; with more where that would hide that it is not 0."""
    return f"{100 * share:.2g} %" if 0 < share < 0.0005 else f"{100 * share:.1f} %"


def _exactly(share: float) -> str:
    """With as many digits as tell it from 100 %."""
    return f"{100 * share:.8g} %"
