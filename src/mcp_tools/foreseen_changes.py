"""What a tool says would change, whole: before it is cut to an answer's budget. What a person is asked about, and held to."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import orjson

from configuration.errors import InvalidArguments
from mcp_tools.moved_secrets import is_made_of
from mcp_tools.redaction_marks import MARK, MARK_START

_ALLOCATED = frozenset({"clusterIP", "clusterIPs", "healthCheckNodePort", "nodePort"})
"""What the API server draws anew on each dry run."""
_MOMENT = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(?:\.\d+)?Z")
_SHOWN_WARNINGS, _LONGEST_WARNING = 20, 200
ANYTHING = "anything"
"""What is unknown where not even the kinds are known."""
_COME_AND_GO = frozenset({"events"})
"""Kinds that a cluster writes all the time by itself: more of them are no reason to ask again."""


@dataclass(frozen=True, slots=True)
class GoesWithIt:
    """What a deletion takes along beside its object: `counts` of each kind; `unknown` is what could not be counted."""

    counts: Mapping[str, int] = field(default_factory=dict)
    unknown: frozenset[str] = frozenset()

    def covers(self, other: GoesWithIt) -> bool:
        """Whether the other is as much or less. What was unknown before may be any number now; what was known must still be."""
        if ANYTHING in self.unknown:
            return True
        more = {name for name, count in other.counts.items() if count > self.counts.get(name, 0)}
        return more <= self.unknown | _COME_AND_GO and other.unknown <= self.unknown | _COME_AND_GO


@dataclass(frozen=True, slots=True)
class Foreseen:
    """`objects` as in the answer of a change, of those that exist with their uid; `changes` `[{object?, path, old, new}]`."""

    note: str = ""
    warnings: tuple[str, ...] = ()
    objects: tuple[Mapping[str, Any], ...] = ()
    changes: tuple[Mapping[str, Any], ...] = ()
    contents: GoesWithIt = GoesWithIt()
    """Of a Namespace or a CustomResourceDefinition."""
    owned: GoesWithIt = GoesWithIt()
    """What the object owns, by kind: a person sees the numbers, and controllers give such objects new names all the time."""

    def covers(self, other: Foreseen) -> bool:
        """Whether who agreed to this has agreed to the other: the same objects and changes, or fewer of them, and no more that
        goes with them."""
        return (
            _identities(other.objects) <= _identities(self.objects)
            and _steps(other) <= _steps(self)
            and self.contents.covers(other.contents)
            and self.owned.covers(other.owned)
        )


def _identities(objects: Sequence[Mapping[str, Any]]) -> set[tuple[object, ...]]:
    """An object that does not exist yet has no uid."""
    return {
        (one.get("kind"), one.get("namespace"), one.get("name"), one.get("uid") if one.get("existed") else None)
        for one in objects
    }


def _steps(foreseen: Foreseen) -> set[bytes]:
    """The changes of objects that exist. Of new ones there is nothing to lose, and a dry run draws uids and addresses for them;
    that a whole object goes is said by the request's verb."""
    new = {one.get("title") for one in foreseen.objects if not one.get("existed")}
    only_new = len(foreseen.objects) == 1 and bool(new)
    return {
        orjson.dumps([change.get("object"), change["path"], change["old"], _settled(change["new"])])
        for change in foreseen.changes
        if change["path"] and not only_new and change.get("object") not in new
    }


def _settled(value: Any) -> Any:
    """Without what differs from one dry run to the next."""
    if isinstance(value, dict):
        return {key: _settled(item) for key, item in sorted(value.items()) if key not in _ALLOCATED}
    if isinstance(value, list):
        return [_settled(item) for item in value]
    return "a moment" if isinstance(value, str) and _MOMENT.fullmatch(value) else value


def told_in_full(foreseen: Foreseen, given: Mapping[str, Any], marks_of: Callable[[str], frozenset[str]]) -> str:
    """Every change with both its values, for the person whose client gave the arguments.

    What the arguments bring is shown as it is, though it looks like a secret: else somebody would agree to a mark. What
    stood there before stays redacted. Where a new value cannot be told so, all arguments follow.
    """
    said = _Said(given, marks_of)
    lines = [foreseen.note, *_warnings(foreseen.warnings)]
    for change in foreseen.changes:
        if change["path"]:
            about = f"{change['object']} " if "object" in change else ""
            old = f"{_written(change['old'])} -> " if change["old"] is not None else ""
            lines.append(f"{about}{_visible(change['path'])}: {old}{_written(said.unmasked(change['new']))}")
    if said.is_incomplete:
        lines += ["With these arguments:", arguments_in_full(given)]
    return "\n".join(lines)


def _warnings(warnings: Sequence[str]) -> list[str]:
    """They come from the cluster, and must not push out what is approved; what is cut says so."""
    shown = [
        f"warning: {one}" if len(one) <= _LONGEST_WARNING else f"warning: {one[:_LONGEST_WARNING]}… ({len(one)} characters)"
        for one in warnings[:_SHOWN_WARNINGS]
    ]
    return [*shown, *([f"… {len(shown)} of {len(warnings)} warnings shown"] if len(warnings) > len(shown) else [])]


def arguments_in_full(arguments: Mapping[str, Any]) -> str:
    """Arguments as text, whole, with what is not to be seen written as an escape."""
    return _visible(orjson.dumps(dict(arguments), option=orjson.OPT_INDENT_2).decode(), keep="\n")


def _written(value: Any) -> str:
    return _visible(orjson.dumps(value).decode())


def _visible(text: str, keep: str = "") -> str:
    return "".join(char if char.isprintable() or char in keep else f"\\u{ord(char):04x}" for char in text)


class _Said:
    """What a client has said, by the marks that stand for it."""

    def __init__(self, given: Mapping[str, Any], marks_of: Callable[[str], frozenset[str]]) -> None:
        self._given = given
        self._marks_of = marks_of
        self._known: dict[str, set[str]] = {}
        self._texts: list[str] | None = None
        self.is_incomplete = False
        """Whether a mark was met that stands for nothing, or not for one thing only."""

    def unmasked(self, value: Any) -> Any:
        """A redacted value with what the client has said in place of marks."""
        if isinstance(value, dict):
            return {key: self.unmasked(item) for key, item in value.items()}
        if isinstance(value, list):
            return [self.unmasked(item) for item in value]
        return self._text(value) if isinstance(value, str) and MARK_START in value else value

    def _text(self, redacted: str) -> str:
        if self._texts is None:
            self._texts = sorted(set(_leaves(self._given)))
            for text in self._texts:
                for mark in self._marks_of(text):
                    self._known.setdefault(mark, set()).add(text)
        if MARK.fullmatch(redacted):
            found = sorted(self._known.get(redacted, ()))
        else:
            found = [text for text in self._texts if is_made_of(redacted, text, self._marks_of)]
        if len(found) == 1:
            return found[0]
        self.is_incomplete = True
        return redacted


def _leaves(value: Any, name: str = "") -> Iterator[str]:
    if isinstance(value, Mapping):
        for key, item in value.items():
            yield from _leaves(item, str(key))
    elif isinstance(value, (list, tuple)):
        for item in value:
            yield from _leaves(item)
    elif isinstance(value, str) and name == "manifest":
        from mcp_tools.manifest_documents import documents_of

        try:
            yield from (leaf for document in documents_of(value) for leaf in _leaves(document))
        except InvalidArguments:
            yield value
    elif value is not None and not isinstance(value, bool):
        yield str(value)
