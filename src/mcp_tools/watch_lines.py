"""The lines of a watch: bytes as they come from the wire -> events."""

from __future__ import annotations

from typing import Literal

import msgspec

from mcp_tools.json_repair import cut_deep

MAX_LINE_BYTES = 8 * 1024 * 1024
"""etcd keeps objects of up to 1.5 MB; as JSON, escaped and with managedFields, they grow."""


class LineTooLong(Exception):
    """An event is longer than any object can be: the stream is not what it should be."""


class WatchEvent(msgspec.Struct, frozen=True):
    """One event; its object is still JSON text."""

    type: Literal["ADDED", "MODIFIED", "DELETED", "BOOKMARK", "ERROR"]
    object: msgspec.Raw


_DECODER = msgspec.json.Decoder(WatchEvent)


def decode_event(line: bytes) -> WatchEvent:
    """Raises msgspec.MsgspecError for a line that is no event."""
    try:
        return _DECODER.decode(line)
    except RecursionError:
        return _DECODER.decode(cut_deep(line))


class LineSplitter:
    """Puts lines together from pieces; a piece may hold many lines, a line may come in many pieces."""

    def __init__(self, max_line_bytes: int = MAX_LINE_BYTES) -> None:
        self._max_line_bytes = max_line_bytes
        self._pieces: list[bytes] = []
        self._size = 0

    def feed(self, piece: bytes) -> list[bytes]:
        """The lines that are now complete, without empty ones. Raises LineTooLong."""
        *ended, rest = piece.split(b"\n")
        lines = []
        for end in ended:
            lines.append(b"".join([*self._pieces, end]) if self._pieces else end)
            self._pieces.clear()
            self._size = 0
        if rest:
            self._pieces.append(rest)
            self._size += len(rest)
        if self._size > self._max_line_bytes or any(len(line) > self._max_line_bytes for line in lines):
            raise LineTooLong(f"a watch event is longer than {self._max_line_bytes} bytes")
        return [line for line in lines if line.strip()]
