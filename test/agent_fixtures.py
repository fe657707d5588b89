"""Gateways and agents on real parts: a database file, our own MCP server as a child, and a scripted model."""

from __future__ import annotations

import array
import asyncio
import fcntl
import os
import signal
import termios
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio

from agent.agent_core import AgentCore
from agent.agent_events import AgentEvent
from agent.approvals import Approver, RefusingApprover
from agent.cache_first_gateway import CacheFirstGateway
from agent.llm_config import ModelClient
from agent.settings import AgentSettings
from cache.cache_manager import CacheManager
from cache_fixtures import CLUSTER, Clock, api_object, scan, staged

OpenGateway = Callable[..., Awaitable[CacheFirstGateway]]
OpenAgent = Callable[..., Awaitable[AgentCore]]

KUBECONFIG = """
apiVersion: v1
kind: Config
current-context: {context}
contexts: [{{name: {context}, context: {{cluster: c, user: u, namespace: team-a}}}}]
clusters: [{{name: c, cluster: {{server: "https://127.0.0.1:1"}}}}]
users: [{{name: u, user: {{token: x}}}}]
"""


@pytest.fixture
def dead_kubeconfig(tmp_path: Path) -> Path:
    """Its only context is the test cluster's, whose API server does not answer."""
    path = tmp_path / "kubeconfig"
    path.write_text(KUBECONFIG.format(context=CLUSTER))
    return path


def fill(manager: CacheManager, *, pods: int = 3) -> None:
    """Namespaces, one node, pods `web-0` … in team-a, one Deployment; services and events were never scanned."""
    scan(manager, "namespaces", staged("namespaces", api_object("namespaces", "team-a"), api_object("namespaces", "team-b")))
    scan(manager, "nodes", staged("nodes", api_object("nodes", "node-1")))
    scan(manager, "pods", staged("pods", *(api_object("pods", f"web-{n}", "team-a") for n in range(pods))))
    scan(manager, "deployments", staged("deployments", api_object("deployments", "web", "team-a", spec={"replicas": 3})))


async def freeze(pid: int) -> None:
    """Stops a process and waits until every thread of it stands still.

    A thread that was woken by the signal alone, but has not run yet, would still take a message that comes meanwhile.
    """
    os.kill(pid, signal.SIGSTOP)
    async with asyncio.timeout(10):
        while any(_state(task) != "T" for task in Path(f"/proc/{pid}/task").iterdir()):  # noqa: ASYNC110, ASYNC240
            await asyncio.sleep(0.002)


def _state(task: Path) -> str:
    """The letter that proc(5) calls the state, after the last `)`; a thread that has ended meanwhile stands still too."""
    try:
        return (task / "stat").read_text().rpartition(")")[2].split()[0]
    except OSError:
        return "T"


async def request_arrived(pid: int) -> None:
    """Waits until a stopped MCP server has unread bytes in a pipe: a call is under way."""
    links = {descriptor: descriptor.readlink() for descriptor in Path(f"/proc/{pid}/fd").iterdir()}  # noqa: ASYNC240
    pipes = [os.open(path, os.O_RDONLY | os.O_NONBLOCK) for path, link in links.items() if str(link).startswith("pipe:")]
    try:
        async with asyncio.timeout(10):
            while not any(_unread_bytes(pipe) for pipe in pipes):  # noqa: ASYNC110 (the other end is a process)
                await asyncio.sleep(0.005)
    finally:
        for pipe in pipes:
            os.close(pipe)


def _unread_bytes(pipe: int) -> int:
    count = array.array("i", [0])
    fcntl.ioctl(pipe, termios.FIONREAD, count)
    return count[0]


@pytest_asyncio.fixture
async def open_gateway(database: Path, clock: Clock, dead_kubeconfig: Path, tmp_path: Path) -> AsyncIterator[OpenGateway]:
    """Opens gateways: keywords are settings; `kubeconfig` "" for none, by default one whose cluster does not answer."""
    async with AsyncExitStack() as stack:

        async def open_one(
            *,
            kubeconfig: Path | str | None = None,
            context: str = "",
            namespace: str | None = None,
            clock: Any = clock,
            **settings: Any,
        ) -> CacheFirstGateway:
            values = {"cache_db_path": database, "redaction_key_file": tmp_path / "redaction.key", "agent_mcp_call_timeout": 20}
            chosen = dead_kubeconfig if kubeconfig is None else kubeconfig
            environment = {"PATH": os.environ["PATH"], "HOME": str(tmp_path), "KUBECONFIG": str(chosen)}
            gateway = CacheFirstGateway(
                None,
                AgentSettings(**(values | settings)),
                environment=environment,
                context=context,
                namespace=namespace,
                clock=clock,
            )
            return await stack.enter_async_context(gateway)

        yield open_one


@pytest_asyncio.fixture
async def open_agent(open_gateway: OpenGateway, model_client: Any) -> AsyncIterator[OpenAgent]:
    """An AgentCore on a gateway and the scripted model; `gateway` or keywords of `open_gateway`."""

    async def open_one(
        *, gateway: CacheFirstGateway | None = None, approver: Approver | None = None, **settings: Any
    ) -> AgentCore:
        gateway = gateway or await open_gateway(**settings)
        model: ModelClient = model_client(**{k: v for k, v in settings.items() if k.startswith("llm_")})
        return AgentCore(model, gateway, approver or RefusingApprover(), gateway.settings)

    yield open_one


@pytest.fixture
def events() -> list[AgentEvent]:
    """Give `events.append` as on_event."""
    return []
