"""The loader of programs (the scanner, `main doctor`): where MCP_SERVER_NAME names a server with a declared mapping, it offers
our tools, answered by those of that server. Models get that server's own tools instead, through a plain ToolLoader.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from configuration.errors import ServerGone, ToolError, UnknownTool
from mcp_tools.all_tools import own_tool_specs
from mcp_tools.foreign_mappings import kubernetes_mcp_server
from mcp_tools.server_address import server_address
from mcp_tools.server_connection import AnswerTooLarge, ServerConnection
from mcp_tools.tool_loader import ToolLoader, ToolResult, ToolSpec, block_text

if TYPE_CHECKING:
    from mcp_tools.foreign_mappings.kubernetes_mcp_server import KubernetesMcpServer
    from mcp_tools.settings import McpSettings

log = logging.getLogger(__name__)

MESSAGE_BYTES = 256 * 1024 * 1024
"""Of the text and the structured copy of all objects of a kind; a kind with more is listed by namespaces."""


def loader_of_programs(
    settings: McpSettings, *, environment: Mapping[str, str], clock: Callable[[], float] = time.monotonic
) -> ToolLoader:
    """A ToolLoader for what programs call. Raises ConfigurationError when MCP_SERVER_URL cannot be used."""
    address = server_address(settings, environment)
    if address.ours or settings.mcp_server_name != kubernetes_mcp_server.NAME:
        return ToolLoader(settings, environment=environment, clock=clock)
    address = replace(address, max_message_bytes=MESSAGE_BYTES)
    if address.command:
        address = replace(address, command=(*address.command, *kubernetes_mcp_server.ARGUMENTS))
    return MappedLoader(settings, environment=environment, connection=ServerConnection(address, clock=clock), clock=clock)


class MappedLoader(ToolLoader):
    """Our tools, as far as the mapping answers them; everything else is unknown here."""

    _mapping: KubernetesMcpServer | None = None

    async def connect(self) -> Mapping[str, ToolSpec]:
        """Start the server; the tools that the mapping answers."""
        await super().connect()
        return self.tools

    @property
    def tools(self) -> Mapping[str, ToolSpec]:
        specs = own_tool_specs(self._settings.mcp_server_name)
        return {name: specs[name] for name in kubernetes_mcp_server.TOOLS} if super().tools else {}

    async def call(self, name: str, arguments: Mapping[str, Any], *, timeout_seconds: float = 30) -> ToolResult:
        """Every tool of a mapping reads, and may be tried again. Raises what ToolLoader.call raises."""
        if name not in kubernetes_mcp_server.TOOLS:
            raise UnknownTool(
                f"{name} cannot be answered by {kubernetes_mcp_server.NAME}: use our own server (MCP_SERVER_URL=stdio://)"
            )
        started = self._clock()

        async def call(tool: str, given: Mapping[str, Any]) -> dict[str, Any] | None:
            return await self._raw(tool, given, timeout_seconds)

        with self._errors_redacted():
            text, structured = await self._mapped().answer(name, arguments, call)
        return ToolResult(text, structured, self._clock() - started)

    async def _raw(self, tool: str, arguments: Mapping[str, Any], timeout_seconds: float) -> dict[str, Any] | None:
        """The structured content as it came. Its text, the same objects again as YAML, is not looked at."""
        try:
            answer = await (await self._run()).call(tool, dict(arguments), timeout_seconds)
        except AnswerTooLarge:
            raise
        except ServerGone as gone:
            log.warning("%s; trying once more", gone)
            answer = await (await self._run()).call(tool, dict(arguments), timeout_seconds)
        if answer.is_error:
            text = "\n".join(block_text(block) for block in answer.content)[:4_000]
            raise ToolError(self._foreign_answers().words(text) or f"{tool} failed and its server did not say why")
        content: dict[str, Any] | None = answer.structured_content
        return content

    def _mapped(self) -> KubernetesMcpServer:
        if self._mapping is None:
            foreign = self._foreign_answers()
            self._mapping = kubernetes_mcp_server.KubernetesMcpServer(self._environment, foreign)
        return self._mapping
