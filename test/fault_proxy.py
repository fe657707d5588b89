"""A proxy in front of a real API server that records every request and breaks those that a test chooses.

It ends TLS with a certificate of its own, whose CA its kubeconfig names, and passes bearer tokens through; it listens
on loopback and stops by itself. It runs in a thread with a loop of its own, so that blocking tests can use it too.
"""

from __future__ import annotations

import asyncio
import datetime
import fnmatch
import json
import re
import socket
import ssl
import threading
import time
from collections.abc import AsyncIterator, Callable, Coroutine
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import aiohttp
import yaml
from aiohttp import web
from yarl import URL

from controlplane.certificates import write_certificates, write_private
from controlplane.processes import reserve_port
from redirected_kubeconfig import redirected, upstream_of

LONGEST_SECONDS = 3600.0
POLL_SECONDS = 0.02
HOP_BY_HOP = frozenset({"connection", "content-length", "host", "keep-alive", "te", "trailer", "transfer-encoding", "upgrade"})
REASONS = {410: "Expired", 429: "TooManyRequests", 500: "InternalError", 503: "ServiceUnavailable"}

Action = Literal["status", "half page", "delay", "hang", "watch error", "cut", "cut line", "swallow", "duplicate"]
OF_EVENTS: frozenset[Action] = frozenset({"cut", "cut line", "swallow", "duplicate"})
"""Done to single events of a watch, also of one that was opened before the fault was injected."""


@dataclass(slots=True, kw_only=True)
class Fault:
    """What to do to matching requests, or to events of matching watches.

    `path` is a pattern for the path without its query (`*/pods`), `verb` that of RBAC or `*`. `count` matches are hit
    (None: until cleared) after the first `skip`. `continued` limits it to the later pages of lists. `status`: an error
    answer; `watch error`: HTTP 200 and an ERROR event of that status; `delay`: `seconds` before the request goes on;
    `hang`: no byte until the fault is cleared.
    """

    action: Action
    path: str = "*"
    verb: str = "*"
    count: int | None = 1
    skip: int = 0
    continued: bool = False
    status: int = 500
    retry_after: int | None = None
    seconds: float = 0.2
    hits: int = 0

    def matches(self, request: Recorded) -> bool:
        return (
            (self.count is None or self.count > 0)
            and fnmatch.fnmatchcase(request.path, self.path)
            and self.verb in ("*", request.verb)
            and (not self.continued or "continue=" in request.query)
        )


@dataclass(slots=True, kw_only=True)
class Recorded:
    """One request. `bytes_sent` is what its client was sent as body, on the wire: compressed. `status` 0: no answer."""

    verb: str
    path: str
    query: str
    accept: str
    user_agent: str
    at: float
    status: int = 0
    bytes_sent: int = 0
    ended: bool = False


class FaultProxy:
    """Context manager. `kubeconfig` is a copy of the given one whose current context leads through the proxy.

    `page_limit` makes lists arrive in pages of that many objects, whatever limit their client asks for.
    """

    def __init__(self, kubeconfig: Path, folder: Path, *, longest_seconds: float = LONGEST_SECONDS) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        write_certificates(folder, datetime.datetime.now(datetime.UTC))
        document = yaml.safe_load(kubeconfig.read_text())
        self.page_limit: int | None = None
        self.requests: list[Recorded] = []
        """Everything that arrived, oldest first. Only ever appended to."""
        self.server, self._upstream_tls = upstream_of(document, kubeconfig.parent)
        self._reserved = reserve_port()
        self.address = f"https://127.0.0.1:{self._reserved.getsockname()[1]}"
        self.kubeconfig = folder / "kubeconfig"
        write_private(self.kubeconfig, redirected(document, self.address, (folder / "ca.crt").read_bytes()))
        self._tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self._tls.load_cert_chain(folder / "server.crt", folder / "server.key")
        self._longest_seconds = longest_seconds
        self._faults: list[Fault] = []
        self._lock = threading.Lock()
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._run, name="fault-proxy", daemon=True)
        self._running = threading.Event()
        self._runner: web.AppRunner | None = None
        self._site: web.SockSite | None = None
        self._session: aiohttp.ClientSession | None = None

    def __enter__(self) -> FaultProxy:
        self._thread.start()
        if not self._running.wait(10):
            raise TimeoutError("the proxy did not start")
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def stop(self) -> None:
        if self._thread.is_alive():
            self.clear()
            self._loop.call_soon_threadsafe(self._loop.stop)
            self._thread.join(10)
        self._reserved.close()

    # --- what tests do

    def inject(self, fault: Fault) -> Fault:
        with self._lock:
            self._faults.append(fault)
        return fault

    def clear(self) -> None:
        """No faults any more; what hangs goes on."""
        with self._lock:
            for fault in self._faults:
                fault.count = 0
            self._faults.clear()

    def refuse(self) -> None:
        """Connections break, and new ones are refused."""
        self._do(self._close_site())

    def accept(self) -> None:
        """The end of `refuse`."""
        self._do(self._open_site())

    def cut_connections(self) -> None:
        """Everything that is open breaks, as if a network device had forgotten its connections."""
        self._loop.call_soon_threadsafe(self._abort_all)

    def since(self, mark: int, *, verb: str = "*", path: str = "*") -> list[Recorded]:
        """Requests that arrived when `len(proxy.requests)` had been `mark`, or later."""
        return [one for one in self.requests[mark:] if verb in ("*", one.verb) and fnmatch.fnmatchcase(one.path, path)]

    # --- the thread

    def _run(self) -> None:
        asyncio.set_event_loop(self._loop)
        self._loop.run_until_complete(self._open())
        self._loop.call_later(self._longest_seconds, self._loop.stop)
        self._running.set()
        try:
            self._loop.run_forever()
        finally:
            self._loop.run_until_complete(self._close())
            self._loop.close()

    def _do(self, work: Coroutine[Any, Any, None]) -> None:
        asyncio.run_coroutine_threadsafe(work, self._loop).result(10)

    async def _open(self) -> None:
        connector = aiohttp.TCPConnector(ssl=self._upstream_tls, limit=0)
        timeout = aiohttp.ClientTimeout(total=None, sock_connect=5)
        self._session = aiohttp.ClientSession(connector=connector, auto_decompress=False, timeout=timeout)
        application = web.Application(client_max_size=64 * 1024 * 1024)
        application.router.add_route("*", "/{path:.*}", self._handle)
        self._runner = web.AppRunner(application, handler_cancellation=True, access_log=None, shutdown_timeout=0.1)
        await self._runner.setup()
        await self._open_site()

    async def _open_site(self) -> None:
        if self._site is not None:
            return
        assert self._runner is not None
        listener = socket.socket()
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(self._reserved.getsockname())
        self._site = web.SockSite(self._runner, listener, ssl_context=self._tls)
        await self._site.start()

    async def _close_site(self) -> None:
        site, self._site = self._site, None
        if site is not None:
            await site.stop()
        self._abort_all()

    async def _close(self) -> None:
        self._abort_all()
        if self._runner is not None:
            await self._runner.cleanup()
        if self._session is not None:
            await self._session.close()
        await asyncio.sleep(0.05)  # TLS connections are closed by callbacks

    def _abort_all(self) -> None:
        if self._runner is not None and self._runner.server is not None:
            for connection in list(self._runner.server.connections):
                if connection.transport is not None:
                    connection.transport.abort()

    # --- one request

    async def _handle(self, request: web.Request) -> web.StreamResponse:
        recorded = Recorded(
            verb=verb_of(request.method, request.path, request.query_string),
            path=request.path,
            query=request.query_string,
            accept=request.headers.get("Accept", ""),
            user_agent=request.headers.get("User-Agent", ""),
            at=time.time(),
        )
        self.requests.append(recorded)
        try:
            return await self._answer(request, recorded)
        finally:
            recorded.ended = True

    async def _answer(self, request: web.Request, recorded: Recorded) -> web.StreamResponse:
        fault = self._take(recorded, lambda one: one.action not in OF_EVENTS)
        if fault is not None:
            if fault.action == "status":
                return _refusal(fault, recorded)
            if fault.action == "watch error" and recorded.verb == "watch":
                return _watch_error(fault, recorded)
            if fault.action == "delay":
                await asyncio.sleep(fault.seconds)
            if fault.action == "hang":
                await self._hold(fault)
        half = fault is not None and fault.action == "half page"
        try:
            return await self._forward(request, recorded, half=half)
        except (aiohttp.ClientError, TimeoutError, ConnectionError):
            return _broken(request)

    async def _forward(self, request: web.Request, recorded: Recorded, *, half: bool) -> web.StreamResponse:
        assert self._session is not None
        target = (
            _limited(request.rel_url.raw_path_qs, self.page_limit) if recorded.verb == "list" else request.rel_url.raw_path_qs
        )
        headers = {name: value for name, value in request.headers.items() if name.lower() not in HOP_BY_HOP}
        body = await request.read() if request.can_read_body else None
        url = URL(self.server + target, encoded=True)
        async with self._session.request(request.method, url, headers=headers, data=body, allow_redirects=False) as upstream:
            recorded.status = upstream.status
            kept = [(name, value) for name, value in upstream.headers.items() if name.lower() not in HOP_BY_HOP]
            answer = web.StreamResponse(status=upstream.status, headers=dict(kept))
            if recorded.verb == "watch" and upstream.status == 200:
                return await self._relay_watch(request, recorded, upstream, answer)
            content = await upstream.read()
            answer.content_length = len(content)
            await answer.prepare(request)
            shown = content[: len(content) // 2] if half else content
            recorded.bytes_sent = len(shown)
            await answer.write(shown)
            if half:
                return _broken(request, answer)
            await answer.write_eof()
            return answer

    async def _relay_watch(
        self, request: web.Request, recorded: Recorded, upstream: aiohttp.ClientResponse, answer: web.StreamResponse
    ) -> web.StreamResponse:
        assert "Content-Encoding" not in upstream.headers, "the API server does not compress watches"
        answer.enable_chunked_encoding()
        await answer.prepare(request)
        async for line in _lines(upstream.content):
            if (holding := self._take(recorded, lambda one: one.action == "hang")) is not None:
                await self._hold(holding)
            fault = self._take(recorded, lambda one: one.action in OF_EVENTS) if _is_event(line) else None
            action = fault.action if fault is not None else None
            if action == "swallow":
                continue
            shown = b"" if action == "cut" else line[: len(line) // 2] if action == "cut line" else line
            shown = line * 2 if action == "duplicate" else shown
            if shown:
                await answer.write(shown)
                recorded.bytes_sent += len(shown)
            if action in ("cut", "cut line"):
                return _broken(request, answer)
        await answer.write_eof()
        return answer

    def _take(self, request: Recorded, applies: Callable[[Fault], bool]) -> Fault | None:
        """The first fault for this request, now used up by one."""
        with self._lock:
            for fault in self._faults:
                if not applies(fault) or not fault.matches(request):
                    continue
                if fault.skip > 0:
                    fault.skip -= 1
                    continue
                fault.hits += 1
                if fault.count is not None and fault.action != "hang":
                    fault.count -= 1
                return fault
        return None

    async def _hold(self, fault: Fault) -> None:
        while fault.count is None or fault.count > 0:  # noqa: ASYNC110  cleared from another thread
            await asyncio.sleep(POLL_SECONDS)


def verb_of(method: str, path: str, query: str) -> str:
    """The verb that RBAC knows: `list`, `watch`, `get`, `create` …; paths that are no resource's are `get`."""
    if method != "GET":
        return {"POST": "create", "PUT": "update", "PATCH": "patch", "DELETE": "delete"}.get(method, method.lower())
    parts = path.strip("/").split("/")
    parts = parts[2:] if parts[0] == "api" else parts[3:] if parts[0] == "apis" else []
    if len(parts) >= 3 and parts[0] == "namespaces":
        parts = parts[2:]
    if len(parts) != 1:
        return "get"
    return "watch" if re.search(r"(^|&)watch=(true|1)(&|$)", query) else "list"


def _limited(target: str, page_limit: int | None) -> str:
    """The self-check's limit=1 stays what it is."""
    if page_limit is None:
        return target
    return re.sub(r"([?&]limit=)(\d+)", lambda found: f"{found[1]}{min(int(found[2]), page_limit)}", target)


def _refusal(fault: Fault, recorded: Recorded) -> web.Response:
    recorded.status = fault.status
    headers = {"Retry-After": str(fault.retry_after)} if fault.retry_after is not None else {}
    return web.json_response(_status(fault.status), status=fault.status, headers=headers)


def _watch_error(fault: Fault, recorded: Recorded) -> web.Response:
    recorded.status = 200
    line = json.dumps({"type": "ERROR", "object": _status(fault.status)}) + "\n"
    return web.Response(body=line.encode(), content_type="application/json")


def _status(code: int) -> dict[str, Any]:
    message = "injected by the test's proxy"
    reason = REASONS.get(code, "Unknown")
    return {"kind": "Status", "apiVersion": "v1", "status": "Failure", "message": message, "reason": reason, "code": code}


def _broken(request: web.Request, answer: web.StreamResponse | None = None) -> web.StreamResponse:
    """What was written is sent, then the connection ends before the answer does."""
    if request.transport is not None:
        request.transport.close()
    return answer or web.Response()


def _is_event(line: bytes) -> bool:
    return not line.startswith(b'{"type":"BOOKMARK"')


async def _lines(content: aiohttp.StreamReader) -> AsyncIterator[bytes]:
    """Whole lines of any length, each with its end."""
    rest = b""
    async for chunk in content.iter_any():
        *lines, rest = (rest + chunk).split(b"\n")
        for line in lines:
            yield line + b"\n"
    if rest:
        yield rest
