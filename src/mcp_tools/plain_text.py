"""Text from elsewhere without what a terminal would obey: escape sequences, control characters, direction overrides."""

from __future__ import annotations

import re

_ESCAPE_SEQUENCE = re.compile(
    r"(?:\x1b\[|\x9b)[0-?]*[ -/]*[@-~]"  # CSI: colours, cursor movement
    r"|(?:\x1b[\]PX^_]|[\x90\x98\x9d-\x9f])[^\x07\x1b\x9c]*(?:\x07|\x1b\\|\x9c)?"  # OSC, DCS, …: titles, links, clipboard
    r"|\x1b[ -/]*[0-~]?"  # every other escape
)
_CONTROL = re.compile(
    "[\x00-\x08\x0b-\x1f\x7f-\x9f"
    "\ud800-\udfff"  # half a surrogate pair: no encoder writes it
    "\u200e\u200f\u202a-\u202e\u2066-\u2069]"  # direction marks: text that reads in another order than it is
)


def plain_text(text: str) -> str:
    """Remove escape sequences and control characters; newlines and tabs stay, a carriage return becomes a newline."""
    if text.isascii() and text.isprintable():
        return text
    lines = text.replace("\r\n", "\n").replace("\r", "\n")
    return _CONTROL.sub("", _ESCAPE_SEQUENCE.sub("", lines))


def without_controls(text: str) -> str:
    """A whole answer, whose parts are plain: an escape sequence that was left in one of them must not swallow the next."""
    return text if text.isascii() and text.isprintable() else _CONTROL.sub("", text)


def plain_value(value: object) -> object:
    """The same for every string in a decoded JSON value, keys included."""
    if isinstance(value, str):
        return plain_text(value)
    if isinstance(value, list | tuple):
        return [plain_value(item) for item in value]
    if isinstance(value, dict):
        return {plain_text(key): plain_value(item) for key, item in value.items()}
    return value
