"""OpenAPI schemas in objects (of custom resource definitions): they describe values, and hold none but defaults and examples."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from mcp_tools.redaction_values import ValueRules

_VALUES = frozenset({"default", "example", "examples", "enum", "const"})
_NAMED_SCHEMAS = frozenset({"properties", "patternProperties", "$defs", "definitions"})


def redact_schema(
    rules: ValueRules, redact_mapping: Callable[[dict[str, Any]], object], name: str, schema: dict[str, Any]
) -> None:
    """Redact the schema of the property `name` in place; its values as if they stood under that name in a mapping."""
    for key, value in schema.items():
        if key in _VALUES:
            example = {name: value}
            redact_mapping(example)
            schema[key] = next(iter(example.values()))
        elif type(value) is str:
            schema[key] = rules.shape_only(key, value)
        elif type(value) is dict:
            if key in _NAMED_SCHEMAS:
                for inner, described in value.items():
                    if type(described) is dict:
                        redact_schema(rules, redact_mapping, inner, described)
            else:
                redact_schema(rules, redact_mapping, name, value)
        elif type(value) is list:
            for item in value:
                if type(item) is dict:
                    redact_schema(rules, redact_mapping, name, item)
