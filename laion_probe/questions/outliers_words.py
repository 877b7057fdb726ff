"""How ``outliers`` measured, what it cannot say, and what it would take to know."""

from __future__ import annotations

from collections.abc import Sequence

from laion_probe.clusters import FoundClusters
from laion_probe.outliers_result import OutliersResult
from laion_probe.questions.outliers_along import Along
from laion_probe.questions.outliers_inputs import Opened

__all__ = ["cannot_say", "how_measured", "would_need"]


def how_measured(
    opened: Opened,
    found: FoundClusters,
    result: OutliersResult,
    hoods: Sequence[str],
    along: Along,
) -> tuple[str, ...]:
    """What was compared with what, by which rules; ``hoods`` says which neighbourhoods were."""
    config, asked, null = opened.config, opened.asked, result.null
    out = [
        f"{len(asked.said):,} outputs and {found.n_rows:,} training pictures were embedded by one "
        f"model, and compared in its space. {opened.check.sentence}",
        f"Clusters are those of the training data ({found.n_clusters} cells of k-means, which "
        "never saw an output); an output belongs to the nearest. A share of outputs has an "
        "interval by batch, and the ratio of shares one that holds for all clusters together. "
        "Neighbouring cells that are both over-represented are one cluster.",
        f"Stability: the clustering was made {config.seeds} times more with other seeds. The local "
        "ratio needs no clusters: it compares outputs and training pictures around each output.",
        f"An output is far where no training picture is within a cosine of {found.far_cosine:.3f}, "
        "as 99 % of training pictures have one of their own.",
    ]
    if found.picked is not None:
        out.append(
            "Picked outputs are described and explained as one cluster. Whoever picked them chose "
            "them for what they show, so that their share of the outputs is a count, and no test."
        )
    if found.compared < 1:
        out.append(
            f"Each output was compared with the rows of the nearest {100 * found.compared:.0f} % "
            "of cells, so that a few of its nearest rows may be missing."
        )
    out += [
        "An explanation is weighed as the contrast of the cluster’s neighbourhood in the data with "
        "others of like size and density elsewhere in them, which were chosen without looking at "
        "captions. The neighbourhood is the unit, not the row: rows of one are alike.",
        f"Odds ratios of {null.low:g} to {null.high:g} are called no difference. Supported: the "
        f"whole interval lies above {null.high:g} (for ban lists and names, which could act either "
        f"way: above that or below {null.low:g}). Contradicted: it lies wholly below {null.high:g} "
        "(for those: wholly inside), or the data show that under 1 % of rows, or over 99 %, have "
        "the property anywhere. Otherwise not decidable here.",
        "The explanations of a cluster that are contrasted under one recipe are corrected together "
        "(Bonferroni); clusters and recipes are not corrected for one another: of many, some may "
        "stand out by chance.",
        *hoods,
        "Words are those of captions of the nearest training pictures, by log-odds with an "
        "informative Dirichlet prior (Monroe, Colaresi and Quinn 2008). Attributes are read from "
        "vectors, zero-shot: uncorrected classifier labels"
        + (
            ", with the range that the checkpoint’s measured errors allow."
            if opened.known_errors
            else "."
        ),
        *along.how,
        *opened.notes,
    ]
    if opened.already is not None:
        out.append(f"The data have passed {opened.already.title} already: {opened.already_note}.")
    return tuple(out)


def cannot_say(
    opened: Opened, result: OutliersResult, skipped: Sequence[str], along: Along
) -> tuple[str, ...]:
    """What must not be read into it; ``skipped`` says what was not weighed, and why."""
    asked = opened.asked
    out = [
        "Every contrast is an association. That a place in the data has many empty captions does "
        "not show that a model draws it for that reason: several explanations may hold at once, "
        "and each may stand for another that goes with it.",
        "Near means near to this model: what it does not tell apart lies together, whatever it "
        "shows; and what generated pictures have in common beside their subject moves them too.",
        "A prompt left empty is not the same for every generator: what a tokenizer, a safety "
        "checker or a default prompt puts there is not known from pictures.",
        "The data are the pictures that still download, and were embedded: what is gone may have "
        "had other captions.",
        "Labels are what a classifier sees in a picture. Perceived gender presentation and skin "
        "tone are not identity, and no ethnicity is inferred from skin tone.",
    ]
    if not opened.known_errors:
        out.append(
            "How often the classifier of attributes is wrong on such pictures was not measured."
        )
    if opened.check.basis != "key":
        out.append(
            "No key lies beside the embeddings of the data: that one model made both sides’ "
            "vectors is the word of whoever ran this. With another model nothing here holds."
        )
    if not asked.batches_known:
        out.append(
            "No metadata say which outputs were drawn together: each is taken as a batch of its "
            "own. If they share seeds or batches, the intervals are too narrow."
        )
    if asked.n_same:
        out.append(
            f"{asked.n_same:,} outputs are copies of another one, and count in its batch: what "
            "made them the same is not known (a fixed seed, a safety checker that blanks them)."
        )
    if result.prompt is None and len(asked.prompts) > 1:
        out.append(
            f"The outputs answer {len(asked.prompts):,} prompts: what they were asked for is part "
            "of what is drawn. --prompt looks at one, and the empty prompt at none."
        )
    if asked.simulated:
        out.append("The outputs are simulated: nothing here is about a real generator.")
    if result.n_unreadable:
        out.append(f"{result.n_unreadable:,} outputs could not be read, and are left out.")
    if along.why_not:
        out.append(along.why_not)
    if along.brought:
        out.append(
            "A thing is seen where a picture is similar to its word, on drawings and photographs "
            "alike: a difference between outputs and data may be one of style. Captions in other "
            "languages are other words."
        )
    return (*out, *skipped)


def would_need(result: OutliersResult) -> tuple[str, ...]:
    """What an intervention would take, and what would decide what these data do not."""
    out = []
    if any(c.over_represented for c in result.clusters):
        out.append(
            "To know that an explanation is a cause: train the model again with that alone changed "
            "(captions kept, duplicates counted once, the cluster thinned), with several seeds "
            "each, and draw from both with the same empty prompt. The command laion-probe testbed "
            "does so with a small model."
        )
    open_ = {
        e.decided_by
        for c in result.clusters
        for w in c.weighed
        for e in w.explanations
        if e.decided_by
    }
    if open_:
        out.append(f"To decide what is not decidable here: {'; '.join(sorted(open_))}.")
    out.append(
        "Outputs in batches whose seeds are known, of the empty prompt and of some others, and the "
        "generator’s own training list with the captions that it was trained on."
    )
    return tuple(out)
