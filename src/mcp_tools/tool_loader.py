"""The client side of MCP: everything that calls a tool does it through a ToolLoader.

It starts and restarts the server, checks arguments against the tool's schema before anything is sent, bounds time and
size, retries reads (never mutations), and raises errors as the classes of configuration.errors.
"""

from __future__ import annotations

import asyncio
import difflib
import json
import logging
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from types import TracebackType
from typing import TYPE_CHECKING, Any

from configuration.errors import InvalidArguments, ServerGone, ToolError, ToolTimeout, UnknownTool
from mcp_tools import error_answers
from mcp_tools.argument_check import ArgumentCheck
from mcp_tools.foreign_tools import presentable
from mcp_tools.redaction_marks import contains_mark
from mcp_tools.server_address import ONLY_READS, server_address
from mcp_tools.server_connection import ServerConnection, ServerRun
from mcp_tools.tool_spec import ToolResult as ToolResult
from mcp_tools.tool_spec import ToolSpec as ToolSpec

if TYPE_CHECKING:
    from mcp_types import CallToolResult

    from mcp_tools.foreign_answers import ForeignAnswers
    from mcp_tools.settings import McpSettings

log = logging.getLogger(__name__)

LARGE_CHARACTERS = 50_000
"""An answer of another server beyond this is redacted in a thread: it may take a second."""


class ToolLoader:
    """The tools of the configured server. An async context manager; leaving it leaves no process behind.

    Nothing is started before `begin()`, `connect()` or the first `call()`. Use it from one event loop; any number of calls may be
    under way at once.
    """

    def __init__(
        self,
        settings: McpSettings,
        *,
        environment: Mapping[str, str],
        connection: ServerConnection | None = None,
        clock: Callable[[], float] = time.monotonic,
        own_flags: Sequence[str] = ONLY_READS,
    ) -> None:
        self._settings = settings
        self._environment = environment
        self._clock = clock
        self._connection = connection or ServerConnection(server_address(settings, environment, own_flags), clock=clock)
        self._checks: dict[str, tuple[ToolSpec, ArgumentCheck]] = {}
        self._foreign: ForeignAnswers | None = None
        self._beginning: asyncio.Task[ServerRun] | None = None
        if not self._connection.address.ours:
            self._connection.redacted = lambda line: self._foreign_answers().words(line)
            self._connection.arrived = lambda specs: presentable(specs, self._foreign_answers().words)

    async def __aenter__(self) -> ToolLoader:
        return self

    async def __aexit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        await self.close()

    def begin(self) -> None:
        """Start the server in the background, so that it is there sooner; `connect` or `call` tells what went wrong."""
        if self._beginning is None:
            self._beginning = asyncio.create_task(self._connection.run())

    async def connect(self) -> Mapping[str, ToolSpec]:
        """Start the server when it is not running, and give its tools. Raises ServerGone or ConfigurationError."""
        with self._errors_redacted():
            return (await self._run()).specs

    async def close(self) -> None:
        """End the server process. Calls that are under way fail with ServerGone."""
        if self._beginning is not None:
            self._beginning.cancel()
            await asyncio.gather(self._beginning, return_exceptions=True)
        await self._connection.close()

    @property
    def tools(self) -> Mapping[str, ToolSpec]:
        """Name -> tool, as last listed; empty before `connect()` or the first call."""
        return self._connection.specs

    @property
    def connected(self) -> bool:
        """Whether the server has been started and answers, as far as that is known without asking it."""
        return self._connection.alive

    @property
    def server_pid(self) -> int | None:
        """Process id of the server when it is a child of ours and has been started."""
        return self._connection.pid

    async def call(self, name: str, arguments: Mapping[str, Any], *, timeout_seconds: float = 30) -> ToolResult:
        """Call a tool. `timeout_seconds` bounds each try; a server that has to be started first has 30 s for that.

        Raises UnknownTool, InvalidArguments (nothing was called), ToolTimeout, ServerGone, ToolError, or what the
        Kubernetes API answered (ClusterError and its subclasses). A read whose server died is tried once more; a
        mutation is not: ServerGone and ToolTimeout then say that its outcome is unknown.
        """
        with self._errors_redacted():
            return await self._call(name, arguments, timeout_seconds)

    async def _call(self, name: str, arguments: Mapping[str, Any], timeout_seconds: float) -> ToolResult:
        started = self._clock()
        run = await self._run()
        spec = self._checked(run, name, arguments)
        try:
            answer = await run.call(name, dict(arguments), timeout_seconds)
        except ServerGone as gone:
            if not spec.read_only:  # nor any tool of another server: its own word is no guarantee
                raise ServerGone(f"{gone}. {_UNKNOWN_OUTCOME}") from gone
            log.warning("%s; trying once more", gone)
            run = await self._run()
            answer = await run.call(name, dict(arguments), timeout_seconds)
        except ToolTimeout as timeout:
            raise timeout if spec.read_only else ToolTimeout(f"{timeout}. {_UNKNOWN_OUTCOME}") from timeout
        return await self._result(name, answer, started)

    @contextmanager
    def _errors_redacted(self) -> Iterator[None]:
        """Errors quote what a server said: a protocol error, an answer that does not fit its schema, its last words."""
        try:
            yield
        except ToolError as error:
            if self._connection.address.ours:
                raise
            raise type(error)(self._foreign_answers().text(str(error))) from None

    async def _run(self) -> ServerRun:
        if self._beginning is not None:
            beginning, self._beginning = self._beginning, None
            return await beginning
        return await self._connection.run()

    def _checked(self, run: ServerRun, name: str, arguments: Mapping[str, Any]) -> ToolSpec:
        spec = run.specs.get(name)
        if spec is None:
            raise UnknownTool(_unknown_tool(name, run.specs))
        known = self._checks.get(name)
        if known is None or known[0] is not spec:
            known = self._checks[name] = (spec, ArgumentCheck(name, spec.input_schema))
        known[1].check(arguments)
        if not self._connection.address.ours and (marked := contains_mark(dict(arguments))):
            raise InvalidArguments(
                f"{name}: {', '.join(marked[:5])} holds a redaction mark, which stands for a value that is not known here and "
                "must not be written anywhere; leave the field out. Nothing was called."
            )
        return spec

    async def _result(self, name: str, answer: CallToolResult, started: float) -> ToolResult:
        address = self._connection.address
        text, structured = "\n".join(block_text(block) for block in answer.content), answer.structured_content
        size = len(text) + (0 if address.ours or structured is None else len(json.dumps(structured)))
        if size > address.max_answer_characters:
            raise ToolError(
                f"{name} answered with {size} characters; at most {address.max_answer_characters} are accepted: ask for less"
            )
        if not address.ours:
            foreign = self._foreign_answers()
            if size > LARGE_CHARACTERS:
                text, structured = await asyncio.to_thread(foreign.both, text, structured)
            else:
                text, structured = foreign.both(text, structured)
        if answer.is_error:
            raise error_answers.raised(name, text, (answer.meta or {}).get(error_answers.ERROR_MARK), ours=address.ours)
        return ToolResult(text, structured, self._clock() - started)

    def _foreign_answers(self) -> ForeignAnswers:
        if self._foreign is None:
            from mcp_tools.foreign_answers import ForeignAnswers
            from mcp_tools.redaction import Redactor
            from mcp_tools.redaction_key import read_or_create_key

            self._foreign = ForeignAnswers(Redactor(read_or_create_key(self._settings.redaction_key_file)))
        return self._foreign


_UNKNOWN_OUTCOME = "Whether the change was made is unknown: look at the object before trying again"


def _unknown_tool(name: str, specs: Mapping[str, ToolSpec]) -> str:
    near = difflib.get_close_matches(name, specs, 3, 0.5)
    hint = f"did you mean {', '.join(near)}?" if near else f"known tools: {', '.join(sorted(specs))}"
    return f"unknown tool {name[:80]!r}; {hint}"


def block_text(block: Any) -> str:
    """Text of a content block; what is no text (images, links) is named, not passed on."""
    if block.type == "text":
        return str(block.text)
    if block.type == "resource" and hasattr(block.resource, "text"):
        return str(block.resource.text)
    return f"[{block.type} left out]"
