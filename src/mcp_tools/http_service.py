"""The server's process over streamable HTTP: one process for many clients, without sessions, behind HttpGuard.

Both generations of the protocol are served, each request by itself: nothing is kept between two of them. What starts unsafe is
refused with what to say instead: no token, a token in the clear over a network, changes for whoever comes.
"""

from __future__ import annotations

import asyncio
import logging
import signal
import socket
import ssl
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import uvicorn
from mcp.server.streamable_http_manager import StreamableHTTPSessionManager

from configuration.errors import ConfigurationError
from mcp_tools.api_connection import load_early
from mcp_tools.http_guard import MCP_PATH, HttpGuard
from mcp_tools.http_limits import CallSlots, FailedLogins
from mcp_tools.http_listener import ConnectionLimits, Listener
from mcp_tools.http_names import BindAddress, bind_address, name_policy
from mcp_tools.http_tokens import MAKE_ONE, AcceptedTokens
from mcp_tools.server import ToolGate, build_server
from mcp_tools.server_assembly import assembled_gate
from mcp_tools.server_policy import ServerPolicy
from mcp_tools.settings import McpSettings

log = logging.getLogger(__name__)

GRACE_SECONDS = 5
"""Time for calls in progress to end by themselves after SIGTERM."""
MAX_BODY_BYTES = 1024 * 1024
MAX_POLLS = 1024
QUEUE_SECONDS = 10.0


@dataclass(frozen=True, slots=True)
class HttpOptions:
    """What the command line and the settings say. `max_calls` at once, twice as many may wait in line."""

    host: str = "127.0.0.1"
    port: int = 8765
    token_file: Path | None = None
    token: str = field(default="", repr=False)
    no_token: bool = False
    tls_cert: Path | None = None
    tls_key: Path | None = None
    insecure: bool = False
    allowed_hosts: tuple[str, ...] = ()
    allowed_origins: tuple[str, ...] = ()
    max_calls: int = 16
    read_only: bool = True
    connections: ConnectionLimits = field(default_factory=ConnectionLimits)


@dataclass(frozen=True, slots=True)
class HttpService:
    """What is needed to serve, all checked: nothing of it depends on who calls."""

    options: HttpOptions
    bind: BindAddress
    tokens: AcceptedTokens | None
    tls: ssl.SSLContext | None


def prepared(options: HttpOptions) -> HttpService:
    """Check everything that can be wrong before anything listens. Raises ConfigurationError."""
    bind = bind_address(options.host, options.port)
    name_policy(bind, options.allowed_hosts, options.allowed_origins)
    tls = _tls_context(options)
    _refuse_unsafe(options, bind, with_tls=tls is not None)
    tokens = None if options.no_token else AcceptedTokens(file=options.token_file, value=options.token)
    return HttpService(options, bind, tokens, tls)


def _refuse_unsafe(options: HttpOptions, bind: BindAddress, *, with_tls: bool) -> None:
    has_token = options.token_file is not None or bool(options.token)
    if options.no_token and has_token:
        raise ConfigurationError("--no-token contradicts the token that is set: leave out one of MCP_TOKEN(_FILE) and --no-token")
    if not options.no_token and not has_token:
        raise ConfigurationError(
            "no token: any user and any page in a browser of this machine could use the credentials of this server; "
            f"make one, (umask 077; {MAKE_ONE} > FILE), and say --token-file FILE (or --no-token, on loopback, read-only)"
        )
    if options.no_token and not bind.is_loopback:
        raise ConfigurationError(f"--no-token is for loopback only, and --host {options.host} is not: say --token-file FILE")
    if options.no_token and not options.read_only:
        raise ConfigurationError("--no-token serves tools that read only: leave out --allow-writes, or say --token-file FILE")
    if options.insecure and (bind.is_loopback or with_tls):
        raise ConfigurationError(
            f"--insecure does nothing {'beside --tls-cert' if with_tls else f'on loopback ({options.host})'}: leave it out"
        )
    if not bind.is_loopback and not with_tls and not options.insecure:
        raise ConfigurationError(
            f"--host {options.host} is not loopback, and without TLS the token could be read on the way: say --tls-cert and "
            "--tls-key (or --insecure, where something in front of this server speaks TLS)"
        )


def _tls_context(options: HttpOptions) -> ssl.SSLContext | None:
    if options.tls_cert is None and options.tls_key is None:
        return None
    if options.tls_cert is None or options.tls_key is None:
        raise ConfigurationError("--tls-cert and --tls-key go together: name both files")
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    try:
        context.load_cert_chain(options.tls_cert, options.tls_key, password=_no_password)
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or type(error).__name__
        raise ConfigurationError(
            f"--tls-cert {options.tls_cert} and --tls-key {options.tls_key} cannot be used ({reason}): "
            "two PEM files are needed, a certificate chain and its key without a password"
        ) from None
    return context


def _no_password() -> str:
    """Instead of asking at the terminal."""
    raise ValueError("the key has a password")


def listening_socket(bind: BindAddress) -> socket.socket:
    """Raises ConfigurationError when the address cannot be had."""
    listening = socket.socket(bind.family, socket.SOCK_STREAM)
    listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listening.bind((bind.address, bind.port))
        listening.listen()  # now, so that the address is not announced before it can be reached
    except OSError as error:
        listening.close()
        raise ConfigurationError(
            f"cannot listen on {bind.shown}:{bind.port}: {error.strerror}; choose another --port or --host"
        ) from None
    return listening


def serve_http(settings: McpSettings, policy: ServerPolicy, options: HttpOptions) -> None:
    """Run until SIGTERM or SIGINT. Raises ConfigurationError before anything is served."""
    service = prepared(options)
    gate = assembled_gate(settings, policy)
    listening = listening_socket(service.bind)
    _quiet_libraries()
    asyncio.run(_until_signal(gate, service, listening))


async def _until_signal(gate: ToolGate, service: HttpService, listening: socket.socket) -> None:
    importing = asyncio.create_task(asyncio.to_thread(load_early))
    loop = asyncio.get_running_loop()
    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    await serve_on(gate, service, listening, stop)
    await importing


async def serve_on(gate: ToolGate, service: HttpService, listening: socket.socket, stop: asyncio.Event) -> None:
    """Serve on a bound socket until `stop` is set and the calls in progress have ended, or GRACE_SECONDS are over."""
    manager = StreamableHTTPSessionManager(build_server(gate), json_response=True, stateless=True)
    guard = _guard(service, manager, stop.is_set)
    listener = Listener(_uvicorn_config(guard, service), listening, service.options.connections)
    async with manager.run():
        serving = asyncio.create_task(listener.serve())
        stopping = asyncio.create_task(stop.wait())
        port = listening.getsockname()[1]
        scheme = "https" if service.tls else "http"
        log.info("serving %d tools at %s://%s:%d%s", len(gate.listed()), scheme, service.bind.shown, port, MCP_PATH)
        await asyncio.wait({serving, stopping}, return_when=asyncio.FIRST_COMPLETED)
        if stop.is_set():
            log.info("stopping on a signal; calls in progress have %d s", GRACE_SECONDS)
        listener.should_exit = True
        stopping.cancel()
        await serving


def _guard(service: HttpService, manager: StreamableHTTPSessionManager, stopping: Callable[[], bool]) -> HttpGuard:
    options = service.options
    return HttpGuard(
        app=manager.handle_request,
        names=name_policy(service.bind, options.allowed_hosts, options.allowed_origins),
        tokens=service.tokens,
        failed=FailedLogins(),
        calls=CallSlots(options.max_calls, waiting=2 * options.max_calls, wait_seconds=QUEUE_SECONDS),
        polls=CallSlots(MAX_POLLS, waiting=0, wait_seconds=QUEUE_SECONDS),
        max_body_bytes=MAX_BODY_BYTES,
        stopping=stopping,
    )


def _uvicorn_config(guard: HttpGuard, service: HttpService) -> uvicorn.Config:
    limits = service.options.connections
    config = uvicorn.Config(
        guard,
        log_config=None,
        access_log=False,
        lifespan="off",
        ws="none",
        interface="asgi3",
        proxy_headers=False,
        server_header=False,
        timeout_keep_alive=limits.idle_seconds,
        timeout_graceful_shutdown=GRACE_SECONDS,
        h11_max_incomplete_event_size=limits.head_bytes,
    )
    config.load()
    config.ssl = service.tls
    return config


def _quiet_libraries() -> None:
    """Their lines quote hosts and paths of requests; what is worth saying is said by HttpGuard."""
    for name in ("uvicorn", "uvicorn.error"):
        logging.getLogger(name).setLevel(logging.CRITICAL)
