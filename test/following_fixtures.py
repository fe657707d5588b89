"""Our server's tools for keeping up, called through its gate: ``follower(kubeconfig)`` is one server."""

from __future__ import annotations

import json
import os
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack
from pathlib import Path
from types import TracebackType
from typing import Any

import pytest

from mcp_tools.k8s_api import Clusters
from mcp_tools.redaction import Redactor
from mcp_tools.server import ToolGate, package_version
from mcp_tools.server_policy import ServerPolicy
from mcp_tools.tool_declaration import ToolContext
from mcp_tools.watch_holder import WatchHolder
from server_fixtures import KEY, text_of

Json = dict[str, Any]


class Follower:
    """One server with its watches. The options are WatchHolder's: watches that last seconds instead of minutes."""

    def __init__(self, kubeconfig: Path, **options: Any) -> None:
        environment = {name: value for name, value in os.environ.items() if name != "KUBERNETES_SERVICE_HOST"}
        policy = ServerPolicy(approval="client")
        self.clusters = Clusters(environment | {"KUBECONFIG": str(kubeconfig)}, version=package_version(), policy=policy)
        self.watches = WatchHolder(**options)
        self.tools = ToolContext(self.clusters, Redactor(KEY), watches=self.watches)
        self._gate = ToolGate(self.tools)

    async def __aenter__(self) -> Follower:
        return self

    async def __aexit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        await self.tools.close()

    async def call(self, tool: str, **arguments: Any) -> Json:
        result = await self._gate.call(tool, arguments)
        assert not result.is_error, text_of(result)
        answer: Json = json.loads(text_of(result))
        return answer

    async def cursor(self, kind: str, namespace: str = "") -> str:
        """The resourceVersion of a complete list."""
        page = await self.call("k8s_export_page", kind=kind, namespace=namespace, limit=1000)
        assert page["continue"] == ""
        return str(page["resource_version"])

    async def poll(self, *watches: tuple[str, str, str], **arguments: Any) -> list[Json]:
        """Results for (kind, namespace, cursor)."""
        asked = [{"kind": kind, "namespace": namespace, "cursor": cursor} for kind, namespace, cursor in watches]
        answer = await self.call("k8s_list_changes", watches=asked, **arguments)
        results: list[Json] = answer["results"]
        assert [(one["kind"], one["namespace"]) for one in results] == [(kind, namespace) for kind, namespace, _ in watches]
        return results

    async def poll_one(self, kind: str, namespace: str, cursor: str, **arguments: Any) -> Json:
        return (await self.poll((kind, namespace, cursor), **arguments))[0]


def told(result: Json) -> list[tuple[str, str]]:
    """(type, name) of each change."""
    return [(change["type"], change["object"]["metadata"]["name"]) for change in result["changes"]]


@pytest.fixture
async def follower() -> AsyncIterator[Callable[..., Any]]:
    """``await follower(kubeconfig, seconds=(2, 3))``; closed after the test."""
    async with AsyncExitStack() as stack:

        async def make(kubeconfig: Path, **options: Any) -> Follower:
            return await stack.enter_async_context(Follower(kubeconfig, **options))

        yield make
