"""Manifests as a person writes them, YAML or JSON, several in one text: read safely, and as kubectl would read them.

YAML here is what Kubernetes takes for it: numbers are decimal, octal or hexadecimal, a date or 22:22 is a string, a key is
given once, tags of YAML's own that have no form in JSON are refused. Aliases count with everything that they stand for, so
that a short text cannot become a huge object.
"""

from __future__ import annotations

import math
import re
from typing import Any, ClassVar

import orjson
import yaml

from configuration.errors import InvalidArguments
from mcp_tools.json_repair import LEVELS, depth_of

MAX_CHARACTERS = 1_000_000
MAX_DOCUMENTS = 100
MAX_NODES = 100_000
"""Of all documents, aliases expanded. Large custom resource definitions have about 20,000."""

_Base: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


class _Loader(_Base):  # type: ignore[misc]  # the C loader has no types
    """A safe loader without the resolvers that Kubernetes is without: timestamps, base 60, `=`."""

    yaml_implicit_resolvers: ClassVar[dict[str, Any]] = {}

    def construct_mapping(self, node: Any, deep: bool = False) -> dict[Any, Any]:
        """A key that stands there twice would silently win over the first one."""
        seen: set[str] = set()
        for key, _ in node.value:
            if not isinstance(key.value, str):
                raise yaml.MarkedYAMLError(problem="a key is a list or a mapping; keys are strings", problem_mark=key.start_mark)
            if key.value in seen and key.tag != _MERGE:
                raise yaml.MarkedYAMLError(problem=f"key {key.value[:100]!r} is given twice", problem_mark=key.start_mark)
            seen.add(key.value)
        made: dict[Any, Any] = super().construct_mapping(node, deep)
        return made


_MERGE = "tag:yaml.org,2002:merge"
_INT = re.compile(r"(?=[^\n]{1,64}\Z)[-+]?(?:0|[1-9][0-9_]*|0[0-7_]+|0o[0-7_]+|0x[0-9a-fA-F_]+|0b[01_]+)\Z")
_FLOAT = re.compile(
    r"(?=[^\n]{1,64}\Z)"  # no number is longer, and longer ones would take the expression for ever
    r"(?:[-+]?(?:[0-9][0-9_]*)?\.?[0-9]+(?:[eE][-+]?[0-9]+)?|[-+]?[0-9]+\.|[-+]?\.(?:inf|Inf|INF)|\.(?:nan|NaN|NAN))\Z"
)
_BOOL = re.compile(r"(?:yes|Yes|YES|no|No|NO|true|True|TRUE|false|False|FALSE|on|On|ON|off|Off|OFF)\Z")
_NULL = re.compile(r"(?:~|null|Null|NULL|)\Z")


def _int(loader: Any, node: Any) -> int:
    text = loader.construct_scalar(node).replace("_", "")
    sign, digits = (-1, text[1:]) if text[0] == "-" else (1, text.lstrip("+"))
    if len(digits) > 1 and digits[0] == "0" and digits[1].isdigit():
        return sign * int(digits, 8)
    return sign * int(digits, 0)


_Loader.add_implicit_resolver("tag:yaml.org,2002:bool", _BOOL, list("yYnNtTfFoO"))
_Loader.add_implicit_resolver("tag:yaml.org,2002:int", _INT, list("-+0123456789"))
_Loader.add_implicit_resolver("tag:yaml.org,2002:float", _FLOAT, list("-+0123456789."))
_Loader.add_implicit_resolver("tag:yaml.org,2002:null", _NULL, ["~", "n", "N", ""])
_Loader.add_implicit_resolver(_MERGE, re.compile(r"<<\Z"), ["<"])
_Loader.add_constructor("tag:yaml.org,2002:int", _int)


def documents_of(text: str) -> list[dict[str, Any]]:
    """The objects of a manifest, in their order; the items of a List stand for themselves. Raises InvalidArguments."""
    if len(text) > MAX_CHARACTERS:
        raise _unreadable(f"it has {len(text)} characters, at most {MAX_CHARACTERS} are taken; apply it in parts")
    found = [one for document in _values(text) for one in _unpacked(document)]
    if not found:
        raise _unreadable("there is no object in it")
    if len(found) > MAX_DOCUMENTS:
        raise _unreadable(f"it has {len(found)} objects, at most {MAX_DOCUMENTS} are taken at a time; apply it in parts")
    return found


def described(document: dict[str, Any]) -> str:
    """`Deployment dev/web`, as far as it can be read."""
    metadata = document.get("metadata")
    named = metadata if isinstance(metadata, dict) else {}
    place = "/".join(str(named[key])[:253] for key in ("namespace", "name") if named.get(key))
    return f"{str(document.get('kind') or 'object')[:63]} {place or '(without name)'}"


def _values(text: str) -> list[Any]:
    """Decoded, bounded in depth, and all of it JSON."""
    if text.lstrip()[:1] in ("{", "["):
        try:
            values = [orjson.loads(text)]
        except orjson.JSONDecodeError:
            values = _yaml_values(text)  # several documents, or YAML's own braces
    else:
        values = _yaml_values(text)
    if any(depth_of(value) > LEVELS for value in values):
        raise _unreadable(f"it is nested deeper than {LEVELS} levels")
    return [value for value in values if value is not None]


def _yaml_values(text: str) -> list[Any]:
    try:
        _bounded(text)
        return [_as_json(value) for value in yaml.load_all(text, Loader=_Loader)]
    except yaml.MarkedYAMLError as error:
        where = f"line {error.problem_mark.line + 1}: " if error.problem_mark else ""
        raise _unreadable(f"{where}{error.problem or 'no YAML'}") from None
    except (yaml.YAMLError, RecursionError, ValueError, OverflowError) as error:
        raise _unreadable(f"it is no YAML ({type(error).__name__})") from None


def _bounded(text: str) -> None:
    """Count before anything is built: nodes with their aliases expanded, and depth. Events need no recursion."""
    sizes: dict[str, int] = {}
    open_nodes: list[tuple[str | None, int]] = []
    total = 0
    for event in yaml.parse(text, Loader=_Base):
        size = 1
        if isinstance(event, yaml.AliasEvent):
            if not event.anchor or event.anchor not in sizes:
                raise _unreadable(f"alias *{str(event.anchor)[:60]} stands for something that holds itself, or for nothing")
            size = sizes[event.anchor]
        elif isinstance(event, (yaml.MappingStartEvent, yaml.SequenceStartEvent)):
            open_nodes.append((event.anchor, total))
            if len(open_nodes) > LEVELS:
                raise _unreadable(f"it is nested deeper than {LEVELS} levels")
        elif isinstance(event, (yaml.MappingEndEvent, yaml.SequenceEndEvent)):
            anchor, before = open_nodes.pop()
            size = 0
            if anchor:
                sizes[anchor] = total - before
        elif isinstance(event, yaml.ScalarEvent):
            if event.anchor:
                sizes[event.anchor] = 1
        else:
            size = 0
        total += size
        if total > MAX_NODES:
            raise _unreadable(f"it has more than {MAX_NODES} values when its aliases are expanded; apply it in parts")


def _as_json(value: Any) -> Any:
    """The same in JSON's types: keys are strings, as kubectl makes them. Raises InvalidArguments for what has no form there."""
    if isinstance(value, dict):
        return {_key(key): _as_json(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_as_json(item) for item in value]
    if value is None or isinstance(value, (str, bool)):
        return value
    if isinstance(value, int) and -(2**63) <= value < 2**64:
        return value
    if isinstance(value, float) and math.isfinite(value):
        return value
    raise _unreadable(f"a value of type {type(value).__name__} has no form in JSON; write it as a string in quotes")


def _key(key: Any) -> str:
    if isinstance(key, str):
        return key
    if isinstance(key, (bool, int, float)):
        return orjson.dumps(key).decode()
    raise _unreadable(f"a key is of type {type(key).__name__}; keys are strings")


def _unpacked(document: Any) -> list[dict[str, Any]]:
    if not isinstance(document, dict):
        raise _unreadable(f"a document is a {type(document).__name__}, not an object with apiVersion and kind")
    items = document.get("items")
    if isinstance(items, list) and str(document.get("kind", "")).endswith("List"):
        return [one for item in items for one in _unpacked(item)]
    return [document]


def _unreadable(why: str) -> InvalidArguments:
    return InvalidArguments(f"the manifest cannot be read: {why}")
