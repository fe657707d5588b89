"""One exported page of objects into records and manifests: the only place where raw API objects are looked at.

A page is one JSON document (tool `k8s_export_page`) of redacted objects. Its objects are cut out as bytes first, so that
each one's manifest is what arrived, not re-encoded, and so that one bad object costs only itself.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from itertools import chain, repeat

import msgspec

from cache.staging import Staged
from configuration.errors import ToolError
from kinds.kind import Kind
from kinds.storable_check import StorableCheck
from kinds.tolerant_read import read_tolerantly, reason_of
from mcp_tools.collector_pause import collector_paused

_NOT_JSON = (ValueError, RecursionError, msgspec.MsgspecError)
"""What decoding raises."""


class _Page(msgspec.Struct, gc=False):
    resource_version: str
    objects: list[msgspec.Raw]
    continue_token: str = msgspec.field(name="continue", default="")
    remaining: int | None = None
    redactor_version: str | int = ""
    key_id: str = ""
    managers: list[str | None] = msgspec.field(default_factory=list)


@dataclass(frozen=True, slots=True)
class PageEnvelope:
    """A page whose objects have not been decoded yet. `remaining`: objects after this page, when the API server knows."""

    resource_version: str
    continue_token: str
    remaining: int | None
    redaction: str
    """Version of the redaction rules and id of the key, as `version/key`."""
    objects: list[msgspec.Raw]
    managers: Sequence[str | None] = ()
    """Of each object, who wrote it last, when that is known; empty from a server that does not tell."""


@dataclass(frozen=True, slots=True)
class Malformed:
    """An object that could not be read, or not as a whole: its name and uid when they could be read, and why.

    `staged` is what could be kept of it; None: it was set aside.
    """

    name: str
    reason: str
    uid: str = ""
    staged: Staged | None = None

    def __str__(self) -> str:
        return f"{self.name or '(no name)'}: {self.reason}"


@dataclass(frozen=True, slots=True)
class ParsedPage:
    """What one page gave, and how long that took."""

    staged: list[Staged]
    malformed: list[Malformed]
    seconds: float


def open_page(text: str) -> PageEnvelope:
    """Cut a page into its objects without decoding them. Raises ToolError when it is no page at all."""
    try:
        page = _decoder.decode(text)
    except (msgspec.MsgspecError, UnicodeError) as error:
        raise ToolError(f"k8s_export_page answered with something that is no page of objects: {error}") from error
    redaction = f"{page.redactor_version}/{page.key_id}"
    managers = page.managers if len(page.managers) == len(page.objects) else ()
    return PageEnvelope(page.resource_version, page.continue_token, page.remaining, redaction, page.objects, managers)


def parse_objects(
    objects: Iterable[msgspec.Raw],
    kind: Kind,
    managers: Sequence[str | None] = (),
    *,
    clock: Callable[[], float] = time.perf_counter,
) -> ParsedPage:
    """Read the objects of a page: as far as they can be read, the others are set aside; nothing here stops a scan."""
    started = clock()
    staged: list[Staged] = []
    malformed: list[Malformed] = []
    check = StorableCheck(kind)
    with collector_paused():
        for raw, manager in zip(objects, chain(managers, repeat(None))):  # noqa: B905  the second has no end
            one = read_object(raw, kind, check, manager)
            if isinstance(one, Malformed):
                malformed.append(one)
            kept = one.staged if isinstance(one, Malformed) else one
            if kept is not None:
                staged.append(kept)
    return ParsedPage(staged, malformed, clock() - started)


def read_object(raw: msgspec.Raw, kind: Kind, check: StorableCheck, manager: str | None = None) -> Staged | Malformed:
    """One object, or why it cannot be read as it is, with what can be kept of it. `check` is that of the kind."""
    try:
        obj: object = msgspec.json.decode(raw)
    except _NOT_JSON as error:
        return Malformed("", reason_of(error))
    reading = read_tolerantly(obj, kind, check)
    staged = None if reading.record is None else Staged(reading.record, bytes(raw), manager)
    if staged is not None and not reading.trouble:
        return staged
    return Malformed(_name_of(obj), reading.trouble, _uid_of(obj), staged)


def _name_of(obj: object) -> str:
    """`namespace/name` as far as they are there."""
    metadata = obj.get("metadata") if isinstance(obj, dict) else None
    if not isinstance(metadata, dict):
        return ""
    parts = [metadata.get("namespace"), metadata.get("name")]
    return "/".join(part[:253] for part in parts if isinstance(part, str))


def _uid_of(obj: object) -> str:
    metadata = obj.get("metadata") if isinstance(obj, dict) else None
    uid = metadata.get("uid") if isinstance(metadata, dict) else None
    return uid if isinstance(uid, str) else ""


_decoder = msgspec.json.Decoder(_Page)
