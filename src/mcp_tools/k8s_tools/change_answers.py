"""The answer of every tool that changes a cluster: what was changed, on what, and what goes with it, inside a budget."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

import orjson

from kinds.kind import Kind
from mcp_tools.answer_budget import answer_tokens, fitting
from mcp_tools.foreseen_changes import Foreseen
from mcp_tools.manifest_changes import changes_between
from mcp_tools.output_schemas import obj
from mcp_tools.owned_objects import MAX_LISTED
from mcp_tools.plain_text import plain_text
from mcp_tools.request_guard import foresee
from mcp_tools.tool_declaration import ToolAnswer, ToolContext, boolean, integer, text
from mcp_tools.tool_spec import MORE_IN_A_LARGER_ANSWER, SMALLEST_BUDGET

FIELD_MANAGER = "k8s-mcp"
KIND = text("Plural, or plural.group.", max_length=316)
NAME = text("Its name.")
NAMESPACE = text("Its namespace.", max_length=63, default="")
DRY_RUN = boolean("Nothing is stored.", default=False)
UID = text("Precondition.", max_length=64, default="")
RESOURCE_VERSION = text("Precondition.", max_length=64, default="")
MAX_CHANGE_TOKENS = integer("Longest answer.", minimum=SMALLEST_BUDGET, maximum=100_000, default=4000)

_SHOWN_LINES = 40
_SHORT_VALUE = 200
_SHORT_WARNINGS = 20
"""They come first, and must not push the objects out of an answer that somebody approves."""
_SHORT_NOTE = 600
_CHANGE = obj({"object": {"type": "string"}, "path": {"type": "string"}, "old": {}, "new": {}}, optional=("object",))
CHANGE_OUTPUT = obj(
    {
        "action": {"type": "string"},
        "dry_run": {"type": "boolean"},
        "object": {
            "type": "object",
            "description": "kind, namespace, name, uid, resource_version, generation, existed, replicas (before)",
        },
        "objects": {"type": "array", "items": {"type": "object"}, "description": "All of them, when it is about several"},
        "before": {
            "type": ["object", "null"],
            "description": "Redacted manifest of what is deleted; null in other changes, or as note says",
        },
        "after": {
            "type": ["object", "null"],
            "description": "Redacted manifest of what is created; null in other changes, or as note says",
        },
        "changes": {"type": "array", "items": _CHANGE},
        "owned": {
            "type": ["array", "null"],
            "description": "Objects that the garbage collector treats along with it; null: unknown",
        },
        "owned_total": {"type": ["integer", "null"]},
        "warnings": {"type": "array", "items": {"type": "string"}},
        "note": {"type": "string"},
    },
    optional=("objects",),
)

Manifest = dict[str, Any]
_Part = tuple[Literal["warnings", "objects", "changes", "owned"], Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class Changed:
    """One object, before and after; None where it does not exist. Both manifests are redacted already."""

    kind: Kind
    before: Manifest | None
    after: Manifest | None
    action: str = ""
    """What was done to this one, where that differs from the answer's: `created`, `configured`, `unchanged`."""

    @property
    def metadata(self) -> Mapping[str, Any]:
        found: Mapping[str, Any] = (self.after or self.before or {}).get("metadata") or {}
        return found

    @property
    def title(self) -> str:
        """`Deployment dev/web`."""
        return title_of(self.kind, self.metadata.get("namespace"), str(self.metadata.get("name")))

    def reference(self, *, dry_run: bool = False) -> dict[str, Any]:
        """As `object` in the answer: as it is now, which before a change is as it was. `replicas` are those before."""
        before: Mapping[str, Any] = (self.before or {}).get("metadata") or {}
        metadata = before if dry_run and before else self.metadata
        told = {
            "kind": self.kind.name,
            "namespace": metadata.get("namespace"),
            "name": metadata.get("name"),
            "uid": metadata.get("uid"),
            "resource_version": metadata.get("resourceVersion"),
            "generation": metadata.get("generation"),
            "existed": self.before is not None,
        }
        replicas = ((self.before or {}).get("spec") or {}).get("replicas")
        told |= {"replicas": replicas} if isinstance(replicas, int) else {}
        return told | ({"action": self.action} if self.action else {})


def title_of(kind: Kind, namespace: str | None, name: str) -> str:
    """`Deployment dev/web`, `Node a`."""
    return f"{kind.kind} {namespace}/{name}" if namespace else f"{kind.kind} {name}"


def foreseen_of(changed: Sequence[Changed]) -> Foreseen:
    """Objects and changes; each change names its object when there are several."""
    several = len(changed) > 1
    return Foreseen(
        objects=tuple(one.reference(dry_run=True) | {"title": one.title} for one in changed),
        changes=tuple(
            ({"object": one.title} if several else {}) | change
            for one in changed
            for change in changes_between(one.before, one.after, status=one.kind.generic)
        ),
    )


def change_answer(
    tools: ToolContext, action: str, changed: Sequence[Changed], *, dry_run: bool, note: str, max_tokens: int,
    warnings: Iterable[str] = (), owned: list[dict[str, str]] | None = None, along: Foreseen | None = None,
) -> ToolAnswer:  # fmt: skip
    """The answer about one object, or about several of which the first stands in `object`.

    What does not fit is left out in this order: manifests, long values, owned objects, changes, objects; `note` says so.
    `along`: what goes with it, which is part of what is foreseen.
    """
    facts = _Facts(
        action, tuple(changed), dry_run, plain_text(tools.redactor.redact_echo(note)),
        tuple(plain_text(tools.redactor.redact_echo(warning)) for warning in warnings), owned,
    )  # fmt: skip
    foreseen = facts.foreseen()
    foresee(replace(foreseen, contents=along.contents, owned=along.owned) if along else foreseen)
    whole = _render(facts, facts.parts(), manifests=True, left_out="")
    if answer_tokens(whole) <= max_tokens:
        return whole
    parts = facts.parts(short=True)

    def render(kept: Sequence[_Part]) -> ToolAnswer:
        return _render(facts, kept, manifests=False, left_out=_left_out(facts, parts, kept))

    return fitting(parts, render, max_tokens)


@dataclass(frozen=True, slots=True)
class _Facts:
    action: str
    changed: tuple[Changed, ...]
    dry_run: bool
    note: str
    warnings: tuple[str, ...]
    owned: list[dict[str, str]] | None

    @property
    def whole(self) -> bool:
        """Whether the manifests are shown: those of an object that comes or goes. Of another, `changes` say all that matters."""
        (first, *others) = self.changed
        return not others and (self.action == "delete" or first.before is None or first.after is None)

    def foreseen(self) -> Foreseen:
        """Whole, for whoever is asked about it."""
        return replace(foreseen_of(self.changed), note=self.note, warnings=self.warnings)

    def parts(self, *, short: bool = False) -> list[_Part]:
        """All that can be left out, the most important first."""
        several = len(self.changed) > 1
        warnings = [_cut(warning, _SHORT_VALUE) for warning in self.warnings[:_SHORT_WARNINGS]] if short else self.warnings
        parts: list[_Part] = [("warnings", warning) for warning in warnings]
        parts += [("objects", changed.reference(dry_run=self.dry_run)) for changed in self.changed] if several else []
        for change in foreseen_of(self.changed).changes:
            values = {key: _short(change[key]) for key in ("old", "new")} if short else {}
            parts.append(("changes", {**change, **values}))
        return [*parts, *(("owned", item) for item in (self.owned or [])[:MAX_LISTED])]


def _render(facts: _Facts, parts: Sequence[_Part], *, manifests: bool, left_out: str) -> ToolAnswer:
    first = facts.changed[0]
    one, shown = len(facts.changed) == 1, manifests and facts.whole
    by_part: dict[str, list[Any]] = {"warnings": [], "objects": [], "changes": [], "owned": []}
    for part, item in parts:
        by_part[part].append(item)
    said = facts.note if manifests else _cut(facts.note, _SHORT_NOTE)
    note = f"{said}; {left_out}" if left_out else said
    structured = {
        "action": facts.action,
        "dry_run": facts.dry_run,
        "object": first.reference(dry_run=facts.dry_run),
        **({} if one else {"objects": by_part["objects"]}),
        "before": first.before if shown else None,
        "after": first.after if shown else None,
        "changes": by_part["changes"],
        "owned": by_part["owned"] if facts.owned is not None else None,
        "owned_total": len(facts.owned) if facts.owned is not None else None,
        "warnings": by_part["warnings"],
        "note": note,
    }
    return ToolAnswer(_text(facts, by_part, note), structured)


def _text(facts: _Facts, by_part: Mapping[str, list[Any]], note: str) -> str:
    lines = [("dry run, nothing is stored: " if facts.dry_run else "") + note]
    lines += [f"warning: {warning}" for warning in by_part["warnings"]]
    changes = [change for change in by_part["changes"] if change["path"]]
    for change in changes[:_SHOWN_LINES]:
        about = f"{change['object']} " if "object" in change else ""
        lines.append(f"{about}{change['path']}: {_shown(change['old'])} -> {_shown(change['new'])}")
    if len(changes) > _SHOWN_LINES:
        lines.append(f"… {_SHOWN_LINES} of {len(changes)} changes shown here, all in structured content")
    return plain_text("\n".join(lines))


def _left_out(facts: _Facts, parts: Sequence[_Part], kept: Sequence[_Part]) -> str:
    said = ["before and after are left out"] if facts.whole else []
    for part in ("warnings", "objects", "changes", "owned"):
        total, shown = sum(name == part for name, _ in parts), sum(name == part for name, _ in kept)
        total = len(facts.warnings) if part == "warnings" else total
        said += [f"{shown} of {total} {'owned objects' if part == 'owned' else part} shown"] if shown < total else []
    more = MORE_IN_A_LARGER_ANSWER if facts.dry_run else "k8s_get_resource reads what is there now"
    return f"{', '.join(said or ['long values are cut'])} ({more})"


def _short(value: Any) -> Any:
    if isinstance(value, str):
        return _cut(value, _SHORT_VALUE)
    written = _shown_whole(value)
    return value if len(written) <= _SHORT_VALUE else _cut(written, _SHORT_VALUE)


def _shown(value: Any) -> str:
    return _cut(_shown_whole(value), _SHORT_VALUE)


def _shown_whole(value: Any) -> str:
    return orjson.dumps(value).decode()


def _cut(written: str, most: int) -> str:
    return written if len(written) <= most else f"{written[:most]}… ({len(written)} characters)"
