"""What a recipe is, and what can be said of data that have been through one."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, field_validator

from laion_probe.steps import STEPS, Role, StepKind, StepParams

__all__ = ["MAX_STEPS", "Confidence", "Recipe", "Simulated", "Step"]

Confidence = Literal["verified", "secondary", "from memory", "hypothesis", "user"]
Simulated = Literal["yes", "partly", "no"]

#: A row's outcomes, three bits a step, fit in 64.
MAX_STEPS = 21

# Kind -> parameter -> (its sign if larger is stricter, whether the bound itself is out).
_BOUNDS: dict[str, dict[str, tuple[int, bool]]] = {
    "aspect-ratio": {"max_ratio": (-1, False)},
    "caption-length": {"min_characters": (1, False), "max_characters": (-1, False)},
    "domain-length": {"max_characters": (-1, False)},
    "image-pixels": {"max_pixels": (-1, False)},
    "image-side": {"min_pixels": (1, False)},
    "score": {
        "at_least": (1, False),
        "above": (1, True),
        "at_most": (-1, False),
        "below": (-1, True),
    },
    "word-count": {"min_words": (1, False), "max_words": (-1, False)},
}


class Step(BaseModel):
    """One step: a kind with parameters, and where it was read.

    ``scorer`` names the model behind a score, where sets store scores of different models in a
    column of the same name. Two fields are filled in by the recipe, never written in TOML: ``of``
    is the earlier recipe that the step belongs to ("" for the recipe's own), and ``detection``
    the parameters of the detect-language step that a keep-language step reads.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    id: str = Field(pattern=r"^([A-Za-z0-9][A-Za-z0-9 ._+-]*:)?[a-z0-9][a-z0-9-]*$")
    kind: str
    title: str
    source: str = ""
    confidence: Confidence | None = None
    simulated: Simulated = "yes"
    note: str = ""
    scorer: str = ""
    params: dict[str, Any] = {}
    of: str = ""
    detection: dict[str, Any] = {}

    @property
    def implementation(self) -> StepKind:
        """The registered kind."""
        return STEPS[self.kind]

    @property
    def role(self) -> Role:
        """What the step may do with a row."""
        return self.implementation.role

    @property
    def needs(self) -> tuple[str, ...]:
        """The canonical columns that the step reads: the kind's, and those its parameters name."""
        return tuple(dict.fromkeys((*self.implementation.needs, *self.parsed().needs)))

    @property
    def groups(self) -> tuple[str, ...]:
        """The groups of rows whose levels the step decides by."""
        return tuple(getattr(self.parsed(), "groups", ()))

    def parsed(self) -> StepParams:
        """The parameters, validated by the kind."""
        return self.implementation.Params.model_validate(self.params)


class Recipe(BaseModel):
    """An ordered list of steps with a citation.

    With ``after``, the recipe was applied to what an earlier recipe left: ``step`` then begins with
    the steps of that one, as `load_recipe` resolves it.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str
    title: str
    source: str
    confidence: Confidence = "user"
    after: str = ""
    step: tuple[Step, ...] = Field((), max_length=MAX_STEPS)

    @field_validator("name")
    @classmethod
    def _can_name_a_file(cls, name: str) -> str:
        if not re.fullmatch(r"[A-Za-z0-9]([A-Za-z0-9 ._+-]*[A-Za-z0-9._+-])?", name):
            raise ValueError(
                "use letters and digits of English, dots, hyphens, _ or +, and blanks inside"
            )
        return name

    @field_validator("step")
    @classmethod
    def _tell_what_detected(cls, steps: tuple[Step, ...]) -> tuple[Step, ...]:
        detection: dict[str, Any] = {}
        out = []
        for step in steps:
            if step.kind == "detect-language":
                detection = step.params
            reads = detection if step.kind == "keep-language" else {}
            out.append(step.model_copy(update={"detection": reads}))
        return tuple(out)

    @property
    def deciding(self) -> tuple[int, ...]:
        """Positions of the steps that can remove a row."""
        return tuple(i for i, s in enumerate(self.step) if s.role in ("drop", "set"))

    @property
    def chain(self) -> tuple[str, ...]:
        """Names of the earlier recipes whose steps come before the recipe's own, oldest first."""
        return tuple(dict.fromkeys(s.of for s in self.step if s.of))

    def passed(self, step: Step) -> bool:
        """Whether data that have been through this recipe have been through ``step``.

        That is so when the recipe has a step of that kind with the same parameters or stricter
        bounds (a similarity of 0.30 implies one of 0.28), of the same scorer where both name one.
        English by one detector is not English by another. The captions may have been rewritten in
        between, which is not looked at.

        >>> from laion_probe.recipes import load_recipe
        >>> similarity = load_recipe("laion5b-en").step[-2]
        >>> similarity.params["at_least"], load_recipe("laion400m").passed(similarity)
        (0.28, True)
        """
        alike = [s for s in self.step if _comparable(s, step)]
        if step.kind in _BOUNDS:
            have = [end for s in alike for end in _ends(s)]
            return all(
                any(name == n and bound >= b for name, bound in have) for n, b in _ends(step)
            )
        return any(_implies(s, step) for s in alike)

    def selected_like(self, step: Step) -> Step | None:
        """The step that selected by another rule of the same kind, if ``step`` was not passed.

        Data kept as English by CLD3 have not passed English by fastText, yet nothing that they
        show of it is as if they had not been selected by language. None for steps that remove
        nothing, and where the recipe has no such step.
        """
        if step.role not in ("drop", "set") or self.passed(step):
            return None
        column = step.params.get("column")
        alike = [s for s in self.step if s.kind == step.kind and s.params.get("column") == column]
        return alike[-1] if alike else None


def _comparable(earlier: Step, step: Step) -> bool:
    return (
        earlier.kind == step.kind
        and earlier.params.get("column") == step.params.get("column")
        and (earlier.scorer == step.scorer or not (earlier.scorer and step.scorer))
    )


def _ends(step: Step) -> Iterator[tuple[int, tuple[float, bool]]]:
    """(sign, bound) of each bound that is given; of two bounds of a sign the larger is stricter."""
    params = step.parsed()
    for name, (sign, is_out) in _BOUNDS[step.kind].items():
        value = getattr(params, name)
        if value is not None:
            yield sign, (sign * value, is_out)


def _implies(earlier: Step, step: Step) -> bool:
    if step.role == "context":
        return earlier.title == step.title  # they have no parameters to compare
    before: Any = earlier.parsed()
    now: Any = step.parsed()
    if step.kind == "duplicates":
        return set(before.by) <= set(now.by)
    if step.kind != "keep-language":
        return bool(before == now)
    if before.all_but:
        narrower = bool(now.all_but) and set(now.all_but) <= set(before.all_but)
    else:
        kept = set(before.keep)
        narrower = not kept & set(now.all_but) if now.all_but else kept <= set(now.keep)
    named = {*now.keep, *now.all_but}
    return narrower and _read_alike(earlier.detection, step.detection, named)


def _read_alike(earlier: dict[str, Any], later: dict[str, Any], languages: set[str]) -> bool:
    """Whether two detections agree on which captions are in ``languages``."""

    def reading(detection: dict[str, Any]) -> tuple[Any, bool, dict[str, str]]:
        renames = detection.get("rename", {}).items()
        kept = {a: b for a, b in renames if {a, b} & languages}
        return detection.get("detector"), detection.get("reliable_only", False), kept

    return bool(earlier) and reading(earlier) == reading(later)
