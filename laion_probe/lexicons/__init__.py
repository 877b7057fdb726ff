"""Lists of words, one TOML file each, with a source for every list.

`load_lexicon` reads a shipped list by name or a user's own by path; `find_levels` says which of its
levels each caption names, `has_tell` which captions show that they are in another language than
English. The ban lists of published pipelines are in `banlists`, the licences of all in `NOTICE`.
"""

from __future__ import annotations

from laion_probe.lexicons.matching import find_levels, has_tell
from laion_probe.lexicons.reading import Lexicon, TermList, known_lexicons, load_lexicon

__all__ = ["Lexicon", "TermList", "find_levels", "has_tell", "known_lexicons", "load_lexicon"]
