"""``croissant.json``: the datasheet as Croissant 1.1 with the vocabulary for responsible AI.

Source: the Croissant Format Specification 1.1 (http://mlcommons.org/croissant/1.1;
mlcommons/croissant, docs/croissant-spec-1.1.md), provenance in the terms of PROV-O as it
recommends, labels by ``prov:label`` as in its examples (PROV-O itself has none). The records are
the composition, what filters did and the runs behind the numbers; the data set's own files are not
described, since a datasheet does not know where they are published.
"""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from urllib.parse import quote

from laion_probe.datasheet_result import Lineage
from laion_probe.questions.card import Card
from laion_probe.render import text
from laion_probe.render.card_rai import rai_properties, removed_words
from laion_probe.render.card_tables import FOLDER, CardTable, Column

__all__ = ["croissant_json"]

Json = dict[str, object]

#: Of the specification's appendix 1, with the namespace of schema.org that mlcroissant knows, four
#: names that mlcroissant asks for (path, repeated, replace, samplingRate), and PROV-O.
CONTEXT: Json = {
    "@language": "en",
    "@vocab": "https://schema.org/",
    "sc": "https://schema.org/",
    "cr": "http://mlcommons.org/croissant/",
    "rai": "http://mlcommons.org/croissant/RAI/",
    "dct": "http://purl.org/dc/terms/",
    "prov": "http://www.w3.org/ns/prov#",
    "annotation": "cr:annotation",
    "arrayShape": "cr:arrayShape",
    "citeAs": "cr:citeAs",
    "column": "cr:column",
    "conformsTo": "dct:conformsTo",
    "containedIn": "cr:containedIn",
    "data": {"@id": "cr:data", "@type": "@json"},
    "dataType": {"@id": "cr:dataType", "@type": "@vocab"},
    "equivalentProperty": "cr:equivalentProperty",
    "examples": {"@id": "cr:examples", "@type": "@json"},
    "excludes": "cr:excludes",
    "extract": "cr:extract",
    "field": "cr:field",
    "fileObject": "cr:fileObject",
    "fileProperty": "cr:fileProperty",
    "fileSet": "cr:fileSet",
    "format": "cr:format",
    "includes": "cr:includes",
    "isArray": "cr:isArray",
    "isLiveDataset": "cr:isLiveDataset",
    "jsonPath": "cr:jsonPath",
    "key": "cr:key",
    "md5": "cr:md5",
    "parentField": "cr:parentField",
    "path": "cr:path",
    "readLines": "cr:readLines",
    "recordSet": "cr:recordSet",
    "references": "cr:references",
    "regex": "cr:regex",
    "repeated": "cr:repeated",
    "replace": "cr:replace",
    "samplingRate": "cr:samplingRate",
    "sdVersion": "cr:sdVersion",
    "separator": "cr:separator",
    "source": "cr:source",
    "subField": "cr:subField",
    "transform": "cr:transform",
    "unArchive": "cr:unArchive",
    "value": "cr:value",
}
CONFORMS_TO = ["http://mlcommons.org/croissant/1.1", "http://mlcommons.org/croissant/RAI/1.0"]
_PARQUET = "application/x-parquet"


def croissant_json(card: Card, tables: tuple[CardTable, ...]) -> str:
    """The description as text; the files of ``tables`` must lie in the card's folder.

    The same datasheet and tables give the same text.
    """
    filled = [table for table in tables if table.rows]
    files = [_file(f"{FOLDER}/{t.name}.parquet", _PARQUET, card.folder, t.about) for t in filled]
    files += [_file(f"{FOLDER}/{t.name}.csv", "text/csv", card.folder, t.about) for t in filled]
    files += [
        {
            "@type": "cr:FileObject",
            "@id": quote(run.file),
            "name": text.clean(Path(run.file).name),
            "description": text.clean(run.title),
            "contentUrl": quote(run.file),
            "encodingFormat": "application/json",
            "sha256": run.sha256,
        }
        for run in card.datasheet.evidence
    ]
    described = {
        "@context": CONTEXT,
        "@type": "sc:Dataset",
        **_about(card),
        "conformsTo": CONFORMS_TO,
        **rai_properties(card),
        **_provenance(card),
        "distribution": files,
        "recordSet": [_records(table, card) for table in filled],
    }
    return json.dumps(described, ensure_ascii=False, indent=2) + "\n"


def _about(card: Card) -> Json:
    """What a person said; what nobody said is left out, but for a description that was measured."""
    about, sheet = card.datasheet.about, card.datasheet
    rows = "" if sheet.n_rows is None else f" of a data set of {text.count(sheet.n_rows)} rows"
    measured = f"A datasheet{rows}, measured by laion-probe {sheet.version}."
    description = f"{about.description.strip() or measured} {sheet.data_note}".strip()
    kinds = {True: "sc:Person", False: "sc:Organization"}
    found: Json = {
        "name": text.clean(about.name.strip() or card.title),
        "alternateName": text.clean(card.title) if about.name.strip() != card.title else "",
        "description": " ".join(text.clean(description).split()),
        "license": text.clean(card.licence.croissant) if card.licence else "",
        "url": card.url,
        "creator": [
            {"@type": kinds[maker.is_person], "name": text.clean(maker.name)}
            for maker in card.creators
        ],
        "datePublished": card.published,
        "version": text.clean(about.version.strip()),
        "inLanguage": list(card.languages.tags),
        "citeAs": text.clean(about.citation.strip()),
    }
    return {key: value for key, value in found.items() if value}


def _provenance(card: Card) -> Json:
    """The recipes that the rows had passed, as what generated them; a simulated one did not."""
    passed = [recipe for recipe in card.datasheet.lineage if recipe.already]
    return {"prov:wasGeneratedBy": [_activity(recipe) for recipe in passed]} if passed else {}


def _activity(recipe: Lineage) -> Json:
    """A recipe with its steps; each was informed by the one before it, for a list has no order."""
    name = f"recipe/{quote(recipe.recipe)}"
    steps = [
        {
            "@type": "prov:Activity",
            "@id": f"{name}/{number}",
            "prov:label": text.clean(step.title),
            "name": text.clean(step.id),
            "description": text.clean(
                f"Step {number}: {step.title}{removed_words(step)}; source: "
                f"{step.source or recipe.source} ({step.confidence})"
            ),
            **({"prov:wasInformedBy": {"@id": f"{name}/{number - 1}"}} if number > 1 else {}),
        }
        for number, step in enumerate(recipe.steps, 1)
    ]
    source = f"; source: {recipe.source}" if recipe.source else ""
    return {
        "@type": "prov:Activity",
        "@id": name,
        "prov:label": text.clean(recipe.title),
        "name": text.clean(recipe.recipe),
        "description": text.clean(f"Filters that the rows had passed{source}"),
        **({"dct:hasPart": steps} if steps else {}),
    }


def _file(name: str, encoding: str, folder: Path, about: str) -> Json:
    content = (folder / name).read_bytes()
    return {
        "@type": "cr:FileObject",
        "@id": name,
        "name": Path(name).name,
        "description": about,
        "contentUrl": name,
        "contentSize": f"{len(content)} B",
        "encodingFormat": encoding,
        "sha256": hashlib.sha256(content).hexdigest(),
    }


def _records(table: CardTable, card: Card) -> Json:
    named = {row.get("evidence", row.get("id")) for row in table.rows}
    runs = [{"@id": quote(run.file)} for run in card.datasheet.evidence if run.id in named]
    return {
        "@type": "cr:RecordSet",
        "@id": table.name,
        "name": table.name,
        "description": table.about,
        **({"prov:wasDerivedFrom": runs} if runs else {}),
        "prov:wasAttributedTo": {
            "@type": "prov:SoftwareAgent",
            "prov:label": f"laion-probe {card.datasheet.version}",
        },
        "field": [_field(table.name, column) for column in table.columns],
    }


def _field(table: str, column: Column) -> Json:
    return {
        "@type": "cr:Field",
        "@id": f"{table}/{column.name}",
        "name": column.name,
        "description": column.about,
        "dataType": f"sc:{column.kind}",
        "source": {
            "fileObject": {"@id": f"{FOLDER}/{table}.parquet"},
            "extract": {"column": column.name},
        },
    }
