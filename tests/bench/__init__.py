"""Measures what prokerja promises about speed, side by side with the limit and with its peers.

`python -m tests.bench` runs every measurement in rounds in which all sides take turns, prints a
table of figures, goals and verdicts, and writes all of it as JSON to `tests/bench/results/`.
`python -m tests.bench.plot` draws how costs grow with the file.
"""
