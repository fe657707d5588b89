"""What the fields of a kind mean, from the schemas that the API server itself publishes."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from configuration.errors import InvalidArguments, KindNotServed
from kinds.kind import Kind
from mcp_tools.answer_budget import answer_tokens, fitting
from mcp_tools.discovery import kind_of
from mcp_tools.k8s_api import ClusterApi
from mcp_tools.openapi_schemas import Schemas
from mcp_tools.output_schemas import obj
from mcp_tools.plain_text import plain_text
from mcp_tools.schema_fields import SchemaField, description_of, field_named, fields_of, tree, type_of
from mcp_tools.tool_declaration import CONTEXT, MAX_TOKENS, ToolAnswer, ToolContext, ToolDeclaration, boolean, text, tool

_DESCRIPTION = 1500
_DESCRIPTIONS = (300, 160, 80, 40, 0)
"""Characters of each field's description: as many as fit for all fields."""
_LEVELS = 12
_MOST = 5000
_TEXT = {"type": "string"}
_INDEX = re.compile(r"\[[^\]]{0,20}\]")
_FIELD = obj(
    {
        "name": _TEXT,
        "type": _TEXT,
        "required": {"type": "boolean"},
        "description": _TEXT,
        "values": {"type": "array", "items": _TEXT},
    },
    optional=("description", "values"),
)


@dataclass(frozen=True, slots=True)
class _Place:
    """Where a path leads."""

    cluster: str
    kind: Kind
    path: str
    type: str
    description: str
    fields: Sequence[SchemaField]


@tool(
    "k8s_explain",
    title="Explain the fields of a kind",
    arguments={
        "context": CONTEXT,
        "path": text("e.g. pods.spec.containers", max_length=500),
        "recursive": boolean("All levels, names and types only.", default=False),
        "max_tokens": MAX_TOKENS,
    },
    output=obj(
        {
            "cluster": _TEXT,
            "kind": _TEXT,
            "api_version": _TEXT,
            "path": _TEXT,
            "type": _TEXT,
            "description": _TEXT,
            "fields": {"type": "array", "items": _FIELD, "description": "One level; empty when recursive: those are in the text"},
            "total": {"type": "integer", "description": "Fields that there are, of all levels when recursive"},
            "shown": {"type": "integer"},
            "note": _TEXT,
        }
    ),
)
async def explain(
    tools: ToolContext, *, path: str, context: str = "", recursive: bool = False, max_tokens: int = 4000
) -> ToolAnswer:
    """Fields of a kind (custom ones too) with type and meaning, from the cluster's own schema."""
    api = tools.clusters.api(context)
    kind, names = await _kind_and_fields(tools, api, path)
    schemas = await tools.openapi.of(api, kind)
    root = schemas.kinds.get(kind.kind)
    if root is None:
        raise KindNotServed(
            f"context {api.context} publishes no schema for {kind.kind} of {kind.api_version}: its definition may have none",
            status=404,
            reason="NoSchema",
        )
    place, schema = _walk(tools, api.context, kind, schemas, root, names)
    return _tree_answer(place, schemas, schema, max_tokens) if recursive else _level_answer(tools, place, max_tokens)


async def _kind_and_fields(tools: ToolContext, api: ClusterApi, path: str) -> tuple[Kind, list[str]]:
    """`widgets.example.com.spec.size` -> the kind and [spec, size]. The longest name of a kind wins."""
    parts = _INDEX.sub("", path.strip()).split(".")
    if not all(parts):
        raise InvalidArguments(f"k8s_explain: path {path[:100]!a} has an empty part; expected e.g. pods.spec.containers")
    if len(parts) > 1:
        served = {one.full_name: one for one in (await tools.discovery.served(api)).resources if one.group}
        for length in range(len(parts), 1, -1):
            head = ".".join(parts[:length]).lower()
            if head in served:
                return kind_of(served[head]), parts[length:]
    return await tools.discovery.kind(api, parts[0]), parts[1:]


def _walk(
    tools: ToolContext, cluster: str, kind: Kind, schemas: Schemas, root: str, names: Sequence[str]
) -> tuple[_Place, dict[str, Any]]:
    schema: dict[str, Any] = schemas.schema(root)
    walked = kind.name
    type_, description = kind.kind, description_of(schemas, schema)
    for name in names:
        found = field_named(schemas, schema, name)
        if found is None:
            known = ", ".join(field.name for field in fields_of(schemas, schema)[:60])
            raise InvalidArguments(
                f"k8s_explain: {walked} has no field {name[:60]!a} in {kind.api_version}; it has: {known or 'none'}"
            )
        schema, type_, description = found.schema, type_of(schemas, found.schema), found.description
        walked += f".{found.name}"
    told = _told(tools, description, _DESCRIPTION)
    return _Place(cluster, kind, walked, type_, told, fields_of(schemas, schema)), schema


def _level_answer(tools: ToolContext, place: _Place, max_tokens: int) -> ToolAnswer:
    """All fields with as much description as fits; when even their names do not, the first ones."""
    for length in _DESCRIPTIONS:
        rows = [_row(tools, field, length) for field in place.fields]
        answer = _level(place, rows, len(rows), cut=length < _DESCRIPTIONS[0])
        if answer_tokens(answer) <= max_tokens:
            return answer
    return fitting(rows, lambda shown: _level(place, shown, len(rows), cut=True), max_tokens)


def _level(place: _Place, rows: Sequence[dict[str, Any]], total: int, *, cut: bool) -> ToolAnswer:
    note = f"{len(rows)} of {total} fields shown; raise max_tokens for the rest" if len(rows) < total else ""
    if cut and rows and not note:
        note = f"descriptions are cut; k8s_explain path={place.path}.FIELD tells a whole one"
    structured = _head(place) | {"fields": list(rows), "total": total, "shown": len(rows), "note": note}
    lines = [_title(place), *([place.description] if place.description else [])]
    lines += [f"{_name_and_type(row)}\t{row.get('description', '')}".rstrip() for row in rows]
    return ToolAnswer("\n".join([*lines, *([note] if note else [])]), structured)


def _tree_answer(place: _Place, schemas: Schemas, schema: dict[str, Any], max_tokens: int) -> ToolAnswer:
    """As many levels as fit; when not even one does, its first fields."""
    found = list(tree(schemas, schema, _LEVELS, _MOST))
    deepest = max((depth for depth, _ in found), default=0) + 1
    for levels in range(deepest, 0, -1):
        lines = [_branch(depth, field) for depth, field in found if depth < levels]
        answer = _tree(place, lines, len(found), f"{levels} of {deepest} levels" if levels < deepest else "")
        if answer_tokens(answer) <= max_tokens:
            return answer
    return fitting(lines, lambda shown: _tree(place, shown, len(found), f"1 of {deepest} levels"), max_tokens)


def _tree(place: _Place, lines: Sequence[str], total: int, cut: str) -> ToolAnswer:
    note = ""
    if len(lines) < total:
        note = f"{len(lines)} of {total} fields shown ({cut}); name a deeper path, or raise max_tokens"
    elif total >= _MOST:
        note = f"only the first {_MOST} fields were read; name a deeper path"
    structured = _head(place) | {"description": "", "fields": [], "total": total, "shown": len(lines), "note": note}
    return ToolAnswer("\n".join([_title(place), *lines, *([note] if note else [])]), structured)


def _head(place: _Place) -> dict[str, Any]:
    return {
        "cluster": place.cluster,
        "kind": place.kind.kind,
        "api_version": place.kind.api_version,
        "path": place.path,
        "type": place.type,
        "description": place.description,
    }


def _title(place: _Place) -> str:
    return f"{place.path} <{place.type}> ({place.kind.kind}, {place.kind.api_version})"


def _row(tools: ToolContext, field: SchemaField, length: int) -> dict[str, Any]:
    row: dict[str, Any] = {"name": plain_text(field.name), "type": plain_text(field.type), "required": field.required}
    if field.values:
        row["values"] = [plain_text(value)[:60] for value in field.values[:20]]
    description = _told(tools, field.description, length) if length else ""
    return row | ({"description": description} if description else {})


def _branch(depth: int, field: SchemaField) -> str:
    return plain_text(f"{'  ' * depth}{field.name} <{field.type}>{' required' if field.required else ''}")


def _name_and_type(row: dict[str, Any]) -> str:
    values = f" ({', '.join(row['values'])})" if row.get("values") else ""
    return f"{row['name']} <{row['type']}>{' required' if row['required'] else ''}{values}"


def _told(tools: ToolContext, description: str, length: int) -> str:
    words = " ".join(plain_text(tools.redactor.redact_text(description[: 4 * _DESCRIPTION])).split())
    if len(words) <= length:
        return words
    return words[: length - 1].rpartition(" ")[0] + "…"


TOOLS: tuple[ToolDeclaration, ...] = (explain,)
