"""Licence texts that must travel with the drawings and the names.

Apache-2.0 is the repository's own LICENSE; CC-BY 4.0 asks for the attribution and the
link, which README.md and MANIFEST.json give.
"""

from __future__ import annotations

import shutil
from pathlib import Path

FOLDER = "LICENSES"
_MIT = """MIT License

Copyright (c) Microsoft Corporation (Fluent Emoji)
Copyright (c) LobeHub (packaging of Fluent Emoji 3D)

Permission is hereby granted, free of charge, to any person obtaining a copy
of this software and associated documentation files (the "Software"), to deal
in the Software without restriction, including without limitation the rights
to use, copy, modify, merge, publish, distribute, sublicense, and/or sell
copies of the Software, and to permit persons to whom the Software is
furnished to do so, subject to the following conditions:

The above copyright notice and this permission notice shall be included in all
copies or substantial portions of the Software.

THE SOFTWARE IS PROVIDED "AS IS", WITHOUT WARRANTY OF ANY KIND, EXPRESS OR
IMPLIED, INCLUDING BUT NOT LIMITED TO THE WARRANTIES OF MERCHANTABILITY,
FITNESS FOR A PARTICULAR PURPOSE AND NONINFRINGEMENT. IN NO EVENT SHALL THE
AUTHORS OR COPYRIGHT HOLDERS BE LIABLE FOR ANY CLAIM, DAMAGES OR OTHER
LIABILITY, WHETHER IN AN ACTION OF CONTRACT, TORT OR OTHERWISE, ARISING FROM,
OUT OF OR IN CONNECTION WITH THE SOFTWARE OR THE USE OR OTHER DEALINGS IN THE
SOFTWARE.
"""


def write(packages: dict[str, Path], folder: Path) -> None:
    """MIT as above, and Unicode's licence as CLDR's own package has it."""
    target = folder / FOLDER
    target.mkdir(parents=True, exist_ok=True)
    (target / "MIT.txt").write_text(_MIT, "utf-8")
    shutil.copyfile(packages["cldr"] / "LICENSE", target / "Unicode-3.0.txt")
