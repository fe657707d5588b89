"""The answers of `k8s_list_changes` and `k8s_count_objects`, decoded, and changed objects as the cache takes them."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal, TypeVar

import msgspec

from cache.delta import ObjectChange
from configuration.errors import K8sMcpError, ToolError
from kinds.kind import Kind
from kinds.storable_check import StorableCheck
from mcp_tools import error_answers
from mcp_tools.collector_pause import collector_paused
from scanner.resource_parser import Malformed, read_object

TOO_MANY = "TooMany"
"""Type of the error for a watch that the server has no room for."""


class AnswerError(msgspec.Struct, gc=False):
    """Why one watch or one count failed; the others of the same call did not."""

    type: str = ""
    message: str = ""
    status: int | None = 0
    reason: str | None = ""
    retry_after_seconds: float | None = None

    def exception(self, tool: str) -> K8sMcpError:
        """As the class of configuration.errors that it names."""
        return error_answers.raised(tool, self.message or self.type, msgspec.structs.asdict(self))


class Change(msgspec.Struct, gc=False):
    """One event of a watch."""

    type: Literal["ADDED", "MODIFIED", "DELETED"]
    object: msgspec.Raw
    manager: str | None = None


class WatchAnswer(msgspec.Struct, gc=False):
    """What is new of one (kind, namespace). `heard_at` (epoch seconds): when the API server was last heard on it.

    `live` False: no watch of it is open, or one that was not heard for so long that its silence says nothing.
    """

    kind: str
    namespace: str = ""
    cursor: str = ""
    changes: list[Change] = []
    heard_at: float | None = None
    live: bool = False
    more: bool = False
    error: AnswerError | None = None


class ChangesAnswer(msgspec.Struct, gc=False):
    """A whole answer."""

    results: list[WatchAnswer]
    redactor_version: str | int = ""
    key_id: str = ""

    @property
    def redaction(self) -> str:
        return f"{self.redactor_version}/{self.key_id}"


class Count(msgspec.Struct, gc=False):
    """How many objects the API server has of one (kind, namespace)."""

    kind: str
    namespace: str = ""
    count: int | None = None
    resource_version: str = ""
    error: AnswerError | None = None


class CountsAnswer(msgspec.Struct, gc=False):
    """A whole answer."""

    results: list[Count]


AnswerType = TypeVar("AnswerType", ChangesAnswer, CountsAnswer)


def decoded(text: str, form: type[AnswerType], tool: str) -> AnswerType:
    """Raises ToolError when the answer is not of that form."""
    try:
        return msgspec.json.decode(text, type=form)
    except (msgspec.MsgspecError, UnicodeError) as error:
        raise ToolError(f"{tool} answered with something that cannot be read: {error}") from error


@dataclass(frozen=True, slots=True)
class ParsedChanges:
    """`lowest` and `highest`: the number of objects on the way, relative to that before."""

    changes: list[ObjectChange]
    malformed: list[Malformed]
    lowest: int
    highest: int


def parse_changes(changes: Iterable[Change], kind: Kind) -> ParsedChanges:
    """Read the objects of changes. One that cannot be read keeps the row that it has, unless it was deleted."""
    check = StorableCheck(kind)
    parsed: list[ObjectChange] = []
    malformed: list[Malformed] = []
    at = lowest = highest = 0
    with collector_paused():
        for change in changes:
            at += (change.type == "ADDED") - (change.type == "DELETED")
            lowest, highest = min(lowest, at), max(highest, at)
            one = read_object(change.object, kind, check, change.manager)
            if not isinstance(one, Malformed):
                parsed.append(ObjectChange(change.type, one, one.record.uid, change.manager))
                continue
            if change.type != "DELETED":
                malformed.append(one)
            if one.uid:
                parsed.append(ObjectChange(change.type, one.staged, one.uid, change.manager))
    return ParsedChanges(parsed, malformed, lowest, highest)
