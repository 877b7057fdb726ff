"""img2dataset, unchanged, under a clock that makes its tars the same bytes every time.

webdataset stamps each tar member with the time of writing as a fraction of a second,
which also costs a further kilobyte of header a member. Here that clock stands still at
a whole second, as the reproducible-builds convention asks. Nothing else is touched, and
the stats files keep the real times.

The change is made on import, since img2dataset starts its worker afresh, and a fresh
process imports this module again.
"""

from __future__ import annotations

from types import SimpleNamespace

import webdataset.writer
from img2dataset.main import main

EPOCH_S = 1_700_000_000

webdataset.writer.time = SimpleNamespace(time=lambda: EPOCH_S)

if __name__ == "__main__":
    main()
