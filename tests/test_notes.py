"""What must be known of data travels with what is made of them."""

from __future__ import annotations

from pathlib import Path

import pytest

from laion_probe.notes import note_in, pass_on


def test_notes_of_files_and_folders_are_said_once(tmp_path: Path):
    for name in ("a", "b", "c"):
        (tmp_path / name).mkdir()
    (tmp_path / "a" / "DATA_NOTE.txt").write_text("Made up,\nall of it.\n")
    (tmp_path / "b" / "DATA_NOTE.txt").write_text("Made up,\nall of it.\n")
    (tmp_path / "c" / "DATA_NOTE.txt").write_text("From a lab.")
    files = [tmp_path / "a" / "x.tar", tmp_path / "a" / "y.tar", tmp_path / "b"]
    assert note_in(files) == "Made up, all of it."
    assert note_in([*files, tmp_path / "c"]) == "Made up, all of it. From a lab."
    assert note_in(["https://a.example/x.parquet", tmp_path / "none"]) == ""


def test_a_note_is_passed_on_and_never_replaced(tmp_path: Path, demo: Path):
    out = tmp_path / "out"
    pass_on([tmp_path], out)
    assert not out.exists()
    pass_on([demo / "images"], out)
    assert "Simulated" in note_in([out])
    (out / "DATA_NOTE.txt").write_text("My own.")
    pass_on([demo / "images"], out)
    assert note_in([out]) == "My own."


@pytest.mark.parametrize("folder", ["shards", "images"])
def test_the_demo_data_say_that_they_are_simulated(demo: Path, folder: str):
    assert note_in([demo / folder]).startswith("Simulated demo data")
