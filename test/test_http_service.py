"""The server over HTTP: who is let in, under which names, and what a request may cost. Limits are in test_http_limits.py."""

from __future__ import annotations

import asyncio
import datetime
import json
import logging
import os
import ssl
from collections.abc import Callable
from pathlib import Path
from typing import Any

import aiohttp
import httpx2
import pytest
from cryptography.hazmat.primitives import serialization
from mcp import Client
from mcp.client.streamable_http import streamable_http_client

from configuration.errors import ConfigurationError
from controlplane.certificates import write_certificates
from http_fixtures import ACCEPT, LIST_TOOLS, OLD, TOKEN, calling, http_server
from mcp_tools.http_names import BindAddress, bind_address, is_loopback_host, name_policy
from mcp_tools.http_service import HttpOptions, listening_socket, prepared
from mcp_tools.http_tokens import AcceptedTokens
from mcp_tools.server import ToolGate
from server_fixtures import text_of

MakeGate = Callable[[], ToolGate]
OTHER = "fedcba9876543210" * 4


def token_file(tmp_path: Path, *tokens: str, mode: int = 0o600) -> Path:
    file = tmp_path / "token"
    file.write_text("".join(f"{token}\n" for token in tokens))
    file.chmod(mode)
    return file


# --- both generations of the protocol, by the SDK's own client


@pytest.mark.parametrize("mode", ["auto", "legacy"])
async def test_the_sdks_client_lists_and_calls_tools_in_both_generations(nowhere_gate: MakeGate, mode: Any) -> None:
    async with http_server(nowhere_gate()) as server, httpx2.AsyncClient(headers={"Authorization": f"Bearer {TOKEN}"}) as web:
        async with Client(streamable_http_client(server.url, http_client=web), mode=mode) as client:
            assert (client.protocol_version < "2026") == (mode == "legacy")
            assert "k8s_list_contexts" in {tool.name for tool in (await client.list_tools()).tools}
            result = await client.call_tool("k8s_list_contexts", {})
            assert result.structured_content["contexts"][0]["name"] == "nowhere"
            failed = await client.call_tool("k8s_list_contexts", {"bogus": 1})
            assert failed.is_error
            assert "bogus" in text_of(failed)


# --- tokens


async def test_nobody_is_let_in_without_the_right_token(nowhere_gate: MakeGate) -> None:
    async with http_server(nowhere_gate()) as server:
        assert (await server.send()).status == 200
        for token in (None, "", "wrong", TOKEN[:-1], TOKEN + "0", TOKEN.upper()):
            reply = await server.send(token=token)
            assert (reply.status, reply.headers["WWW-Authenticate"]) == (401, 'Bearer realm="k8s-mcp"')
            assert "tools" not in reply.body
        assert (await server.send(token=None, Authorization=f"Basic {TOKEN}")).status == 401
        assert (await server.send(token=None, path=f"/mcp?token={TOKEN}")).status == 401
        assert (await server.send(token=None, Authorization=f"bearer {TOKEN}")).status == 200


async def test_a_token_file_is_read_again_when_it_changes(nowhere_gate: MakeGate, tmp_path: Path) -> None:
    file = token_file(tmp_path, "# old and new, while clients move", TOKEN, OTHER)
    async with http_server(nowhere_gate(), token_file=file) as server:
        assert [(await server.send(token=token)).status for token in (TOKEN, OTHER)] == [200, 200]
        token_file(tmp_path, OTHER)
        assert [(await server.send(token=token)).status for token in (TOKEN, OTHER)] == [401, 200]
        file.unlink()
        assert (await server.send(token=OTHER)).status == 401, "a file that is gone lets nobody in"
        token_file(tmp_path, OTHER, mode=0o644)
        assert (await server.send(token=OTHER)).status == 401, "nor one that others may read"
        token_file(tmp_path, TOKEN, mode=0o600)
        assert [(await server.send(token=token)).status for token in (TOKEN, OTHER)] == [200, 401]


@pytest.mark.parametrize(
    ("tokens", "mode", "why"),
    [
        ((TOKEN,), 0o644, "chmod 600"),
        ((TOKEN,), 0o660, "chmod 600"),
        ((), 0o600, "must hold 1 to 16 tokens"),
        (("short",), 0o600, "at least 32 characters"),
        ((TOKEN + " x",), 0o600, "letters, digits"),
        ((TOKEN + "é",), 0o600, "letters, digits"),
        ((TOKEN,) * 17, 0o600, "must hold 1 to 16 tokens"),
    ],
)
def test_an_unsafe_token_file_is_refused_without_being_quoted(tmp_path: Path, tokens: Any, mode: int, why: str) -> None:
    with pytest.raises(ConfigurationError, match=why) as refused:
        AcceptedTokens(file=token_file(tmp_path, *tokens, mode=mode))
    assert TOKEN not in str(refused.value)
    assert "short" not in str(refused.value)


def test_the_group_may_read_a_token_file_as_kubernetes_mounts_it(tmp_path: Path) -> None:
    assert AcceptedTokens(file=token_file(tmp_path, TOKEN, mode=0o440)).accepts(TOKEN.encode())


def test_a_missing_token_file_says_how_to_make_one(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="openssl rand -hex 32"):
        AcceptedTokens(file=tmp_path / "none")
    os.mkfifo(tmp_path / "fifo", 0o600)
    with pytest.raises(ConfigurationError, match="regular file"):
        AcceptedTokens(file=tmp_path / "fifo")


# --- what is refused at the start


@pytest.mark.parametrize(
    ("options", "why"),
    [
        ({}, "no token"),
        ({"host": "0.0.0.0"}, "no token"),
        ({"no_token": True, "token": TOKEN}, "contradicts"),
        ({"no_token": True, "host": "0.0.0.0", "insecure": True}, "loopback only"),
        ({"no_token": True, "read_only": False}, "--allow-writes"),
        ({"token": TOKEN, "host": "0.0.0.0"}, "--tls-cert"),
        ({"token": TOKEN, "host": "::"}, "--tls-cert"),
        ({"token": TOKEN, "host": "no.such.host.invalid"}, "no address of this machine"),
        ({"token": TOKEN, "host": ""}, "no address of this machine"),
        ({"token": TOKEN, "tls_cert": Path("/none")}, "go together"),
        ({"token": TOKEN, "tls_cert": Path("/none"), "tls_key": Path("/none")}, "No such file"),
        ({"token": TOKEN, "allowed_hosts": ("https://x",)}, "no host name"),
        ({"token": TOKEN, "allowed_hosts": ("x:1",)}, "no host name"),
        ({"token": TOKEN, "allowed_origins": ("x",)}, "no origin"),
        ({"token": "short"}, "at least 32"),
    ],
    ids=lambda value: str(value)[:60] if isinstance(value, dict) else "",
)
def test_a_start_that_would_be_unsafe_is_refused(options: dict[str, Any], why: str) -> None:
    with pytest.raises(ConfigurationError, match=why):
        prepared(HttpOptions(**options))


@pytest.mark.parametrize(
    "options",
    [
        {"no_token": True},
        {"no_token": True, "host": "::1"},
        {"token": TOKEN, "read_only": False},
        {"token": TOKEN, "host": "localhost"},
        {"token": TOKEN, "host": "0.0.0.0", "insecure": True},
    ],
)
def test_a_start_that_was_said_to_be_wanted_is_made(options: dict[str, Any]) -> None:
    prepared(HttpOptions(**options))


def test_a_port_that_is_taken_is_said() -> None:
    with listening_socket(bind_address("127.0.0.1", 0)) as taken:
        taken.listen()
        with pytest.raises(ConfigurationError, match="choose another --port"):
            listening_socket(bind_address("127.0.0.1", taken.getsockname()[1]))


# --- names and pages


@pytest.mark.parametrize(
    ("host", "status"),
    [
        ("127.0.0.1", 200), ("localhost:1", 200), ("LOCALHOST", 200), ("[::1]:80", 200),
        ("attacker.example", 421), ("127.0.0.1.attacker.example", 421), ("localhost.attacker.example:80", 421),
        ("10.0.0.1", 421), ("", 421), ("127.0.0.1@attacker.example", 421), ("localhost\\@x", 421),
    ],
)  # fmt: skip
async def test_only_the_names_of_loopback_are_answered_there(nowhere_gate: MakeGate, host: str, status: int) -> None:
    async with http_server(nowhere_gate()) as server:
        assert (await server.send(Host=host)).status == status


async def test_pages_of_browsers_are_refused_unless_their_origin_is_allowed(nowhere_gate: MakeGate) -> None:
    async with http_server(nowhere_gate(), no_token=True, allowed_origins=("https://tools.example",)) as server:
        wrong = ("http://attacker.example", "null", "http://localhost:3000", f"http://127.0.0.1:{server.port}", "")
        for origin in (*wrong, "https://tools.example.attacker.example"):
            assert (await server.send(Origin=origin)).status == 403, origin
        assert (await server.send(Origin="https://tools.example")).status == 200
        assert (await server.send()).status == 200


def test_on_a_network_addresses_do_and_names_have_to_be_allowed() -> None:
    names = name_policy(bind_address("0.0.0.0", 0), ("mcp.example",), ())
    assert all(names.host_allowed(host) for host in ("192.0.2.7:8765", "[2001:db8::1]", "MCP.example:443", "localhost"))
    assert not any(names.host_allowed(host) for host in ("attacker.example", "mcp.example.attacker.example", "a b", "[::1"))


@pytest.mark.parametrize(
    ("host", "loopback"),
    [("localhost", True), ("127.8.8.8", True), ("::1", True), ("localhost.example", False), ("10.0.0.1", False), ("", False)],
)
def test_loopback_is_told_without_asking_anybody(host: str, loopback: bool) -> None:
    assert is_loopback_host(host) is loopback


def test_an_ipv6_address_is_shown_as_urls_have_it() -> None:
    bind: BindAddress = bind_address("::1", 7)
    assert (bind.shown, bind.is_loopback, bind.is_wildcard) == ("[::1]", True, False)


# --- what else may be asked


@pytest.mark.parametrize(
    ("request_", "status"),
    [
        ({"path": "/"}, 404),
        ({"path": "/mcp/"}, 404),
        ({"path": "/mcp%2f"}, 404),
        ({"method": "GET"}, 405),
        ({"method": "DELETE"}, 405),
        ({"method": "OPTIONS"}, 405),
        ({"data": b"{"}, 400),
        ({"data": b"[" * 100_000}, 400),
        ({"data": b"\xff\xfe"}, 400),
        ({"data": b"[]"}, 400),
        ({"data": b"x" * (1024 * 1024 + 1)}, 413),
        ({"Content_Type": "text/plain"}, 400),
        ({"MCP_Protocol_Version": "1999-01-01"}, 400),
        ({"path": "/healthz", "method": "GET", "token": None, "Host": "probe.example"}, 200),
        ({"path": "/healthz", "token": None}, 405),
    ],
    ids=lambda value: str(value)[:60],
)
async def test_what_is_no_call_is_answered_with_a_status(nowhere_gate: MakeGate, request_: dict[str, Any], status: int) -> None:
    async with http_server(nowhere_gate()) as server:
        reply = await server.send(**request_)
        assert reply.status == status, reply.body
        assert "Traceback" not in reply.body
        assert reply.headers["Cache-Control"] == "no-store"
        assert "Server" not in reply.headers
        assert (await server.send()).status == 200


async def test_a_body_without_a_declared_length_is_bounded_too(nowhere_gate: MakeGate) -> None:
    async def endless() -> Any:
        for _ in range(64):
            yield b" " * 65536

    async with http_server(nowhere_gate()) as server, aiohttp.ClientSession() as session:
        try:
            headers = {"Authorization": f"Bearer {TOKEN}", "Content-Type": "application/json"}
            async with session.post(server.url, data=endless(), headers=headers) as answer:
                assert answer.status == 413
        except aiohttp.ClientConnectionError:
            pass  # closed before all was sent
        assert (await server.send()).status == 200


async def test_a_header_that_decides_may_not_come_twice(nowhere_gate: MakeGate) -> None:
    async with http_server(nowhere_gate()) as server:
        body = json.dumps(LIST_TOOLS).encode()
        head = "".join(f"{name}: {value}\r\n" for name, value in (ACCEPT | OLD | {"Host": "localhost"}).items())
        head = f"POST /mcp HTTP/1.1\r\n{head}Content-Length: {len(body)}\r\n"
        for tokens, status in ((["x" * 32, TOKEN], b" 400 "), ([TOKEN, "x" * 32], b" 400 "), ([TOKEN], b" 200 ")):
            reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
            given = "".join(f"Authorization: Bearer {token}\r\n" for token in tokens)
            writer.write(f"{head}{given}\r\n".encode() + body)
            assert status in await reader.readline()
            writer.close()


async def test_neither_logs_nor_answers_hold_tokens_or_queries(nowhere_gate: MakeGate, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    wrong = "wr0ng-" * 10
    replies = []
    async with http_server(nowhere_gate()) as server:
        replies += [await server.send(), await server.send(token=wrong), await server.send(path=f"/mcp?key={wrong}")]
        replies += [await server.send(path=f"/{wrong}"), await server.send(Host=wrong), await server.send(Origin=wrong)]
        replies += [await server.send(data=f'{{"{wrong}'.encode()), await server.send(calling(wrong))]
    told = caplog.text + "".join(reply.body + str(reply.headers) for reply in replies[:-1])
    assert TOKEN not in told
    assert wrong not in told
    assert "POST /mcp -> 200" in caplog.text


# --- TLS


@pytest.fixture
def certificate(tmp_path: Path) -> tuple[Path, Path]:
    write_certificates(tmp_path, datetime.datetime.now(datetime.UTC))
    return tmp_path / "server.crt", tmp_path / "server.key"


async def test_tls_is_served_from_version_1_2_on(nowhere_gate: MakeGate, certificate: tuple[Path, Path]) -> None:
    cert, key = certificate
    async with http_server(nowhere_gate(), tls_cert=cert, tls_key=key) as server:
        assert (await server.send(LIST_TOOLS)).status == 200
    tls = prepared(HttpOptions(token=TOKEN, tls_cert=cert, tls_key=key)).tls
    assert tls is not None
    assert tls.minimum_version == ssl.TLSVersion.TLSv1_2


def test_a_key_with_a_password_is_refused_and_nobody_is_asked_for_it(tmp_path: Path) -> None:
    write_certificates(tmp_path, datetime.datetime.now(datetime.UTC))
    key = serialization.load_pem_private_key((tmp_path / "server.key").read_bytes(), None)
    locked = serialization.BestAvailableEncryption(b"hunter2-hunter2")
    form = serialization.PrivateFormat.PKCS8
    (tmp_path / "locked.key").write_bytes(key.private_bytes(serialization.Encoding.PEM, form, locked))
    with pytest.raises(ConfigurationError, match="without a password"):
        prepared(HttpOptions(token=TOKEN, tls_cert=tmp_path / "server.crt", tls_key=tmp_path / "locked.key"))
