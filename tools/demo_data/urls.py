"""Addresses on the simulated web: invented hosts under reserved top-level domains only.

`.example`, `.test` and `.invalid` are reserved (RFC 2606, RFC 6761), so that no caption
or address of the demo set names a site that exists.
"""

from __future__ import annotations

import numpy as np

_HOSTS = {
    "north-america": ("pixoteka-us", "dailyherald", "clinicfinder", "shopbarn", "us-stockart"),
    "europe": ("bildhafen.de", "photolume.fr", "retedisegni.it", "obrazky.pl", "euro-cliparts"),
    "south-asia": ("dilli-times.in", "saree-mahal.in", "dhaka-news.bd", "lanka-pics.lk",
                   "chitra-ghar.in"),
    "east-asia": ("e-gazou.jp", "tupian-ku.cn", "sajin-bang.kr", "taipei-foto.tw"),
    "latin-america": ("imagenes-mx", "fotos-br.com-br", "el-diario.ar", "banco-imagem.br"),
    "africa": ("lagos-pix.ng", "picha.ke", "jozi-stock.za", "addis-media.et"),
    "middle-east": ("suwar.ae", "resim-bank.tr", "aks-iran.ir", "tmunot.il"),
    "southeast-asia": ("gambar.id", "hinhanh.vn", "phap-thai.th", "larawan.ph"),
}  # fmt: skip
_PREFIX = ("www", "cdn", "img", "static", "media", "i")
_SUFFIX = ("example", "example", "example", "test", "invalid")
_FOLDER = ("images", "wp-content/uploads", "p", "photos", "media/img", "assets", "catalog")
_EXTENSION = ("jpg", "jpg", "jpg", "jpg", "png", "png", "webp")


def _pick(rng: np.random.Generator, options: tuple[str, ...]) -> str:
    return options[int(rng.integers(len(options)))]


def host(rng: np.random.Generator, region: str, *, long: bool) -> str:
    name = _pick(rng, _HOSTS[region])
    if long:
        name = f"best-free-pictures-and-cliparts-for-everybody-everywhere.{name}"
    return f"{_pick(rng, _PREFIX)}.{name}.{_pick(rng, _SUFFIX)}"


def address(rng: np.random.Generator, region: str, stem: str, number: int, fault: str) -> str:
    """A URL that is unique through `number`; `fault` is a key of UNUSABLE_URL, or ""."""
    if fault == "javascript":
        return f"javascript:void({number})"
    if fault == "data":
        return f"data:image/gif;base64,R0lGODlhAQABAIAAAAAAAP{number:06d}"
    extension = fault if fault in ("svg", "gif") else _pick(rng, _EXTENSION)
    place = host(rng, region, long=fault == "long_domain")
    folder = _pick(rng, _FOLDER)
    return f"http://{place}/{folder}/{stem}-{number}.{extension}"
