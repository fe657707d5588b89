"""Our MCP server in memory: ``tool_client`` calls tools of a server that talks to a kubeconfig of the test's choice."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from mcp import Client
from mcp_types import CallToolResult

from mcp_tools.error_answers import ERROR_MARK
from mcp_tools.k8s_api import Clusters
from mcp_tools.redaction import Redactor
from mcp_tools.server import ToolGate, build_server, package_version
from mcp_tools.server_policy import ServerPolicy
from mcp_tools.tool_declaration import ToolContext

KEY = bytes(range(32))


@dataclass
class ToolClient:
    """One server; each call connects anew, through the SDK's own client."""

    environment: Mapping[str, str]
    redactor: Any = field(default_factory=lambda: Redactor(KEY))
    read_only: bool = False
    policy: ServerPolicy | None = None
    """By default the client is trusted to have asked."""
    allowed: tuple[str, ...] = ()
    person: Callable[[Any, Any], Awaitable[Any]] | None = None
    """Answers elicitations; None: a client that cannot ask."""
    mode: str = "auto"
    """`legacy`: the generation of the protocol in which the server asks while a call waits."""

    def gate(self) -> ToolGate:
        policy = self.policy or ServerPolicy(read_only=self.read_only, approval="client")
        clusters = Clusters(self.environment, allowed=self.allowed, version=package_version(), policy=policy)
        return ToolGate(ToolContext(clusters, self.redactor))

    def result(self, tool: str, arguments: Mapping[str, Any] | None = None, /, **named: Any) -> CallToolResult:
        async def run() -> CallToolResult:
            async with Client(build_server(self.gate()), mode=self.mode, elicitation_callback=self.person) as client:
                return await client.call_tool(tool, {**(arguments or {}), **named})

        return asyncio.run(run())

    def __call__(self, tool: str, arguments: Mapping[str, Any] | None = None, /, **named: Any) -> dict[str, Any]:
        """The structured content of a call that succeeds."""
        result = self.result(tool, arguments, **named)
        assert not result.is_error, text_of(result)
        content = result.structured_content
        assert isinstance(content, dict)
        return content

    def error(self, tool: str, arguments: Mapping[str, Any] | None = None, /, **named: Any) -> dict[str, Any]:
        """The description of the error of a call that fails."""
        result = self.result(tool, arguments, **named)
        assert result.is_error, text_of(result)
        error = told_error(result)
        assert error["message"] == text_of(result)
        return error


def told_error(result: CallToolResult) -> dict[str, Any]:
    """What an error result says to programs. Never as structured content, which would have to fit the output schema."""
    assert result.is_error
    assert result.structured_content is None
    assert result.meta is not None
    error: dict[str, Any] = result.meta[ERROR_MARK]
    return error


def text_of(result: CallToolResult) -> str:
    return "\n".join(block.text for block in result.content if block.type == "text")


@pytest.fixture
def tool_client() -> Callable[..., ToolClient]:
    """``tool_client(kubeconfig, read_only=True)``."""

    def make(kubeconfig: Path | str, **options: Any) -> ToolClient:
        environment = {name: value for name, value in os.environ.items() if name != "KUBERNETES_SERVICE_HOST"}
        return ToolClient(environment | {"KUBECONFIG": str(kubeconfig)}, **options)

    return make


@pytest.fixture
def tools(control_plane: Any, tool_client: Callable[..., ToolClient]) -> ToolClient:
    """The server for the session's control plane, as its administrator."""
    return tool_client(control_plane.kubeconfig)
