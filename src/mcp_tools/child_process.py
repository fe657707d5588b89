"""A stdio MCP server as a child process: the transport, with every message bounded and nothing left behind.

The SDK's own stdio transport sends the child's stderr straight to ours, which tears a terminal UI apart, and keeps
reading a line however long it grows. This one logs stderr line by line and ends a connection whose message is too big.
"""

from __future__ import annotations

import asyncio
import logging
import os
import signal
from collections import deque
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from types import TracebackType
from typing import TYPE_CHECKING, TypeVar

from mcp_tools.plain_text import plain_text
from mcp_tools.server_address import ServerAddress

if TYPE_CHECKING:
    from anyio.abc import ObjectReceiveStream, ObjectSendStream
    from mcp.client._transport import TransportStreams
    from mcp.shared.message import SessionMessage

Stream = TypeVar("Stream", asyncio.StreamReader, asyncio.StreamWriter)

log = logging.getLogger(__name__)
server_log = logging.getLogger("mcp_tools.server_output")

LOGGED_LINE_CHARACTERS = 2000
CLOSE_SECONDS = 1.5
"""How long a server may take to end by itself after its stdin was closed; as long again after SIGTERM."""


class ChildProcess:
    """One run of a server's command. Entering starts it, leaving ends it and whatever it has started in its group.

    The SDK is not needed to start a process, so that both may be imported at the same time, there and here.
    """

    def __init__(
        self,
        address: ServerAddress,
        *,
        redacted: Callable[[str], str] = str,
    ) -> None:
        self._address = address
        self._redacted = redacted
        self._process: asyncio.subprocess.Process | None = None
        self._pumps: list[asyncio.Task[None]] = []
        self._last_lines: deque[str] = deque(maxlen=5)
        self.failure = ""
        """Why we ended the connection ourselves, when we did."""
        self.too_large = False
        """Whether that was the size of a message."""
        self._at_eof = False

    async def __aenter__(self) -> ChildProcess:
        """Raises OSError when the command cannot be started."""
        self._process = await asyncio.create_subprocess_exec(
            *self._address.command,
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
            env=dict(self._address.environment),
            cwd=self._address.working_directory or None,
            limit=self._address.max_message_bytes,
            start_new_session=True,  # Ctrl-C at our terminal is ours to handle
        )
        self._pumps.append(asyncio.create_task(self._log_stderr(_pipe(self._process.stderr))))
        return self

    async def __aexit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        process = self._process
        if process is None:
            return
        import anyio

        with anyio.CancelScope(shield=True):
            # one that is stuck in writing what we no longer read would not notice that its stdin was closed
            await _end(process, patience_seconds=0 if self.failure else CLOSE_SECONDS)
            # a grandchild may hold the pipes open: what has not been read by now is not waited for
            await asyncio.wait(self._pumps, timeout=0.2)
            for pump in self._pumps:
                pump.cancel()
            await asyncio.gather(*self._pumps, return_exceptions=True)
            _close_pipes(process)

    @property
    def pid(self) -> int | None:
        return self._process.pid if self._process else None

    @property
    def exit_code(self) -> int | None:
        """None while it runs; negative: ended by that signal."""
        return self._process.returncode if self._process else None

    @property
    def alive(self) -> bool:
        process = self._process
        return process is not None and process.returncode is None and not self._at_eof and not _has_died(process.pid)

    @property
    def last_words(self) -> str:
        """The last line of its stderr."""
        return self._last_lines[-1] if self._last_lines else ""

    @asynccontextmanager
    async def streams(self) -> AsyncIterator[TransportStreams]:
        """The process's pipes as the SDK's transport."""
        import anyio
        from mcp.shared.message import SessionMessage

        process = self._process
        if process is None:
            raise RuntimeError("the process has not been started")
        received, read_stream = anyio.create_memory_object_stream[SessionMessage | Exception](0)
        write_stream, to_send = anyio.create_memory_object_stream[SessionMessage](0)
        self._pumps += [
            asyncio.create_task(self._read_messages(_pipe(process.stdout), received)),
            asyncio.create_task(self._write_messages(_pipe(process.stdin), to_send)),
        ]
        try:
            yield read_stream, write_stream
        finally:
            read_stream.close()
            write_stream.close()

    async def _read_messages(self, stdout: asyncio.StreamReader, received: ObjectSendStream[SessionMessage | Exception]) -> None:
        import anyio

        async with received:
            with suppress(anyio.ClosedResourceError, anyio.BrokenResourceError):
                while line := await self._next_line(stdout):
                    await received.send(_parse(line))
            self._at_eof = True

    async def _next_line(self, stdout: asyncio.StreamReader) -> bytes:
        try:
            return await stdout.readline()
        except ValueError:  # longer than the limit
            self.failure = f"it sent a message of more than {self._address.max_message_bytes} bytes"
            self.too_large = True
        except OSError as error:
            self.failure = f"its output cannot be read: {error}"
        return b""

    async def _write_messages(self, stdin: asyncio.StreamWriter, to_send: ObjectReceiveStream[SessionMessage]) -> None:
        async with to_send:
            with suppress(OSError):  # it has gone: the reader sees the end of the stream and says so
                async for message in to_send:
                    stdin.write(message.message.model_dump_json(by_alias=True, exclude_unset=True).encode() + b"\n")
                    await stdin.drain()

    async def _log_stderr(self, stderr: asyncio.StreamReader) -> None:
        partial = b""
        while chunk := await stderr.read(65536):
            *lines, partial = (partial + chunk).split(b"\n")
            for line in lines:
                self._log_line(line)
            partial = partial[:LOGGED_LINE_CHARACTERS]
        self._log_line(partial)

    def _log_line(self, raw: bytes) -> None:
        line = self._redacted(plain_text(raw[:LOGGED_LINE_CHARACTERS].decode(errors="replace")).strip())
        if line:
            self._last_lines.append(line)
            server_log.info("%s: %s", self._address.name, line)


def _has_died(pid: int) -> bool:
    """Whether the kernel knows of an end that the event loop has not heard of yet; leaves the reaping to the loop.

    What is sent to a dead server was certainly not done, which is worth a system call before a mutation.
    """
    if not hasattr(os, "waitid"):  # macOS before Python 3.13
        return False
    try:
        return os.waitid(os.P_PID, pid, os.WEXITED | os.WNOHANG | os.WNOWAIT) is not None
    except ChildProcessError:
        return True


def _pipe(stream: Stream | None) -> Stream:
    if stream is None:
        raise RuntimeError("the process was started without pipes")
    return stream


def _parse(line: bytes) -> SessionMessage | Exception:
    from mcp.shared.message import SessionMessage
    from mcp_types import jsonrpc_message_adapter

    try:
        return SessionMessage(jsonrpc_message_adapter.validate_json(line, by_name=False))
    except ValueError as error:
        log.warning("an MCP server wrote a line that is no JSON-RPC message (%d bytes)", len(line))
        return error


async def _end(process: asyncio.subprocess.Process, *, patience_seconds: float) -> None:
    """Close stdin, wait, SIGTERM the process group, wait, SIGKILL: the order that the MCP specification asks for."""
    _pipe(process.stdin).close()
    for number, seconds in ((signal.SIGTERM, patience_seconds), (signal.SIGKILL, CLOSE_SECONDS)):
        if await _has_ended(process, seconds):
            return
        with suppress(ProcessLookupError, PermissionError):
            os.killpg(process.pid, number)
    if not await _has_ended(process, CLOSE_SECONDS):
        log.warning("MCP server process %d does not end even when killed", process.pid)


async def _has_ended(process: asyncio.subprocess.Process, seconds: float) -> bool:
    """Poll: Process.wait() would also wait for the pipes, which a grandchild can hold open."""
    deadline = asyncio.get_running_loop().time() + seconds
    while process.returncode is None and asyncio.get_running_loop().time() < deadline:  # noqa: ASYNC110  nothing else tells
        await asyncio.sleep(0.01)
    return process.returncode is not None


def _close_pipes(process: asyncio.subprocess.Process) -> None:
    """Nothing public closes the transport of a process whose pipes a grandchild keeps open."""
    transport = getattr(process, "_transport", None)
    if transport is not None:
        with suppress(PermissionError, ProcessLookupError):
            transport.close()
