"""What a caller has proposed gets marks of its own, so that a guess cannot be compared with what a cluster holds.

A dry run needs nobody's permission. Were a guess marked as the same value is elsewhere, or left out of the changes because it is
what stands there already, a caller could try words until one fits. So wherever a caller names a value, its mark is drawn for
this call and this place, and differs from the one that stood there, right guess or wrong.
"""

from __future__ import annotations

import hmac
import secrets
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from mcp_tools.redaction_marks import FINGERPRINT_HEX, MARK, MARK_START

WHOLE = object()
"""Everything below is the caller's, or may be."""
NOTHING = object()
"""The caller says nothing about this place."""
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
        was, wanted = value_at(before, after, key), value_at(asked, after, key)
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


def asked_by(patch: Mapping[str, Any] | Sequence[Any]) -> Any:
    """What a merge, strategic, apply or JSON patch says, as a tree like the object's; keys of mappings stand for list indexes
    where a JSON patch names one."""
    if isinstance(patch, Mapping):
        data, plain = patch.get("data"), patch.get("stringData")
        if isinstance(plain, Mapping):  # a Secret's is stored as `data`
            return {**patch, "data": {**(data if isinstance(data, Mapping) else {}), **plain}}
        return patch
    tree: dict[str, Any] = {}
    for operation in patch:
        if operation["op"] != "test":
            _put(tree, [part.replace("~1", "/").replace("~0", "~") for part in operation["path"].split("/")[1:]], operation)
    return tree


def _put(tree: dict[str, Any], parts: list[str], operation: Mapping[str, Any]) -> None:
    """An item that is added to a list, or removed, moves the others: then the list is the caller's as a whole."""
    moves = operation["op"] != "replace" and bool(parts) and (parts[-1] == "-" or parts[-1].isdigit())
    *path, last = parts[:-1] if moves and len(parts) > 1 else parts
    for part in path:
        below = tree.setdefault(part, {})
        if not isinstance(below, dict):
            tree[part] = WHOLE
            return
        tree = below
    tree[last] = WHOLE if moves else operation.get("value", WHOLE)


def _named(value: Any) -> bool:
    return bool(value) and all(isinstance(item, Mapping) and isinstance(item.get("name"), str) for item in value)


def _label(container: Any, key: Any) -> str:
    """Of a place: stable when items move."""
    return str(container[key]["name"]) if isinstance(container, list) and _named(container) else str(key)
