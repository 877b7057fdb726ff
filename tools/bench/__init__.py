"""Measure speed and memory beside named peers, in one run: `make bench` writes docs/benchmarks.md.

`data` makes the file that all read, `ours` and `peers` are what runs in a fresh process each time,
`measure` starts, times and watches these processes, `figures` draws ratios and bars from what was
measured, and `report` writes them down.
"""
