"""What a caller has proposed gets marks of its own, so that a guess cannot be compared with what a cluster holds.

A dry run needs nobody's permission. Were a guess marked as the same value is elsewhere, or left out of the changes because it is
what stands there already, a caller could try words until one fits. So wherever a caller names a value, its mark is drawn for
this call and this place, and differs from the one that stood there, right guess or wrong.
"""

from __future__ import annotations

import copy
import hmac
import secrets
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from kinds.quantity import same_quantity
from mcp_tools.redaction_marks import FINGERPRINT_HEX, MARK, MARK_START

WHOLE = object()
"""Everything below is the caller's, or may be."""
NOTHING = object()
"""The caller says nothing about this place."""
_MOST_COMPARED = 1_000_000
"""Pairs of items of one list: more are not worth the time."""
MarksOf = Callable[[str], frozenset[str]]


@dataclass(slots=True)
class Disguise:
    """Marks of one call, and of what a person was asked before it: equal to no others. The key is forgotten with it."""

    _key: bytes = field(default_factory=lambda: secrets.token_bytes(32), repr=False)
    _made: dict[str, set[str]] = field(default_factory=dict, repr=False)

    def text(self, text: str, where: str) -> str:
        """The text with every mark replaced; two places never show that they hold the same."""
        return MARK.sub(lambda found: self._mark(found[0], where), text) if MARK_START in text else text

    def widened(self, marks_of: MarksOf) -> MarksOf:
        """`marks_of` with the marks that were made of them, to tell a person what the client has said."""
        return lambda text: frozenset().union(*({mark} | self._made.get(mark, set()) for mark in marks_of(text)))

    def _mark(self, mark: str, where: str) -> str:
        digest = hmac.digest(self._key, f"{where}\0{mark}".encode(), "sha256").hex()
        made = f"{MARK_START}{digest[:FINGERPRINT_HEX]}›"
        self._made.setdefault(mark, set()).add(made)
        return made


def disguise_proposed(before: Any, after: Any, asked: Any, disguise: Disguise, where: str) -> None:
    """New marks in `after`, in place, for what is `asked` or differs from `before`. All are redacted but `asked`."""
    if not isinstance(after, (dict, list)):
        return
    for key, value in list(after.items() if isinstance(after, dict) else enumerate(after)):
        was, wanted = value_at(before, after, key), said_at(asked, after, key)
        here = f"{where}.{_label(after, key)}"
        if isinstance(value, (dict, list)):
            disguise_proposed(was, value, wanted, disguise, here)
        elif isinstance(value, str) and (wanted is not NOTHING or value != was):
            after[key] = disguise.text(value, here)
    if isinstance(after, dict) and asked is not NOTHING and any(MARK_START in key for key in after):
        content = [(disguise.text(key, where), value) for key, value in after.items()]
        after.clear()
        after.update(content)


def value_at(other: Any, value: Any, key: Any) -> Any:
    """What another tree has at the place `key` of this mapping or list: items with names by their names, others by their
    number in lists of one length. NOTHING, or WHOLE where that cannot be told."""
    if other is WHOLE or other is NOTHING:
        return other
    if isinstance(other, Mapping):
        return other.get(str(key), NOTHING)
    if not isinstance(other, (list, tuple)):
        return NOTHING if other is None else WHOLE
    if not isinstance(key, int):
        return WHOLE
    if _named(other) and _named(value):
        name = value[key]["name"]
        return next((one for one in other if one["name"] == name), NOTHING)
    return other[key] if len(other) == len(value) else WHOLE


def said_at(said: Any, value: Any, key: Any) -> Any:
    """What a caller says of the place `key` of this mapping or list, as value_at; an item without a name is the one of his that
    it has everything of, for lists that are merged by another key."""
    found = value_at(said, value, key)
    if found is not WHOLE or said is WHOLE or not isinstance(value, list):
        return found
    if len(said) * len(value) ** 2 > _MOST_COMPARED or _leaves_open(said):
        return WHOLE
    mine = [item for item in said if _is_in(item, value[key])]
    if mine:
        return mine[0]
    all_found = all(any(_is_in(item, other) for other in value) for item in said)
    return NOTHING if all_found else WHOLE


def asked_by(patch: Mapping[str, Any] | Sequence[Any], before: Any = None) -> Any:
    """What a merge, strategic, apply or JSON patch says, as a tree like the object's; never a part of the patch that can be
    changed. WHOLE for a JSON patch that does not fit to `before`, the redacted object that it is for."""
    if isinstance(patch, Mapping):
        data, plain = patch.get("data"), patch.get("stringData")
        if isinstance(plain, Mapping):  # a Secret's is stored as `data`
            return {**patch, "data": {**(data if isinstance(data, Mapping) else {}), **plain}}
        return patch
    tree = _unsaid(before)
    try:
        for operation in patch:
            if operation["op"] != "test":
                _operate(
                    tree, [part.replace("~1", "/").replace("~0", "~") for part in operation["path"].split("/")[1:]], operation
                )
    except (LookupError, TypeError, ValueError):
        return WHOLE
    return tree


def _unsaid(value: Any) -> Any:
    """The same mappings and lists with nothing said in them."""
    if isinstance(value, Mapping):
        return {key: _unsaid(item) for key, item in value.items()}
    return [_unsaid(item) for item in value] if isinstance(value, list) else NOTHING


def _operate(tree: Any, parts: list[str], operation: Mapping[str, Any]) -> None:
    """One operation of a JSON patch (RFC 6902) as the API server does it, in place. Raises LookupError, TypeError, ValueError."""
    for part in parts[:-1]:
        tree = tree[_index(part) if isinstance(tree, list) else part]
    key: Any = parts[-1]
    if isinstance(tree, list):
        key = len(tree) if key == "-" else _index(key)
    elif not isinstance(tree, dict):
        raise TypeError(f"nothing can be below {type(tree).__name__}")
    if operation["op"] == "remove":
        del tree[key]
    elif operation["op"] == "add" and isinstance(tree, list):
        tree.insert(key, copy.deepcopy(operation.get("value")))
    else:
        tree[key] = copy.deepcopy(operation.get("value"))


def _index(part: str) -> int:
    """Raises ValueError for what the API server may count in its own way, such as -1."""
    if not (part.isascii() and part.isdecimal()):
        raise ValueError(part)
    return int(part)


def _is_in(said: Any, value: Any) -> bool:
    """Whether a value has all that is said; what is redacted may be anything."""
    if isinstance(said, Mapping):
        return isinstance(value, Mapping) and all(_is_in(item, value.get(str(key))) for key, item in said.items())
    if isinstance(said, (list, tuple)):
        return isinstance(value, list) and all(any(_is_in(item, other) for other in value) for item in said)
    return is_same(said, value) or (isinstance(value, str) and MARK_START in value)


def _leaves_open(said: Any) -> bool:
    """Whether items stand there that are not the caller's, as below a JSON patch."""
    if isinstance(said, (dict, list)):
        return any(_leaves_open(item) for item in (said.values() if isinstance(said, dict) else said))
    return said is NOTHING


def is_same(said: Any, stored: Any) -> bool:
    """Whether the API server may have written so what was said: `4321` as "4321", "1000m" as "1"."""
    return said == stored or str(said) == str(stored) or same_quantity(said, stored)


def _named(value: Any) -> bool:
    return bool(value) and all(isinstance(item, Mapping) and isinstance(item.get("name"), str) for item in value)


def _label(container: Any, key: Any) -> str:
    """Of a place: stable when items move."""
    return str(container[key]["name"]) if isinstance(container, list) and _named(container) else str(key)
