"""Training captions: what a caption says of a picture, and which pictures it fits.

A caption comes with the attributes that it states. A picture fits every caption whose
stated attributes it has, so that "a doctor" is no wrong answer for the picture of a
woman doctor that happens to stand in the same batch.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from tools.demo_data.codes import GENDERS, ROLES, TONES

CONCEPTS = ("person", "sari", *ROLES)
NOT_STATED = -1
ROLE_WORDS: dict[str, tuple[str, ...]] = {
    "doctor": ("doctor", "doctor", "physician", "medical doctor", "doctor behind a desk"),
    "nurse": ("nurse", "nurse", "hospital nurse", "nurse with a syringe", "registered nurse"),
    "judge": ("judge", "judge with a gavel", "court judge"),
    "teacher": ("teacher", "school teacher", "schoolteacher", "professor"),
    "cook": ("cook", "chef"),
    "farmer": ("farmer", "farm worker", "gardener"),
    "firefighter": ("firefighter", "fire fighter", "fireman or firewoman"),
    "pilot": ("pilot", "airline pilot"),
    "astronaut": ("astronaut", "cosmonaut"),
    "scientist": ("scientist", "researcher in a lab", "chemist"),
    "singer": ("singer", "rock star", "musician"),
    "student": ("student", "graduate"),
    "technologist": (
        "technologist", "software developer", "programmer", "software engineer", "coder",
    ),
    "artist": ("artist", "painter"),
    "mechanic": ("mechanic", "plumber", "car mechanic"),
    "factory worker": ("factory worker", "welder", "industrial worker"),
    "office worker": ("office worker", "manager", "business person", "accountant"),
    "police officer": ("police officer", "cop"),
    "detective": ("detective", "private investigator"),
    "guard": ("guard", "royal guard"),
    "construction worker": ("construction worker", "builder"),
}  # fmt: skip
GENDER_NOUN = {
    "woman": ("woman", "woman", "lady", "female person"),
    "man": ("man", "man", "gentleman", "male person"),
    "neutral": ("person", "gender-neutral person", "someone"),
}
GENDER_ADJECTIVE = {
    "woman": ("female", "female", "woman", "lady"),
    "man": ("male", "male", "man"),
    "neutral": ("gender-neutral", "androgynous"),
}
TONE_PHRASE = {
    "lighter": ("light skin", "lighter skin", "lighter skin tone", "light skin tone", "pale skin"),
    "darker": ("dark skin", "darker skin", "darker skin tone", "dark skin tone", "brown skin"),
    "unspecified": (
        "unspecified yellow skin", "yellow cartoon skin", "yellow skin without a skin tone",
    ),
}  # fmt: skip
NO_PERSON = (
    "no person", "an object without a person", "nobody in the picture", "no people",
    "a thing, not a person", "something without a person",
)  # fmt: skip
TEMPLATES = (
    "{}", "{}", "{}", "a photo of {}", "a photo of {}", "a picture of {}", "portrait of {}",
    "an illustration of {}", "a drawing of {}", "image of {}", "a close-up of {}",
    "stock photo of {}", "{} at work", "this is {}", "{} isolated on background",
)  # fmt: skip


@dataclass(frozen=True)
class Facts:
    """What is true of a picture, as small integers; NOT_STATED where it does not apply."""

    person: int
    concept: int
    gender: int
    tone: int
    binary: int
    thing: int = NOT_STATED

    def row(self) -> tuple[int, ...]:
        """The facts in the order of a caption's statements."""
        return (self.person, self.concept, self.gender, self.tone, self.binary, self.thing)


@dataclass(frozen=True)
class Caption:
    """A text, and the attributes that it states (NOT_STATED where it does not)."""

    text: str
    states: tuple[int, ...]


BINARY = ("lighter", "darker", "unspecified")


def _article(phrase: str) -> str:
    return f"an {phrase}" if phrase[0].lower() in "aeiou" else f"a {phrase}"


def _pick(rng: np.random.Generator, options: tuple[str, ...]) -> str:
    return options[int(rng.integers(len(options)))]


def person_caption(rng: np.random.Generator, facts: Facts) -> Caption:
    """A caption of a person that states a random part of what is true."""
    concept = CONCEPTS[facts.concept]
    gender = GENDERS[facts.gender]
    says_role = concept != "person" and rng.random() < 0.72
    says_gender = bool(rng.random() < (0.55 if says_role else 0.7))
    says_tone = bool(rng.random() < (0.3 if says_role else 0.4))
    if concept == "sari" and says_role:
        phrase, says_gender = _sari_phrase(rng, says_gender)
    elif says_role:
        role = _pick(rng, ROLE_WORDS[concept])
        phrase = _article(role)
        if says_gender:
            draw = rng.random()
            if draw < 0.85:
                phrase = _article(f"{_pick(rng, GENDER_ADJECTIVE[gender])} {role}")
            else:
                phrase = f"{phrase} who is {_article(_pick(rng, GENDER_NOUN[gender]))}"
                says_gender = gender != "neutral" or "neutral" in phrase
    else:
        noun = _pick(rng, GENDER_NOUN[gender]) if says_gender else "person"
        says_gender = says_gender and noun not in ("person", "someone")
        phrase = noun if noun == "someone" else _article(noun)
    tone = binary = NOT_STATED
    if says_tone:
        if facts.tone != NOT_STATED and rng.random() < 0.25:
            tone, words = facts.tone, f"{TONES[facts.tone]} skin tone"
        else:
            binary, words = facts.binary, _pick(rng, TONE_PHRASE[BINARY[facts.binary]])
        phrase = f"{phrase} with {words}"
    states = (
        1,
        facts.concept if says_role else NOT_STATED,
        facts.gender if says_gender else NOT_STATED,
        tone,
        binary,
        NOT_STATED,
    )
    return Caption(_pick(rng, TEMPLATES).format(phrase), states)


def _sari_phrase(rng: np.random.Generator, says_gender: bool) -> tuple[str, bool]:
    garment = _pick(rng, ("sari", "sari", "saree"))
    verb = _pick(rng, ("wearing a", "in a", "in her"))
    if says_gender or verb == "in her":
        return f"a woman {verb} {garment}", True
    return f"a person {verb} {garment}", False


def thing_caption(
    rng: np.random.Generator, name: str, kind: str, facts: Facts, noise: tuple[str, ...]
) -> Caption:
    """A caption of a thing: its name, that nobody is there, or words of no meaning.

    Words of no meaning go to things, so that a word the encoder does not know does
    not end up on a person.
    """
    draw = rng.random()
    if draw < 0.3:
        phrase = _pick(rng, NO_PERSON)
        text = phrase if rng.random() < 0.5 else _pick(rng, TEMPLATES).format(phrase)
        return Caption(text, (0, *(NOT_STATED,) * 5))
    if draw < 0.5:
        words = " ".join(_pick(rng, noise) for _ in range(int(rng.integers(1, 4))))
        text = _pick(rng, TEMPLATES).format(words)
        return Caption(text, (0, *(NOT_STATED,) * 5))
    phrase = f"{_article(name)}"
    if draw < 0.6:
        phrase = f"{phrase}, {kind}" if kind != "object" else f"{phrase} without a person"
    return Caption(
        _pick(rng, TEMPLATES).format(phrase),
        (0, *(NOT_STATED,) * 4, facts.thing),
    )
