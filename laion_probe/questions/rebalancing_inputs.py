"""The rows that weights are made for: pictures of a probe run, of tables, or rows of shards."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import polars as pl
from numpy.typing import NDArray

from laion_probe.attributes import UNKNOWN, known_attributes, load_attribute
from laion_probe.config import ComposeConfig, ProbeConfig, beside, make_config
from laion_probe.config.rebalance import RebalanceConfig
from laion_probe.errors import ConfigError, LaionProbeError, UnknownName
from laion_probe.filtering import row_ids
from laion_probe.filters_result import FiltersResult
from laion_probe.groups import GROUPS, Group, load_group
from laion_probe.groups import UNKNOWN as GROUP_UNKNOWN
from laion_probe.questions.compose_inputs import open_tables
from laion_probe.questions.compose_inputs import provenance as table_provenance
from laion_probe.questions.inputs import (
    Progress,
    cache_folder,
    input_records,
    note_beside,
    shard_records,
)
from laion_probe.questions.measuring import Measured, measure
from laion_probe.questions.opening_runs import open_result
from laion_probe.results import InputRecord
from laion_probe.scan_result import ScanResult
from laion_probe.shards import file_sha256, list_shards, list_units, read_unit
from laion_probe.steps import Batch

__all__ = ["Panel", "Rows", "Variable", "concept_of", "open_rows"]

Bools = NDArray[np.bool_]
Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

_CAPTIONS = "what captions and addresses say, uncorrected"
_ID = ("id_high", "id_low")
_COLUMNS = ("url", "text", "nsfw", "language", "uid")


@dataclass(frozen=True)
class Panel:
    """What raters said of a random sample of all N rows: as in `laion_probe.compare.Panel`."""

    said: Ints
    probability: Floats
    stratum: Ints
    declared: bool


@dataclass(frozen=True)
class Variable:
    """A way to divide the N rows: ``code[i]`` indexes ``levels``.

    ``pair`` are the two named levels of an attribute. ``before`` are shares before the filters
    (None: not known); ``refused`` says why ratings that were given cannot be used.
    """

    name: str
    title: str
    levels: tuple[str, ...]
    code: Ints
    labels: str
    note: str = ""
    unknown: tuple[str, ...] = (UNKNOWN,)
    pair: tuple[str, ...] = ()
    parity: float = 0.5
    before: Mapping[str, float] | None = None
    panel: Panel | None = None
    refused: str = ""


@dataclass(frozen=True)
class Rows:
    """N rows, of which those ``inside`` get weights; ratings may be of all N.

    ``frame`` has the columns id, url and text (empty where there is none), and ``id_high`` and
    ``id_low`` where rows have 128-bit ids.
    """

    what: str
    about: str
    frame: pl.DataFrame
    inside: Bools
    variables: Mapping[str, Variable]
    note: str
    records: tuple[InputRecord, ...]


def concept_of(config: RebalanceConfig) -> str:
    """The concept of the probe run; '' where none is given."""
    return _probe_of(Path(config.run), config).concept if config.run else ""


def open_rows(config: RebalanceConfig, names: Sequence[str], progress: Progress) -> Rows:
    """Read what the config names, with every variable that ``names`` asks for.

    Raises a `LaionProbeError` that says what to do.
    """
    given = [bool(config.run), bool(config.shards), bool(config.scores)]
    if sum(given) != 1:
        raise ConfigError(
            "give one thing to rebalance: the folder of a probe run, --shards with rows, or "
            "--scores ATTRIBUTE=FILE with labels of pictures"
        )
    if config.kept and not config.shards:
        raise ConfigError("--kept is a list of rows of --shards: give these too")
    if config.run:
        rows = _of_run(config, Path(config.run), names, progress)
    elif config.scores:
        rows = _of_tables(config)
    else:
        rows = _of_shards(config, names, progress)
    missing = [name for name in names if name not in rows.variables]
    found = dict(rows.variables)
    for name in missing:
        found[name] = _grouped(name, rows.frame, found)
    if config.before:
        found = _with_before(Path(config.before), found)
    return replace(rows, variables=found)


def _of_run(config: RebalanceConfig, run: Path, names: Sequence[str], progress: Progress) -> Rows:
    probe = _probe_of(run, config)
    if absent := [path for path in config.ratings if not Path(path).is_file()]:
        raise ConfigError(
            f"--ratings {absent[0]} does not exist: give what `laion-probe annotate` wrote, or "
            "leave it out for the ratings of the run"
        )
    attributes = tuple(load_attribute(name).name for name in probe.attributes)
    for name in (n for n in names if n not in attributes):
        _group(name, attributes)  # told before the pictures are read, which takes long
    try:
        m = measure(probe, progress)
    except LaionProbeError as error:
        given = f", with --ratings {' '.join(config.ratings)}," if config.ratings else ""
        raise ConfigError(
            f"what {run} was made from{given} cannot be read again: {error}"
        ) from error
    if not m.chain.labelled:
        raise ConfigError(
            f"the run {run} had no pictures, only captions: give --shards and groups of captions"
        )
    stages = [s for s in m.chain.masks if s != "all"]
    if config.stage not in stages:
        raise UnknownName("stage of the run", config.stage, stages)
    drawn = np.flatnonzero(m.chain.masks["pool"] | m.chain.masks[config.stage])
    ids = np.array([m.pool.files[i].id for i in drawn])
    # a picture that stands for several rows is one picture, kept where any of its rows is
    _, first = np.unique(ids, return_index=True)
    place = drawn[np.sort(first)]
    inside, pooled = (
        np.isin(ids[np.sort(first)], ids[m.chain.masks[stage][drawn]])
        for stage in (config.stage, "pool")
    )
    if not inside.any():
        raise ConfigError(f"no picture is left at the stage {config.stage} of {run}")
    frame = m.pool.pictured[place.tolist()].select(
        pl.Series("id", [m.pool.files[i].id for i in place]), "url", "text"
    )
    about = f"pictures {next(s.title for s in m.chain.stages if s.id == config.stage)}"
    if (n_rows := int(m.chain.masks[config.stage].sum())) > inside.sum():
        about += (
            f" (of {n_rows:,} rows: a picture counts once here, and once a row in the probe's "
            "report)"
        )
    return Rows(
        what="pictures",
        about=about,
        frame=frame,
        inside=inside,
        variables={name: _labelled(m, name, place, pooled) for name in m.chain.labelled},
        note=probe.data_note or note_beside(m.inputs.shards),
        records=input_records(m.inputs, probe),
    )


def _labelled(m: Measured, name: str, place: Ints, pooled: Bools) -> Variable:
    """The labels of the pictures at ``place``; those ``pooled`` were there before the filters."""
    d = m.chain.labelled[name]
    a, panel = d.attribute, d.panel
    rated = None
    if panel is not None and not panel.refused and (panel.level[place] >= 0).any():
        rated = Panel(
            panel.level[place], panel.probability[place], panel.stratum[place], panel.declared
        )
    shares = np.bincount(d.label[place][pooled], minlength=len(a.levels))
    return Variable(
        name=name,
        title=a.title,
        levels=a.levels,
        code=d.label[place],
        labels=d.labels,
        note=a.about,
        pair=(a.contrast, a.against),
        parity=a.parity,
        before=dict(zip(a.levels, (shares / max(1, shares.sum())).tolist(), strict=True)),
        panel=rated,
        refused="" if panel is None else panel.refused,
    )


def _probe_of(run: Path, config: RebalanceConfig) -> ProbeConfig:
    """The config of the probe run, with paths as they were seen from where it was run."""
    try:
        told = json.loads((run / "run.json").read_text(encoding="utf-8"))
        values, where = dict(told["config"]), Path(told["working_directory"])
    except (OSError, ValueError, KeyError, TypeError):
        raise ConfigError(
            f"{run} is not the folder of a finished run (it has no run.json that can be read): "
            "give the one that `laion-probe probe` wrote"
        ) from None
    if "concept" not in values or "threshold" not in values:
        raise ConfigError(f"{run} is the run of {_of_command(run)}")
    if not where.is_dir():
        where = Path.cwd()
    probe = make_config(
        beside(where, values, ProbeConfig), ProbeConfig, where=str(run / "run.json")
    )
    cache = config.cache or str(where / cache_folder(probe))
    changed: dict[str, object] = {"cache": cache, "generated": None, "prompt": None}
    if config.ratings:
        changed["ratings"] = config.ratings
    return probe.model_copy(update=changed)


def _of_command(run: Path) -> str:
    """What wrote a run that is no probe's, and what to give instead."""
    try:
        kind, _ = open_result(run)
    except LaionProbeError:
        return "another command: give the folder of a probe run"
    if kind not in ("filters", "scan"):
        return f"`{kind}`: give the folder of a `probe` run"
    return (
        f"`{kind}`, which has no pictures: give the folder of a `probe` run; or --shards, whose "
        f"rows are weighted, and this as --before {run}"
    )


def _of_tables(config: RebalanceConfig) -> Rows:
    named = [item.partition("=")[0] for item in config.scores]
    attributes = tuple(a for a in config.attributes if Path(a).stem in named) or config.attributes
    compose = ComposeConfig(
        attributes=attributes,
        scores=config.scores,
        ratings=config.ratings,
        seed=config.seed,
        level=config.level,
    )
    tables = open_tables(compose)
    pools = list(tables.pools.values())
    common = set.intersection(*({*pool.ids} for pool in pools))
    ids = [i for i in pools[0].ids if i in common]
    if not ids:
        raise ConfigError("the scores have no picture in common: name pictures alike in all files")
    variables = {}
    for pool in (p.take(ids) for p in pools):
        if pool.read is None:
            raise ConfigError(
                f"{pool.attribute.name} has ratings and no scores: weights are made from labels "
                "of all pictures, so give --scores for it or leave it out with --attributes"
            )
        panel = None
        if pool.rated.any():
            panel = Panel(pool.said, pool.probability, pool.stratum, pool.declared)
        a = pool.attribute
        variables[a.name] = Variable(
            name=a.name,
            title=a.title,
            levels=a.levels,
            code=pool.read,
            labels=pool.labels,
            note=a.about,
            pair=(a.contrast, a.against),
            parity=a.parity,
            panel=panel,
        )
    lost = len({i for pool in pools for i in pool.ids}) - len(ids)
    return Rows(
        what="pictures",
        about="pictures of the scores" + (f" ({lost} without all labels left out)" if lost else ""),
        frame=pl.DataFrame({"id": ids}).with_columns(url=pl.lit(""), text=pl.lit("")),
        inside=np.ones(len(ids), bool),
        variables=variables,
        note="",
        records=table_provenance(compose, tables).inputs,
    )


def _of_shards(config: RebalanceConfig, names: Sequence[str], progress: Progress) -> Rows:
    groups = [_group(name, ()) for name in names]
    kept = None if config.kept is None else _kept_ids(Path(config.kept))
    shards = list_shards(config.shards, config.columns)
    units = list_units(shards)
    parts = []
    for done, unit in enumerate(units):
        progress("reading rows", done, len(units))
        rows = read_unit(unit, _COLUMNS)
        batch = Batch(rows)
        columns = [rows["url"].fill_null(""), rows["text"], *row_ids(batch)]
        columns += [
            g.levels(batch).cast(pl.Categorical).alias(f"group {i}") for i, g in enumerate(groups)
        ]
        part = pl.DataFrame(columns)
        if kept is not None:
            part = part.join(kept, on=_ID, how="inner", maintain_order="left")
        parts.append(part)
    frame = pl.concat(parts)
    progress("reading rows", len(units), len(units))
    records, about = shard_records(shards, "unknown", ""), "rows of the shards"
    if kept is not None and config.kept:
        # of copies, as many as were kept: the first, as a filter of duplicates has it
        frame = frame.filter(pl.int_range(pl.len()).over(_ID) < pl.col("times"))
        if not len(frame):
            raise ConfigError(
                f"none of the rows is among the ids of {config.kept}: give the list that "
                "was written for these very shards"
            )
        missing = int(kept["times"].sum()) - len(frame)
        note = f"{missing:,} more rows that it lists are not in these shards" if missing else ""
        records = (*records, _record(Path(config.kept), len(frame), note))
        about += f" that {Path(config.kept).stem} lists" + (f" ({note})" if note else "")
    if not len(frame):
        raise ConfigError("the shards have no rows")
    variables = {
        g.name: _variable(g, frame[f"group {i}"].cast(pl.String)) for i, g in enumerate(groups)
    }
    pairs = frame.select("id_high", "id_low").iter_rows()
    ids = pl.Series("id", [f"{high:016x}{low:016x}" for high, low in pairs])
    return Rows(
        what="rows",
        about=about,
        frame=frame.select(ids, "url", "text", "id_high", "id_low"),
        inside=np.ones(len(frame), bool),
        variables=variables,
        note=note_beside(shards),
        records=records,
    )


def _kept_ids(path: Path) -> pl.DataFrame:
    """How many ``times`` each id was kept: the list has a line a row that was."""
    try:
        pairs = np.load(path, allow_pickle=False)
    except (OSError, ValueError) as error:
        raise ConfigError(
            f"--kept {path} cannot be read ({error}): give a kept-RECIPE.npy"
        ) from None
    if pairs.dtype != np.dtype("u8,u8"):
        raise ConfigError(
            f"--kept {path} does not hold pairs of 64-bit ids: give a kept-RECIPE.npy"
        )
    return (
        pl.DataFrame({"id_high": pairs["f0"], "id_low": pairs["f1"]})
        .group_by(_ID)
        .agg(pl.len().cast(pl.Int64).alias("times"))
    )


def _group(name: str, attributes: Sequence[str]) -> Group:
    if name in known_attributes():
        raise ConfigError(
            f"--target {name}: that is read from pictures, and nothing here has labels of it: give "
            f"a probe run with --attributes {name}, or --scores {name}=FILE"
        )
    try:
        group = load_group(name)
    except UnknownName:
        # as fine-tuning plans call them: gender is an axis that gender_presentation reads
        near = [a for a in attributes if name.casefold() in a.split("_")]
        if near:
            raise ConfigError(
                f"unknown attribute or group '{name}': did you mean {' or '.join(near)}, of which "
                "there are labels here?"
            ) from None
        raise UnknownName("attribute or group", name, (*attributes, *GROUPS)) from None
    lacking = [c for c in group.needs if c not in _COLUMNS]
    if lacking or name == "language":
        raise ConfigError(
            f"--target {name}: that group needs {', '.join(lacking) or 'a recipe'}; use another, "
            "such as language:cld2"
        )
    return group


def _grouped(name: str, frame: pl.DataFrame, known: Mapping[str, Variable]) -> Variable:
    """A group of captions or addresses, of pictures whose rows have these."""
    group = _group(name, tuple(known))
    rows = frame.select("url", "text").with_columns(nsfw=pl.lit(None), language=pl.lit(None))
    if not any(rows["text"].fill_null("")) and not any(rows["url"].fill_null("")):
        raise ConfigError(
            f"--target {name}: pictures of tables have no captions to group by; the variables are "
            f"{', '.join(known)}"
        )
    return _variable(group, group.levels(Batch(rows)))


def _variable(group: Group, level: pl.Series) -> Variable:
    names = level.unique().sort().to_list()
    names = [*(x for x in names if x != GROUP_UNKNOWN), GROUP_UNKNOWN]
    place = {name: i for i, name in enumerate(names)}
    return Variable(
        name=group.name,
        title=group.title,
        levels=tuple(names),
        code=level.replace_strict(place, return_dtype=pl.Int64).to_numpy(),
        labels=_CAPTIONS,
        note=group.note,
    )


def _with_before(run: Path, variables: Mapping[str, Variable]) -> dict[str, Variable]:
    """The variables with their shares before any filter, of a `filters` or `scan` run."""
    path = run / "result.json" if run.is_dir() else run
    try:
        text = path.read_text(encoding="utf-8")
        kind = FiltersResult if "recipes" in json.loads(text) else ScanResult
        result = kind.from_json(text)
    except (OSError, ValueError) as error:
        raise ConfigError(
            f"--before {run}: no result of `filters` or `scan` there ({str(error).splitlines()[0]})"
        ) from None
    groups = result.recipes[0].groups if isinstance(result, FiltersResult) else result.groups
    counted = {g.name: {x.level: float(x.n) for x in g.levels} for g in groups}
    found = dict(variables)
    for name, v in variables.items():
        if name not in counted:
            continue
        total = sum(counted[name].values())
        shares = {x: n / total for x, n in counted[name].items() if n}
        lost = tuple(x for x in shares if x not in v.levels)  # nobody is left
        levels = (*v.levels[:-1], *lost, v.levels[-1]) if lost else v.levels
        code = np.where(v.code == len(v.levels) - 1, len(levels) - 1, v.code)
        found[name] = replace(v, levels=levels, code=code, before=shares)
    return found


def _record(path: Path, n: int, note: str) -> InputRecord:
    return InputRecord(
        kind="table", name=path.name, fingerprint=file_sha256(path), n_rows=n, already="", note=note
    )
