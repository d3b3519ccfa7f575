"""Proofs that nothing is lost: `python -m tests.crash [NAME...] [--seed N] [--short]`.

Each proof breaks something on purpose (the power, a process, the disk, a file, an input), counts
what it did and checks what prokerja promises. It fails on the first broken promise.
"""
