"""Proposals whose refusal would tell whether a guess at a hidden value is right: refused before they are sent, right or wrong.

An API server refuses to change what cannot be changed, and what somebody else owns; the same value again is no change. So a dry
run, which nobody has to permit, would tell one from the other. Refused is what names such a place whose present value is
redacted; what says nothing of it goes through.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import orjson

from configuration.errors import Conflict, InvalidArguments
from kinds.counted import first_few
from mcp_tools.k8s_tools.change_answers import FIELD_MANAGER
from mcp_tools.object_forms import form_of
from mcp_tools.object_writes import Target
from mcp_tools.proposed_values import NOTHING, WHOLE
from mcp_tools.redaction_marks import MARK_START


@dataclass(frozen=True, slots=True)
class Item:
    """Of a list: its number, and what is said of it."""

    index: int
    said: Any = field(compare=False)


Step = str | Item
Place = tuple[Step, ...]

_FIXED: Mapping[tuple[str, str], tuple[str, ...]] = {
    ("", "pods"): ("spec",),
    ("", "persistentvolumes"): ("spec",),
    ("batch", "jobs"): ("spec", "template"),
    ("apps", "controllerrevisions"): ("data",),
    ("storage.k8s.io", "storageclasses"): ("parameters",),
}
"""(group, resource) -> below what an API server lets (almost) nothing change."""
_WITH_A_SWITCH = (("", "configmaps"), ("", "secrets"))
_PAYLOADS = frozenset({"data", "binaryData", "stringData"})
_SHOWN = 5


def refuse_comparing_with_what_is_fixed(target: Target, before: Mapping[str, Any] | None, said: Any) -> None:
    """For a patch or an applied document (see asked_by). `before` is the redacted object, None when there is none.

    Raises InvalidArguments.
    """
    if before is None:
        return
    kind = (target.kind.group, target.kind.resource)
    if kind in _WITH_A_SWITCH and before.get("immutable") is True:
        fixed = [place for place in _hidden(before, said, kind) if not place or place[0] in _PAYLOADS]
        instead = "make an object of another name, and let what uses this one use it"
    else:
        path = _FIXED.get(kind, ())
        fixed = [place for place in _hidden(before, said, kind) if path and place[: len(path)] == path[: len(place)]]
        instead = "leave these fields out, or delete the object and create it anew"
    if fixed:
        raise InvalidArguments(
            f"{target.title}: {_told(fixed)} cannot be changed while the object exists, and what stands there is redacted; "
            f"nothing was sent, since the API server's answer would tell whether it is what was proposed; {instead}"
        )


async def refuse_comparing_with_what_others_own(target: Target, before: Mapping[str, Any] | None, document: Any) -> None:
    """For server-side apply without force. Raises Conflict, or what reading the object raises."""
    kind = (target.kind.group, target.kind.resource)
    if before is None or not (places := _hidden(before, document, kind)):
        return
    entries = await _managed_fields(target)
    owned = {place: owners for place in places if (owners := _owners(entries, place, document))}
    if owned:
        names = ", ".join(sorted({repr(name) for owners in owned.values() for name in owners}))
        raise Conflict(
            f"cannot apply {target.title}: {_told(list(owned))} belongs to {names}, and what stands there is redacted; nothing "
            "was sent, since a conflict, or none, would tell whether it is what was proposed; leave these fields out of the "
            "manifest, so that they stay with their manager, or take them over with force=true",
            status=409,
            reason="Conflict",
        )


async def refuse_looking_for_items(target: Target, before: Mapping[str, Any] | None, document: Any) -> None:
    """For server-side apply, also with force: a list that is a set, or a map by a hidden field, gets an item more unless it has
    that one already. Raises InvalidArguments, or what reading the object raises."""
    kind = (target.kind.group, target.kind.resource)
    hidden = [] if before is None else _hidden(before, document, kind)
    if not (places := [place for place in hidden if any(isinstance(step, Item) for step in place)]):
        return
    entries = [entry.get("fieldsV1") for entry in await _managed_fields(target) if isinstance(entry, Mapping)]
    if found := [place for place in places if any(_finds_by_value(fields, place) for fields in entries)]:
        raise InvalidArguments(
            f"cannot apply {target.title}: the items of {_told(found)} are told apart by a value that is redacted; nothing was "
            "sent, since one item more, or not, would tell whether it is what was proposed; leave the list out, or "
            "write it as a whole with k8s_patch_resource type=merge"
        )


async def _managed_fields(target: Target) -> list[Any]:
    """Names of fields, no values: also of a Secret."""
    form, doing = form_of(target.kind), f"read who owns the fields of {target.title}"
    answer = await target.api.get(target.path(), doing=doing, query=form.query, accept=form.accept_list)
    entries = (form.one(answer.body, doing).get("metadata") or {}).get("managedFields")
    return entries if isinstance(entries, list) else []


def _hidden(before: Any, said: Any, kind: tuple[str, str]) -> list[Place]:
    """Places that are said and redacted. Of a Secret all values are, also where no more than names could be read."""
    found = list(_hidden_below(before, said, ()))
    if kind == ("", "secrets") and isinstance(said, Mapping):
        for payload in sorted(_PAYLOADS & said.keys()):
            values, stored = said[payload], before.get(payload)
            if isinstance(values, Mapping):
                found += [(payload, str(key)) for key in values if not isinstance(stored, Mapping) or str(key) in stored]
    return list(dict.fromkeys(found))


def _hidden_below(before: Any, said: Any, place: Place) -> Iterator[Place]:
    if said is NOTHING or said is None or before is None:
        return
    if isinstance(said, Mapping) and isinstance(before, Mapping):
        for key, value in said.items():
            yield from _hidden_below(before.get(str(key)), value, (*place, str(key)))
    elif isinstance(said, Sequence) and not isinstance(said, str) and isinstance(before, list):
        for index, value in enumerate(said):
            yield from _hidden_below(_counterpart(before, said, index), value, (*place, Item(index, value)))
    elif _has_mark(before) and (said is WHOLE or _says_something(said)):
        yield place


def _counterpart(before: list[Any], said: Sequence[Any], index: int) -> Any:
    """The item that this one is about, by its name or its number; all of them where that cannot be told."""
    name = said[index].get("name") if isinstance(said[index], Mapping) else None
    if isinstance(name, str):
        named = [item for item in before if isinstance(item, Mapping) and item.get("name") == name]
        if named:
            return named[0]
    return before[index] if len(before) == len(said) else before


def _has_mark(value: Any) -> bool:
    if isinstance(value, (dict, list)):
        return any(_has_mark(item) for item in (value.values() if isinstance(value, dict) else value))
    return isinstance(value, str) and MARK_START in value


def _says_something(said: Any) -> bool:
    if isinstance(said, (Mapping, list)):
        return any(_says_something(item) for item in (said.values() if isinstance(said, Mapping) else said))
    return said is not NOTHING and said is not None


def _owners(entries: Sequence[Any], place: Place, document: Any) -> set[str]:
    """Managers of a place besides this server's own applying. One that wrote another version of the kind may own any."""
    version = document.get("apiVersion") if isinstance(document, Mapping) else None
    found = set()
    for entry in entries:
        if not isinstance(entry, Mapping) or (entry.get("operation") == "Apply" and entry.get("manager") == FIELD_MANAGER):
            continue
        if entry.get("apiVersion") != version or _owns(entry.get("fieldsV1"), place):
            found.add(str(entry.get("manager") or "another manager"))
    return found


def _owns(fields: Any, place: Place) -> bool:
    """Whether `fieldsV1` (https://kubernetes.io/docs/reference/using-api/server-side-apply/) names a place, or one above it
    as a whole."""
    if not isinstance(fields, Mapping):
        return False
    below = {key: value for key, value in fields.items() if key != "."}
    if not place or not below:
        return True
    step, rest = place[0], place[1:]
    if isinstance(step, str):
        return f"f:{step}" in below and _owns(below[f"f:{step}"], rest)
    return any(_is_about(key, step) and _owns(value, rest) for key, value in below.items())


def _finds_by_value(fields: Any, place: Place) -> bool:
    """Whether `fieldsV1` names items on the way to a place by what is hidden there: `v:"x"`, or `k:{"token":"x"}`."""
    if not isinstance(fields, Mapping) or not place:
        return False
    step, rest = place[0], place[1:]
    if isinstance(step, str):
        return _finds_by_value(fields.get(f"f:{step}"), rest)
    return any(
        (key.startswith("v:") and not rest)
        or (key.startswith("k:") and bool(_keys(key) & ({rest[0]} if rest else _said_names(step))))
        or (key.startswith("k:") and _finds_by_value(value, rest))
        for key, value in fields.items()
    )


def _keys(key: str) -> set[Any]:
    """The names in `k:{…}` but `name`: names are told in the clear."""
    try:
        keys = orjson.loads(key[2:])
    except orjson.JSONDecodeError:
        return set()
    return set(keys) - {"name"} if isinstance(keys, Mapping) else set()


def _said_names(step: Item) -> set[Any]:
    return set(step.said) if isinstance(step.said, Mapping) else set()


def _is_about(key: str, step: Item) -> bool:
    """Whether a key of a list's item in `fieldsV1` may be the item that is said: `k:{"name":"app"}`, `i:0`, `v:"x"`."""
    if not key.startswith("k:"):
        return key.startswith("v:") or key == f"i:{step.index}"
    try:
        keys = orjson.loads(key[2:])
    except orjson.JSONDecodeError:
        return True
    said = step.said if isinstance(step.said, Mapping) else {}
    return isinstance(keys, Mapping) and all(said.get(name, value) == value for name, value in keys.items())


def _told(places: Sequence[Place]) -> str:
    told = list(
        dict.fromkeys(
            ".".join(str(step if isinstance(step, str) else _name(step)) for step in place) or "the object" for place in places
        )
    )
    return first_few(told, _SHOWN)


def _name(step: Item) -> str:
    name = step.said.get("name") if isinstance(step.said, Mapping) else None
    return name if isinstance(name, str) else str(step.index)
