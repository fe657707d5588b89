"""Which proxy the environment means, as kubectl decides it, and a real one between us and a real API server."""

from __future__ import annotations

import asyncio
import base64
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
import yaml

from configuration.errors import ClusterError, ConfigurationError
from controlplane.control_plane import ControlPlane
from mcp_tools.environment_proxy import proxy_for
from mcp_tools.k8s_api import Clusters

PROXY = "http://proxy.example:3128"
NAME = "kubernetes.default.svc"
"""In the API server's certificate, and no name that this machine can look up: only a proxy gets there."""


@pytest.mark.parametrize(
    ("server", "no_proxy", "is_used"),
    [
        ("https://api.example:6443", "", True),
        ("https://127.0.0.1:6443", "", False), ("https://localhost:6443", "", False), ("https://[::1]:6443", "", False),
        ("https://api.example:6443", "*", False), ("https://api.example:6443", " API.example ", False),
        ("https://a.api.example", "api.example", False), ("https://api.example", ".api.example", True),
        ("https://a.api.example", ".api.example", False), ("https://a.api.example", "*.api.example", False),
        ("https://api.example", "*.api.example", True), ("https://myapi.example", "api.example", True),
        ("https://api.example:6443", "api.example:6443", False), ("https://api.example:6443", "api.example:443", True),
        ("https://api.example", "api.example:443", False),
        ("https://10.1.2.3:6443", "10.0.0.0/8", False), ("https://11.1.2.3:6443", "10.0.0.0/8", True),
        ("https://api.example", "10.0.0.0/8,x,,api.example", False), ("https://api.example", "10.0.0.0/x", True),
        ("https://10.1.2.3", "10.1.2.3", False), ("https://10.1.2.34", "10.1.2.3", True),
        ("https://10.1.2.3", "10.1.2.3:443", False), ("https://10.1.2.3:6443", "10.1.2.3:443", True),
        ("https://[fd00::1]:6443", "fd00::1", False), ("https://[fd00::1]:6443", "[fd00::1]:6443", False),
        ("https://[fd00::1]:6443", "fd00::/8", False), ("https://[fd00::2]:6443", "fd00::1", True),
    ],
)  # fmt: skip
def test_no_proxy_means_what_it_means_to_kubectl(server: str, no_proxy: str, is_used: bool) -> None:
    assert proxy_for(server, {"HTTPS_PROXY": PROXY, "NO_PROXY": no_proxy}) == (PROXY if is_used else None)
    assert proxy_for(server, {"https_proxy": PROXY, "no_proxy": no_proxy}) == (PROXY if is_used else None)


def test_the_scheme_of_the_api_server_says_which_variable_counts() -> None:
    assert proxy_for("https://api.example", {"HTTP_PROXY": PROXY}) is None
    assert proxy_for("http://api.example", {"HTTP_PROXY": PROXY}) == PROXY
    assert proxy_for("https://api.example", {"HTTPS_PROXY": "", "https_proxy": "proxy.example:3128"}) == PROXY


def test_a_proxy_that_cannot_be_spoken_to_is_named_without_its_password() -> None:
    with pytest.raises(ConfigurationError, match="HTTPS_PROXY names a 'socks5' proxy") as refused:
        proxy_for("https://api.example", {"HTTPS_PROXY": "socks5://me:hunter2@proxy.example"})
    assert "hunter2" not in str(refused.value)


# --- between us and an API server


class ForwardProxy:
    """What was asked of it: lines of CONNECT, and the credentials that came along."""

    def __init__(self, port_behind: int) -> None:
        self.url = ""
        self.asked: list[str] = []
        self.credentials: list[str] = []
        self._port_behind = port_behind

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = (await reader.readuntil(b"\r\n\r\n")).decode().split("\r\n")
        self.asked.append(head[0])
        self.credentials += [line.partition(": ")[2] for line in head if line.lower().startswith("proxy-authorization:")]
        there, to_there = await asyncio.open_connection("127.0.0.1", self._port_behind)
        writer.write(b"HTTP/1.1 200 OK\r\n\r\n")
        await asyncio.gather(_passed_on(reader, to_there), _passed_on(there, writer))


async def _passed_on(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    try:
        while data := await reader.read(65536):
            writer.write(data)
            await writer.drain()
    except ConnectionError:
        pass
    finally:
        writer.close()


@asynccontextmanager
async def forward_proxy(port_behind: int) -> AsyncIterator[ForwardProxy]:
    proxy = ForwardProxy(port_behind)
    server = await asyncio.start_server(proxy.serve, "127.0.0.1", 0)
    proxy.url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    yield proxy
    server.close()


def kubeconfig(control_plane: ControlPlane, folder: Path, server: str = "", **user: Any) -> tuple[Path, int]:
    """A kubeconfig with a bearer token, else the user given; and the API server's port."""
    document = yaml.safe_load(control_plane.kubeconfig.read_text())
    port = urlsplit(document["clusters"][0]["cluster"]["server"]).port
    if server:
        document["clusters"][0]["cluster"]["server"] = f"https://{server}:{port}"
    document["users"][0]["user"] = user or {"token": control_plane.admin_token}
    path = folder / "config"
    path.write_text(yaml.safe_dump(document))
    assert port is not None
    return path, port


async def asked(environment: dict[str, str]) -> int:
    clusters = Clusters(environment)
    try:
        return (await clusters.api().get("/api/v1/nodes", doing="list nodes")).status
    finally:
        await clusters.close()


async def test_the_proxy_of_the_environment_is_used_with_its_credentials(control_plane: ControlPlane, tmp_path: Path) -> None:
    config, port = kubeconfig(control_plane, tmp_path, NAME)
    async with forward_proxy(port) as proxy:
        environment = {"KUBECONFIG": str(config), "HTTPS_PROXY": proxy.url.replace("//", "//me:word@")}
        assert await asked(environment) == 200
        assert proxy.asked == [f"CONNECT {NAME}:{port} HTTP/1.1"]
        assert proxy.credentials == ["Basic " + base64.b64encode(b"me:word").decode()]
        with pytest.raises(ClusterError, match="does not answer"):
            await asked(environment | {"NO_PROXY": ".svc"})
        assert len(proxy.asked) == 1


async def test_a_cluster_on_this_machine_is_reached_without_the_proxy(control_plane: ControlPlane, tmp_path: Path) -> None:
    config, port = kubeconfig(control_plane, tmp_path)
    async with forward_proxy(port) as proxy:
        assert await asked({"KUBECONFIG": str(config), "HTTPS_PROXY": proxy.url}) == 200
        assert proxy.asked == []


async def test_the_kubeconfigs_proxy_goes_before_that_of_the_environment(control_plane: ControlPlane, tmp_path: Path) -> None:
    config, port = kubeconfig(control_plane, tmp_path, NAME)
    async with forward_proxy(port) as proxy:
        document = yaml.safe_load(config.read_text())
        document["clusters"][0]["cluster"]["proxy-url"] = proxy.url
        config.write_text(yaml.safe_dump(document))
        assert await asked({"KUBECONFIG": str(config), "HTTPS_PROXY": "http://127.0.0.1:9"}) == 200
        assert len(proxy.asked) == 1
    document["clusters"][0]["cluster"]["proxy-url"] = "socks5://me:hunter2@127.0.0.1:1"
    config.write_text(yaml.safe_dump(document))
    with pytest.raises(ConfigurationError, match="proxy-url of context .* names a 'socks5' proxy") as refused:
        await asked({"KUBECONFIG": str(config)})
    assert "hunter2" not in str(refused.value)


@pytest.fixture
def netrc(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Credentials for any host, for programs that look for them."""
    file = tmp_path / "netrc"
    file.write_text("default login somebody password hunter2\n")
    file.chmod(0o600)
    monkeypatch.setenv("NETRC", str(file))


@pytest.mark.usefixtures("netrc")
async def test_credentials_in_netrc_do_not_stand_in_the_way_of_a_token(control_plane: ControlPlane, tmp_path: Path) -> None:
    config, _ = kubeconfig(control_plane, tmp_path)
    assert await asked({"KUBECONFIG": str(config)}) == 200


@pytest.mark.usefixtures("netrc")
async def test_credentials_in_netrc_are_not_sent_to_the_api_server(control_plane: ControlPlane, tmp_path: Path) -> None:
    config, _ = kubeconfig(control_plane, tmp_path, username="", password="")
    with pytest.raises(ClusterError, match="system:anonymous"):  # a wrong password gets a 401
        await asked({"KUBECONFIG": str(config)})
