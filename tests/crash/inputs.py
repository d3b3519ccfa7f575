"""What the fuzzer throws: nearly right input of every kind, as Hypothesis strategies."""

from __future__ import annotations

import json
import sys
from typing import Any

from hypothesis import strategies as st

COMMANDS = ("declare:job", "declare:batch", "report", "report:jobs", "report:job", "retry", "purge",
            "wait", "jobs")  # fmt: skip
FLAGS = ("--json", "--queue", "--priority", "--in", "--at", "--retries", "--retry-after", "-0",
         "--timeout", "--status", "--job", "--limit", "--older-than", "--yes", "--failed",
         "--data", "--each", "--ids", "--null", "--help", "--", "-", "-x", "--no-such")  # fmt: skip
WORDS = (
    *("noop", "send_email", "n=1", "n:=2", "n:=[", "=", ":=", "1", "-1", "0", "9" * 17, "30s"),
    *("5m", "1e9", "nan", "inf", "-", "@", "@/etc/hostname", "@/nowhere", "completed", "failed"),
    *("pending", "processing", "2030-01-31", "{}", "[]", "null", '{"n": 1}'),
)

texts = st.text(max_size=30) | st.text(st.characters(codec=None), max_size=5)
numbers = st.integers() | st.floats() | st.sampled_from((2**63, -(2**63) - 1, 1e308, -0.0, 10**400))
values = st.recursive(
    st.none() | st.booleans() | numbers | texts,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(texts, inner, max_size=3),
    max_leaves=6,
)


def _dumped(value: Any) -> str:
    sys.set_int_max_str_digits(0)
    return json.dumps(value)


words = st.sampled_from(FLAGS) | st.sampled_from(WORDS) | texts.filter(lambda t: "\0" not in t)
command_lines = st.tuples(st.sampled_from(COMMANDS), st.lists(words, max_size=6)).map(
    lambda pair: [pair[0], *pair[1]]
)
keys = st.sampled_from(
    ("job", "payload", "queue", "priority", "in", "at", "retries", "retry_after", "timeout", "n")
)
jobs = st.sampled_from(("noop", "noop", "noop", "send_email", "nobody"))
payloads = st.fixed_dictionaries({}, optional={"n": values, "to": values, "subject": values})
declarations = st.fixed_dictionaries(
    {}, optional={"job": jobs, "payload": payloads | values, "queue": texts | values}
)
lines = st.one_of(
    st.builds(lambda a, b: _dumped({**a, **b}), declarations,
              st.dictionaries(keys, values, max_size=3)),
    values.map(_dumped),
    texts,
).map(lambda line: line.encode("utf-8", "surrogatepass"))  # fmt: skip
batches = st.lists(lines | st.binary(max_size=40), max_size=4).map(b"\n".join)
known = ("queue", "priority", "delay", "at", "retries", "retry_after", "timeout", "unknown")
options = st.fixed_dictionaries(
    {},
    optional=dict.fromkeys(known, values),
)
sql_values = (
    st.none() | texts | st.integers(-(2**63), 2**63 - 1) | st.floats() | st.binary(max_size=9)
)
rows = st.fixed_dictionaries(
    {"job": st.just("noop") | sql_values},
    optional={
        "payload": payloads.map(_dumped) | sql_values,
        "queue": sql_values,
        "priority": st.integers(-3, 3) | sql_values,
        "due_at": st.sampled_from(("now", "2030-01-31 18:00", "+1 day")) | sql_values,
        "retries": st.integers(0, 3) | sql_values,
        "retry_after": sql_values,
        "timeout": sql_values,
        "id": sql_values,
        "label": sql_values,
        "batch": st.sampled_from(("a", "b")) | sql_values,
        "coalesce": st.sampled_from(("a", "b")) | sql_values,
        "replace": st.integers(0, 1) | sql_values,
        "hold": st.integers(0, 1) | sql_values,
        "expires_at": st.sampled_from(("now", "2030-01-31 18:00")) | sql_values,
        "after": st.integers(1, 9) | st.lists(values, max_size=3).map(_dumped) | sql_values,
        "if_parent_fails": st.sampled_from(("cancel", "run", "wait")) | sql_values,
        "after_batch": st.sampled_from(("a", "b")) | sql_values,
    },
)
