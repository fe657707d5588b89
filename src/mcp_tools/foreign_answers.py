"""Answers of other people's MCP servers: redacted and made plain on arrival, since nobody did so before they were sent.

Objects are found in JSON and YAML text and in structured content, and redacted by their own kind; everything else is
redacted as free text, which is best effort.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from mcp_tools.plain_text import plain_text, plain_value

if TYPE_CHECKING:
    from mcp_tools.redaction import Redactor

_YAML_OBJECT = re.compile(r"^(?:- )?\s*(?:apiVersion|kind|metadata|data|stringData):", re.MULTILINE)


class ForeignAnswers:
    """Holds the redactor; `text` and `structured` are pure."""

    def __init__(self, redactor: Redactor) -> None:
        self._redactor = redactor

    def text(self, text: str) -> str:
        """A text block: JSON and YAML documents are rewritten as such, anything else line by line."""
        text = plain_text(text)
        stripped = text.strip()
        if stripped[:1] in ("{", "["):
            try:
                return json.dumps(self._value(json.loads(stripped)), ensure_ascii=False)
            except (ValueError, RecursionError):
                pass
        if _YAML_OBJECT.search(text) and (documents := _yaml_documents(text)) is not None:
            return _as_yaml([self._value(document) for document in documents])
        return self._redactor.redact_text(text)

    def structured(self, content: dict[str, Any] | None) -> dict[str, Any] | None:
        """Structured content, redacted wherever an object is in it."""
        if content is None:
            return None
        return {plain_text(key): self._value(plain_value(value)) for key, value in self._object(content).items()}

    def _value(self, value: Any) -> Any:
        if isinstance(value, dict):
            return {key: self._value(item) for key, item in self._object(value).items()}
        if isinstance(value, list):
            return [self._value(item) for item in value]
        return self._redactor.redact_text(value) if isinstance(value, str) else value

    def _object(self, value: dict[str, Any]) -> dict[str, Any]:
        return self._redactor.redact_object(value) if _is_object(value) else value


def _is_object(value: dict[str, Any]) -> bool:
    return isinstance(value.get("metadata"), dict) or ("kind" in value and ("data" in value or "stringData" in value))


def _yaml_documents(text: str) -> list[Any] | None:
    """Decoded documents; None when the text is no YAML, or YAML with aliases (which can expand without bound)."""
    import yaml

    try:
        if any(isinstance(token, yaml.AliasToken) for token in _tokens(text)):
            return None
        documents = list(yaml.safe_load_all(text))
    except (yaml.YAMLError, ValueError, RecursionError):
        return None
    return documents if any(isinstance(document, (dict, list)) for document in documents) else None


def _tokens(text: str) -> Iterator[Any]:
    import yaml

    yield from yaml.scan(text, Loader=yaml.SafeLoader)


def _as_yaml(documents: list[Any]) -> str:
    import yaml

    return str(yaml.safe_dump_all(documents, sort_keys=False, allow_unicode=True, explicit_start=len(documents) > 1))
