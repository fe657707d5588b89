"""What can be read of an object that cannot be read as a whole.

One field that nobody expected must not hide the object: a pod whose memory request is nonsense still runs, has a node and
an owner. So the parts that its kind cannot read are left out of the record (not of the manifest), and named.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from kinds.counted import first_few
from kinds.record import Record

IDENTITY = ("name", "namespace", "uid", "resourceVersion")
"""Of metadata: without these an object is nothing, and changing them would make it another one."""
MOST_ATTEMPTS = 400
"""A read takes some 50 µs; when these are used up, whatever has not been tried is left out."""
_SHOWN_PATHS = 3

Read = Callable[[dict[str, Any]], Record]
"""Raises one of `errors` when an object cannot be read, or its record cannot be stored."""


@dataclass(frozen=True, slots=True)
class PartialRead:
    """The record of the rest, and where the parts were that are not in it: `spec.containers[0].image`."""

    record: Record
    left_out: tuple[str, ...]

    @property
    def places(self) -> str:
        """The first of them, for a message."""
        return first_few(self.left_out, _SHOWN_PATHS)


def read_parts(obj: dict[str, Any], read: Read, errors: tuple[type[Exception], ...]) -> PartialRead | None:
    """Read as much of an object as can be read. None when not even what identifies it can."""
    metadata = obj.get("metadata")
    if not isinstance(metadata, dict):
        return None
    bare = {key: obj[key] for key in ("apiVersion", "kind") if isinstance(obj.get(key), str)}
    bare["metadata"] = {key: metadata[key] for key in IDENTITY if key in metadata}
    search = _Search(read, errors)
    if not search.can_read(bare):
        return None
    whole = search.fill(bare, "metadata", bare["metadata"], metadata)
    for key, value in obj.items():
        if key not in whole:
            search.add(whole, key, value, key, lambda candidate: candidate)
    return PartialRead(read(whole), tuple(search.left_out))


class _Search:
    """Adds part after part, and keeps those with which the whole can still be read."""

    def __init__(self, read: Read, errors: tuple[type[Exception], ...]) -> None:
        self.left_out: list[str] = []
        self._read = read
        self._errors = errors
        self._attempts = 0

    def can_read(self, candidate: dict[str, Any]) -> bool:
        if self._attempts >= MOST_ATTEMPTS:
            return False
        self._attempts += 1
        try:
            self._read(candidate)
        except self._errors:
            return False
        return True

    def fill(self, whole: dict[str, Any], path: str, kept: dict[str, Any], source: dict[str, Any]) -> dict[str, Any]:
        """Add to `kept`, which is `whole[path]`, what else is in `source`."""
        for key, value in source.items():
            if key not in kept:
                self.add(whole[path], key, value, f"{path}.{key}", lambda part: {**whole, path: part})
        return whole

    def add(
        self, kept: dict[str, Any], key: str, value: Any, path: str, around: Callable[[dict[str, Any]], dict[str, Any]]
    ) -> None:
        """Put `value` under `key` of `kept`, or as much of it as can be read. `around` gives the whole object."""
        if self.can_read(around({**kept, key: value})):
            kept[key] = value
            return
        found = self.part_of(value, path, lambda part: around({**kept, key: part}))
        if found is not None:
            kept[key] = found

    def part_of(self, value: Any, path: str, around: Callable[[Any], dict[str, Any]]) -> Any:
        """The largest part of `value` that can be read, None when there is none."""
        if isinstance(value, dict):
            return self._part_of_mapping(value, path, around)
        if isinstance(value, list):
            return self._part_of_list(value, path, around)
        self.left_out.append(path)
        return None

    def _part_of_mapping(self, value: dict[str, Any], path: str, around: Callable[[Any], dict[str, Any]]) -> Any:
        kept: dict[str, Any] = {}
        if not self.can_read(around(kept)):
            return self._without_one(value, path, around)
        for key, part in value.items():
            self.add(kept, key, part, f"{path}.{key}", around)
        return kept

    def _part_of_list(self, value: list[Any], path: str, around: Callable[[Any], dict[str, Any]]) -> Any:
        kept: list[Any] = []
        if not self.can_read(around(kept)):
            self.left_out.append(path)
            return None
        for number, part in enumerate(value):
            if self.can_read(around([*kept, part])):
                kept.append(part)
            elif (found := self.part_of(part, f"{path}[{number}]", lambda part: around([*kept, part]))) is not None:
                kept.append(found)
        return kept

    def _without_one(self, value: dict[str, Any], path: str, around: Callable[[Any], dict[str, Any]]) -> Any:
        """For a mapping that needs some of its members: one of the others may be what is wrong."""
        for key, part in value.items():
            rest = {name: member for name, member in value.items() if name != key}
            if self.can_read(around(rest)):
                self.add(rest, key, part, f"{path}.{key}", around)
                return rest
        self.left_out.append(path)
        return None
