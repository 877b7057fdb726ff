"""The sentences of a testbed: what was found, how, and what it cannot say."""

from __future__ import annotations

from laion_probe.config.testbed import TestbedConfig
from laion_probe.results import Estimate
from laion_probe.testbed_result import ArmShares, PlantedEffect, TestbedResult

__all__ = ["cannot_say", "finding", "how_measured"]


def finding(r: TestbedResult) -> tuple[str, ...]:
    """What was drawn in each arm, what moved it, and how often the tool was right."""
    said = [_arm(a, r) for a in r.arms]
    said += [_effect(e) for e in r.effects]
    if r.confusion:
        said.append(
            "`outliers`, asked as a user would, supported exactly what was planted in "
            f"{r.n_right['command']} of {r.n_runs} runs; pointed to the outputs that show "
            f"the cluster, in {r.n_right['pointed']}."
        )
    return tuple(said)


def how_measured(config: TestbedConfig) -> tuple[str, ...]:
    """What a reader needs to judge the numbers."""
    n_codes = config.codes
    return (
        "A small text-conditional model was trained anew for each run: DALL·E mini's design in "
        f"miniature, image tokens from a codebook of {n_codes} patches of {config.patch} by "
        f"{config.patch} pixels (k-means), pictures of {config.side} pixels, and a transformer of "
        "three layers of width 128 that writes tokens after a caption. A caption is read as its "
        f"words together, without their order; {100 * config.dropped:g} % of captions are dropped "
        "at random for classifier-free guidance.",
        f"Trained for {config.steps} steps of {config.batch_size} rows; {config.samples} answers "
        f"to the empty prompt a run, at temperature {config.temperature:g}"
        + (f", each token one of the {config.top_k} likeliest" if config.top_k else "")
        + ". With an empty prompt "
        "guidance changes nothing.",
        "Planted: captions of the cluster in other languages than English, which the recipe "
        f"{config.recipe} empties, or English ones; and {100 * config.share_over:g} % or "
        f"{100 * config.share:g} % of the training rows, by taking rows out (never by repeating "
        "any). All other rows, and their captions, are the same in all arms of a seed; "
        f"{100 * config.foreign:g} % of those have captions in other languages too. The truth "
        "of the demo data is read to plant; the tool is given none of it.",
        "Expected by the mixture alone: the cluster's share of what the model sees without words, "
        "its rows counted fully where their captions are empty and by the dropped share where not.",
        "A drawn picture is read as of the cluster where the nearest of the seed's larger training "
        "table is. The error of this reading is measured on stored pictures that the encoder was "
        "not fitted to, drawn by the codebook too; corrected shares allow for it (Rogan and Gladen "
        "1978), as if drawn pictures were read as stored ones are.",
        "Training pictures are embedded as the codebook draws them, so that both sides come in one "
        "style, by a copy of the demo's encoder that was fitted to that style without labels "
        f"({config.fit_steps} steps, on four fifths of the pictures). A real comparison has no "
        "such help.",
        "The seed is the unit: effects are contrasts within seeds, Student's t over seeds; no "
        "equal variances are assumed.",
        "The tool is right about a run when, of the two explanations, exactly the planted ones are "
        "supported. Asked as a user would, that is at the largest cluster of outputs whose nearest "
        "training rows are mostly planted; where there is none, nothing counts as supported. The "
        "command explains only what is drawn more often than its share of the data, so that a "
        "cluster that is large in the data and drawn as often has nothing to explain there. "
        "Pointed, it is given the outputs whose nearest training row is a planted one (--picked): "
        "the truth stands in for a person who noticed these pictures.",
    )


def cannot_say() -> tuple[str, ...]:
    """What the experiment leaves open."""
    return (
        "A model of half a million weights on drawings of 24 pixels shows that missing "
        "conditioning is enough for unprompted over-representation; it does not show that this is "
        "what happened to DALL·E mini, whose training data nobody has published.",
        "The cluster is women in saris as three foundries draw them. The finding is about captions "
        "and numbers of rows, not about the women or the garment; other clusters were not tried.",
        "The model draws the cluster less often than its training mix would have it: a small model "
        "that is trained for minutes draws many pictures that are like nothing in particular. Arms "
        "are compared with each other; the mixture is shown beside them.",
    )


def _arm(a: ArmShares, r: TestbedResult) -> str:
    how = {
        (False, False): "With neither planted",
        (False, True): "With the cluster over-represented",
        (True, False): "With the cluster's captions emptied",
        (True, True): "With both",
    }[a.emptied, a.over]
    return (
        f"{how}, the empty prompt drew the cluster ({r.concept}) in {_percent(a.drawn)} of "
        f"pictures ({100 * a.data_share:.1f} % of the training rows; the mixture alone would give "
        f"{100 * a.expected:.0f} %; {a.n_runs} {'run' if a.n_runs == 1 else 'runs'})."
    )


def _effect(e: PlantedEffect) -> str:
    d, title = e.difference, f"{e.title[:1].upper()}{e.title[1:]}"
    if d.value is None or d.low is None or d.high is None:
        return f"{title}: not defined."
    sure = d.low > 0 or d.high < 0
    words = "" if sure else "; these runs cannot tell it from none"
    return (
        f"{title}: {100 * d.value:+.1f} points [{100 * d.low:+.1f}, {100 * d.high:+.1f}], where "
        f"the mixture alone would give {100 * e.expected_difference:+.1f}{words}."
    )


def _percent(e: Estimate) -> str:
    if e.value is None:
        return "an undefined share"
    ends = ""
    if e.low is not None and e.high is not None:
        ends = f" [{100 * e.low:.1f}, {100 * e.high:.1f}]"
    return f"{100 * e.value:.1f} %{ends}"
