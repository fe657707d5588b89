"""Output schemas, derived from the same declarations as the rows."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from kinds.kind import Column, Kind

_JSON_TYPES: Mapping[str, str] = {
    "text": "string",
    "time": "string",
    "integer": "integer",
    "real": "number",
    "boolean": "boolean",
}

ENVELOPE: dict[str, Any] = {
    "type": "object",
    "description": "Source and age of the answer; total is null when counting would need another read",
    "properties": {
        "source": {"type": "string"},
        "cluster": {"type": "string"},
        "kind": {"type": "string"},
        "as_of": {"type": "string"},
        "age_seconds": {"type": "integer"},
        "ttl_seconds": {"type": ["integer", "null"]},
        "fresh": {"type": "boolean"},
        "complete": {"type": "boolean"},
        "total": {"type": ["integer", "null"]},
        "shown": {"type": "integer"},
        "more": {"type": "boolean"},
        "asked": {"type": "string", "description": "What the list was narrowed to; missing: to nothing"},
        "note": {"type": "string"},
    },
    "required": ["source", "cluster", "as_of", "fresh", "complete", "total", "shown", "more"],
}
_CONTINUE = {"type": "string", "description": "Pass as continue_token for the next rows; empty at the end"}
_COUNT_OR_NULL = {"type": ["integer", "null"]}
_STRING = {"type": "string"}
SUMMARY: dict[str, Any] = {
    "type": "object",
    "description": "Instead of all rows, when they do not fit: counted over the whole list",
    "properties": {
        "total": {"type": "integer"},
        "states": {"type": "object", "additionalProperties": {"type": "integer"}},
        "unhealthy": {"type": ["integer", "null"], "description": "Null for a kind without health"},
        "unhealthy_rows": {"type": "array", "items": {"type": "object"}},
        "unhealthy_continue": {
            "type": "string",
            "description": "For the next of them: continue_token of a call with healthy=false",
        },
        "namespaces": {
            "type": "array",
            "description": "Ten at most, those with most that is not healthy first",
            "items": {
                "type": "object",
                "properties": {"namespace": _STRING, "total": {"type": "integer"}, "unhealthy": _COUNT_OR_NULL},
            },
        },
        "namespaces_total": {"type": "integer"},
    },
    "required": ["total", "states", "unhealthy", "namespaces", "namespaces_total"],
}


def row_schema(kind: Kind) -> dict[str, Any]:
    """One row of a list of this kind."""
    columns = [kind.columns_by_name[name] for name in kind.list_columns]
    return {"type": "object", "properties": {column.name: _value(column) for column in columns}}


def list_schema(kind: Kind | None) -> dict[str, Any]:
    """The answer of a list tool; None: rows of any kind."""
    rows = row_schema(kind) if kind else {"type": "object"}
    properties = {"summary": SUMMARY, "rows": {"type": "array", "items": rows}, "envelope": ENVELOPE, "continue": _CONTINUE}
    return obj(properties, optional=("summary",))


def obj(properties: Mapping[str, Any], optional: tuple[str, ...] = ()) -> dict[str, Any]:
    """An object whose properties are there, but for the optional ones."""
    return {"type": "object", "properties": dict(properties), "required": [name for name in properties if name not in optional]}


LEFT_OUT: dict[str, Any] = {
    "type": "array",
    "description": "Parts that did not fit; a note stands in their place, and `path` asks for one of them",
    "items": obj(
        {
            "path": {"type": "string"},
            "tokens": {"type": "integer"},
            "shown": {"type": "integer", "description": "Of a range: how many members stand before it"},
            "total": {"type": "integer", "description": "Of a range: how many members there are"},
        },
        optional=("shown", "total"),
    ),
}


def _value(column: Column) -> dict[str, Any]:
    if column.type == "json":
        return {}
    json_type = _JSON_TYPES[column.type]
    return {"type": [json_type, "null"] if column.nullable else json_type}
