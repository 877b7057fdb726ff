"""What the Hugging Face Hub accepts in the front matter of a dataset card.

Sources: licences, hub-docs docs/hub/repositories-licenses.md; sizes and languages, the docstring of
huggingface_hub's ``DatasetCardData``; ``language_bcp47`` for codes with a script or a region,
huggingface/datasets pull request 4753 and the Hub's own message of a code that it refuses. The Hub
itself checks a card when it is pushed, over the network; its lists may have grown since.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass

__all__ = ["Languages", "Licence", "hub_languages", "licence", "size_category"]

#: The Hub's identifier of these is the SPDX one in small letters.
_SPDX = (
    "Apache-2.0 MIT AFL-3.0 Artistic-2.0 BSL-1.0 BSD-2-Clause BSD-3-Clause BSD-3-Clause-Clear "
    "CC0-1.0 CC-BY-2.0 CC-BY-2.5 CC-BY-3.0 CC-BY-4.0 CC-BY-SA-3.0 CC-BY-SA-4.0 CC-BY-NC-2.0 "
    "CC-BY-NC-3.0 CC-BY-NC-4.0 CC-BY-ND-4.0 CC-BY-NC-ND-3.0 CC-BY-NC-ND-4.0 CC-BY-NC-SA-2.0 "
    "CC-BY-NC-SA-3.0 CC-BY-NC-SA-4.0 CDLA-Sharing-1.0 CDLA-Permissive-1.0 CDLA-Permissive-2.0 "
    "WTFPL ECL-2.0 EPL-1.0 EPL-2.0 etalab-2.0 EUPL-1.1 AGPL-3.0 GPL-2.0 GPL-3.0 LGPL-2.1 LGPL-3.0 "
    "ISC LPPL-1.3c MS-PL MPL-2.0 OSL-3.0 PostgreSQL OFL-1.1 NCSA Unlicense Zlib"
)

#: The Hub's own identifiers of licences that SPDX calls otherwise.
_OWN = {
    "c-uda": "C-UDA-1.0",
    "lgpl-lr": "LGPLLR",
    "odbl": "ODbL-1.0",
    "odc-by": "ODC-By-1.0",
    "pddl": "PDDL-1.0",
}
#: Those of families and of licences that SPDX does not list.
_ONLY_HUB = (
    "openrail bigscience-openrail-m creativeml-openrail-m bigscience-bloom-rail-1.0 "
    "bigcode-openrail-m bsd cc gfdl gpl lgpl openrail++ deepfloyd-if-license llama2 gemma unknown"
)
_BY_HUB = {
    **{name.lower(): name for name in _SPDX.split()},
    **_OWN,
    **dict.fromkeys(_ONLY_HUB.split(), ""),
}
_HUB_OF = {spdx.lower(): hub for hub, spdx in _BY_HUB.items() if spdx}

#: ISO 639-1; the Hub also takes three letters (639-2 and 639-3), which are not listed here.
_TWO_LETTERS = (
    "aa ab ae af ak am an ar as av ay az ba be bg bi bm bn bo br bs ca ce ch co cr cs cu cv cy "
    "da de dv dz ee el en eo es et eu fa ff fi fj fo fr fy ga gd gl gn gu gv ha he hi ho hr ht "
    "hu hy hz ia id ie ig ii ik io is it iu ja jv ka kg ki kj kk kl km kn ko kr ks ku kv kw ky "
    "la lb lg li ln lo lt lu lv mg mh mi mk ml mn mr ms mt my na nb nd ne ng nl nn no nr nv ny "
    "oc oj om or os pa pi pl ps pt qu rm rn ro ru rw sa sc sd se sg si sk sl sm sn so sq sr ss "
    "st su sv sw ta te tg th ti tk tl tn to tr ts tt tw ty ug uk ur uz ve vi vo wa wo xh yi yo "
    "za zh zu"
)
#: Words that the Hub takes beside codes, and what BCP 47 has for them.
_WORDS = {"code": "", "multilingual": "mul"}
#: Codes that ISO 639-1 has withdrawn, as language detectors still give them.
_OLD = {"in": "id", "iw": "he", "ji": "yi", "jw": "jv", "mo": "ro"}
_CODES = frozenset(_TWO_LETTERS.split())
#: A tag of BCP 47 (RFC 5646, section 2.1), or what POSIX writes with underscores: a language, then
#: parts of it, a script, a region and variants.
_TAG = re.compile(
    r"([a-z]{2,3})([-_][a-z]{3}){0,3}([-_][a-z]{4})?([-_]([a-z]{2}|\d{3}))?"
    r"([-_]([a-z0-9]{5,8}|\d[a-z0-9]{3}))*",
    re.IGNORECASE,
)

_SIZES = (
    (10**3, "n<1K"),
    (10**4, "1K<n<10K"),
    (10**5, "10K<n<100K"),
    (10**6, "100K<n<1M"),
    (10**7, "1M<n<10M"),
    (10**8, "10M<n<100M"),
    (10**9, "100M<n<1B"),
    (10**10, "1B<n<10B"),
    (10**11, "10B<n<100B"),
    (10**12, "100B<n<1T"),
)


@dataclass(frozen=True)
class Languages:
    """Languages as a person stated them, as the Hub takes them, and as BCP 47 has them.

    ``hub`` has no script and no region. ``tags`` are all of those given, for whatever takes
    BCP 47, and ``regional`` are those of them with more than a language. ``mapped`` are pairs of
    what was given and what ``hub`` has for it, where these differ; ``unknown`` are no codes.
    """

    hub: tuple[str, ...]
    tags: tuple[str, ...]
    regional: tuple[str, ...]
    mapped: tuple[tuple[str, str], ...]
    unknown: tuple[str, ...]


@dataclass(frozen=True)
class Licence:
    """A licence as a person named it, and as the Hub and Croissant name it.

    ``hub`` is "other" where the Hub's list lacks it, and ``name`` is then what the Hub shows;
    ``link`` is a URL or empty; ``croissant`` is a URL where one is known, else ``given``.
    """

    given: str
    hub: str
    name: str
    link: str
    croissant: str


def licence(given: str) -> Licence | None:
    """What was named, by an SPDX or Hub identifier, a URL or in words; None where nothing was.

    >>> licence("CC-BY-4.0").croissant, licence("ODC-By-1.0").hub
    ('https://spdx.org/licenses/CC-BY-4.0', 'odc-by')
    >>> licence("CC BY 4.0").hub
    'cc-by-4.0'
    >>> licence("https://example.org/terms/") == Licence(
    ...     "https://example.org/terms/", "other", "example.org-terms", *(
    ...     "https://example.org/terms/",) * 2)
    True
    """
    given = " ".join(given.split())
    if not given:
        return None
    if re.fullmatch(r"https?://[^\s<>\"]+", given):
        return Licence(given, "other", _slug(given.partition("://")[2]), given, given)
    key = re.sub(r"[\s_]+", "-", given.lower())
    hub = key if key in _BY_HUB else _HUB_OF.get(key, "")
    if not hub:
        return Licence(given, "other", _slug(given), "", given)
    spdx = _BY_HUB[hub]
    return Licence(given, hub, "", "", f"https://spdx.org/licenses/{spdx}" if spdx else given)


def _slug(text: str) -> str:
    return re.sub(r"[^a-z0-9.+]+", "-", text.lower()).strip("-.")[:64] or "custom"


def hub_languages(given: Iterable[str]) -> Languages:
    """The languages of these codes, once each.

    >>> found = hub_languages(["EN", "en", "zh-CN", "zh_TW", "iw", "gsw", "xx", "German"])
    >>> found.hub, found.regional, found.unknown
    (('en', 'zh', 'he', 'gsw'), ('zh-CN', 'zh-TW'), ('xx', 'German'))
    >>> found.mapped
    (('zh-CN', 'zh'), ('zh_TW', 'zh'), ('iw', 'he'))
    """
    hub: dict[str, None] = {}
    tags: dict[str, None] = {}
    mapped: dict[tuple[str, str], None] = {}
    unknown: dict[str, None] = {}
    for code in filter(None, (words.strip() for words in given)):
        language, tag = _language(code)
        if not language:
            unknown[code] = None
            continue
        hub[language] = None
        if tag:
            tags[tag] = None
        if language != code.lower():
            mapped[code, language] = None
    return Languages(
        hub=tuple(hub),
        tags=tuple(tags),
        regional=tuple(tag for tag in tags if "-" in tag),
        mapped=tuple(mapped),
        unknown=tuple(unknown),
    )


def _language(code: str) -> tuple[str, str]:
    """What the Hub and what BCP 47 have for a code; both are empty where it is none."""
    if code.lower() in _WORDS:
        return code.lower(), _WORDS[code.lower()]
    found = _TAG.fullmatch(code)
    if found is None:
        return "", ""
    language = _OLD.get(found[1].lower(), found[1].lower())
    if len(language) == 2 and language not in _CODES:
        return "", ""
    return language, language + code[found.end(1) :].replace("_", "-")


def size_category(n: int | None) -> str | None:
    """The Hub's class of a number of rows, or None where the number is not known.

    >>> size_category(999), size_category(4090), size_category(5_850_000_000)
    ('n<1K', '1K<n<10K', '1B<n<10B')
    """
    if n is None:
        return None
    return next((name for below, name in _SIZES if n < below), "n>1T")
