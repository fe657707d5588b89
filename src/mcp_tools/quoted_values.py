"""What an API server's error quotes of objects, left out: the field, the kind of error and the server's constant words stay.

An error of a change may dump the object as it is stored: `spec.template: Invalid value: {…}: field is immutable`, or the diff
below `pod updates may not change fields other than …`. There a secret has neither its path nor its name beside it, so no rule
for text can find it. Source: k8s.io/apimachinery pkg/util/validation/field/errors.go (ErrorBody), pkg/api/errors (NewInvalid).
"""

from __future__ import annotations

import re
from typing import Any

LEFT_OUT = "[value left out]"
"""In brackets, as a list would stand there: the rules for text take it for one value."""
_IS_INVALID = " is invalid: "
_MOST_CAUSES = 30
_VALUE = re.compile(r"(?:Invalid|Unsupported|Duplicate)[ ]value:[ ]*")
_IN_QUOTES = re.compile(r'(?P<slashes>\\*+)"(?P<value>(?:(?!(?<!\\)(?P=slashes)")[\s\S])*+)(?P=slashes)"')
_OPENING = re.compile(r"[\w.*&\[\]]{0,80}\{|\[")
_BARE = re.compile(r"[^\s:,;\]]++")
_AFTER = re.compile(r":[ \n]|,[ ]|\](?:,[ ]|;|\s*$)|\s*$|;[ ]")
_SMALL = re.compile(r"-?[0-9]{1,5}|true|false|null")
_BRACKET = re.compile(r"\"(?:[^\"\\]|\\[\s\S])*+\"?|[{}\[\]]")
_DUMP = re.compile(r"[\w.*&\[\]]{0,80}+\{")
_NO_DUMP = re.compile(r"\{[\d,]*\}|\{[^\":]*\}")
"""`{0,61}` of a regular expression, `{.spec.x}`."""
_DIFF = re.compile(r"\n[^\S\n]*(?:[-+]\s|\.\.\. //|[-+]?\s*[\w.*&\[\]]{0,80}+\{)")
_STEP = re.compile(r"\[=(?:\"(?:[^\"\\]|\\.){0,300}+\"|[^\]]{0,300}+)\]")
"""An item of a set in a path of server-side apply: its key is its value."""
_NAMES = frozenset({"name", "generateName", "namespace", "labels", "matchLabels", "nodeSelector", "finalizers"})
"""Fields whose values are names of things, no secrets anywhere here; of labels only the value says which one is wrong."""
_LONGEST_NAME = 253
_LONGEST_FIELD = 500
_LONGEST = 30_000
"""Characters that are looked at; far more than of an error is shown, so that what this cuts in two is not."""


def words_without_values(status: dict[str, Any], plain: str = "") -> str:
    """What a Status says: `Pod "p" is invalid: spec.replicas: Invalid value: -1: must be …`. `plain`: the text when it is none.

    By its causes (field, message) when it has some, where a value ends for certain.
    """
    message = str(status.get("message") or "").strip() or plain
    causes = _causes(status)
    head, invalid, _ = message.partition(_IS_INVALID)
    if not causes or not invalid:
        return without_values(message)
    told = [_of_cause(str(one.get("field") or ""), str(one.get("message") or "")) for one in causes[:_MOST_CAUSES]]
    more = f"; and {len(causes) - _MOST_CAUSES} more" if len(causes) > _MOST_CAUSES else ""
    return without_values(head) + _IS_INVALID + "; ".join(told) + more


def without_values(text: str) -> str:
    """Any text of an API server without the values that it complains of, dumped objects, and what follows where a diff begins."""
    text = text[:_LONGEST]
    if diff := _DIFF.search(text):
        text = f"{text[: diff.start()].rstrip(': ')} {LEFT_OUT}"
    return _without_dumps(_without_complaints(_STEP.sub(f"[={LEFT_OUT[1:]}", text)))


def _causes(status: dict[str, Any]) -> list[dict[str, Any]]:
    """Those that name a field."""
    details = status.get("details")
    listed = details.get("causes") if isinstance(details, dict) else None
    return [one for one in (listed if isinstance(listed, list) else ()) if isinstance(one, dict) and one.get("message")]


def _of_cause(field: str, message: str) -> str:
    """One line: what stands below it is a diff, or an object."""
    first, *rest = message.strip().split("\n")
    return without_values(f"{field}: {first}" if field else first) + (f" {LEFT_OUT}" if rest else "")


def _without_complaints(text: str) -> str:
    kept, position = [], 0
    while found := _VALUE.search(text, position):
        kept.append(text[position : found.end()])
        end = _end_of_value(text, found.end())
        if end is None:  # where it ends is not sure: nothing after it is told
            return "".join([*kept, LEFT_OUT])
        value = text[found.end() : end]
        field = text[max(0, found.start() - _LONGEST_FIELD) : found.start()].rstrip(": ")
        kept.append(value if _may_be_told(re.split(r"[\s,]", field)[-1], value) else LEFT_OUT)
        position = end
    return "".join([*kept, text[position:]])


def _end_of_value(text: str, start: int) -> int | None:
    """None when that is not sure."""
    end: int | None
    if text[start : start + 1] in ('"', "\\"):
        quoted = _IN_QUOTES.match(text, start)
        end = quoted.end() if quoted else None
    elif opening := _OPENING.match(text, start):
        open_ = sum({"{": 1, "[": 1, "]": -1}.get(one, 0) for one in opening[0])
        end = _closed(text, opening.end(), open_)
    else:
        bare = _BARE.match(text, start)
        end = bare.end() if bare else start
    return end if end is not None and _AFTER.match(text, end) else None


def _may_be_told(field: str, value: str) -> bool:
    last = re.sub(r"\[[^\]]*\]", "", field).rpartition(".")[2]
    if last in _NAMES and value.startswith('"'):
        return len(value) <= _LONGEST_NAME + 2
    return _SMALL.fullmatch(value) is not None


def _without_dumps(text: str) -> str:
    kept, position = [], 0
    while found := _DUMP.search(text, position):
        end = _closed(text, found.end())
        harmless = end is not None and _NO_DUMP.fullmatch(text, found.end() - 1, end)
        kept.append(text[position : end if harmless else found.start()])
        if not harmless:
            kept.append(LEFT_OUT)
        if end is None:
            return "".join(kept)
        position = end
    return "".join([*kept, text[position:]])


def _closed(text: str, position: int, depth: int = 1) -> int | None:
    """Behind the bracket that closes those `depth` ones that are open at `position`; None when there is none."""
    for found in _BRACKET.finditer(text, position):
        depth += {"{": 1, "[": 1, "}": -1, "]": -1}.get(found[0], 0)
        if not depth:
            return found.end()
    return None
