"""Other scripts to ASCII, as far as a library under a free licence can follow ``unidecode``.

``unidecode`` is what DALL·E mini called, and GPL; ``anyascii`` (ISC) is the stand-in. They know
different characters, so those that unidecode 1.4.0 drops are dropped here too, block by block:
otherwise a caption in N'Ko, Javanese, Tifinagh or Lisu would survive here and be erased there.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal, get_args

from laion_probe.errors import ConfigError, MissingExtra

__all__ = ["Transliteration", "transliterator"]

Transliteration = Literal["anyascii", "unidecode", "none"]

# First and last code points of stretches in which unidecode 1.4.0 has nothing, or next to nothing.
_DROPPED = (
    (0x02EF, 0x0362),  # modifiers, combining marks
    (0x04FA, 0x0530),  # Cyrillic for languages of Russia's north and east
    (0x074D, 0x077F),  # Arabic supplement
    (0x07B0, 0x0900),  # N'Ko, Samaritan, Mandaic
    (0x105A, 0x109F),  # Mon, Shan, Karen
    (0x1380, 0x139F),
    (0x16F1, 0x177F),  # Tagalog and its neighbours
    (0x18AA, 0x1CFF),  # Limbu, Tai Lue, Buginese, Balinese, Sundanese, Batak, Lepcha, Ol Chiki
    (0x1D8F, 0x1DFF),
    (0x21F4, 0x2211),  # arrows, mathematics
    (0x223D, 0x2263),
    (0x2268, 0x2302),
    (0x2304, 0x2328),
    (0x232B, 0x245F),
    (0x25F8, 0x2653),  # symbols that are emoji
    (0x2670, 0x2730),
    (0x2732, 0x2757),
    (0x2763, 0x27E5),
    (0x2900, 0x2982),
    (0x2985, 0x2A73),
    (0x2A77, 0x2C5F),  # Glagolitic
    (0x2C70, 0x2DFF),  # Coptic, Tifinagh
    (0x2E44, 0x2FFF),
    (0x31B8, 0x31FF),
    (0x3400, 0x4DFF),  # rare Han
    (0x9FA6, 0x9FFF),
    (0xA4D0, 0xABFF),  # Lisu, Vai, Saurashtra, Javanese, Cham, Meetei Mayek
    (0xD7B0, 0xD7FF),
    (0xFA2D, 0xFAFF),
    (0xFB50, 0xFE22),  # Arabic presentation forms
    (0xFE70, 0xFEFF),
)
# Signs that captions use often and that the two spell differently.
_AS_UNIDECODE = {"×": "x", "£": "PS", "·": "*", "¼": " 1/4", "½": " 1/2", "¾": " 3/4", "№": "No. "}
# Beyond the first plane unidecode knows letters of mathematics and in circles, and no script.
_KEPT_BEYOND = ((0x1D400, 0x1D7FF), (0x1F100, 0x1F1FF))


def transliterator(name: Transliteration) -> Callable[[str], str]:
    """The function from text to ASCII (to itself for ``none``).

    Raises `MissingExtra` for ``unidecode`` where it is not installed, `ConfigError` for a name
    that is not known.
    """
    if name == "anyascii":
        table = _Ascii()
        return lambda text: text.translate(table)
    if name == "none":
        return str
    if name == "unidecode":
        return _unidecode()
    raise ConfigError(
        f"no transliteration '{name}': use one of {', '.join(get_args(Transliteration))}"
    )


class _Ascii(dict[int, str]):
    """Code point to ASCII, filled as characters are met."""

    def __missing__(self, code: int) -> str:
        from anyascii import anyascii

        character = chr(code)
        if _is_dropped(code):
            ascii_text = ""
        elif 0x4E00 <= code <= 0x9FA5:
            ascii_text = anyascii(character) + " "  # unidecode sets a space after each Han syllable
        else:
            ascii_text = _AS_UNIDECODE.get(character) or anyascii(character)
        self[code] = ascii_text
        return ascii_text


def _is_dropped(code: int) -> bool:
    if code > 0xFFFF:
        return not any(first <= code <= last for first, last in _KEPT_BEYOND)
    return any(first <= code <= last for first, last in _DROPPED)


def _unidecode() -> Callable[[str], str]:
    try:
        from unidecode import unidecode  # type: ignore[import-not-found, unused-ignore]
    except ImportError as error:
        raise MissingExtra(
            "transliteration 'unidecode' needs the package unidecode, which is under the GPL and "
            "so no part of laion-probe: pip install unidecode, or use 'anyascii'"
        ) from error
    convert: Callable[[str], str] = unidecode
    return convert
