"""Whose pictures no longer download, and what a share of those that do can say of all."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from laion_probe import __version__
from laion_probe.attributes import UNKNOWN
from laion_probe.compose_result import RunOf
from laion_probe.config import WHO_COMPUTES, NonresponseConfig
from laion_probe.errors import ConfigError, NotEnoughData
from laion_probe.estimate import Sample, share
from laion_probe.estimators.partial_identification import (
    odds_between,
    sensitivity_curve,
    worst_case,
)
from laion_probe.estimators.response import (
    Frame,
    Response,
    drawn_share,
    fit_response,
    reweighted_share,
)
from laion_probe.estimators.response_check import check_fit
from laion_probe.nonresponse_result import (
    AtOdds,
    Composed,
    Covered,
    Fit,
    NonresponseResult,
    Predicted,
    Weighting,
)
from laion_probe.notes import note_in
from laion_probe.questions.inputs import Progress
from laion_probe.questions.nonresponse_labels import Labelled, Labels, read_labels
from laion_probe.questions.nonresponse_loss import Levels, levels_of, loss_by, overall, reasons
from laion_probe.questions.nonresponse_reading import Tried, read_tried
from laion_probe.questions.nonresponse_words import cannot_say, claims, finding, how_measured
from laion_probe.questions.repeating import command, without_folders
from laion_probe.results import Estimate

__all__ = ["nonresponse"]

#: Odds of a hit among those lost, over those of pictures like them that came.
_ODDS = (0.25, 0.5, 2 / 3, 1.0, 1.5, 2.0, 4.0)
_MOST = 2.0


def nonresponse(
    config: NonresponseConfig, progress: Progress = lambda what, done, of: None
) -> NonresponseResult:
    """Account for the pictures that did not come: by reason, by group, and in shares.

    Holds every row tried in memory, with its caption and levels: 2 million take 1.5 GB (measured),
    so that 50 million would take over 30 GB; of more than fit, draw a sample (``laion-probe fetch
    --sample``). Shards of the pool are read a row group at a time, and pictures only where a model
    is named. Nothing is written but embeddings. Raises a `LaionProbeError` that says what to
    do when an input cannot be used.

    >>> from laion_probe.config import NonresponseConfig
    >>> nonresponse(NonresponseConfig(images="images")).finding  # doctest: +SKIP
    """
    harms = config.harms
    tried = read_tried(config)
    progress("tables", 1, 3)
    levels = levels_of(config, tried)
    loss = loss_by(config, tried, levels)
    progress("loss", 2, 3)
    labels = read_labels(config, tried, progress)
    sample = _sample(config, tried)
    codes = [levels[name].code for name in config.response_by]
    by = np.stack(codes, axis=1) if codes else np.zeros((len(tried.came), 0), np.int64)
    frame = Frame(tried.came, by, tried.cluster, tried.worth)
    weighting, why_not = None, ""
    composed: tuple[Composed, ...] = ()
    try:
        response = fit_response(frame)
    except NotEnoughData as error:
        why_not = str(error)
    else:
        weighting = _weighting(config, frame, response, levels)
        composed = tuple(_composed(x, frame, response, sample) for x in labels.of)
    progress("shares", 3, 3)
    result = NonresponseResult(
        data_note=config.data_note or note_in([config.images, *config.shards]),
        context=config.context,
        harms=harms,
        level=config.level,
        false_discovery_rate=config.false_discovery_rate,
        n_tried=len(tried.came),
        n_came=int(tried.came.sum()),
        n_domains=int(tried.cluster.max()) + 1,
        by_chance=tried.worth is not None,
        fetched=tried.fetched,
        crawled=tried.crawled,
        lost=overall(tried, config.level),
        coverage=_coverage(tried, labels),
        reasons=reasons(tried),
        loss=loss,
        weighting=weighting,
        why_not_weighted=why_not,
        composed=composed,
        finding=(),
        claims=(),
        how_measured=(),
        cannot_say=(),
        provenance=RunOf(
            version=__version__,
            command=command("nonresponse", config, "images", folders=False),
            config=without_folders(config).model_dump(mode="json", exclude=set(WHO_COMPUTES)),
            inputs=(*tried.inputs, *labels.inputs),
        ),
    )
    return result.model_copy(
        update={
            "finding": finding(result),
            "claims": claims(result),
            "how_measured": how_measured(result, config),
            "cannot_say": cannot_say(result, tried.notes, labels.no_labels),
        }
    )


def _sample(config: NonresponseConfig, tried: Tried) -> Sample:
    n = len(tried.came)
    if config.population is not None and config.population < n:
        raise ConfigError(f"--population {config.population} is less than the {n} rows tried")
    if config.population is not None and tried.worth is not None:
        raise ConfigError(
            "--population is of rows drawn with one chance, and these were drawn by strata with "
            "chances that differ: leave it out"
        )
    return Sample(
        tried.cluster,
        n / config.population if config.population else 0.0,
        config.level,
        "the rows tried are a random sample, drawn by domain, of those that the share is of",
    )


def _coverage(tried: Tried, labels: Labels) -> tuple[Covered, ...]:
    """What part of the rows has more and more: a picture, a vector, a usable label."""

    def covered(name: str, what: str, n: int, of: int) -> Covered:
        return Covered(id=name, what=what, n=n, of=of, share=n / of if of else None)

    n, came = len(tried.came), int(tried.came.sum())
    found = [covered("came", "rows tried that have a picture", came, n)]
    if tried.n_pool is not None:
        words = "rows of the pool whose address was tried (every row that has it)"
        found.insert(0, covered("tried", words, tried.n_pool_tried, tried.n_pool))
    if labels.embedded is not None:
        n_vectors = int(labels.embedded.sum())
        found.append(covered("embedding", "rows tried that have an embedding", n_vectors, n))
    for x in labels.of:
        usable = int((tried.came & (x.label != x.attribute.unknown_at)).sum())
        what = f"rows tried that have a usable label: {x.attribute.title} is not {UNKNOWN}"
        found.append(covered(f"label:{x.attribute.name}", what, usable, n))
    return tuple(found)


def _weighting(
    config: NonresponseConfig, frame: Frame, response: Response, levels: dict[str, Levels]
) -> Weighting:
    fit, why_not = None, ""
    try:
        found = check_fit(frame, config.folds, config.seed, level=config.level)
    except NotEnoughData as error:
        why_not = str(error)
    else:
        fit = Fit(
            folds=found.folds,
            brier=found.brier,
            brier_of_rate=found.brier_of_rate,
            auc=found.auc,
            intercept=found.intercept,
            slope=found.slope,
            calibration_error=found.calibration_error,
            reliability=tuple(
                Predicted(predicted=r.predicted, came=r.came) for r in found.reliability
            ),
        )
    return Weighting(
        by=tuple(levels[name].group.title for name in config.response_by),
        n_effects=len(response.effects) - 1,
        n_together=response.n_together,
        effective=response.effective,
        heaviest=float(response.weight.max()),
        n_trimmed=response.n_trimmed,
        imbalance=response.imbalance,
        fit=fit,
        why_not_checked=why_not,
    )


def _composed(labelled: Labelled, frame: Frame, response: Response, sample: Sample) -> Composed:
    a, came = labelled.attribute, frame.came
    code = {name: i for i, name in enumerate(a.levels)}
    hit = came & (labelled.label == code[a.contrast])
    base = hit | (came & (labelled.label == code[a.against]))
    whole = np.ones(len(came), bool)
    of_came = Sample(sample.unit, sample.sampled * float(came.mean()), sample.level, _AS_THEY_ARE)

    def complete(hits: NDArray[np.bool_], among: NDArray[np.bool_]) -> Estimate:
        if frame.worth is None:
            return share(hits & came, among & came, of_came)
        return drawn_share(hits & came, among & came, frame.worth, of_came)

    def weighted(hits: NDArray[np.bool_], among: NDArray[np.bool_]) -> Estimate:
        return reweighted_share(hits, among, response, frame, sample)

    curve = sensitivity_curve(hit, base, response, frame, sample, _ODDS)
    by_odds = dict(zip(_ODDS, curve, strict=True))
    unknown = labelled.label == a.unknown_at
    worst = worst_case(hit, base, ~came | unknown, sample, frame.worth)
    of_level = {name: labelled.label == i for name, i in code.items()}
    return Composed(
        attribute=a.name,
        title=a.title,
        about=a.about,
        labels=labelled.labels,
        levels=a.levels,
        contrast_level=a.contrast,
        against_level=a.against,
        parity=a.parity,
        counts={name: int((came & mask).sum()) for name, mask in of_level.items()},
        complete=complete(hit, base),
        reweighted=by_odds[1.0],
        limited=odds_between((by_odds[1 / _MOST], by_odds[_MOST]), _MOST),
        most_odds=_MOST,
        possible=Estimate(
            value=None,
            low=worst.low,
            high=worst.high,
            level=sample.level,
            n=worst.interval.n,
            units=worst.interval.units,
            method="worst-case bounds of these rows (Manski): no sampling error",
            assumptions=("labels are right where there are any",),
        ),
        worst=worst.interval,
        curve=tuple(AtOdds(odds=x, share=e) for x, e in by_odds.items()),
        complete_shares={name: complete(mask, whole) for name, mask in of_level.items()},
        reweighted_shares={name: weighted(mask, whole) for name, mask in of_level.items()},
        notes=labelled.notes,
    )


_AS_THEY_ARE = "those that came are a random sample of the rows tried, whatever they show"
