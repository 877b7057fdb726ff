"""Words and rules on a page that matplotlib draws, in inches from its upper left corner."""

from __future__ import annotations

import textwrap
from dataclasses import dataclass

from matplotlib.axes import Axes

from laion_probe.render import text

__all__ = ["INK", "LINE", "MEASURED", "MUTED", "WARN", "Pen"]

INK, MUTED, LINE, WARN = "#1d1c1a", "#5d5a53", "#d8d4cc", "#a03c14"
MEASURED = "#1f4f82"


@dataclass
class Pen:
    """Writes down a column; ``y`` is where the next line goes, in inches from the top."""

    axes: Axes
    x: float
    right: float
    y: float

    def write(
        self,
        words: str,
        *,
        size: float = 8.5,
        lines: int = 1,
        color: str = INK,
        bold: bool = False,
    ) -> None:
        """Words over so many lines at most; what does not fit is cut with a sign that it is."""
        wide = (0.64 if bold else 0.53) * size / 72
        fits = max(8, int((self.right - self.x) / wide))
        for line in textwrap.wrap(
            text.clean(words), fits, max_lines=lines, placeholder=" …", break_on_hyphens=False
        ):
            self.axes.text(
                self.x,
                self.y,
                line,
                fontsize=size,
                color=color,
                va="top",
                fontweight="bold" if bold else "normal",
            )
            self.y += 1.42 * size / 72
        self.y += 0.02

    def head(self, words: str) -> None:
        """A heading with a rule above it."""
        self.y += 0.14
        self.axes.plot([self.x, self.right], [self.y, self.y], color=INK, linewidth=0.8)
        self.y += 0.07
        self.write(words, size=10, bold=True)
        self.y += 0.04
