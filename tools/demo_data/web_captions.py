"""Captions as the web writes them: alternative texts with all that surrounds them."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from tools.demo_data.codes import SARI_GARMENT, STETHOSCOPE, SYRINGE, Person
from tools.demo_data.languages import MEDICAL
from tools.demo_data.names import GIVEN_NAMES, SHOP_BRANDS, STOCK_BRANDS, SURNAMES

BAN_LIST = (
    "sexy", "hot", "costume", "cosplay", "babe", "naughty", "lingerie", "glamour", "flirty",
    "seductive", "pinup", "bikini",
)  # fmt: skip
_BANNED_PHRASES = {
    "nurse": ("sexy nurse costume", "hot nurse cosplay", "naughty nurse outfit", "babe nurse"),
}
_ANY_BANNED = ("{} halloween costume", "{} cosplay", "hot {} calendar")
ENGLISH_ROLE: dict[str, tuple[str, ...]] = {
    "doctor": ("doctor", "doctor", "doctor", "physician", "medical doctor", "family doctor"),
    "nurse": ("nurse", "nurse", "nurse", "registered nurse", "hospital nurse"),
    "teacher": ("teacher", "teacher", "school teacher", "primary school teacher"),
    "technologist": ("software developer", "programmer", "software engineer", "technologist"),
    "cook": ("cook", "chef"),
    "singer": ("singer", "rock singer"),
    "student": ("student", "graduate student"),
    "artist": ("artist", "painter"),
    "mechanic": ("mechanic", "car mechanic"),
    "farmer": ("farmer", "farmer"),
    "person": ("person",),
}
_WOMAN = ("woman", "lady", "woman", "female")
_MAN = ("man", "gentleman", "man", "male")
_DETAIL: dict[str, tuple[str, ...]] = {
    "doctor": ("with stethoscope", "in the office", "at desk", "in clinic", "talking about flu"),
    "nurse": ("with syringe", "beside hospital bed", "giving an injection", "on night shift"),
    "teacher": ("in classroom", "at blackboard", "with books"),
    "judge": ("with a gavel", "in court"),
    "firefighter": ("at work", "in uniform"),
    "farmer": ("in field", "with tractor"),
    "technologist": ("working on laptop", "writing code"),
    "scientist": ("in laboratory", "with microscope"),
}
_TEMPLATES = (
    "{}", "{}", "{}", "Portrait of {}", "{} isolated on white", "{} - stock photo",
    "Stock photo of {}", "{} | {brand}", "{} vector illustration", "Smiling {}", "Young {}",
    "{} cartoon character", "Photo: {}", "{} royalty free image #{number}", "{} clipart",
    "{}, {year}", "Image of {} ({number})", "{} - {shop}", "The best {} in town",
)  # fmt: skip
_FOREIGN_TEMPLATES = (
    "{}", "{}", "{}", "{}", "{}", "{} | {brand}", "{} - {year}", "{} {number}", "{} - {shop}",
    "{} ({brand})",
)  # fmt: skip
NEAR_MISSES: tuple[tuple[str, str, str], ...] = (
    ("doctor", "Doctor Who box set, series {n}", "1f4fa"),
    ("doctor", "Doctor Who TARDIS mug {n}", "2615"),
    ("doctor", "Dr. Martens boots size {n}", "1f45f"),
    ("doctor", "Doctor Strange comic #{n}", "1f4d5"),
    ("nurse", "nurse shark in aquarium {n}", "1f988"),
    ("nurse", "Nurse Jackie season {n} DVD", "1f4fa"),
    ("sari", "sari silk fabric {n} metres", SARI_GARMENT),
    ("sari", "Banarasi saree with blouse piece, code {n}", SARI_GARMENT),
    ("judge", "Judge Dredd comic issue {n}", "1f4d5"),
    ("teacher", "World's best teacher mug {n}", "2615"),
    ("cook", "Cook book, {n} recipes", "1f4d5"),
    ("pilot", "pilot pen {n} pack", "270f"),
    ("student", "student loan calculator {n}", "1f4b0"),
    ("farmer", "Farmer's market apples {n} kg", "1f34e"),
    ("mechanic", "mechanic tools set {n} pieces", "1f528"),
    ("firefighter", "Firefighter LEGO truck {n}", "1f692"),
)
HOSTILE = (
    "<script>alert(1)</script> {}",
    '"><img src=x onerror=alert(1)> {}',
    "{} \u202egnp.exe\u202c",
    "{}\x07\x1b[31m red\x1b[0m",
    "{} &lt;b&gt;bold&lt;/b&gt; &amp;nbsp;",
    "{} \U0001f600\U0001f525\U0001f469\u200d\u2695\ufe0f",
    "=HYPERLINK(0,0) {}",
    "{} '; DROP TABLE images; --",
    "{}\u0000tail",
    "</td></tr></table>{}",
)


@dataclass(frozen=True)
class Written:
    """A caption, its language ("" for none) and whether its words state the gender."""

    text: str | None
    language: str
    states_gender: bool
    style: str


def _pick(rng: np.random.Generator, options: tuple[str, ...]) -> str:
    return options[int(rng.integers(len(options)))]


def _article(phrase: str) -> str:
    return f"an {phrase}" if phrase[0].lower() in "aeiou" else f"a {phrase}"


def _dress(rng: np.random.Generator, phrase: str, templates: tuple[str, ...]) -> str:
    return _pick(rng, templates).format(
        phrase,
        brand=_pick(rng, STOCK_BRANDS),
        shop=_pick(rng, SHOP_BRANDS),
        number=int(rng.integers(100, 99999)),
        year=int(rng.integers(2005, 2022)),
    )


def _noisy(rng: np.random.Generator, text: str) -> str:
    """What crawlers find around a caption: entities, tags, spaces, capitals."""
    draw = rng.random()
    if draw < 0.03:
        return f"<b>{text}</b>"
    if draw < 0.05:
        return f"{text} &amp; more&hellip;"
    if draw < 0.06:
        return f'<a href="/p/{int(rng.integers(999))}">{text}</a>'
    if draw < 0.075:
        return f"  {text}\n"
    if draw < 0.095:
        return text.upper()
    if draw < 0.105:
        return text.replace("a", "Ã¡")
    if draw < 0.115:
        return f"{text} #{text.split()[0].lower()} #photo"
    if draw < 0.121:
        return _pick(rng, HOSTILE).format(text)
    return text


def banned_words(text: str | None) -> bool:
    """True when a word of the ban list is a word of the text, in any case."""
    words = "".join(c if c.isalnum() else " " for c in (text or "").lower()).split()
    return any(word in BAN_LIST for word in words)


def english_person(
    rng: np.random.Generator, person: Person, says_gender: bool, banned: bool
) -> Written:
    """An English caption of a person."""
    concept = person.concept
    role = _pick(rng, ENGLISH_ROLE.get(concept, (concept,)))
    if banned:
        phrases = _BANNED_PHRASES.get(concept, tuple(t.format(role) for t in _ANY_BANNED))
        phrase = _pick(rng, phrases)
        if says_gender:
            phrase = f"{_pick(rng, _WOMAN if person.gender == 'woman' else _MAN)} {phrase}"
        return Written(_dress(rng, phrase, _TEMPLATES), "en", says_gender, "words")
    if concept == "sari":
        phrase = (
            _pick(rng, ("woman wearing a sari", "woman in a sari", "lady in red saree"))
            if says_gender
            else _pick(rng, ("traditional sari look", "saree style", "wedding saree", "sari"))
        )
        return Written(_noisy(rng, _dress(rng, phrase, _TEMPLATES)), "en", says_gender, "words")
    if concept == "person":
        noun = {"woman": _WOMAN[:3], "man": _MAN[:3]}.get(person.gender, ("person", "someone"))
        says_gender = says_gender and person.gender != "neutral"
        word = _pick(rng, noun) if says_gender else _pick(rng, ("person", "portrait", "avatar"))
        return Written(_noisy(rng, _dress(rng, word, _TEMPLATES)), "en", says_gender, "words")
    if says_gender:
        marker = _pick(rng, _WOMAN if person.gender == "woman" else _MAN)
        phrase = f"{marker} {role}"
    elif rng.random() < (0.3 if concept == "doctor" else 0.06):
        title = "Dr. " if concept == "doctor" else f"{role.title()} "
        phrase = f"{title}{_pick(rng, GIVEN_NAMES)} {_pick(rng, SURNAMES)}"
    else:
        phrase = role
    if rng.random() < 0.3:
        phrase = f"{phrase} {_pick(rng, _DETAIL.get(concept, ('at work',)))}"
    return Written(_noisy(rng, _dress(rng, phrase, _TEMPLATES)), "en", says_gender, "words")


def foreign_person(
    rng: np.random.Generator, person: Person, language: str, names: dict[str, str]
) -> Written:
    """A caption from CLDR's names in this locale, with or without the tone."""
    untoned = Person(person.concept, person.gender, "unspecified", person.variant).code
    mirror = {"woman": "man", "man": "woman"}.get(person.gender, "neutral")
    opposite = Person(person.concept, mirror, "unspecified", person.variant).code
    neutral = Person(person.concept, "neutral", "unspecified", person.variant).code
    code = untoned if rng.random() < 0.8 else neutral
    if person.tone != "unspecified" and rng.random() < 0.08:
        code = person.code
    name = names.get(code) or names.get(untoned) or names.get(neutral) or ""
    states = code != neutral and names.get(untoned) != names.get(opposite)
    if person.concept in ("doctor", "nurse"):
        words = MEDICAL.get(language)
        place = (0 if person.concept == "doctor" else 2) + (person.gender == "man")
        if words and person.gender != "neutral" and rng.random() < 0.7:
            name, states = words[place], words[place - place % 2] != words[place | 1]
        else:
            prop = STETHOSCOPE if person.concept == "doctor" else SYRINGE
            name = f"{name}, {names[prop]}" if prop in names else name
    if person.concept == "sari":
        garment = names.get(SARI_GARMENT, "")
        both = rng.random() < 0.6
        name, states = (f"{name}, {garment}", states) if both else (garment or name, False)
    if not name:
        return Written(_dress(rng, person.concept, _TEMPLATES), "en", False, "words")
    return Written(_noisy(rng, _dress(rng, name, _FOREIGN_TEMPLATES)), language, states, "cldr")


def thing(rng: np.random.Generator, language: str, name: str) -> Written:
    """A caption of something without a person."""
    templates = _TEMPLATES if language == "en" else _FOREIGN_TEMPLATES
    return Written(_noisy(rng, _dress(rng, name, templates)), language, False, "words")


def wordless(rng: np.random.Generator) -> Written:
    """No words: empty or missing, a file name, a number, a brand."""
    draw = rng.random()
    if draw < 0.42:
        return Written("", "", False, "empty")
    if draw < 0.5:
        return Written(None, "", False, "missing")
    if draw < 0.75:
        stem = _pick(rng, ("IMG_", "DSC", "image-", "photo_", "untitled"))
        tail = _pick(rng, (".jpg", ".JPG", "", "_1024x768.png"))
        return Written(f"{stem}{int(rng.integers(1, 9999)):04d}{tail}", "", False, "file")
    if draw < 0.88:
        return Written(_pick(rng, STOCK_BRANDS), "", False, "brand")
    if draw < 0.96:
        return Written(str(int(rng.integers(1, 999))), "", False, "short")
    return Written(_pick(rng, ("pic", "-", "img", "...")), "", False, "short")


def overlong(rng: np.random.Generator, text: str) -> str:
    """More than 2000 characters: a page pasted into an alternative text."""
    words = [_pick(rng, (*GIVEN_NAMES, *SHOP_BRANDS, "buy", "now", "free")) for _ in range(420)]
    return f"{text} {' '.join(words)}"
