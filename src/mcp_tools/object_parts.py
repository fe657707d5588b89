"""Parts of an object: named by a path, and left out where the whole is too long for an answer.

A path is written as in a field reference: `spec.containers[0].env`, `metadata.annotations["example.com/a"]`.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import orjson

from configuration.errors import InvalidArguments
from mcp_tools.answer_budget import estimate_json

Steps = tuple[str | int, ...]

NOTE_START = "‹left out:"
_STEP = re.compile(r'\.?([^.\[\]"\s]+)|\[(\d{1,6})\]|\["((?:[^"\\]|\\.)*)"\]')
_PLAIN_KEY = re.compile(r'[^.\[\]"\s]+')
_IDENTITY: frozenset[Steps] = frozenset(
    {("apiVersion",), ("kind",), ("metadata",), ("metadata", "name"), ("metadata", "namespace"), ("metadata", "uid")}
)
"""Never left out: an answer says what it is about."""
_WORTH_LEAVING_OUT = 160
"""Bytes of JSON; a note about less would save nothing."""
_MOST_NOTES = 60
_KEYS_SHOWN = 20


@dataclass(frozen=True, slots=True)
class LeftOut:
    """A part that a note stands for. `tokens` is what it takes by itself."""

    path: str
    tokens: int


def parse_path(text: str) -> Steps:
    """Raises InvalidArguments."""
    steps: list[str | int] = []
    at = 0
    while match := _STEP.match(text, at):
        name, index, quoted = match.groups()
        steps.append(name if name is not None else int(index) if index is not None else str(orjson.loads(f'"{quoted}"')))
        at = match.end()
    if at < len(text):
        raise InvalidArguments(
            f"path {text[:200]!r} cannot be read from character {at + 1} on; write it as spec.containers[0].image or "
            'metadata.annotations["example.com/a"]'
        )
    return tuple(steps)


def path_text(steps: Steps) -> str:
    """The reverse of `parse_path`."""
    text = ""
    for step in steps:
        if isinstance(step, int):
            text += f"[{step}]"
        elif _PLAIN_KEY.fullmatch(step):
            text += f".{step}" if text else step
        else:
            text += f"[{orjson.dumps(step).decode()}]"
    return text


def part_at(obj: Any, steps: Steps) -> tuple[Any, Steps]:
    """The part, and the path by which it was found: keys with dots need no quotes. Raises InvalidArguments."""
    found, at = obj, 0
    taken: Steps = ()
    while at < len(steps):
        step, width = _step_into(found, steps, at)
        if width == 0:
            raise InvalidArguments(f"{path_text(taken) or 'the object'} has no {path_text(steps[at:])}; {_what_there_is(found)}")
        found, taken, at = found[step], (*taken, step), at + width
    return found, taken


def _step_into(found: Any, steps: Steps, at: int) -> tuple[Any, int]:
    """The next key or index, and how many steps of the path it takes; 0 when there is none."""
    step = steps[at]
    if isinstance(found, list):
        return step, int(isinstance(step, int) and step < len(found))
    if not isinstance(found, dict):
        return step, 0
    for end in range(len(steps), at, -1):
        if all(isinstance(one, str) for one in steps[at:end]) and (key := ".".join(map(str, steps[at:end]))) in found:
            return key, end - at
    return step, 0


def _what_there_is(found: Any) -> str:
    if isinstance(found, dict):
        keys = [path_text((key,)) for key in list(found)[:_KEYS_SHOWN]]
        return f"it has {', '.join(keys) or 'nothing'}" + (" …" if len(found) > _KEYS_SHOWN else "")
    return f"it is a list of {len(found)}" if isinstance(found, list) else "it has no parts"


def shortened(value: Any, fits: Callable[[Any, list[LeftOut]], float], under: Steps = ()) -> tuple[Any, list[LeftOut]]:
    """The value with its largest parts replaced by notes until it fits; what was replaced, with the path of each.

    `fits(value, left_out)` is the share of the budget that an answer with them takes: at most 1 when it fits. `value` is
    changed in place; `under` is its own path. What cannot be shortened enough is given back as short as it gets.
    """
    left_out: list[LeftOut] = []
    while (share := fits(value, left_out)) > 1 and len(left_out) < _MOST_NOTES:
        size = len(orjson.dumps(value))
        found = _to_leave_out(value, size * (1 - 1 / share), under)
        if found is None:
            break
        owner, key, steps = found
        gone = LeftOut(path_text(steps), estimate_json(owner[key]))
        owner[key] = f"{NOTE_START} about {gone.tokens} tokens, path={gone.path}›"
        left_out.append(gone)
    return value, left_out


def _to_leave_out(value: Any, excess: float, under: Steps) -> tuple[Any, Any, Steps] | None:
    """The smallest part that is enough by itself, else the largest."""
    parts = [part for part in _parts(value, under) if part[0] >= _WORTH_LEAVING_OUT and part[3] not in _IDENTITY]
    if not parts:
        return None
    enough = [part for part in parts if part[0] >= excess]
    _, owner, key, steps = min(enough, key=lambda part: part[0]) if enough else max(parts, key=lambda part: part[0])
    return owner, key, steps


def _parts(value: Any, under: Steps) -> Iterator[tuple[int, Any, Any, Steps]]:
    """(bytes of JSON, owner, key, path) of every part below a value, but for the notes."""
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, item in items:
        steps = (*under, key)
        if isinstance(item, str):
            if not item.startswith(NOTE_START):
                yield len(item.encode("utf-8", "replace")), value, key, steps
            continue
        if isinstance(item, (dict, list)):
            yield len(orjson.dumps(item)), value, key, steps
            yield from _parts(item, steps)


def cut_text(text: str, fits: Callable[[str], bool]) -> str:
    """The longest beginning of a long text that fits, saying how much of it that is."""
    if fits(text):
        return text
    low, high = 0, len(text)
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (middle, high) if fits(_cut(text, middle)) else (low, middle)
    return _cut(text, low)


def _cut(text: str, size: int) -> str:
    return f"{text[:size]}… {NOTE_START} {size} of {len(text)} characters shown, a larger max_tokens shows more›"
