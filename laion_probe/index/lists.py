"""Writing an index whose lists are larger than memory, so that they can be mapped from its file.

FAISS maps the lists of a file that holds them one after the other (``ilar`` in its
``impl/index_write.cpp`` and ``invlists/OnDiskInvertedLists.cpp``), but writes such a file only from
memory. Here the same bytes are written list by list, from shards that are mapped themselves.
"""

from __future__ import annotations

import struct
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from laion_probe.errors import ConfigError
from laion_probe.index.opening import read_faiss

__all__ = ["write_mapped"]


def write_mapped(index: Any, shards: Sequence[Path], path: Path) -> None:
    """Write ``index``, which is trained and empty, with the lists of all shards, in their order.

    Raises `ConfigError` where this version of FAISS writes lists otherwise.
    """
    import faiss

    ivf = faiss.extract_index_ivf(index)
    parts = [read_faiss(shard, mapped=True) for shard in shards]
    lists = [faiss.extract_index_ivf(part).invlists for part in parts]
    sizes = np.array([[one.list_size(i) for i in range(ivf.nlist)] for one in lists], np.uint64)
    ivf.ntotal = index.ntotal = int(sizes.sum())
    begin = b"ilar" + struct.pack("<QQ", ivf.nlist, ivf.code_size)
    none = begin + b"sprs" + struct.pack("<Q", 0)
    empty = faiss.serialize_index(index).tobytes()
    if not empty.endswith(none):
        raise ConfigError(
            f"FAISS {faiss.__version__} writes lists in a way that is not known: give another "
            "--kind than on-disk"
        )
    with path.open("wb") as file:
        file.write(empty.removesuffix(none))
        file.write(begin + b"full" + struct.pack("<Q", ivf.nlist) + sizes.sum(axis=0).tobytes())
        for number in range(ivf.nlist):
            there = [(one, int(n)) for one, n in zip(lists, sizes[:, number], strict=True) if n]
            for one, n in there:
                codes = one.get_codes(number)
                file.write(faiss.rev_swig_ptr(codes, n * ivf.code_size).tobytes())
                one.release_codes(number, codes)
            for one, n in there:
                ids = one.get_ids(number)
                file.write(faiss.rev_swig_ptr(ids, n).tobytes())
                one.release_ids(number, ids)
