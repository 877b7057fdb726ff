"""Rebuilds `data/demo`: a small image-text collection whose truth is known.

People emoji are pictures, drawn by several foundries, of the same professions in
two gender presentations and five skin tones. Composed into scenes, captioned the
way the web captions, and downloaded by the real img2dataset from a local server,
they make a data set on which every estimate of laion-probe can be checked.

`python -m tools.demo_data --help` lists the stages.
"""
