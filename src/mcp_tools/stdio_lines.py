"""Lines of a client over stdio: what is no message is answered with an error, for whoever sent it may wait for an answer.

The SDK's own reader drops such a line without a word, and reads a line of any length into memory.
"""

from __future__ import annotations

import json
import logging
import os
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import contextmanager
from typing import Any, BinaryIO

import anyio.to_thread
from mcp_types import INVALID_REQUEST, PARSE_ERROR, ErrorData, JSONRPCError
from mcp_types.jsonrpc import jsonrpc_message_adapter

log = logging.getLogger(__name__)

MAX_LINE_BYTES = 1024 * 1024
"""As much as a request over HTTP may have (http_service.MAX_BODY_BYTES)."""
_LONGEST_ID = 200
_LONGEST_NUMBER = 18
"""Digits: Python refuses to read thousands of them, and no id is a larger number."""


async def messages(stdin: BinaryIO, answer: Callable[[JSONRPCError], Awaitable[None]]) -> AsyncIterator[str]:
    """The lines that are JSON-RPC messages. The others are answered; no answer or log repeats them: they may hold secrets."""
    while line := await _next_line(stdin):
        if not line.strip():
            continue
        error = _too_long() if _is_cut(line) else _error_of(line)
        if error is None:
            yield line.decode()
            continue
        log.warning("a line on stdin is no JSON-RPC message, answered with error %d", error.error.code)
        await answer(error)


async def _next_line(stdin: BinaryIO) -> bytes:
    """Empty at the end; of a line that is too long as much as shows that it is, the rest is thrown away."""
    line = rest = await _read(stdin)
    while _is_cut(rest):
        rest = await _read(stdin)
    return line


def _is_cut(line: bytes) -> bool:
    return len(line) > MAX_LINE_BYTES and not line.endswith(b"\n")


async def _read(stdin: BinaryIO) -> bytes:
    return await anyio.to_thread.run_sync(stdin.readline, MAX_LINE_BYTES + 1, abandon_on_cancel=True)


def _error_of(line: bytes) -> JSONRPCError | None:
    """None for a message."""
    try:
        jsonrpc_message_adapter.validate_json(line, by_name=False)
        line.decode()
    except ValueError:  # pydantic's ValidationError is one
        return _refusal(line)
    return None


def _refusal(line: bytes) -> JSONRPCError:
    try:
        found = json.loads(line.decode(), parse_int=lambda digits: int(digits) if len(digits) <= _LONGEST_NUMBER else None)
    except (ValueError, RecursionError):
        return _error(
            PARSE_ERROR,
            "the line cannot be read as JSON in UTF-8; send one JSON-RPC message a line, nested less than 200 deep",
        )
    return _error(
        INVALID_REQUEST,
        "the line is no JSON-RPC 2.0 message that can be read; send one object with jsonrpc, method, params and id, nested less "
        "than 200 deep, without half surrogates and numbers of thousands of digits",
        _id_of(found),
    )


def _id_of(found: Any) -> str | int | None:
    """Of a request only: the id of a response is one of ours, and an error with it would answer a question of the client's."""
    if not isinstance(found, dict) or not isinstance(found.get("method"), str):
        return None
    number = found.get("id")
    if isinstance(number, str):
        return number if len(number) <= _LONGEST_ID and number.isprintable() else None
    return number if isinstance(number, int) and not isinstance(number, bool) else None


def _too_long() -> JSONRPCError:
    return _error(PARSE_ERROR, f"the line is too long; a message may have {MAX_LINE_BYTES} bytes, send less in one call")


def _error(code: int, message: str, number: str | int | None = None) -> JSONRPCError:
    return JSONRPCError(jsonrpc="2.0", id=number, error=ErrorData(code=code, message=message))


@contextmanager
def claimed_stdin() -> Iterator[BinaryIO]:
    """The process's stdin for us alone: children and careless code find the null device there, as with the SDK's own reader."""
    private = os.dup(0)
    null = os.open(os.devnull, os.O_RDONLY)
    os.dup2(null, 0)
    os.close(null)
    try:
        yield os.fdopen(private, "rb", closefd=False)  # a thread may still read from it
    finally:
        os.dup2(private, 0)
