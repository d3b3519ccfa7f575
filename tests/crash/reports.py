"""What a realizer could say that is no use: bytes, and reports of the right shape."""

from __future__ import annotations

import math
import struct
from typing import Any

import msgspec
from hypothesis import strategies as st

from tests.crash.inputs import texts

plain = st.text(max_size=20)
sequences = st.just(1) | st.integers(-2, 8) | st.integers(-(2**63), 2**64 - 1)
ODD = (math.nan, math.inf, -math.inf, -1.0, 1e300)
times = st.floats(1.6e9, 1.8e9) | st.sampled_from(ODD) | st.floats()
big = st.integers(-(2**63), 2**64 - 1)
numbers = times | big | st.integers(0, 9)
progress = st.tuples(numbers, st.none() | numbers, plain)
lanes = st.tuples(plain, plain, big | st.integers(-5, 5), plain)
follow_ups = st.tuples(
    lanes, plain | st.just("{}"), times, big | st.integers(0, 3), times, st.none() | times
)
verdicts = st.tuples(
    st.just(0),
    times,
    times,
    st.none() | plain | st.just("1"),
    st.lists(follow_ups, max_size=2),
    st.none() | st.tuples(big | st.integers(0, 9), plain),
) | st.tuples(st.just(1) | st.integers(-1, 3), times, times, plain, st.none() | plain)
ended = st.tuples(sequences, verdicts)
fields = st.tuples(plain, plain, st.dictionaries(plain, plain, max_size=2), st.booleans(),
                   st.none() | plain, plain)  # fmt: skip
specs = st.tuples(plain, plain, st.integers(-5, 5), st.integers(-5, 5), times, st.none() | times,
                  st.lists(fields, max_size=2), st.booleans(), plain, plain)  # fmt: skip
loaded = st.tuples(
    sequences,
    st.lists(specs | st.dictionaries(plain, plain, max_size=2), max_size=1),
    st.lists(st.tuples(plain, plain), max_size=1),
    st.dictionaries(plain, plain, max_size=1),
)
reports = st.tuples(
    st.lists(ended, max_size=3),
    st.lists(sequences, max_size=3),
    st.lists(sequences, max_size=3),
    st.just("") | plain,
    st.none() | loaded,
    st.none() | st.tuples(plain, plain),
    st.lists(st.tuples(sequences, plain, plain), max_size=2),
    st.lists(st.tuples(sequences, progress), max_size=2),
)
loose = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**63), 2**64 - 1) | st.floats() | plain,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(plain, inner, max_size=3),
    max_leaves=8,
)
pages = st.tuples(*[st.integers(-(2**63), 2**63 - 1) | st.integers(-1, 9)] * 2)


def _flipped(frame: bytes, at: int, by: int) -> bytes:
    at %= len(frame)
    return frame[:at] + bytes([frame[at] ^ by]) + frame[at + 1 :]


def framed(value: Any) -> bytes:
    """The value as the wire carries it."""
    body = msgspec.msgpack.encode(value)
    return struct.pack("<I", len(body)) + body


flipped = st.tuples(reports.map(framed), st.integers(4, 400), st.integers(1, 255)).map(
    lambda three: _flipped(*three)
)
noise = st.binary(max_size=60) | st.lists(loose.map(framed) | st.binary(max_size=9)).map(b"".join)
pieces = noise | flipped | st.tuples(noise, st.integers(0, 30)).map(lambda pair: pair[0][: pair[1]])
__all__ = ["framed", "loose", "noise", "pages", "pieces", "reports", "texts"]
