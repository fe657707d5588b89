"""Parts of an object, named by a path.

A path is written as in a field reference: `spec.containers[0].env`, `metadata.annotations["example.com/a"]`. It may end in a
range: `spec.list[40:]`, `data[40:80]` are some members of a list or of a mapping, in the order in which an answer gives them.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from itertools import islice
from typing import Any

import orjson

from configuration.errors import InvalidArguments


@dataclass(frozen=True, slots=True)
class Range:
    """Members of a list or mapping from a place on, up to another; None: to the end."""

    start: int
    stop: int | None = None

    def of(self, found: Any) -> Any:
        if isinstance(found, dict):
            return dict(islice(found.items(), self.start, self.stop))
        return found[self.start : self.stop]


Steps = tuple[str | int | Range, ...]

NOTE_START = "‹left out:"
_STEP = re.compile(r'\.?([^.\[\]"\s]+)|\[(\d{1,6})\]|\["((?:[^"\\]|\\.)*)"\]|\[(\d{0,6}):(\d{0,6})\]')
_PLAIN_KEY = re.compile(r'[^.\[\]"\s]+')
_KEYS_SHOWN = 20


def parse_path(text: str) -> Steps:
    """Raises InvalidArguments."""
    steps: list[str | int | Range] = []
    at = 0
    while (match := _STEP.match(text, at)) and not (steps and isinstance(steps[-1], Range)):
        name, index, quoted, start, stop = match.groups()
        if start is not None:
            steps.append(Range(int(start or 0), int(stop) if stop else None))
        else:
            steps.append(name if name is not None else int(index) if index is not None else str(orjson.loads(f'"{quoted}"')))
        at = match.end()
    if at < len(text):
        raise InvalidArguments(
            f"path {text[:200]!r} cannot be read from character {at + 1} on; write it as spec.containers[0].image or "
            'metadata.annotations["example.com/a"]; a range such as spec.list[40:] or data[40:80] comes last'
        )
    return tuple(steps)


def path_text(steps: Steps) -> str:
    """The reverse of `parse_path`."""
    text = ""
    for step in steps:
        if isinstance(step, int):
            text += f"[{step}]"
        elif isinstance(step, Range):
            text += f"[{step.start}:{'' if step.stop is None else step.stop}]"
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
        step = steps[at]
        if isinstance(step, Range) and isinstance(found, (dict, list)) and (part := step.of(found)):
            return part, (*taken, step)
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
