"""Lists of words, one TOML file each, with a source for every list.

`load_lexicon` reads a shipped list by name or a user's own by path; `find_levels` says which of its
levels each caption names. The ban lists of published pipelines are in `banlists`.
"""

from __future__ import annotations

from laion_probe.lexicons.matching import find_levels
from laion_probe.lexicons.reading import Lexicon, TermList, known_lexicons, load_lexicon

__all__ = ["Lexicon", "TermList", "find_levels", "known_lexicons", "load_lexicon"]
