"""Hypothesis strategies from a tool's input schema: arguments that fit it, and arguments that break it in one place.

Only the JSON Schema keywords that our tools use are known; another one is an error, so that a new bound is not left untried.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import orjson
from hypothesis import strategies as st

Schema = Mapping[str, Any]
Values = st.SearchStrategy[Any]
Hints = Mapping[str, Values]
"""Likely values by argument name, also within records; they are taken as far as they fit the schema."""

KEYWORDS = frozenset(
    {"type", "description", "default", "enum", "minimum", "maximum", "maxLength", "pattern", "items", "maxItems", "properties",
     "required", "additionalProperties", "maxProperties"}
)  # fmt: skip
ODD_TEXTS = (
    "", " ", "\x00", "a\x00b", "a\r\nX: y", "\x1b[2J\x1b]0;x\x07", "\x7f\x85\u2028", "\u202eabc", "\ud800", "a\udfffb", "\ufeff",
    "\U0001f469\u200d\U0001f4bb", "e\u0301" * 9, "İß", "--server=x", "-n", "../..", "%2e%2e", "a&b=c", "a=b,c in (d)", "!a",
    "*", "null", "0", "-1", "1e400", "NaN", "{}", "[", "(a+)+$", "(?:", "[[:alpha:]]", "‹redacted:0123456789ab›",
)  # fmt: skip
FILLERS = ("a", "/", ".", "(", "[", "a,", "a=b,", "é", "\U0001f600", "\n", "\x1b", '"', "- ", "{a: ", "&a *a ", "1")
HUGE = (2**31, 2**63, 2**64, -(2**63) - 1, 10**30, 10**400, 10**5000)
NOT_FINITE = (float("nan"), float("inf"), float("-inf"))
ONE_OF_EACH: Mapping[str, tuple[Any, ...]] = {
    "null": (None,), "boolean": (True, False), "integer": (0, 7, *HUGE), "number": (1.5, 1e300, *NOT_FINITE),
    "string": ("x", "1", "true", ""), "array": ([], ["x"], [None]), "object": ({}, {"a": 1}, {"$ref": "#"}),
}  # fmt: skip
DEPTHS = (50, 900, 5000)


def one_of(values: Sequence[Any]) -> Values:
    """One of these. `sampled_from` would write them all out, and Python writes no number of more than 4300 digits."""
    return st.sampled_from(range(len(values))).map(values.__getitem__)


def cannot_be_sent(value: Any) -> bool:
    """Whether it is nothing that JSON can carry to an API server: half of a surrogate pair, NaN, more than 64 bits, too deep."""
    try:
        orjson.dumps(value)
        json.dumps(value, allow_nan=False)
    except (ValueError, TypeError):
        return True
    return False


def nested(depth: int, inside: Any = 1, *, keyed: bool = False) -> Any:
    """Lists in lists, or objects in objects."""
    for _ in range(depth):
        inside = {"a": inside} if keyed else [inside]
    return inside


def fitting(schema: Schema, hints: Hints, name: str = "") -> Values:
    """Values that the schema takes."""
    refuse_unknown(schema)
    made = _fitting(schema, hints)
    if name not in hints:
        return made
    return st.one_of(
        hints[name].filter(lambda value: fits(schema, value)), hints[name].filter(lambda value: fits(schema, value)), made
    )


def _fitting(schema: Schema, hints: Hints) -> Values:
    if "enum" in schema:
        return one_of(schema["enum"])
    return st.one_of([_MAKERS[one](schema, hints) for one in types_of(schema)])


def types_of(schema: Schema) -> list[str]:
    """`type`, which may be one or several."""
    given = schema["type"]
    return [given] if isinstance(given, str) else list(given)


def refuse_unknown(schema: Schema) -> None:
    """Raises NotImplementedError for a keyword that nothing here is made of."""
    if unknown := set(schema) - KEYWORDS:
        raise NotImplementedError(f"{sorted(unknown)} in {schema}: teach argument_strategies how to fit and to break it")


def _texts(schema: Schema, _hints: Hints) -> Values:
    if "pattern" in schema:
        pattern = schema["pattern"]
        return st.from_regex(pattern).filter(lambda text: re.search(pattern, text) is not None)
    longest = schema["maxLength"]  # no text may be unbounded
    odd = one_of([text for text in ODD_TEXTS if len(text) <= longest])
    long = one_of(FILLERS).map(lambda filler: (filler * longest)[:longest])
    return st.one_of(odd, st.text(st.characters(), max_size=min(longest, 40)), long)


def _integers(schema: Schema, _hints: Hints) -> Values:
    low, high = schema.get("minimum"), schema.get("maximum")
    edges = [edge for edge in (low, high) if edge is not None]
    return st.one_of(st.integers(low, high), *([one_of(edges)] if edges else [one_of(HUGE)]))


def _numbers(schema: Schema, _hints: Hints) -> Values:
    low, high = schema["minimum"], schema["maximum"]
    return st.one_of(st.floats(low, high), st.integers(int(low), int(high)))


def _lists(schema: Schema, hints: Hints) -> Values:
    most = schema["maxItems"]
    if "items" not in schema:
        return st.one_of(st.lists(anything(), max_size=3), one_of(DEPTHS).map(nested))
    item = fitting(schema["items"], hints)
    full = item.map(lambda one: [one] * most)
    return st.one_of(st.lists(item, max_size=3), st.lists(item, max_size=3), full)


def _objects(schema: Schema, hints: Hints) -> Values:
    if "properties" in schema:
        return _records(schema, hints)
    most = schema["maxProperties"]
    if "additionalProperties" not in schema:
        deep = one_of(DEPTHS).map(lambda depth: nested(depth, keyed=True))
        return st.one_of(st.dictionaries(_KEYS, anything(), max_size=3), deep)
    value = fitting(schema["additionalProperties"], hints)
    full = value.map(lambda one: {f"a{number}": one for number in range(most)})
    return st.one_of(st.dictionaries(_KEYS, value, max_size=3), full)


def _records(schema: Schema, hints: Hints) -> Values:
    parts = {name: fitting(part, hints, name) for name, part in schema["properties"].items()}
    required = {name: parts.pop(name) for name in schema.get("required", ())}
    return st.fixed_dictionaries(required, optional=parts)


_KEYS = st.one_of(one_of(ODD_TEXTS), st.text(max_size=20))
_MAKERS: Mapping[str, Callable[[Schema, Hints], Values]] = {
    "string": _texts, "integer": _integers, "number": _numbers, "array": _lists, "object": _objects,
    "boolean": lambda _schema, _hints: st.booleans(),
}  # fmt: skip


def anything() -> Values:
    """Any JSON, with what Python's reader of JSON takes beyond it."""
    numbers = st.one_of(st.integers(), st.floats(), one_of(HUGE))
    leaves = st.one_of(st.none(), st.booleans(), numbers, _KEYS)
    return st.recursive(
        leaves, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(_KEYS, inner, max_size=3), max_leaves=8
    )


def fits(schema: Schema, value: Any) -> bool:
    """Whether the simple bounds let a hint pass; of records and lists only the type is looked at."""
    if "enum" in schema:
        return value in schema["enum"]
    if isinstance(value, str):
        long_enough = len(value) <= schema.get("maxLength", len(value))
        return "string" in types_of(schema) and long_enough and re.search(schema.get("pattern", ""), value) is not None
    if isinstance(value, (int, float)) and not isinstance(value, bool):
        return schema.get("minimum", value) <= value <= schema.get("maximum", value)
    return True


def breaking(schema: Schema, hints: Hints) -> Values:
    """Values that the schema does not take, each for one reason."""
    refuse_unknown(schema)
    return st.one_of(list(_breaking(schema, hints)))


def _breaking(schema: Schema, hints: Hints) -> Iterator[Values]:
    types = types_of(schema)
    wrong = [name for name in ONE_OF_EACH if name not in types and (name, types) != ("integer", ["number"])]
    yield one_of([value for name in wrong for value in ONE_OF_EACH[name]])
    if "array" not in types:
        yield one_of(DEPTHS).map(nested)
    if "object" not in types:
        yield one_of(DEPTHS).map(lambda depth: nested(depth, keyed=True))
    if "string" in types:
        yield from _breaking_text(schema)
    if {"integer", "number"} & set(types):
        yield from _breaking_number(schema)
    if "array" in types:
        yield from _breaking_list(schema, hints)
    if "object" in types:
        yield from _breaking_object(schema, hints)


def _breaking_text(schema: Schema) -> Iterator[Values]:
    yield one_of(["\ud800", "a\udc00b"])
    if "enum" in schema:
        yield one_of([text for text in (*ODD_TEXTS, *map(str.upper, schema["enum"])) if text not in schema["enum"]])
    if longest := schema.get("maxLength"):
        yield one_of(FILLERS).map(lambda filler: (filler * (longest + 1))[: longest + 1])
        yield st.just("x" * (longest * 10))
    if pattern := schema.get("pattern"):
        yield st.one_of(one_of(ODD_TEXTS), st.text()).filter(lambda text: re.search(pattern, text) is None)


def _breaking_number(schema: Schema) -> Iterator[Values]:
    low, high = schema.get("minimum"), schema.get("maximum")
    if low is not None:
        yield st.integers(max_value=int(low) - 1)
    if high is not None:
        yield st.one_of(st.integers(min_value=int(high) + 1), one_of([huge for huge in HUGE if huge > high]))
    if "integer" in types_of(schema):
        yield one_of([1.0, 7.5, *NOT_FINITE])
    else:
        yield one_of([*NOT_FINITE, 1e300])


def _breaking_list(schema: Schema, hints: Hints) -> Iterator[Values]:
    most, items = schema["maxItems"], schema.get("items")
    yield st.just([None] * (most + 1))
    if items is not None:
        yield fitting(items, hints).map(lambda one: [one] * (most + 1))
        yield st.tuples(st.lists(fitting(items, hints), max_size=2), breaking(items, hints)).map(lambda both: [*both[0], both[1]])


def _breaking_object(schema: Schema, hints: Hints) -> Iterator[Values]:
    if "properties" in schema:
        yield broken_record(schema, hints)
        return
    most, values = schema["maxProperties"], schema.get("additionalProperties")
    yield st.just({f"a{number}": "x" for number in range(most + 1)})
    if values is not None:
        yield st.dictionaries(_KEYS, breaking(values, hints), min_size=1, max_size=2)


@st.composite
def broken_record(draw: st.DrawFn, schema: Schema, hints: Hints) -> Any:
    """A record that fits but for one member: wrong, missing, or unknown."""
    record = dict(draw(_records(schema, hints)))
    names, required = sorted(schema["properties"]), sorted(schema.get("required", ()))
    how = draw(one_of(["unknown", *(["wrong"] * 6 if names else []), *(["missing"] if required else [])]))
    if how == "missing":
        del record[draw(one_of(required))]
    elif how == "wrong":
        name = draw(one_of(names))
        record[name] = draw(breaking(schema["properties"][name], hints))
    else:
        likely = one_of([f"{name}s" for name in names] + ["approve", "Context", "__class__", "self", "tools"])
        record[draw(st.one_of(likely, _KEYS).filter(lambda name: name not in names))] = draw(anything())
    return record
