"""Fixtures around the simulated cluster (src/demo): within the test's process, and as the server that users start.

`demo` is a frozen cluster behind a test client; its clock and its ticks are the test's. `demo_server` is a process.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AsyncExitStack, ExitStack
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from aiohttp.test_utils import TestClient, TestServer

from controlplane.binaries import cached_binaries
from demo.simulated_cluster import SimulatedCluster

SOURCE = Path(__file__).resolve().parents[1] / "src"
TOKEN = "demo-test-token"
START = datetime(2026, 3, 14, 9, 26, 53, tzinfo=UTC)
Json = dict[str, Any]


class MovableClock:
    """A clock that the test moves."""

    def __init__(self) -> None:
        self.now = START

    def __call__(self) -> datetime:
        return self.now

    def advance(self, **span: float) -> None:
        self.now += timedelta(**span)


class Demo:
    """A cluster and a client of its API."""

    def __init__(self, cluster: SimulatedCluster, clock: MovableClock, client: TestClient[Any, Any]) -> None:
        self.cluster = cluster
        self.clock = clock
        self.client = client

    async def call(self, method: str, path: str, body: Any = None, *, accept: str = "application/json",
                   content_type: str = "application/json", token: str = TOKEN, **query: object) -> tuple[int, Json]:  # fmt: skip
        """(HTTP status, decoded body) of one request."""
        headers = {"Accept": accept, "Content-Type": content_type, "Authorization": f"Bearer {token}"}
        data = None if body is None else json.dumps(body)
        params = {name: str(value) for name, value in query.items()}
        async with self.client.request(method, path, data=data, headers=headers, params=params) as response:
            return response.status, await response.json(content_type=None)

    async def get(self, path: str, **query: object) -> Json:
        status, body = await self.call("GET", path, **query)
        assert status == 200, body
        return body

    async def text(self, path: str, **query: object) -> tuple[int, str]:
        headers = {"Authorization": f"Bearer {TOKEN}"}
        params = {name: str(value) for name, value in query.items()}
        async with self.client.get(path, headers=headers, params=params) as response:
            return response.status, await response.text()

    async def names(self, path: str, **query: object) -> list[str]:
        return [item["metadata"]["name"] for item in (await self.get(path, **query))["items"]]

    def ticks(self, count: int, **span: float) -> None:
        """So many ticks, the clock moving on by `span` (a second) before each."""
        for _ in range(count):
            self.clock.advance(**(span or {"seconds": 1}))
            self.cluster.movement.tick()
        assert self.cluster.movement.failed_steps == 0, "a controller failed; its warning is in the log"

    def object(self, key: str, namespace: str, name: str) -> Json | None:
        found = self.cluster.store.get(self.cluster.table.by_key(key), namespace, name)
        return found.obj if found else None


DemoFactory = Callable[..., Any]


@pytest.fixture
async def demo_factory() -> AsyncIterator[DemoFactory]:
    async with AsyncExitStack() as stack:

        async def make(**options: Any) -> Demo:
            clock = MovableClock()
            cluster = SimulatedCluster(**{"seed": 7, "clock": clock, "token": TOKEN, **options})
            client = await stack.enter_async_context(TestClient(TestServer(cluster.http.application())))
            stack.callback(cluster.hub.close)
            return Demo(cluster, clock, client)

        yield make


@pytest.fixture
async def demo(demo_factory: DemoFactory) -> Demo:
    made: Demo = await demo_factory()
    return made


@dataclass(frozen=True)
class DemoServer:
    """`python -m demo` as a process."""

    process: subprocess.Popen[str]
    url: str
    kubeconfig: Path


def start_demo_server(stack: ExitStack, folder: Path, *arguments: str) -> DemoServer:
    """Started, and ended with `stack`."""
    kubeconfig = folder / "kubeconfig"
    process = subprocess.Popen(
        [sys.executable, "-P", "-m", "demo", "--kubeconfig", str(kubeconfig), *arguments],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=os.environ | {"PYTHONPATH": str(SOURCE)},
    )  # fmt: skip
    stack.callback(_end, process)
    assert process.stdout is not None
    announced = json.loads(process.stdout.readline())
    assert announced["kubeconfig"] == str(kubeconfig)
    return DemoServer(process, announced["server"], kubeconfig)


def _end(process: subprocess.Popen[str]) -> None:
    assert process.stdin is not None
    assert process.stdout is not None
    process.stdin.close()
    try:
        process.wait(60)  # of a busy machine
    finally:
        process.kill()
        process.wait()
        process.stdout.close()


@pytest.fixture(scope="module")
def demo_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[DemoServer]:
    """One server for a file, at ten ticks a second; for a whole session it would take a twentieth of a processor."""
    with ExitStack() as stack:
        yield start_demo_server(stack, tmp_path_factory.mktemp("demo"), "--speed", "10")


@pytest.fixture(scope="session")
def kubectl_path() -> str:
    """A real kubectl: the control plane's own, or the PATH's. Missing, the test is skipped, but with CI=true it fails."""
    binaries = cached_binaries()
    found = str(binaries.kubectl) if binaries is not None else shutil.which("kubectl")
    if found is None:
        if os.environ.get("CI") == "true":
            pytest.fail("no kubectl, neither built (script/testcluster up builds it) nor on the PATH")
        pytest.skip("no kubectl, neither built (script/testcluster up builds it) nor on the PATH")
    return found
