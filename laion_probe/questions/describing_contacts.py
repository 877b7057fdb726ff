"""Rows in which a way to reach somebody stands: an e-mail address, or a telephone number.

They are told by how they are written alone, and counted: what was found is not kept. Patterns were
chosen to be right where they find something, not to find everything.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import polars as pl

from laion_probe.webplaces import registered_domains

__all__ = ["FORMS", "Form", "contact_cells", "holds_email", "holds_phone"]

# Letters of any script (RFC 6531); whether the domain can be one is asked afterwards.
_EMAIL = r"[\p{L}\p{N}._%+-]+@((?:[\p{L}\p{N}-]+\.)+\p{L}{2,24})"
# Country codes, by the blocks that ITU-T E.164 assigns; 1 is apart.
_COUNTRY = (
    r"(?:7|2[07]|3[0-469]|4[013-9]|5[1-8]|6[0-6]|8[1246]|9[0-58]"
    r"|(?:2[1-689]|3[578]|42|5[09]|6[789]|8[0578]|9[679])[0-9])"
)
# Of the North American Numbering Plan: neither the area nor the exchange begins with 0 or 1.
_AREA, _LINE = "[2-9][0-9]{2}", "[0-9]{4}"
_PHONE = (
    "(?:^|[^0-9A-Za-z_+.#-])(?:"
    rf"\+1[ .(-]{{0,2}}{_AREA}[ .)-]{{0,2}}{_AREA}[ .-]?{_LINE}"
    rf"|\+{_COUNTRY}(?:[ .()/-]{{0,2}}[0-9]){{7,12}}"
    rf"|(?:1[-. ])?\({_AREA}\) ?{_AREA}[-. ]{_LINE}"
    rf"|(?:1-)?{_AREA}-{_AREA}-{_LINE}"
    rf"|(?:1\.)?{_AREA}\.{_AREA}\.{_LINE}"
    ")(?:[^0-9A-Za-z_-]|$)"
)
_HOST = r"^[A-Za-z][A-Za-z0-9+.\-]*://[^/?#]*"
_PICTURE = r"(?i)\.(?:jpe?g|png|gif|webp|bmp|svg|tiff?)\b"


@dataclass(frozen=True)
class Form:
    """Something that is told by how it is written: ``pattern`` as polars reads it, and in words."""

    name: str
    title: str
    words: str
    pattern: str


FORMS = (
    Form("email", "an e-mail address", "NAME@DOMAIN, of a domain that can be registered", _EMAIL),
    Form(
        "phone",
        "a telephone number",
        "a plus sign, a country code and 7 to 12 digits, or NNN-NNN-NNNN, NNN.NNN.NNNN or (NNN) "
        "NNN-NNNN as in North America",
        _PHONE,
    ),
)


def holds_email(texts: pl.Series, *, urls: bool = False) -> pl.Series:
    """Whether each text, none null, holds an e-mail address.

    Of ``urls`` only what follows the host is read, with ``%40`` as ``@`` and without endings of
    files of pictures.

    >>> holds_email(pl.Series(["Ask ann@example.org", "logo@2x.png", "show @ home"])).to_list()
    [True, False, False]
    """
    near = texts.str.contains("@", literal=True)
    if urls:
        near |= texts.str.contains("%40", literal=True)
    places = near.arg_true()
    some = texts.gather(places)
    if urls:
        some = some.str.replace(_HOST, "").str.replace_all("%40", "@", literal=True)
        some = some.str.replace_all(_PICTURE, " ")
    found = pl.DataFrame({"place": places, "email": some.str.extract_all(_EMAIL)}).explode("email")
    # what only looks like one (photo@2x.jpg) ends in no public suffix
    hosts = "http://" + found["email"].str.extract(_EMAIL)
    sound = found["place"].filter(registered_domains(hosts).is_not_null())
    return (near & False).scatter(sound, True)


def holds_phone(texts: pl.Series, *, urls: bool = False) -> pl.Series:
    """Whether each text, none null, holds what is written like a telephone number.

    A product number of that form is one too. Of ``urls`` only what follows the host is read.

    >>> written = ["Call (212) 555-0123", "+44 20 7946 0958", "2016-2019, 400-04986850"]
    >>> holds_phone(pl.Series(written)).to_list()
    [True, True, False]
    """
    return (texts.str.replace(_HOST, "") if urls else texts).str.contains(_PHONE)


def contact_cells(texts: pl.Series, *, urls: bool = False) -> Iterator[tuple[str, bool, int]]:
    """How many texts that are not blank hold each of `FORMS`, and how many do not."""
    written = texts.filter(texts.str.strip_chars() != "")
    for form, holds in zip(FORMS, (holds_email, holds_phone), strict=True):
        n = int(holds(written, urls=urls).sum())
        yield form.name, True, n
        yield form.name, False, len(written) - n
