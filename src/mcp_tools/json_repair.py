"""JSON that our readers refuse, made readable at the cost of what is odd about it. For the rare object only: it is slow.

Go writes what Python's fast decoders do not take: structures nested thousands deep (a custom resource may hold them), and
numbers beyond 64 bits. One such object must not cost the page that it is on.
"""

from __future__ import annotations

import json
import math
import re
from typing import Any

LEVELS = 100
"""Objects of Kubernetes' own kinds stay under 40; decoders on the way stop at 200 (MCP client), 254 (orjson) and 1,000."""
CUT = "‹left out: nested deeper than can be read›"
_CUT = json.dumps(CUT).encode()
_TOKENS = re.compile(rb'"(?:[^"\\]|\\.)*"|[][{}]', re.DOTALL)
_OPENING = (0x7B, 0x5B)  # { and [
_QUOTE = 0x22


def cut_deep(text: bytes, levels: int = LEVELS) -> bytes:
    """Every object or list that would be nested deeper than `levels` is replaced by a string that says so.

    Works on the text: needs no recursion, and about a second for 8 MB.
    """
    kept: list[bytes] = []
    depth = start = 0
    for token in _TOKENS.finditer(text):
        first = text[token.start()]
        if first == _QUOTE:
            continue
        if first in _OPENING:
            if depth == levels:
                kept += (text[start : token.start()], _CUT)
            depth += 1
        else:
            depth -= 1
            if depth == levels:
                start = token.end()
    return b"".join([*kept, text[start:]]) if kept else text


def repaired(text: bytes) -> bytes:
    """The same JSON without what decoders refuse: depth, broken UTF-8, numbers out of range (as text). ValueError when it is
    no JSON at all."""
    value = json.loads(cut_deep(text).decode(errors="replace"), parse_int=_integer, parse_float=_real, parse_constant=str)
    return json.dumps(value, ensure_ascii=False, separators=(",", ":")).encode(errors="replace")


def depth_of(value: Any, most: int = LEVELS) -> int:
    """How deep a decoded value is nested; `most` + 1 stands for anything deeper."""
    if most < 0 or not isinstance(value, dict | list):
        return 0
    members = value.values() if isinstance(value, dict) else value
    return 1 + max((depth_of(member, most - 1) for member in members), default=0)


def _integer(digits: str) -> int | str:
    return int(digits) if len(digits) <= 18 else _wide(digits)


def _wide(digits: str) -> int | str:
    if len(digits) > 20:
        return digits
    value = int(digits)
    return value if -(2**63) <= value < 2**64 else digits


def _real(digits: str) -> float | str:
    value = float(digits)
    return value if math.isfinite(value) else digits
