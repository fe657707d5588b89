"""Answers of other people's MCP servers: redacted and made plain on arrival, since nobody did so before they were sent.

JSON and YAML text, JSON inside other text, and structured content are redacted as objects are; everything else as free
text, which is best effort.
"""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Any

from mcp_tools.plain_text import plain_text, plain_value

if TYPE_CHECKING:
    from mcp_tools.redaction import Redactor

_YAML_OBJECT = re.compile(r"^(?:- )?\s*(?:apiVersion|kind|metadata|data|stringData):", re.MULTILINE)

_DECODER = json.JSONDecoder()
_EMBEDDED_FAILURES = 200
"""Braces that begin no JSON in one text, before the rest is taken as it is: each may cost reading to the end."""
_SECRET_TYPES = ("kubernetes.io/", "bootstrap.kubernetes.io/", "helm.sh/")


class ForeignAnswers:
    """Holds the redactor; `text` and `structured` are pure."""

    def __init__(self, redactor: Redactor) -> None:
        self._redactor = redactor

    def both(self, text: str, structured: dict[str, Any] | None) -> tuple[str, dict[str, Any] | None]:
        """Both parts of an answer."""
        return self.text(text), self.structured(structured)

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
        return self.words(text)

    def words(self, text: str) -> str:
        """Text that is prose whatever it looks like: a description, a line of a log."""
        return self._redactor.redact_text(self._with_json_redacted(plain_text(text)))

    def structured(self, content: dict[str, Any] | None) -> dict[str, Any] | None:
        """Structured content, redacted as an object is, whether or not it is one."""
        if content is None:
            return None
        redacted = self._value(content)
        return redacted if isinstance(redacted, dict) else {"content": redacted}

    def kubernetes_object(self, obj: dict[str, Any]) -> dict[str, Any]:
        """One object of the Kubernetes API, redacted as our own server redacts it, so that the same value gets the same mark."""
        try:
            plain = {plain_text(key): plain_value(value) for key, value in obj.items()}
            return self._redactor.redact_object(plain)
        except (RecursionError, TypeError, ValueError, AttributeError):
            return {"apiVersion": obj.get("apiVersion"), "kind": obj.get("kind"), "metadata": {}}

    @property
    def redaction(self) -> tuple[str | int, str]:
        """Version of the rules and id of the key, as they are stored with what was redacted."""
        return self._redactor.version, self._redactor.key_id

    def _value(self, value: Any) -> Any:
        """Made plain once it is decoded: what is harmless as `\\u001b` in a text is not any more afterwards."""
        try:
            value = plain_value(value)
            if isinstance(value, str):
                return self._redactor.redact_text(value)
            self._unnamed_secrets(value)
            return self._redactor.redact_object({"content": value})["content"]
        except RecursionError:
            return "[left out: nested too deep]"

    def _unnamed_secrets(self, value: Any) -> None:
        """Redact the data of Secrets that other servers hand out without `kind: Secret`, in place."""
        if isinstance(value, dict):
            if _is_secret(value):
                for field in {"data", "stringData"} & set(value):
                    value[field] = self._redactor.redact_object({"kind": "Secret", field: value[field]})[field]
            for item in value.values():
                self._unnamed_secrets(item)
        elif isinstance(value, list):
            for item in value:
                self._unnamed_secrets(item)

    def _with_json_redacted(self, text: str) -> str:
        """JSON objects that stand inside other text: after a heading, in a fenced block, one a line."""
        parts: list[str] = []
        kept = position = failures = 0
        while failures < _EMBEDDED_FAILURES and (position := text.find("{", position)) >= 0:
            try:
                found, end = _DECODER.raw_decode(text, position)
            except (ValueError, RecursionError):
                position, failures = position + 1, failures + 1
                continue
            before = json.dumps(found, ensure_ascii=False)
            after = json.dumps(self._value(found), ensure_ascii=False)
            if after != before:
                parts += [text[kept:position], after]
                kept = end
            position = end
        return "".join(parts) + text[kept:]


def _is_secret(value: dict[str, Any]) -> bool:
    kind, type_ = value.get("kind"), value.get("type")
    if isinstance(kind, str):
        return kind.lower() in ("secret", "secrets")
    return isinstance(type_, str) and (type_ == "Opaque" or type_.startswith(_SECRET_TYPES))


def _yaml_documents(text: str) -> list[Any] | None:
    """Decoded documents; None when the text is no YAML, or YAML with aliases (which can expand without bound)."""
    import yaml

    try:
        if any(isinstance(token, yaml.AliasToken) for token in yaml.scan(text, Loader=_loader())):
            return None
        documents = list(yaml.load_all(text, Loader=_loader()))
    except (yaml.YAMLError, ValueError, RecursionError):
        return None
    return documents if any(isinstance(document, (dict, list)) for document in documents) else None


def _loader() -> Any:
    """The safe loader, in C where PyYAML was built with it: ten times as fast."""
    import yaml

    return getattr(yaml, "CSafeLoader", yaml.SafeLoader)


def _as_yaml(documents: list[Any]) -> str:
    import yaml

    dumper = getattr(yaml, "CSafeDumper", yaml.SafeDumper)
    return str(yaml.dump_all(documents, Dumper=dumper, sort_keys=False, allow_unicode=True, explicit_start=len(documents) > 1))
