"""What is drawn, and what is true of it: concepts, code points and their labels.

Labels come from code points and from nothing else. A caption, a file name or a
drawing never decides a label, since those are what the analysis has to cope with.
"""

from __future__ import annotations

from dataclasses import dataclass

TONES = ("light", "medium-light", "medium", "medium-dark", "dark")
GENDERS = ("woman", "man", "neutral")

_TONE_CODES = ("1f3fb", "1f3fc", "1f3fd", "1f3fe", "1f3ff")
TONE_CODE = {"unspecified": "", **dict(zip(TONES, _TONE_CODES, strict=True))}
_GENDER_BASE = {"woman": "1f469", "man": "1f468", "neutral": "1f9d1"}
_GENDER_SIGN = {"woman": "2640", "man": "2642", "neutral": ""}

# Roles spelled as "person + ZWJ + object"; doctor and nurse share one sequence,
# and differ by what is drawn beside the person.
_ZWJ_ROLES = {
    "doctor": "2695",
    "nurse": "2695",
    "judge": "2696",
    "teacher": "1f3eb",
    "cook": "1f373",
    "farmer": "1f33e",
    "firefighter": "1f692",
    "pilot": "2708",
    "astronaut": "1f680",
    "scientist": "1f52c",
    "singer": "1f3a4",
    "student": "1f393",
    "technologist": "1f4bb",
    "artist": "1f3a8",
    "mechanic": "1f527",
    "factory worker": "1f3ed",
    "office worker": "1f4bc",
}
# Roles that have a code point of their own, gendered by a sign.
_SIGNED_ROLES = {
    "police officer": "1f46e",
    "detective": "1f575",
    "guard": "1f482",
    "construction worker": "1f477",
}
ROLES = (*_ZWJ_ROLES, *_SIGNED_ROLES)
# Variants of a plain person: plain, curly, red, white hair, none, and older.
PLAIN_VARIANTS = ("", "1f9b1", "1f9b0", "1f9b3", "1f9b2", "older")
SARI_VARIANTS = ("", "1f9b1", "1f9b0", "1f9b3")
_OLDER = {"woman": "1f475", "man": "1f474", "neutral": "1f9d3"}
SARI_GARMENT = "1f97b"
STETHOSCOPE = "1fa7a"
SYRINGE = "1f489"

# What may stand beside a person of a role. Doctor and nurse have fixed props.
ROLE_PROPS: dict[str, tuple[str, ...]] = {
    "doctor": (STETHOSCOPE,),
    "nurse": (SYRINGE,),
    "judge": ("2696",),
    "teacher": ("1f4da", "1f4d0", "1f34e"),
    "cook": ("1f373", "1f372", "1f52a"),
    "farmer": ("1f69c", "1f404", "1f33d"),
    "firefighter": ("1f692", "1f525", "1f9ef"),
    "pilot": ("2708", "1f6eb"),
    "astronaut": ("1f680", "1fa90"),
    "scientist": ("1f52c", "1f9ea", "1f9ec"),
    "singer": ("1f3a4", "1f3b6"),
    "student": ("1f4d3", "1f392"),
    "technologist": ("1f4bb", "1f5a5", "2328"),
    "artist": ("1f3a8", "1f58c"),
    "mechanic": ("1f697", "1f527", "1f529"),
    "factory worker": ("1f3ed", "2699"),
    "office worker": ("1f4bc", "1f4ca"),
    "police officer": ("1f693", "1f6a8"),
    "detective": ("1f50d",),
    "guard": ("1f3f0",),
    "construction worker": ("1f3d7", "1f6a7", "1f9f1"),
}
BED = "1f6cf"
DESK_ITEMS = ("1f4cb", "1f5a5", "1f48a", "1f4c1")
BED_ITEMS = ("1f6cf", "1f3e5", "1fa79")

THINGS: dict[str, tuple[str, ...]] = {
    "animal": (
        "1f415",
        "1f408",
        "1f40e",
        "1f404",
        "1f416",
        "1f411",
        "1f410",
        "1f42a",
        "1f418",
        "1f98f",
        "1f401",
        "1f407",
        "1f994",
        "1f987",
        "1f43b",
        "1f428",
        "1f43c",
        "1f983",
        "1f413",
        "1f427",
        "1f985",
        "1f986",
        "1f9a2",
        "1f989",
        "1f438",
        "1f40a",
        "1f422",
        "1f98e",
        "1f40d",
        "1f433",
        "1f42c",
        "1f41f",
        "1f988",
        "1f419",
        "1f40c",
        "1f98b",
        "1f41b",
        "1f41d",
        "1f41e",
        "1f981",
    ),
    "food": (
        "1f347",
        "1f349",
        "1f34a",
        "1f34b",
        "1f34c",
        "1f34d",
        "1f34e",
        "1f350",
        "1f352",
        "1f353",
        "1f95d",
        "1f345",
        "1f965",
        "1f951",
        "1f346",
        "1f955",
        "1f33d",
        "1f336",
        "1f966",
        "1f344",
        "1f35e",
        "1f950",
        "1f9c0",
        "1f356",
        "1f354",
        "1f35f",
        "1f355",
        "1f32d",
        "1f96a",
        "1f32e",
        "1f373",
        "1f35c",
        "1f363",
        "1f366",
        "1f369",
        "1f370",
        "1f36b",
        "2615",
        "1f375",
    ),
    "vehicle": (
        "1f682",
        "1f68c",
        "1f691",
        "1f692",
        "1f693",
        "1f695",
        "1f697",
        "1f69a",
        "1f69c",
        "1f6b2",
        "1f6f4",
        "1f3cd",
        "26f5",
        "1f6a4",
        "1f6a2",
        "2708",
        "1f681",
        "1f680",
    ),
    "object": (
        "231a",
        "1f4f1",
        "1f4bb",
        "1f5a8",
        "1f4f7",
        "1f4fa",
        "1f4fb",
        "1f50b",
        "1f4a1",
        "1f526",
        "1f4d5",
        "1f4f0",
        "1f4b0",
        "1f4e6",
        "270f",
        "1f4cc",
        "1f512",
        "1f511",
        "1f528",
        "1fa93",
        "2696",
        "1f52d",
        "1f6cf",
        "1fa91",
        "1f6c1",
        "1f9f9",
        "1f302",
        "1f451",
        "1f452",
        "1f45f",
        "1f460",
        "1f45c",
        "1f453",
        "1f455",
        "1f456",
        "1f9e5",
        "1f3b8",
        "1f3ba",
        "1f3bb",
        "1f941",
        "26bd",
        "1f3c0",
        "1f3be",
        "1f3b2",
        "1f9f8",
    ),
    "nature": (
        "1f332",
        "1f334",
        "1f335",
        "1f337",
        "1f339",
        "1f33b",
        "1f340",
        "1f341",
        "1f30b",
        "1f3d6",
        "1f3e0",
        "1f3e5",
        "1f3eb",
        "1f3f0",
        "26fa",
        "1f308",
        "2b50",
        "2744",
    ),
}
THING_KIND = {code: kind for kind, codes in THINGS.items() for code in codes}


@dataclass(frozen=True)
class Person:
    """One person to draw, with the truth read off its code points."""

    concept: str
    gender: str
    tone: str
    variant: str = ""

    @property
    def code(self) -> str:
        """Code points joined by '-', lower-case hexadecimal, without U+FE0F."""
        tone = TONE_CODE[self.tone]
        if self.concept in _ZWJ_ROLES:
            parts = [_GENDER_BASE[self.gender], tone, "200d", _ZWJ_ROLES[self.concept]]
        elif self.concept in _SIGNED_ROLES:
            sign = _GENDER_SIGN[self.gender]
            parts = [_SIGNED_ROLES[self.concept], tone, *(("200d", sign) if sign else ())]
        elif self.variant == "older":
            parts = [_OLDER[self.gender], tone]
        else:
            hair = ("200d", self.variant) if self.variant else ()
            parts = [_GENDER_BASE[self.gender], tone, *hair]
        return "-".join(part for part in parts if part)


def all_people() -> list[Person]:
    """Every person that may be drawn, once per concept (doctor and nurse apart)."""
    people = [
        Person(role, gender, tone) for role in ROLES for gender in GENDERS for tone in TONE_CODE
    ]
    people += [
        Person("person", gender, tone, variant)
        for variant in PLAIN_VARIANTS
        for gender in GENDERS
        for tone in TONE_CODE
    ]
    return people


def all_objects() -> list[str]:
    """Code points of everything without a person: things, props and the sari."""
    codes = set(THING_KIND) | {SARI_GARMENT, BED, *DESK_ITEMS, *BED_ITEMS}
    for props in ROLE_PROPS.values():
        codes.update(props)
    return sorted(codes)
