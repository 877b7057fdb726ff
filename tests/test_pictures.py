"""Pictures from strangers: only picture formats are opened, upright and on white."""

from __future__ import annotations

import io
import json
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from PIL import Image

from laion_probe.embed import decode, decoding
from laion_probe.embed.decoding import decode_first
from laion_probe.errors import ConfigError
from laion_probe.pictures import list_generated


def encoded(picture: Image.Image, kind: str, **how: object) -> bytes:
    buffer = io.BytesIO()
    picture.save(buffer, kind, **how)
    return buffer.getvalue()


def test_postscript_is_never_opened() -> None:
    eps = b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 10 10\n%%EndComments\nshowpage\n"
    with pytest.raises(ValueError, match="not a readable picture"):
        decode(eps)


def test_pictures_stand_upright() -> None:
    exif = Image.Exif()
    exif[0x0112] = 6  # the camera was turned
    assert decode(encoded(Image.new("RGB", (4, 8)), "JPEG", exif=exif)).size == (8, 4)


def test_what_is_transparent_is_white() -> None:
    clear = Image.new("RGBA", (2, 2), (0, 0, 0, 0))
    assert decode(encoded(clear, "PNG")).getpixel((0, 0)) == (255, 255, 255)


def test_large_pictures_are_decoded_one_at_a_time_to_the_same(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    data = encoded(Image.linear_gradient("L").resize((60, 40)).convert("RGBA"), "PNG")
    small = decode(data)
    seen = []
    real = decoding._upright_on_white

    def noted(picture: Image.Image) -> Image.Image:
        seen.append(threading.get_ident())
        return real(picture)

    monkeypatch.setattr(decoding, "_LARGE", 2_000)
    monkeypatch.setattr(decoding, "_upright_on_white", noted)
    with ThreadPoolExecutor(4) as pool:
        found = list(pool.map(decode_first, [data] * 8))
    assert len(seen) == 8
    assert len(set(seen)) == 1
    assert all(f.picture.tobytes() == small.tobytes() for f in found)
    with pytest.raises(decoding.Unreadable, match="truncated"):
        decode_first(data[:-60])


def test_generated_pictures_take_their_prompts_from_metadata(tmp_path: Path) -> None:
    for i in range(2):
        (tmp_path / f"{i}.png").write_bytes(encoded(Image.new("RGB", (2, 2)), "PNG"))
    assert list_generated(str(tmp_path)).rows["prompt"].to_list() == [None, None]
    line = json.dumps({"file_name": "1.png", "prompt": "a doctor", "batch": 3})
    (tmp_path / "metadata.jsonl").write_text(line + "\n")
    rows = list_generated(str(tmp_path)).rows
    assert rows["prompt"].to_list() == [None, "a doctor"]
    assert rows["batch"].to_list() == [None, "3"]
    (tmp_path / "metadata.jsonl").write_text('{"prompt": "no file name"}\n')
    with pytest.raises(ConfigError, match="file_name"):
        list_generated(str(tmp_path))
