"""Argument schemas as models see them: every model pays for each word of every tool, in every conversation.

The gate checks calls against the whole schema, so what is left out here is still refused, with the bound named.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

COMMON: Mapping[str, str] = {
    "context": "kubeconfig context; empty: the current one",
    "namespace": "empty: all of them for a list, the context's own to read one object; a change needs it",
    "name": "of the object",
    "kind": "plural, singular or short name; plural.group when that is ambiguous",
    "label_selector": "as kubectl writes it, e.g. app=web,tier!=db",
    "view": "auto: all rows when they fit, else a summary (counts, what is not healthy, first rows); with limit: rows",
    "limit": "rows at most",
    "continue_token": "`continue` of the answer before",
    "offset": "leave out so many at the beginning",
    "status": "as kubectl prints it",
    "phase": "of the status",
    "healthy": "false: only what is not",
    "schedulable": "false: only what is cordoned",
    "node": "its name",
    "max_tokens": "longest answer, 4000 unless given",
    "dry_run": "true: only say what would change",
    "uid": "refuse unless the object still has it",
    "resource_version": "refuse unless the object still has it",
}
"""Arguments that mean the same in every tool: said once, in the server's instructions, and not in every schema."""
COMMON_ARGUMENTS = f"Arguments: {'; '.join(f'{name} ({words})' for name, words in COMMON.items())}."
_BOUNDS = frozenset({"default", "maxLength", "minimum", "maximum", "maxItems", "maxProperties", "pattern"})


def shown_schema(schema: Mapping[str, Any]) -> dict[str, Any]:
    """The schema of a tool's arguments without bounds and defaults, and without words about the common arguments."""
    properties = {name: _shown(name, argument) for name, argument in schema.get("properties", {}).items()}
    return dict(schema) | {"properties": properties}


def _shown(name: str, argument: Mapping[str, Any]) -> dict[str, Any]:
    left_out = _BOUNDS | {"description"} if name in COMMON else _BOUNDS
    shown = {key: value for key, value in argument.items() if key not in left_out}
    for inner in ("items", "additionalProperties"):
        if isinstance(shown.get(inner), dict):
            shown[inner] = _shown("", shown[inner])
    if isinstance(shown.get("properties"), dict):
        shown["properties"] = {inner: _shown(inner, one) for inner, one in shown["properties"].items()}
    return shown
