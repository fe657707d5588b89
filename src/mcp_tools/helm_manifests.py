"""The manifest of a Helm release as objects, and as text that may be shown: redacted, one document after the other."""

from __future__ import annotations

import copy
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

import yaml

from configuration.errors import InvalidArguments
from mcp_tools.manifest_documents import MAX_CHARACTERS, described, documents_of
from mcp_tools.plain_text import plain_text, plain_value
from mcp_tools.redaction import MARK, Redactor
from mcp_tools.secret_names import is_secret_name

_BETWEEN = re.compile(r"^---(?:[ \t].*)?$", re.MULTILINE)
_COMMENT = re.compile(r"[ \t]*(?:#.*)?")
_TELLING = re.compile(r"(?=.*[A-Za-z])(?=.*[^A-Za-z\s]).{6,}|.{12,}", re.DOTALL)
"""What is worth looking for in a text: a word such as `admin` is a password, too, and stands everywhere."""

_Dumper: Any = getattr(yaml, "CSafeDumper", yaml.SafeDumper)


class _Plain(_Dumper):  # type: ignore[misc]  # the C dumper has no types
    """Without aliases, and with texts of several lines as such."""

    def ignore_aliases(self, data: Any) -> bool:  # noqa: ARG002 (the library's signature)
        """Always: a reader should not have to look elsewhere."""
        return True


def _text_node(dumper: Any, text: str) -> Any:
    return dumper.represent_scalar("tag:yaml.org,2002:str", text, style="|" if "\n" in text else None)


_Plain.add_representer(str, _text_node)


@dataclass(frozen=True, slots=True)
class ReleaseObject:
    """One object of a manifest as Helm wrote it, not redacted. `manifest` is None for a document that cannot be read."""

    title: str
    manifest: dict[str, Any] | None
    text: str

    def __repr__(self) -> str:
        return f"ReleaseObject({self.title})"


def objects_of(manifest: str) -> list[ReleaseObject]:
    """A document that cannot be read costs itself only."""
    return [one for number, text in enumerate(_BETWEEN.split(manifest), 1) for one in _objects(text, number)]


def _objects(text: str, number: int) -> Iterator[ReleaseObject]:
    if all(_COMMENT.fullmatch(line) for line in text.splitlines()):
        return
    try:
        for one in documents_of(text[: MAX_CHARACTERS + 1]):
            yield ReleaseObject(plain_text(described(one)), one, "")
    except InvalidArguments:
        yield ReleaseObject(f"document {number} (cannot be read)", None, text[:MAX_CHARACTERS])


def redacted_text(redactor: Redactor, one: ReleaseObject) -> str:
    """One document as YAML."""
    if one.manifest is None:
        return plain_text(redactor.redact_text(one.text)).strip()
    return as_yaml(redactor.redact_object(copy.deepcopy(one.manifest)))


def as_yaml(value: Any) -> str:
    """A redacted value as text."""
    text: str = yaml.dump(plain_value(value), Dumper=_Plain, sort_keys=False, allow_unicode=True, width=10_000)
    return text.strip()


def secret_values(objects: Iterable[ReleaseObject], config: dict[str, Any]) -> set[str]:
    """What the Secrets of a release and the secret names in its values hold: to be taken out of its notes."""
    found: set[str] = set()
    for one in objects:
        if one.manifest is not None and one.manifest.get("kind") == "Secret":
            found.update(_decoded(one.manifest.get("data")))
            found.update(_strings(one.manifest.get("stringData")))
    found.update(_under_secret_names(config, 0))
    return {value for value in found if _TELLING.fullmatch(value)}


def without_values(redactor: Redactor, text: str, values: Iterable[str]) -> str:
    """The text with each of the values marked, wherever it stands by itself."""
    for value in sorted(values, key=len, reverse=True):
        if value in text:
            mark = redactor.redact_object({"kind": "Secret", "stringData": {"value": value}})["stringData"]["value"]
            escaped = mark.replace("\\", "\\\\")
            text = re.sub(rf"(?<![A-Za-z0-9]){re.escape(value)}(?![A-Za-z0-9])", escaped, text)
    return text


def _decoded(data: Any) -> Iterator[str]:
    import base64

    for value in _strings(data):
        try:
            yield base64.b64decode(value).decode().strip()
        except ValueError:
            continue


def _strings(data: Any) -> list[str]:
    values = data.values() if isinstance(data, dict) else ()
    return [value.strip() for value in values if isinstance(value, str) and not MARK.search(value)]


def _under_secret_names(value: Any, depth: int) -> Iterator[str]:
    if depth > 50:
        return
    if isinstance(value, dict):
        for key, item in value.items():
            if isinstance(item, str) and is_secret_name(str(key)):
                yield item.strip()
            else:
                yield from _under_secret_names(item, depth + 1)
    elif isinstance(value, list):
        for item in value:
            yield from _under_secret_names(item, depth + 1)
