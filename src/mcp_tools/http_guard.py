"""What a request over HTTP passes before the protocol sees it: host and origin, path, token, size, a free slot.

In this order, so that whoever has no token costs little and takes no slot. Answers and log lines quote nothing of the request
but its method: a path, a query or a header may hold a token.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from collections.abc import Awaitable, Callable, MutableMapping
from dataclasses import dataclass
from typing import Any

import orjson

from mcp_tools.asked_person import CLIENT_OF_REQUEST
from mcp_tools.http_limits import Busy, CallSlots, FailedLogins
from mcp_tools.http_names import NamePolicy
from mcp_tools.http_tokens import AcceptedTokens

log = logging.getLogger(__name__)

Scope = MutableMapping[str, Any]
Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
Application = Callable[[Scope, Receive, Send], Awaitable[None]]
Headers = dict[bytes, bytes]

MCP_PATH = "/mcp"
HEALTH_PATH = "/healthz"
RETRY_SECONDS = 2
CLEARING_SECONDS = 5.0
LONG_POLL = b"k8s_list_changes"
"""A call of it mostly waits; one kind and cluster that is followed takes one all the time."""
_ALWAYS = ((b"cache-control", b"no-store"), (b"x-content-type-options", b"nosniff"))


@dataclass(frozen=True, slots=True)
class Refusal(Exception):
    """The answer instead of what was asked for. `reason` is ours and goes into the body and the log."""

    status: int
    reason: str
    headers: tuple[tuple[bytes, bytes], ...] = ()
    quietly: bool = False


@dataclass(frozen=True)
class HttpGuard:
    """An ASGI application around the protocol's. `tokens` None: whoever reaches the port is let in."""

    app: Application
    names: NamePolicy
    tokens: AcceptedTokens | None
    failed: FailedLogins
    calls: CallSlots
    polls: CallSlots
    max_body_bytes: int
    stopping: Callable[[], bool] = lambda: False

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """One request. Raises nothing but cancellation: an error is an answer of its own."""
        answered = _Answer(send)
        started = time.monotonic()
        quietly = False
        try:
            await self._handle(scope, receive, answered)
        except Refusal as refusal:
            quietly = refusal.quietly
            await answered.refuse(refusal)
        except Exception as error:  # noqa: BLE001 (a request's top level; its text may quote anything)
            log.error("a request failed unexpectedly: %s", type(error).__name__)
            await answered.refuse(Refusal(500, "the server failed unexpectedly; its log names the error"))
        finally:
            if not quietly:
                _log_request(scope, answered.status, time.monotonic() - started)

    async def _handle(self, scope: Scope, receive: Receive, answered: _Answer) -> None:
        if scope["type"] != "http":
            raise Refusal(400, "only HTTP is served here")
        headers = _headers(scope)
        if scope["path"] == HEALTH_PATH:
            self._healthy(scope)
            await answered.whole(200, b"ok\n", b"text/plain; charset=utf-8")
            return
        self._check_names(headers)
        if scope["path"] != MCP_PATH:
            raise Refusal(404, f"nothing is here; the protocol is spoken at {MCP_PATH}")
        scope[CLIENT_OF_REQUEST] = self._client(scope, headers)
        if scope["method"] != "POST":
            raise Refusal(405, "this server keeps no sessions and sends nothing of its own: use POST", ((b"allow", b"POST"),))
        body = await self._body(headers, receive)
        try:
            async with (self.polls if _is_long_poll(body) else self.calls).slot():
                await _until_gone(self.app, scope, body, receive, answered)
        except Busy:
            raise Refusal(503, "too many calls at once; try again", ((b"retry-after", str(RETRY_SECONDS).encode()),)) from None

    def _healthy(self, scope: Scope) -> None:
        if scope["method"] not in ("GET", "HEAD"):
            raise Refusal(405, "use GET", ((b"allow", b"GET, HEAD"),))
        if self.stopping():
            raise Refusal(503, "stopping", ((b"retry-after", str(RETRY_SECONDS).encode()),))

    def _check_names(self, headers: Headers) -> None:
        host, origin = headers.get(b"host", b"").decode("latin-1"), headers.get(b"origin")
        if not self.names.host_allowed(host):
            raise Refusal(421, "the Host header does not name this server; --allowed-host allows a name")
        if not self.names.origin_allowed(None if origin is None else origin.decode("latin-1")):
            raise Refusal(403, "requests of browser pages are refused; --allowed-origin allows an origin")

    def _client(self, scope: Scope, headers: Headers) -> str:
        """Whose request it is, told by the token; "" where whoever comes is let in."""
        if self.tokens is None:
            return ""
        scheme, _, token = headers.get(b"authorization", b"").partition(b" ")
        if scheme.lower() == b"bearer" and (client := self.tokens.client_of(token.strip())):
            return client
        address = (scope.get("client") or ("unknown", 0))[0]
        seconds = self.failed.failed(address)
        quietly = not self.failed.worth_a_line(address)
        if seconds:
            after = str(int(seconds) + 1).encode()
            raise Refusal(429, "too many requests without a valid token", ((b"retry-after", after), _CLOSE), quietly)
        raise Refusal(401, "a valid bearer token is needed", ((b"www-authenticate", b'Bearer realm="k8s-mcp"'), _CLOSE), quietly)

    async def _body(self, headers: Headers, receive: Receive) -> bytes:
        too_large = Refusal(413, f"a request may have {self.max_body_bytes} bytes", (_CLOSE,))
        declared = headers.get(b"content-length", b"0")
        if not declared.isdigit() or int(declared[:20]) > self.max_body_bytes:
            raise too_large
        body = bytearray()
        while True:
            message = await receive()
            if message["type"] != "http.request":
                raise Refusal(400, "the request broke off", quietly=True)
            body += message.get("body", b"")
            if len(body) > self.max_body_bytes:
                raise too_large
            if not message.get("more_body", False):
                return bytes(body)


_CLOSE = (b"connection", b"close")


class _Answer:
    """What is sent back, with our headers; knows whether anything was."""

    def __init__(self, send: Send) -> None:
        self._send = send
        self.status = 0
        self.complete = False

    async def __call__(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            self.status = message["status"]
            message = {**message, "headers": [*message.get("headers", ()), *_ALWAYS]}
        await self._send(message)
        self.complete = message["type"] == "http.response.body" and not message.get("more_body", False)

    async def whole(self, status: int, body: bytes, content_type: bytes, headers: tuple[tuple[bytes, bytes], ...] = ()) -> None:
        fixed = ((b"content-type", content_type), (b"content-length", str(len(body)).encode()))
        await self({"type": "http.response.start", "status": status, "headers": [*fixed, *headers]})
        await self({"type": "http.response.body", "body": body})

    async def refuse(self, refusal: Refusal) -> None:
        """As an error of JSON-RPC: clients show its message, and of any other body nothing."""
        if not self.status:
            error = {"code": -32600 if refusal.status < 500 else -32603, "message": f"{refusal.status}: {refusal.reason}"}
            body = orjson.dumps({"jsonrpc": "2.0", "id": None, "error": error})
            await self.whole(refusal.status, body, b"application/json", refusal.headers)


async def _until_gone(app: Application, scope: Scope, body: bytes, receive: Receive, answered: _Answer) -> None:
    """Run the protocol's application; when the caller hangs up its call is cancelled."""
    gone = asyncio.create_task(_hung_up(receive))
    sent = False

    async def replay() -> Message:
        nonlocal sent
        if sent:
            await asyncio.shield(gone)
            return {"type": "http.disconnect"}
        sent = True
        return {"type": "http.request", "body": body, "more_body": False}

    running = asyncio.ensure_future(app(scope, replay, answered))
    try:
        await asyncio.wait({running, gone}, return_when=asyncio.FIRST_COMPLETED)
        if answered.complete:  # what is left to do is clearing up
            await asyncio.wait({running}, timeout=CLEARING_SECONDS)
        if running.done():
            running.result()
    finally:
        for task in (running, gone):
            task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await asyncio.wait({running, gone})


async def _hung_up(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass


def _headers(scope: Scope) -> Headers:
    """Raises Refusal when one that decides something comes twice: who stands in front of us may have read the other."""
    headers: Headers = {}
    for name, value in scope["headers"]:
        if name in headers and name in (b"host", b"origin", b"authorization", b"content-length"):
            raise Refusal(400, "a header comes twice")
        headers[name] = value
    return headers


def _is_long_poll(body: bytes) -> bool:
    if LONG_POLL not in body:
        return False
    try:
        message = orjson.loads(body)
        return bool(message["method"] == "tools/call" and message["params"]["name"] == LONG_POLL.decode())
    except (ValueError, TypeError, KeyError):
        return False


def _log_request(scope: Scope, status: int, seconds: float) -> None:
    path = scope.get("path")
    shown = path if path in (MCP_PATH, HEALTH_PATH) else "(another path)"
    level = logging.DEBUG if path == HEALTH_PATH else logging.INFO
    client = (scope.get("client") or ("unknown", 0))[0]
    method = scope.get("method", "")
    method = method if method in ("GET", "HEAD", "POST", "DELETE", "PUT", "OPTIONS", "PATCH") else "(another method)"
    log.log(level, "%s %s %s -> %s in %.3f s", client, method, shown, status or "no answer", seconds)
