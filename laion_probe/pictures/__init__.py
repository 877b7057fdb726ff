"""Pictures where they lie: img2dataset's output, tars, folders and parquet with bytes.

Listing reads names and metadata only; a picture's bytes are read when asked for.
"""

from __future__ import annotations

from laion_probe.pictures.files import PictureFile
from laion_probe.pictures.generated import Generated, PicturePart, list_generated
from laion_probe.pictures.listing import Downloads, list_downloads, list_files
from laion_probe.pictures.opened import OWN_COLUMNS, OpenedShard
from laion_probe.pictures.shards import PictureShard, list_picture_shards

__all__ = [
    "OWN_COLUMNS",
    "Downloads",
    "Generated",
    "OpenedShard",
    "PictureFile",
    "PicturePart",
    "PictureShard",
    "list_downloads",
    "list_files",
    "list_generated",
    "list_picture_shards",
]
