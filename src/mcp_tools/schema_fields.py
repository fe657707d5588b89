"""The fields of a kind, read from its OpenAPI schema: names, types, what is required, what they are for."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from mcp_tools.openapi_schemas import Schemas

_REF = "#/components/schemas/"
_FOLLOWED = 20
"""References to references, lists in lists: no real schema has as many, one that goes round has more."""

Schema = dict[str, Any]


@dataclass(frozen=True, slots=True)
class SchemaField:
    """One field. `type` as kubectl explain writes it: `string`, `[]Container`, `map[string]string`; `schema` is its own."""

    name: str
    type: str
    required: bool
    description: str
    values: tuple[str, ...]
    """What it may be set to, where that is a short list."""
    schema: Schema
    has_fields: bool


def fields_of(schemas: Schemas, schema: Schema) -> list[SchemaField]:
    """The fields of an object, or of the items of a list or map; [] when it has none that are known."""
    target = _inner(schemas, schema)
    properties = target.get("properties")
    required = target.get("required")
    names = set(required) if isinstance(required, list) else set()
    if not isinstance(properties, dict):
        return []
    return [_field(schemas, str(name), prop, str(name) in names) for name, prop in properties.items() if isinstance(prop, dict)]


def field_named(schemas: Schemas, schema: Schema, name: str) -> SchemaField | None:
    """None when there is no such field. Any key of a map is one."""
    for found in fields_of(schemas, schema):
        if found.name == name:
            return found
    values = _target(schemas, schema).get("additionalProperties")
    return _field(schemas, name, values, required=False) if isinstance(values, dict) else None


def description_of(schemas: Schemas, schema: Schema) -> str:
    """Of the field itself, else of its type."""
    own = schema.get("description")
    return str(own or _target(schemas, schema).get("description") or "")


def type_of(schemas: Schemas, schema: Schema, depth: int = 0) -> str:
    """`string`, `[]Container`, `map[string]Quantity`, `object`."""
    if depth > _FOLLOWED:
        return "…"
    if name := _ref(schema):
        return name.rpartition(".")[2]
    if schema.get("x-kubernetes-int-or-string"):
        return "IntOrString"
    kind = schema.get("type")
    if kind == "array":
        return f"[]{type_of(schemas, _dict(schema.get('items')), depth + 1)}"
    values = schema.get("additionalProperties")
    if isinstance(values, dict) and not schema.get("properties"):
        return f"map[string]{type_of(schemas, values, depth + 1)}"
    return kind if isinstance(kind, str) else "any"


def tree(schemas: Schemas, schema: Schema, levels: int, most: int) -> Iterator[tuple[int, SchemaField]]:
    """Every field with its depth, in the order of reading, `levels` deep, at most `most` of them.

    A type inside itself (a schema that describes schemas) is named there and not gone into again.
    """
    left = [most]
    yield from _tree(schemas, schema, 0, levels, left, ())


def _tree(
    schemas: Schemas, schema: Schema, depth: int, levels: int, left: list[int], above: Sequence[str]
) -> Iterator[tuple[int, SchemaField]]:
    for found in fields_of(schemas, schema):
        if left[0] <= 0:
            return
        left[0] -= 1
        yield depth, found
        own = found.type.rpartition("]")[2]
        if depth + 1 < levels and found.has_fields and (own == "object" or own not in above):
            yield from _tree(schemas, found.schema, depth + 1, levels, left, (*above, own))


def _field(schemas: Schemas, name: str, schema: Schema, required: bool) -> SchemaField:
    enum = schema.get("enum")
    values = tuple(str(value) for value in enum) if isinstance(enum, list) else ()
    inner = _inner(schemas, schema)
    has_fields = isinstance(inner.get("properties"), dict) and bool(inner["properties"])
    return SchemaField(name, type_of(schemas, schema), required, description_of(schemas, schema), values, schema, has_fields)


def _inner(schemas: Schemas, schema: Schema) -> Schema:
    """What stands inside lists and maps: of `[]Container` the Container."""
    found = _target(schemas, schema)
    for _ in range(_FOLLOWED):
        inner = found.get("items") if found.get("type") == "array" else found.get("additionalProperties")
        if not isinstance(inner, dict) or found.get("properties"):
            return found
        found = _target(schemas, inner)
    return {}


def _target(schemas: Schemas, schema: Schema) -> Schema:
    """The schema that a reference means."""
    for _ in range(_FOLLOWED):
        name = _ref(schema)
        if not name:
            return schema
        schema = schemas.schema(name)
    return {}


def _ref(schema: Schema) -> str:
    """`io.k8s.api.core.v1.PodSpec`; references with words of their own stand in an allOf."""
    found = schema.get("$ref")
    parts = schema.get("allOf")
    if found is None and isinstance(parts, list) and len(parts) == 1 and isinstance(parts[0], dict):
        found = parts[0].get("$ref")
    return found[len(_REF) :] if isinstance(found, str) and found.startswith(_REF) else ""


def _dict(value: Any) -> Schema:
    return value if isinstance(value, dict) else {}
