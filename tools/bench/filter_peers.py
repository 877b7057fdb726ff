"""The peers' own caption filters, fed the same fastText model and the same English ban list.

Run as a script, in an environment of its own, it does one of `TASKS` once and prints a line of
JSON. It imports nothing of this project. Files are put where each peer keeps what it has
downloaded, so that nothing is fetched.
"""

from __future__ import annotations

import json
import os
import shutil
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

MIN_SCORE = 0.5

Work = Callable[[], int]  # says how many rows are kept


def datatrove(path: str, model: str, words: str) -> Work:
    """LanguageFilter and C4BadWordsFilter over a ParquetReader.

    The files go into the asset cache of huggingface_hub, under the names that they have online.
    """
    from datatrove.pipeline.filters import C4BadWordsFilter, LanguageFilter, c4_filters
    from datatrove.pipeline.readers import ParquetReader
    from datatrove.utils.lid import FT176LID
    from huggingface_hub import cached_assets_path

    def place(url: str, namespace: str, subfolder: str, given: str) -> None:
        folder = cached_assets_path("datatrove", namespace=namespace, subfolder=subfolder)
        # as datatrove.io.cached_asset_path_or_download names it, with its sign of completion
        kept = folder / url.replace("/", "_")
        shutil.copyfile(given, kept)
        kept.with_name(f"{kept.name}.completed").touch()

    place(FT176LID.MODEL_URL, "lid", "ft176", model)
    place(c4_filters._EN_BADWORDS_URL, "filters", "c4_badwords", words)
    folder, _, name = path.rpartition("/")
    language = LanguageFilter(["en"], language_threshold=MIN_SCORE)
    bad_words = C4BadWordsFilter()
    # both are loaded at the first row otherwise
    assert language.model.model is not None
    assert bad_words._get_badwords("en") is not None

    def work() -> int:
        reader = ParquetReader(folder, glob_pattern=name, text_key="TEXT", id_key="URL")
        return sum(1 for _ in bad_words.run(language.run(reader.run())))

    return work


def data_juicer(path: str, model: str, words: str) -> Work:
    """The operators language_id_score_filter and flagged_words_filter, batch by batch.

    Its own data set would start processes and import torch, so its operators alone are measured,
    on the batches of 1000 rows that it would give them. The model lies in its folder of models, the
    words in a folder that the operator is told.
    """
    home = Path(os.environ["TMPDIR"]) / "data-juicer"
    for part in ("models", "assets"):
        (home / part).mkdir(parents=True, exist_ok=True)
    os.environ["DATA_JUICER_CACHE_HOME"] = str(home)
    # its loader of optional packages would install what is missing
    os.environ.update(UV_OFFLINE="1", UV_NO_CACHE="1", UV_NO_INDEX="1", PIP_NO_INDEX="1")
    shutil.copyfile(model, home / "models" / "lid.176.bin")
    listed = Path(words).read_text(encoding="utf-8").splitlines()
    (home / "assets" / "flagged_words.json").write_text(json.dumps({"en": listed}))
    import pyarrow.parquet as pq
    from data_juicer.ops.filter.flagged_words_filter import FlaggedWordFilter
    from data_juicer.ops.filter.language_id_score_filter import LanguageIDScoreFilter
    from data_juicer.utils.constant import Fields

    assets = str(home / "assets")
    language = LanguageIDScoreFilter(lang="en", min_score=MIN_SCORE)
    flagged = FlaggedWordFilter(max_ratio=0.0, flagged_words_dir=assets)

    def passed(operator: Any, texts: list[str]) -> list[str]:
        samples = {"text": texts, Fields.stats: [{} for _ in texts]}
        kept = operator.process(operator.compute_stats(samples))
        return [text for text, keep in zip(texts, kept, strict=True) if keep]

    def work() -> int:
        n_kept = 0
        with pq.ParquetFile(path) as file:
            for batch in file.iter_batches(1000, columns=["TEXT"]):
                texts = batch.column("TEXT").to_pylist()
                n_kept += len(passed(flagged, passed(language, texts)))
        return n_kept

    return work


TASKS: dict[str, Callable[[str, str, str], Work]] = {
    "datatrove": datatrove,
    "data-juicer": data_juicer,
}


def main(task: str, path: str, model: str, words: str) -> None:
    """Do a task on a file."""
    import pyarrow.parquet as pq

    work = TASKS[task](path, model, words)
    wall, cpu = time.perf_counter(), time.process_time()
    kept = work()
    cpu_s, call_s = time.process_time() - cpu, time.perf_counter() - wall
    rows = pq.read_metadata(path).num_rows
    print(json.dumps({"call_s": call_s, "cpu_s": cpu_s, "rows": rows, "kept": kept}))


if __name__ == "__main__":
    main(*sys.argv[1:])
