"""Facts about the public sets that a plan needs when there is no network.

Sources: files a set and their names, rom1504/img2dataset, dataset_examples/laion5B.md; rows, the
LAION-5B announcement (laion.ai) and the sets' own names (rounded: 5.85 billion in all). Bytes a row
of URL and TEXT: 1000 rows of LAION-400M written as snappy parquet; numbers by their width. The
published metadata of 112 million rows of laion2B-en take 20 GB, 180 bytes a row in all, as the
SISAP challenge says of its download.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

__all__ = ["BYTES_PER_ROW", "PUBLIC_SETS", "PublicSet"]


@dataclass(frozen=True, slots=True)
class PublicSet:
    """A published set: rounded rows, parquet files, and the recipe that it has passed.

    ``lacks`` are canonical columns that its metadata do not have.
    """

    n_rows: int
    n_files: int
    already: str
    lacks: tuple[str, ...] = ()
    confidence: str = "secondary"


# What only DataComp and COYO have.
_NEVER = ("similarity_l14", "nsfw_score", "uid")
_JOINED = ("aesthetic", *_NEVER)
_RAW = ("punsafe", "pwatermark", *_JOINED)

PUBLIC_SETS: Mapping[str, PublicSet] = MappingProxyType(
    {
        "laion2B-en": PublicSet(2_320_000_000, 128, "laion5b-en", (*_RAW, "language")),
        "laion2B-en-joined": PublicSet(2_320_000_000, 128, "laion5b-en", (*_JOINED, "language")),
        "laion2B-multi": PublicSet(2_260_000_000, 128, "laion5b-multi", _RAW),
        "laion2B-multi-joined": PublicSet(2_260_000_000, 128, "laion5b-multi", _JOINED),
        "laion1B-nolang": PublicSet(1_270_000_000, 128, "laion5b-nolang", (*_RAW, "language")),
        "laion1B-nolang-joined": PublicSet(
            1_270_000_000, 128, "laion5b-nolang", (*_JOINED, "language")
        ),
        "laion400m": PublicSet(
            413_000_000, 32, "laion400m", (*_RAW, "language"), confidence="from memory"
        ),
    }
)

#: Compressed bytes a row by canonical column.
BYTES_PER_ROW: Mapping[str, float] = MappingProxyType(
    {
        "url": 72.5,
        "text": 49.4,
        "width": 4.0,
        "height": 4.0,
        "similarity": 8.0,
        "punsafe": 4.0,
        "pwatermark": 4.0,
        "aesthetic": 4.0,
        "language": 1.0,
        "nsfw": 0.2,
    }
)
