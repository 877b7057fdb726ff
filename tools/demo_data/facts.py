"""The planted facts, each a number that a test reads back from the finished set."""

from __future__ import annotations

from dataclasses import dataclass

N_ROWS = 21_600
N_SHARDS = 12
ROW_GROUPS = 4
N_ATTEMPTED = 4_800

CONCEPT_SHARES = {
    "doctor": 0.08, "nurse": 0.07, "sari": 0.08, "teacher": 0.06, "person": 0.05,
    "near_miss": 0.03, "thing": 0.20,
}  # fmt: skip

TONE_ORDER = ("unspecified", "light", "medium-light", "medium", "medium-dark", "dark")
Shares = tuple[float, ...]
_DEFAULT_TONES: Shares = (0.25, 0.20, 0.17, 0.15, 0.13, 0.10)
_UNIFORM: Shares = (1 / 6,) * 6


@dataclass(frozen=True)
class Mix:
    """A concept's composition in the pool.

    `gender` is woman, man, neutral; `foreign` is the share of captions in languages
    other than English by the same levels, `wordless` the share without any words.
    """

    gender: Shares
    tones: Shares = _DEFAULT_TONES
    foreign: Shares = (0.37, 0.37, 0.37)
    wordless: float = 0.08
    states_gender: tuple[float, float] = (0.35, 0.35)


MIXES = {
    "doctor": Mix(
        gender=(0.34, 0.56, 0.10),
        tones=(0.20, 0.34, 0.24, 0.11, 0.06, 0.05),
        foreign=(0.55, 0.30, 0.35),
        wordless=0.05,
        states_gender=(0.50, 0.15),
    ),
    "nurse": Mix(
        gender=(0.78, 0.14, 0.08),
        tones=(0.20, 0.20, 0.18, 0.16, 0.14, 0.12),
        wordless=0.05,
        states_gender=(0.12, 0.60),
    ),
    # Foreign means an Indian language here, and wordless means empty or missing.
    "sari": Mix(
        gender=(1.0, 0.0, 0.0),
        tones=(0.08, 0.06, 0.12, 0.24, 0.28, 0.22),
        foreign=(0.60, 0.0, 0.0),
        wordless=0.20,
        states_gender=(0.60, 0.60),
    ),
    # The null concept: nothing depends on gender or tone.
    "teacher": Mix(gender=(0.45, 0.45, 0.10), tones=_UNIFORM, foreign=(0.42, 0.42, 0.42)),
    "person": Mix(gender=(0.48, 0.42, 0.10), states_gender=(0.80, 0.80)),
    "judge": Mix(gender=(0.36, 0.54, 0.10)),
    "cook": Mix(gender=(0.44, 0.46, 0.10)),
    "farmer": Mix(gender=(0.30, 0.60, 0.10)),
    "firefighter": Mix(gender=(0.24, 0.66, 0.10)),
    "pilot": Mix(gender=(0.22, 0.68, 0.10)),
    "astronaut": Mix(gender=(0.30, 0.60, 0.10)),
    "scientist": Mix(gender=(0.42, 0.48, 0.10)),
    "singer": Mix(gender=(0.52, 0.38, 0.10)),
    "student": Mix(gender=(0.48, 0.42, 0.10)),
    "technologist": Mix(gender=(0.26, 0.64, 0.10), tones=(0.25, 0.24, 0.19, 0.14, 0.10, 0.08)),
    "artist": Mix(gender=(0.48, 0.42, 0.10)),
    "mechanic": Mix(gender=(0.20, 0.70, 0.10)),
    "factory worker": Mix(gender=(0.34, 0.56, 0.10), tones=(0.25, 0.13, 0.15, 0.16, 0.16, 0.15)),
    "office worker": Mix(gender=(0.46, 0.44, 0.10)),
    "police officer": Mix(gender=(0.32, 0.58, 0.10)),
    "detective": Mix(gender=(0.34, 0.56, 0.10)),
    "guard": Mix(gender=(0.34, 0.56, 0.10)),
    "construction worker": Mix(gender=(0.22, 0.68, 0.10)),
}

BANNED = {("nurse", "woman"): 0.12, ("nurse", "man"): 0.01}
BANNED_ELSEWHERE = 0.004
NEVER_BANNED = ("teacher",)
SARI_SOUTH_ASIA = 0.70

# Downloads: the share that fails, and how.
FAILED_DEFAULT = 0.08
FAILED = {"south-asia": 0.35}
FAILURES = {
    "http_404": 0.52, "http_403": 0.14, "http_500": 0.10, "not_an_image": 0.10,
    "truncated": 0.06, "reset": 0.06, "timeout": 0.02,
}  # fmt: skip

# Faults of rows, each a share of the pool, none depending on a group.
UNUSABLE_URL = {"svg": 0.010, "gif": 0.008, "javascript": 0.002, "data": 0.003}
LONG_DOMAIN = 0.006
OVERLONG = 0.0015
DUPLICATE_URL = 0.012
DUPLICATE_URL_AND_TEXT = 0.012
WRONG_SIZE = 0.004
MISSING_SIZE = 0.003
MISSING_SCORE = 0.005
CRAWLER_LANGUAGE_WRONG = 0.10
