"""Helm releases, read from Helm's own records: no helm command, no tiller, nothing that writes."""

from __future__ import annotations

import copy
import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import orjson

from configuration.errors import ClusterError, InvalidArguments
from kinds.counted import counted
from kinds.times import to_rfc3339
from mcp_tools.answer_budget import fitting
from mcp_tools.at_most import at_most
from mcp_tools.helm_drift import ObjectDrift, drift_of
from mcp_tools.helm_manifests import as_yaml, objects_of, redacted_text, secret_values, without_values
from mcp_tools.helm_releases import Release, Revision, chosen, latest, read_release, revisions
from mcp_tools.k8s_api import ClusterApi
from mcp_tools.object_names import namespace_name, new_object_name
from mcp_tools.output_schemas import obj
from mcp_tools.plain_text import plain_text, plain_value
from mcp_tools.tool_declaration import CONTEXT, MAX_TOKENS, ToolAnswer, ToolContext, ToolDeclaration, integer, text, tool

_TEXT = {"type": "string"}
_WHAT = ("list", "status", "history", "values", "all_values", "manifest", "notes", "drift")
_READ_AT_MOST = 50
"""Records that are read for charts and descriptions in one answer: up to a megabyte each."""
_VALUE = 300
_ROWS = (
    "list, history: {namespace, name, revision, status, updated, chart, app_version, description}; "
    "drift: {object, state, path, manifest, live} or {object, state, reason}"
)
_USUAL = re.compile(r"(?:Install|Upgrade) complete|Uninstallation complete|Rollback to \d+|")


@tool(
    "k8s_helm",
    title="Helm releases",
    arguments={
        "context": CONTEXT,
        "what": text("drift: where live objects differ from the release.", choices=_WHAT, default="list"),
        "release": text("For all but list.", max_length=53, default=""),
        "namespace": text("Empty: list all, else the context's own.", max_length=63, default=""),
        "revision": integer("Default: the newest.", minimum=1, maximum=999_999_999),
        "only": text("Kind/name for manifest and drift, a.b.c for values.", max_length=400, default=""),
        "max_tokens": MAX_TOKENS,
    },
    output=obj(
        {
            "cluster": _TEXT,
            "what": _TEXT,
            "release": {
                "type": ["object", "null"],
                "description": "namespace, name, revision, status, updated, chart, app_version, description; null for list",
            },
            "rows": {"type": "array", "items": {"type": "object"}, "description": _ROWS},
            "counts": {"type": "object", "description": "Objects by state (drift), releases by status (list)"},
            "added": {"type": "array", "items": _TEXT, "description": "drift: what live objects have besides; not counted"},
            "total": {"type": "integer", "description": "Rows, lines of values or notes, objects of a manifest"},
            "shown": {"type": "integer"},
            "note": _TEXT,
        }
    ),
)
async def helm(
    tools: ToolContext, *, context: str = "", what: str = "list", release: str = "", namespace: str = "",
    revision: int | None = None, only: str = "", max_tokens: int = 4000,
) -> ToolAnswer:  # fmt: skip
    """Helm releases as recorded, and what has drifted from them; secrets redacted."""
    api = tools.clusters.api(context)
    scope = namespace_name(namespace) if namespace else ""
    if what == "list":
        return await _list(tools, api, scope, release, max_tokens)
    if not release:
        raise InvalidArguments(f"k8s_helm: what={what} needs `release`; k8s_helm what=list names those there are")
    name, scope = new_object_name(release), scope or tools.clusters.own_namespace(api.context)
    found = await revisions(api, scope, name)
    which = chosen(found, scope, name, revision, deployed=what == "drift")
    record = await read_release(api, which)
    asked = _Asked(tools, api, what, _release_row(tools, which, record), max_tokens)
    if what == "history":
        return await _history(asked, found, which, record)
    if what in ("values", "all_values"):
        return _values(asked, record, only)
    if what == "manifest":
        return _manifest(asked, record, only)
    if what == "drift":
        return await _drift(asked, record, only)
    return _notes(asked, record) if what == "notes" else _status(asked, record)


@dataclass(frozen=True, slots=True)
class _Asked:
    """What every answer about one release needs."""

    tools: ToolContext
    api: ClusterApi
    what: str
    release: dict[str, Any]
    max_tokens: int

    def answer(self, lines: Sequence[str], **structured: Any) -> ToolAnswer:
        """The release in the first line, then the lines, then the note."""
        row = self.release
        head = f"Helm release {row['namespace']}/{row['name']} revision {row['revision']} ({row['status']}), chart {row['chart']}"
        return _answer(self.api, self.what, [head, *lines], release=row, **structured)


def _answer(api: ClusterApi, what: str, lines: Sequence[str], **structured: Any) -> ToolAnswer:
    content: dict[str, Any] = {
        "cluster": api.context,
        "what": what,
        "release": None,
        "rows": [],
        "counts": {},
        "added": [],
        "total": 0,
    }
    content |= {"shown": 0, "note": ""} | structured
    text_ = "\n".join([*lines, *([f"[{content['note']}]"] if content["note"] else [])])
    return ToolAnswer(plain_text(text_), content)


# --- list and history ---


async def _list(tools: ToolContext, api: ClusterApi, namespace: str, name: str, max_tokens: int) -> ToolAnswer:
    """The newest revision of each release, those that are not deployed first."""
    found = latest(await revisions(api, namespace, new_object_name(name) if name else ""))
    found.sort(key=lambda one: (one.status == "deployed", one.namespace, one.name))
    rows = await _rows(tools, api, found, min(_READ_AT_MOST, max_tokens // 60))
    counts = dict(Counter(str(row["status"]) for row in rows))

    def render(shown: Sequence[dict[str, Any]]) -> ToolAnswer:
        note = _left_out(len(shown), len(rows), "releases", "name a namespace or raise max_tokens")
        if any(row["chart"] is None for row in shown):
            note = "; ".join(part for part in (note, "charts that are not shown: what=status tells them") if part)
        lines = [f"{len(rows)} Helm releases in {namespace or 'all namespaces'} of {api.context}", _HEAD, *map(_line, shown)]
        facts = {"rows": list(shown), "counts": counts, "total": len(rows), "shown": len(shown), "note": note}
        return _answer(api, "list", lines, **facts)

    return fitting(rows, render, max_tokens)


async def _history(asked: _Asked, found: Sequence[Revision], which: Revision, record: Release) -> ToolAnswer:
    rows = await _rows(asked.tools, asked.api, found, min(_READ_AT_MOST, asked.max_tokens // 60), {which: record})

    def render(shown: Sequence[dict[str, Any]]) -> ToolAnswer:
        note = _left_out(len(shown), len(rows), "revisions", "raise max_tokens")
        return asked.answer([_HEAD, *map(_line, shown)], rows=list(shown), total=len(rows), shown=len(shown), note=note)

    return fitting(rows, render, asked.max_tokens)


async def _rows(
    tools: ToolContext, api: ClusterApi, found: Sequence[Revision], read: int, known: dict[Revision, Release] | None = None
) -> list[dict[str, Any]]:
    """The first ones with what their records say, the others with what their labels say."""

    async def one(revision: Revision) -> Release | None:
        if known and revision in known:
            return known[revision]
        try:
            return await read_release(api, revision)
        except ClusterError:  # damaged, deleted meanwhile, or not permitted: its labels are still an answer
            return None

    records = await at_most(found[:read], one)
    return [_release_row(tools, one, record) for one, record in zip(found, [*records, *[None] * len(found)], strict=False)]


def _release_row(tools: ToolContext, revision: Revision, record: Release | None) -> dict[str, Any]:
    row: dict[str, Any] = {
        "namespace": revision.namespace,
        "name": revision.name,
        "revision": revision.revision,
        "status": _clean(tools, revision.status),
        "updated": to_rfc3339(revision.updated) if revision.updated is not None else None,
        "chart": None,
        "app_version": None,
        "description": None,
    }
    if record is None:
        return row
    chart = record.chart.metadata
    described = record.info.description
    if _USUAL.fullmatch(described) is None:
        described = without_values(tools.redactor, described, secret_values(objects_of(record.manifest), record.config or {}))
    return row | {
        "chart": _clean(tools, f"{chart.name}-{chart.version}") if chart else None,
        "app_version": _clean(tools, chart.app_version) if chart else None,
        "description": _clean(tools, described),
    }


_HEAD = "namespace\tname\trevision\tstatus\tupdated\tchart\tapp version\tdescription"


def _line(row: dict[str, Any]) -> str:
    return "\t".join("-" if value in (None, "") else str(value) for value in row.values())


# --- one release ---


def _status(asked: _Asked, record: Release) -> ToolAnswer:
    kinds = Counter(one.title.partition(" ")[0] for one in objects_of(record.manifest))
    info = record.info
    row = asked.release
    lines = [f"updated {row['updated'] or '-'}, first deployed {_clean(asked.tools, info.first_deployed) or '-'}"]
    lines += [f"app version {row['app_version'] or '-'}; {row['description'] or 'no description'}"]
    lines += ["objects: " + (", ".join(f"{count} {kind}" for kind, count in kinds.most_common(40)) or "none")]
    return asked.answer(lines, counts=dict(kinds.most_common(40)), total=sum(kinds.values()), shown=len(kinds))


def _values(asked: _Asked, record: Release, only: str) -> ToolAnswer:
    """Redacted first, then cut down to what is asked for: what a name says about a value must not get lost."""
    values = copy.deepcopy(record.config or {})
    if asked.what == "all_values":
        values = _merged(copy.deepcopy(record.chart.values or {}), values)
    redacted: Any = asked.tools.redactor.redact_object(values)
    for key in only.split(".") if only else ():
        if not isinstance(redacted, dict) or key not in redacted:
            known = ", ".join(list(redacted)[:30]) if isinstance(redacted, dict) else "no names"
            raise InvalidArguments(f"k8s_helm: there are no values under {only[:200]!a}; at {key[:60]!a} there are: {known}")
        redacted = redacted[key]
    return _cut_text(asked, as_yaml(redacted) if redacted != {} else "", "only=NAME.NAME for a part")


def _merged(defaults: dict[str, Any], given: dict[str, Any]) -> dict[str, Any]:
    """As Helm does: what is given wins, null takes a default away."""
    for key, value in given.items():
        if value is None:
            defaults.pop(key, None)
        elif isinstance(value, dict) and isinstance(defaults.get(key), dict):
            _merged(defaults[key], value)
        else:
            defaults[key] = value
    return defaults


def _notes(asked: _Asked, record: Release) -> ToolAnswer:
    hidden = secret_values(objects_of(record.manifest), record.config or {})
    words = without_values(asked.tools.redactor, record.info.notes, hidden)
    return _cut_text(asked, asked.tools.redactor.redact_text(words).strip(), "raise max_tokens")


def _cut_text(asked: _Asked, content: str, how: str) -> ToolAnswer:
    lines = content.splitlines()

    def render(shown: Sequence[str]) -> ToolAnswer:
        note = _left_out(len(shown), len(lines), "lines", how) if lines else f"there are no {asked.what.replace('_', ' ')}"
        return asked.answer(shown, total=len(lines), shown=len(shown), note=note)

    return fitting(lines, render, asked.max_tokens)


def _manifest(asked: _Asked, record: Release, only: str) -> ToolAnswer:
    objects = [one for one in objects_of(record.manifest) if _is_meant(one.title, only)]
    texts = [(one.title, redacted_text(asked.tools.redactor, one)) for one in objects]

    def render(shown: Sequence[tuple[str, str]]) -> ToolAnswer:
        left = [title for title, _ in texts[len(shown) :]]
        note = _left_out(
            len(shown), len(texts), "objects", f"only=KIND/NAME for one of: {', '.join(left[: min(20, asked.max_tokens // 100)])}"
        )
        lines = [line for _, content in shown for line in ("---", content)]
        return asked.answer(lines, total=len(texts), shown=len(shown), note=note if texts else f"no object is called {only!a}")

    answer = fitting(texts, render, asked.max_tokens)
    if len(texts) == 1 and answer.structured is not None and not answer.structured["shown"]:
        return _cut_text(asked, texts[0][1], "raise max_tokens")
    return answer


def _is_meant(title: str, only: str) -> bool:
    """`Deployment/web` means `Deployment shop/web`."""
    kind, _, name = only.lower().partition("/")
    own_kind, _, place = title.lower().partition(" ")
    return not only or (own_kind == kind and place.rpartition("/")[2] == name)


# --- drift ---


async def _drift(asked: _Asked, record: Release, only: str) -> ToolAnswer:
    objects = [one for one in objects_of(record.manifest) if _is_meant(one.title, only)]
    served = await asked.tools.discovery.served(asked.api)
    found = await drift_of(asked.api, asked.tools.redactor, served, objects, asked.release["namespace"])
    rows = [row for one in found for row in _drift_rows(asked.tools, one)]
    counts = dict(Counter(one.state for one in found))
    added = [_clean(asked.tools, f"{one.title} {path}") for one in found for path in one.added]

    def render(shown: Sequence[dict[str, Any]]) -> ToolAnswer:
        note = _left_out(len(shown), len(rows), "differences", "only=KIND/NAME for one object")
        if not objects:
            note = f"no object is called {only!a}" if only else "the release has no objects"
        words = ", ".join(f"{count} {_STATES[state]}" for state, count in counts.items()) or "nothing to compare"
        lines = [f"{counted(len(objects), 'object')}: {words}", *map(_drift_line, shown)]
        lines += [f"besides: {', '.join(added[:10])}"] if added else []
        facts = {"rows": list(shown), "counts": counts, "added": added[:10], "total": len(rows), "shown": len(shown)}
        return asked.answer(lines, **facts, note=note)

    return fitting(rows, render, asked.max_tokens)


_STATES = {"same": "as written", "differs": "differ", "missing": "missing", "unknown": "could not be compared"}


def _drift_rows(tools: ToolContext, one: ObjectDrift) -> list[dict[str, Any]]:
    title = _clean(tools, one.title)
    if one.state in ("missing", "unknown"):
        return [{"object": title, "state": one.state, "reason": _clean(tools, one.reason)}]
    return [
        {
            "object": title,
            "state": one.state,
            "path": plain_text(difference.path)[:_VALUE],
            "manifest": _shown(difference.manifest),
            "live": _shown(difference.live),
        }
        for difference in one.differences
    ]


def _drift_line(row: dict[str, Any]) -> str:
    if row["state"] != "differs":
        return f"{row['object']}: {row['state']}" + (f" ({row['reason']})" if row["reason"] else "")
    return f"{row['object']} {row['path']}: {_written(row['manifest'])} -> live {_written(row['live'])}"


def _shown(value: Any) -> Any:
    """A scalar as it is, everything long as the beginning of its JSON."""
    if isinstance(value, str):
        return plain_text(value) if len(value) <= _VALUE else plain_text(value[: _VALUE - 1]) + "…"
    if isinstance(value, (dict, list)):
        written = orjson.dumps(plain_value(value)).decode()
        return plain_value(value) if len(written) <= _VALUE else written[: _VALUE - 1] + "…"
    return value


def _written(value: Any) -> str:
    return "(none)" if value is None else value if isinstance(value, str) else orjson.dumps(value).decode()


def _left_out(shown: int, total: int, what: str, how: str) -> str:
    return f"{shown} of {total} {what} shown; {how}" if shown < total else ""


def _clean(tools: ToolContext, words: str) -> str:
    """Words from the cluster, on one line."""
    return " ".join(plain_text(tools.redactor.redact_text(words)).split())[:_VALUE]


TOOLS: tuple[ToolDeclaration, ...] = (helm,)
