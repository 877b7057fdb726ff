"""Drawings of code points, rendered to RGBA once and kept in memory.

Four renderings: three that the pool and the training use, and Fluent 3D, which the
encoder never sees in training and in which the generated pictures are drawn.
"""

from __future__ import annotations

import io
import json
from pathlib import Path

import resvg_py
from PIL import Image

SEEN = ("noto", "twemoji", "fluent-flat")
HELD_OUT = "fluent-3d"


# The pinned Fluent 3D package has the drawings of these two modifiers under each
# other's name, except for the technologist: everywhere else skin is darker in its
# 1F3FC files than in its 1F3FD files. A test shows that the order is right as read here.
_EXCHANGED = {"1f3fc": "1f3fd", "1f3fd": "1f3fc"}
_RIGHTLY_NAMED = "200d-1f4bb"


def _plain(code: str) -> str:
    """The code without U+FE0F and without zero padding: the spelling codes.py uses."""
    return "-".join(part for part in code.lower().split("-") if part != "fe0f")


def _true_code(path: Path) -> str:
    """The code points of what a Fluent 3D file really shows."""
    code = _plain(path.stem)
    if code.endswith(_RIGHTLY_NAMED):
        return code
    return "-".join(_EXCHANGED.get(part, part) for part in code.split("-"))


class Sprites:
    """RGBA drawings of one size by (rendering, code points)."""

    def __init__(self, packages: dict[str, Path], size: int) -> None:
        self.size = size
        self._cache: dict[tuple[str, str], Image.Image] = {}
        self._icons: dict[str, dict[str, str]] = {}
        self._box: dict[str, tuple[int, int]] = {}
        for rendering in SEEN:
            folder = packages[rendering]
            icons = json.loads((folder / "icons.json").read_text("utf-8"))
            chars = json.loads((folder / "chars.json").read_text("utf-8"))
            known = icons["icons"]
            aliases = icons.get("aliases", {})
            bodies = {}
            for code, name in chars.items():
                parent = name if name in known else aliases.get(name, {}).get("parent")
                if parent in known:
                    bodies[_plain(code)] = known[parent]["body"]
            self._icons[rendering] = bodies
            self._box[rendering] = (icons.get("width", 16), icons.get("height", 16))
        assets = packages[HELD_OUT] / "assets"
        self._webp = {_true_code(path): path for path in sorted(assets.glob("*.webp"))}

    def has(self, rendering: str, code: str) -> bool:
        """True where the rendering has a drawing of this code."""
        if rendering == HELD_OUT:
            return code in self._webp
        return code in self._icons[rendering]

    def get(self, rendering: str, code: str) -> Image.Image:
        """The drawing, `size` pixels square, RGBA."""
        key = (rendering, code)
        if key not in self._cache:
            self._cache[key] = self._render(rendering, code)
        return self._cache[key]

    def _render(self, rendering: str, code: str) -> Image.Image:
        if rendering == HELD_OUT:
            with Image.open(self._webp[code]) as picture:
                rgba = picture.convert("RGBA")
        else:
            width, height = self._box[rendering]
            svg = (
                f'<svg xmlns="http://www.w3.org/2000/svg" '
                f'xmlns:xlink="http://www.w3.org/1999/xlink" '
                f'viewBox="0 0 {width} {height}" width="{self.size}" height="{self.size}">'
                f"{self._icons[rendering][code]}</svg>"
            )
            drawn = resvg_py.svg_to_bytes(svg_string=svg, width=self.size, height=self.size)
            rgba = Image.open(io.BytesIO(bytes(drawn))).convert("RGBA")
        return rgba.resize((self.size, self.size), Image.Resampling.LANCZOS)
