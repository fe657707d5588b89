"""Arguments against a tool's input schema, before the call: a wrong argument costs no round trip and reads as a sentence."""

from __future__ import annotations

import difflib
import json
import math
import re
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

from configuration.errors import InvalidArguments, ToolError

if TYPE_CHECKING:
    from jsonschema import ValidationError
    from jsonschema.protocols import Validator

_SHOWN_ERRORS = 5
_SHOWN_CHARACTERS = 300
_NAME = 60
"""Characters of a name that a caller made up: more would only be said back."""
_MOST_LEVELS = 100
_TYPE_WORDS = {
    "string": "text", "integer": "a whole number", "number": "a number", "boolean": "true or false",
    "array": "a list", "object": "a JSON object", "null": "null",
}  # fmt: skip


class ArgumentCheck:
    """The compiled schema of one tool."""

    def __init__(self, tool: str, input_schema: Mapping[str, Any]) -> None:
        self._tool = tool
        self._schema = input_schema
        self._validator = _compile(tool, input_schema)

    def check(self, arguments: Mapping[str, Any]) -> None:
        """Raises InvalidArguments that names each wrong argument, and shows the part of the schema that it breaks."""
        for name, value in arguments.items():
            if why := _unsendable(name) or _unsendable(value):
                raise InvalidArguments(f"{self._tool}: argument {_short(name)!r} {why}. Nothing was called.")
        errors = self._errors(arguments)
        if not errors:
            return
        sentences = [self._sentence(error) for error in errors[:_SHOWN_ERRORS]]
        if len(errors) > _SHOWN_ERRORS:
            sentences.append(f"and {len(errors) - _SHOWN_ERRORS} more")
        raise InvalidArguments(f"{self._tool}: {'; '.join(sentences)}. Nothing was called.")

    def _errors(self, arguments: Mapping[str, Any]) -> list[ValidationError]:
        from referencing.exceptions import Unresolvable

        try:
            return sorted(self._validator.iter_errors(dict(arguments)), key=lambda error: [str(part) for part in error.path])
        except (Unresolvable, re.error) as error:
            raise _unusable(self._tool, error) from error

    def _sentence(self, error: ValidationError) -> str:
        if error.validator == "additionalProperties" and not error.path:
            return "; ".join(self._unknown(error))
        if error.validator == "required":
            required: Any = error.validator_value
            instance: Any = error.instance
            missing = [name for name in required if name not in instance]
            within = f" in {_where(error.path)}" if error.path else ""
            return "; ".join(f"argument {name!r} is missing{within}, it should be {self._shown(name)}" for name in missing)
        return f"argument {_where(error.path)} {_complaint(error)}"

    def _unknown(self, error: ValidationError) -> Iterable[str]:
        schema: Any = error.schema
        instance: Any = error.instance
        known = list(schema.get("properties", {}))
        unknown = sorted(set(instance) - set(known))
        for name in unknown[:_SHOWN_ERRORS]:
            near = difflib.get_close_matches(name[:_NAME], known, 1, 0.6)
            hint = f"did you mean {near[0]!r}?" if near else f"it knows {', '.join(known) or 'none'}"
            yield f"unknown argument {_short(name)!r}: {hint}"
        if len(unknown) > _SHOWN_ERRORS:
            yield f"and {len(unknown) - _SHOWN_ERRORS} more unknown arguments"

    def _shown(self, name: str) -> str:
        return _part(self._schema.get("properties", {}).get(name, {}))


def _compile(tool: str, input_schema: Mapping[str, Any]) -> Validator:
    from jsonschema import Draft202012Validator, SchemaError
    from jsonschema.validators import extend
    from referencing import Registry

    try:
        Draft202012Validator.check_schema(input_schema)
    except SchemaError as error:
        raise ToolError(
            f"tool {tool} cannot be used: the input schema that its server gives is invalid ({error.message})"
        ) from error
    # an empty registry: a schema's $ref must never make us fetch an address that a server chose
    types = Draft202012Validator.TYPE_CHECKER.redefine("integer", _is_whole_number)
    strict: Any = extend(Draft202012Validator, type_checker=types)  # type: ignore[no-untyped-call]
    validator: Validator = strict(input_schema, registry=Registry())
    return validator


def _is_whole_number(_checker: object, value: object) -> bool:
    """JSON Schema takes 2.0 for an integer; the Kubernetes API does not."""
    return isinstance(value, int) and not isinstance(value, bool)


def _unsendable(value: object) -> str:
    """Why a value, or something within it, cannot be sent to an API server as JSON, or read here; "" when it can."""
    waiting = [(value, 1)]
    while waiting:
        one, level = waiting.pop()
        if level > _MOST_LEVELS:
            return f"is nested deeper than {_MOST_LEVELS} levels"
        if isinstance(one, str) and not one.isascii() and any("\ud800" <= char <= "\udfff" for char in one):
            return "holds half of a surrogate pair, which is no text"
        if isinstance(one, float) and not math.isfinite(one):
            return "holds NaN or Infinity, which is no JSON"
        if isinstance(one, int) and not -(2**63) <= one < 2**64:
            return "holds a whole number of more than 64 bits"
        if isinstance(one, Mapping):
            waiting += ((part, level + 1) for part in (*one.keys(), *one.values()))
        elif isinstance(one, list):
            waiting += ((part, level + 1) for part in one)
    return ""


def _unusable(tool: str, why: object) -> ToolError:
    return ToolError(f"tool {tool} cannot be used: the input schema that its server gives is invalid ({why})")


def _complaint(error: ValidationError) -> str:
    got = _clip(json.dumps(error.instance, default=str))
    expected: Any = error.validator_value
    if error.validator == "type":
        types = [expected] if isinstance(expected, str) else list(expected)
        return f"must be {' or '.join(_TYPE_WORDS.get(name, name) for name in types)}, not {got}"
    if error.validator in ("enum", "const"):
        allowed = expected if error.validator == "enum" else [expected]
        return f"must be one of {_clip(', '.join(json.dumps(value) for value in allowed))}, not {got}"
    if error.validator in ("minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum"):
        word = "least" if "inimum" in str(error.validator) else "most"
        return f"must be at {word} {expected}, not {got}"
    if error.validator == "pattern":
        return f"must match {expected}, not {got}"
    return f"is {got}; the schema there says {_part(error.schema)}"


def _where(path: Iterable[object]) -> str:
    """`filters.status` or `labels[0]`, quoted."""
    text = "".join(f"[{part}]" if isinstance(part, int) else f".{_short(str(part))}" for part in path)
    return repr(_clip(text.lstrip(".")))


def _short(name: str) -> str:
    return name if len(name) <= _NAME else name[: _NAME - 1] + "…"


def _part(schema: object) -> str:
    return _clip(json.dumps(schema, default=str))


def _clip(text: str) -> str:
    return text if len(text) <= _SHOWN_CHARACTERS else text[: _SHOWN_CHARACTERS - 1] + "…"
