"""Bytes from strangers to pictures: known formats only, upright, on white, of bounded size."""

from __future__ import annotations

import io
import warnings
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

from PIL import Image, ImageOps, UnidentifiedImageError

__all__ = ["MAX_PIXELS", "Decoded", "Unreadable", "decode", "decode_first"]

#: Pictures with more pixels are refused by their header, before decoding (LAION's own limit).
MAX_PIXELS = 89_478_484
#: Pictures with more pixels are decoded one at a time, in a thread of their own: copies of 4 bytes
#: a pixel are held, and every thread keeps the memory that it once had.
_LARGE = 16_000_000
_large = ThreadPoolExecutor(1, "large-pictures")
_FORMATS = ("JPEG", "PNG", "WEBP", "GIF", "BMP")
_HEAD = 1024


class Unreadable(ValueError):
    """A picture that cannot be used.

    ``status`` is the kind of reason: too_large, not_a_picture, broken or missing.
    """

    def __init__(self, status: str, reason: str) -> None:
        super().__init__(reason)
        self.status = status


@dataclass(frozen=True)
class Decoded:
    """A picture in RGB, with its size as stored, and whether it is the first frame of several."""

    picture: Image.Image
    width: int
    height: int
    animated: bool


def decode(data: bytes) -> Image.Image:
    """Decode one picture to RGB. Raises ValueError, in words, for what cannot be used."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return decode_first(data).picture


def decode_first(data: bytes) -> Decoded:
    """Decode one picture, or the first frame of an animated one. Raises `Unreadable`.

    What Pillow warns of is not silenced here: filters of warnings belong to all threads.

    >>> decode_first(b"<svg xmlns='http://www.w3.org/2000/svg'/>")
    Traceback (most recent call last):
    laion_probe.embed.decoding.Unreadable: not a readable picture (an SVG drawing)
    """
    try:
        # Named formats only: Pillow would hand PostScript to an interpreter.
        picture = Image.open(io.BytesIO(data), formats=_FORMATS)
        width, height = picture.size
        if width * height > MAX_PIXELS:
            raise Unreadable("too_large", f"{width}x{height} pixels, over the limit")
        if width * height > _LARGE:
            rgb = _large.submit(_upright_on_white, picture).result()
        else:
            rgb = _upright_on_white(picture)
        animated = bool(getattr(picture, "is_animated", False))
    except Unreadable:
        raise
    except Image.DecompressionBombError:
        raise Unreadable("too_large", "too many pixels, over the limit") from None
    except UnidentifiedImageError:
        raise Unreadable("not_a_picture", f"not a readable picture ({_kind(data)})") from None
    except Exception as error:  # on hostile bytes a decoder may fail in any way
        reason = str(error).split(" <", maxsplit=1)[0] or type(error).__name__
        raise Unreadable("broken", f"not a readable picture ({reason})") from None
    return Decoded(rgb, width, height, animated)


def _upright_on_white(picture: Image.Image) -> Image.Image:
    picture.load()
    ImageOps.exif_transpose(picture, in_place=True)
    if "A" in picture.getbands() or "transparency" in picture.info:
        clear = picture.convert("RGBA")
        white = Image.new("RGBA", clear.size, "white")
        white.alpha_composite(clear)
        return white.convert("RGB")
    return picture.convert("RGB")


def _kind(data: bytes) -> str:
    """What bytes of no known format seem to be."""
    head = data[:_HEAD].lstrip().lower()
    if not data:
        return "no bytes"
    if b"<svg" in head:
        return "an SVG drawing"
    if head.startswith((b"<!doctype html", b"<html")):
        return "a web page"
    return "cannot identify image file"
