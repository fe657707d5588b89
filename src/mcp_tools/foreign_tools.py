"""The tools that another server lists, as they may be shown to a model: another's text, redacted, plain and bounded.

Its hints are left out altogether: whether a tool changes something is nothing that its own server can vouch for, so each
counts as one that does.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

from mcp_tools.plain_text import plain_text
from mcp_tools.tool_spec import ToolSpec

log = logging.getLogger(__name__)

MOST_TOOLS = 200
NAME_CHARACTERS = 128
TITLE_CHARACTERS = 120
DESCRIPTION_CHARACTERS = 1_200
ARGUMENT_CHARACTERS = 300
"""Of the description of one argument."""
SCHEMA_CHARACTERS = 12_000
"""A schema that is longer loses the descriptions in it; one that is still longer costs its tool."""
SCHEMA_LEVELS = 24

_BY_NAME = ("properties", "$defs", "definitions", "dependentSchemas")
"""Keywords whose keys are names of the server's choice, not keywords."""
_LEFT_OUT = ("pattern", "patternProperties", "$schema", "$id", "$comment", "examples")
"""Patterns: a regular expression of a stranger can take for ever on a text that a model wrote; its server has it too."""
_TEXTS = ("title", "description")


class _TooDeep(ValueError):
    """A schema nested beyond SCHEMA_LEVELS."""


def presentable(specs: Mapping[str, ToolSpec], redacted: Callable[[str], str]) -> dict[str, ToolSpec]:
    """Name -> tool. What cannot be shown is left out, and logged."""
    shown: dict[str, ToolSpec] = {}
    for spec in list(specs.values())[:MOST_TOOLS]:
        try:
            shown[spec.name] = _presentable(spec, redacted)
        except ValueError as error:
            log.warning("MCP server %s: tool %r is left out, %s", spec.server, plain_text(spec.name)[:80], error)
    if len(specs) > MOST_TOOLS:
        log.warning(
            "MCP server %s lists %d tools; the first %d are used", next(iter(shown.values())).server, len(specs), MOST_TOOLS
        )
    return shown


def _presentable(spec: ToolSpec, redacted: Callable[[str], str]) -> ToolSpec:
    if len(spec.name) > NAME_CHARACTERS or not spec.name.isprintable():
        raise ValueError("its name is too long or no plain text")

    def clean(text: str, most: int) -> str:
        plain = redacted(plain_text(text[: 2 * most]))
        return plain if len(plain) <= most else plain[: most - 1] + "…"

    return replace(
        spec,
        title=clean(spec.title, TITLE_CHARACTERS),
        description=clean(spec.description, DESCRIPTION_CHARACTERS),
        input_schema=_schema(spec.input_schema, clean),
        output_schema=None,
        read_only=False,
        destructive=True,
        idempotent=False,
    )


def _schema(schema: Any, clean: Callable[[str, int], str]) -> dict[str, Any]:
    """Without its descriptions when it is long. Raises ValueError when it is too long or too deep all the same."""
    for with_texts in (True, False):
        found = _cleaned(schema, clean, with_texts, SCHEMA_LEVELS)
        if not isinstance(found, dict):
            raise ValueError("its input schema is no object")
        if len(json.dumps(found)) <= SCHEMA_CHARACTERS:
            return found
    raise ValueError(f"its input schema is longer than {SCHEMA_CHARACTERS} characters")


def _cleaned(value: Any, clean: Callable[[str, int], str], with_texts: bool, levels: int) -> Any:
    if levels == 0:
        raise _TooDeep("its input schema is nested too deep")
    if isinstance(value, str):
        return clean(value, ARGUMENT_CHARACTERS)
    if isinstance(value, list):
        return [_cleaned(item, clean, with_texts, levels - 1) for item in value]
    if not isinstance(value, dict):
        return value
    found: dict[str, Any] = {}
    for key, item in value.items():
        if key in _BY_NAME and isinstance(item, dict):
            found[key] = {plain_text(name): _cleaned(one, clean, with_texts, levels - 1) for name, one in item.items()}
        elif key not in _LEFT_OUT and (with_texts or key not in _TEXTS):
            found[plain_text(key)] = _cleaned(item, clean, with_texts, levels - 1)
    return found
