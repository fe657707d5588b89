"""One Kubernetes watch, held: its requests one after the other, its events redacted on arrival and kept until taken."""

from __future__ import annotations

import asyncio
import logging
import random
import time
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import msgspec
import orjson

from configuration.errors import ClusterError, Expired, K8sMcpError, NotFound, Unreachable
from kinds.kind import Kind
from mcp_tools.api_errors import error_of
from mcp_tools.change_buffer import MAX_CHANGES, BufferFull, Change, ChangeBuffer
from mcp_tools.discovery import not_served
from mcp_tools.json_repair import repaired
from mcp_tools.k8s_api import METADATA_LIST, AnswerStream, ClusterApi, Query
from mcp_tools.list_pages import decode_item, decode_page
from mcp_tools.managed_fields import take_manager
from mcp_tools.object_forms import form_of
from mcp_tools.redaction import Redactor
from mcp_tools.watch_lines import LineSplitter, LineTooLong, WatchEvent, decode_event

log = logging.getLogger(__name__)

WATCH_SECONDS = (540, 600)
"""How long one request is asked to last. At random, so that thirty watches are not opened again all at once."""
LONGER_WITHOUT_BOOKMARKS = 2
"""Times as long. A quiet watch that no bookmark moves on ends where etcd has compacted: 410, and a list and a watch anew."""
SILENCE_SECONDS = 180.0
"""Three times the span between two bookmarks: a connection that is quiet for so long leads nowhere any more."""
LIVE_SECONDS = 75.0
"""A little more than the span between two bookmarks."""
TURN_SECONDS = 30.0
EVENTS_AT_A_TIME = 20
FIRST_PAUSE_SECONDS = 5.0
LONGEST_PAUSE_SECONDS = 300.0


@dataclass(frozen=True, slots=True)
class WatchTarget:
    """What is watched. `server` is the address: a context that leads elsewhere now is another target."""

    context: str
    server: str
    path: str
    kind: Kind = field(compare=False)
    namespace: str | None = None

    @classmethod
    def of(cls, api: ClusterApi, kind: Kind, namespace: str | None) -> WatchTarget:
        return cls(api.context, api.server, kind.api_path(namespace), kind, namespace)

    def __str__(self) -> str:
        return f"{self.kind.name}" + (f" in namespace {self.namespace}" if self.namespace else "")


class HeldWatch:
    """Runs from its making until `close()` or an error, which `error` then holds.

    At the end of a request the next one begins where it ended. `seconds` are the bounds of a request's length; `early_ends`,
    how often in a row those before it were cut off, and `bookmarks_expected` are what an earlier watch of the target knew.
    """

    def __init__(
        self, api: ClusterApi, target: WatchTarget, cursor: str, redactor: Redactor, *,
        max_changes: int = MAX_CHANGES, seconds: tuple[int, int] = WATCH_SECONDS,
        silence_seconds: float = SILENCE_SECONDS, clock: Callable[[], float] = time.time,
        has_room: Callable[[], bool] = lambda: True, opening: asyncio.Semaphore | None = None,
        early_ends: int = 0, bookmarks_expected: bool = True,
    ) -> None:  # fmt: skip
        self.target = target
        self.buffer = ChangeBuffer(cursor, max_changes=max_changes)
        self.listeners: set[asyncio.Event] = set()
        self.error: K8sMcpError | None = None
        self.heard_at: float | None = None
        self.headers_seconds = 0.0
        self.changed_at = 0.0
        """Of the loop's clock: when the last event came."""
        self.opened = asyncio.Event()
        """Set once the first request has been answered, or has failed."""
        self._api = api
        self._form = form_of(target.kind)
        self._redactor = redactor
        self._seconds = seconds
        self._silence_seconds = silence_seconds
        self.bookmarks_expected = bookmarks_expected
        self.early_ends = early_ends
        self._silent = True
        self._reading = False
        self._clock = clock
        self._has_room = has_room
        self._opening = opening or asyncio.Semaphore(1)
        self._task = asyncio.create_task(self._run(), name=f"watch:{target.context}:{target}")

    def is_live(self) -> bool:
        """Whether a request is open, and was heard so lately that nothing else is likely to have happened.

        Between two requests, and where a connection leads nowhere any more, silence says nothing.
        """
        return self._reading and self.heard_at is not None and abs(self._clock() - self.heard_at) <= LIVE_SECONDS

    def stands(self) -> bool:
        """Whether a request is open of which no bookmarks are expected: the kernel sees to its connection (`probed_socket`)."""
        return self._reading and not self.bookmarks_expected

    def ended(self) -> bool:
        """Nothing more will come."""
        return self._task.done()

    async def close(self) -> None:
        """End the request; returns when it has ended."""
        self._task.cancel()
        await asyncio.gather(self._task, return_exceptions=True)

    async def _run(self) -> None:
        try:
            while True:
                started = time.monotonic()
                length = random.randint(*self._seconds)  # noqa: S311  jitter, no secret
                if not self.bookmarks_expected:
                    length *= LONGER_WITHOUT_BOOKMARKS
                self._silent = True
                await self._request(length)
                if self._silent and time.monotonic() - started >= self._silence_seconds / 3:
                    await self._expect_not_back_in_time()
                await asyncio.sleep(self._pause(time.monotonic() - started, length))
        except (BufferFull, LineTooLong, msgspec.MsgspecError, TypeError, ValueError, RecursionError) as error:
            self.error = Expired(f"cannot {self._doing}: {error}; list again from the start", reason=type(error).__name__)
        except NotFound as error:
            self.error = not_served(self.target.context, self.target.kind, error)
        except K8sMcpError as error:
            self.error = error
        except Exception as error:  # noqa: BLE001  top of this task: the next poll hears of it
            log.error("watch of %s failed unexpectedly: %s", self.target, type(error).__name__)
            self.error = ClusterError(f"cannot {self._doing}: failed unexpectedly ({type(error).__name__})")
        finally:
            self.opened.set()
            self._tell()

    @property
    def _doing(self) -> str:
        return f"watch {self.target}"

    async def _request(self, length: int) -> None:
        """One request, to its end. Raises ClusterError when it cannot be begun, or when the API server says so."""
        query: Query = [
            ("watch", "1"),
            ("resourceVersion", self.buffer.newest),
            ("allowWatchBookmarks", "true"),
            ("timeoutSeconds", length),
            *self._form.query,
        ]
        silence = self._silence_seconds if self.bookmarks_expected else length + 15.0
        begun = False
        try:
            async with AsyncExitStack() as stack:
                async with self._turn():
                    answer = await stack.enter_async_context(
                        self._api.stream(
                            self.target.path,
                            doing=self._doing,
                            query=query,
                            accept=self._form.accept_watch,
                            silence_seconds=silence,
                        )
                    )
                begun = True
                await self._read(answer)
        except Unreachable as error:
            if not begun:
                raise
            self._note_silence(error)

    async def _read(self, answer: AnswerStream) -> None:
        """One answer, to its end."""
        self._heard()
        self.headers_seconds = answer.headers_seconds
        self.changed_at = asyncio.get_running_loop().time()
        self._reading = True
        self.opened.set()
        splitter = LineSplitter()
        try:
            async for piece in answer.pieces:
                await self._receive(splitter.feed(piece))
        finally:
            self._reading = False

    @asynccontextmanager
    async def _turn(self) -> AsyncIterator[None]:
        """So many connections are opened at a time: hundreds of TLS handshakes at once take longer than one may."""
        try:
            await asyncio.wait_for(self._opening.acquire(), TURN_SECONDS)
        except TimeoutError:
            raise Unreachable(
                f"cannot {self._doing} (context {self.target.context}): other watches wait for the API server to answer"
            ) from None
        try:
            yield
        finally:
            self._opening.release()

    def _note_silence(self, error: Unreachable) -> None:
        """Some kinds have no bookmarks (events): then silence says nothing before the request's own end."""
        log.debug("%s: the watch broke off: %s", self.target, error)
        if isinstance(error.__cause__, TimeoutError):
            self.bookmarks_expected = False

    async def _receive(self, lines: list[bytes]) -> None:
        """Other calls get their turn every few events: redaction takes a fifth of a millisecond each."""
        for number, line in enumerate(lines, 1):
            self._take_in(decode_event(line))
            if number % EVENTS_AT_A_TIME == 0:
                await asyncio.sleep(0)

    def _take_in(self, event: WatchEvent) -> None:
        decoded = decode_item(event.object)
        if event.type == "ERROR":
            raise error_of(_code_of(decoded), bytes(event.object), f"{self._doing} (context {self.target.context})")
        heard_at, version = self._heard(), _resource_version(decoded)
        self._silent = False
        if event.type == "BOOKMARK":
            self.bookmarks_expected = True
            self.buffer.mark(version)
            return
        bodies = self._bodies(event, decoded)
        self.buffer.add(Change(version, b",".join(bodies), heard_at))
        if not self._has_room():
            raise BufferFull("the changes that this server keeps for all its watches were not taken in time")
        self.changed_at = asyncio.get_running_loop().time()
        self._tell()

    async def _expect_not_back_in_time(self) -> None:
        """After a request in which nothing came where a bookmark should have.

        Etcd restored from a backup counts on from an earlier revision, and a watch from after it is silent until then.

        The one place where versions are compared, as only here an API server denies the order that it gave.
        """
        doing = f"{self._doing} (context {self.target.context})"
        answer = await self._api.get(self.target.path, doing=doing, query=[("limit", 1)], accept=METADATA_LIST)
        version, newest = decode_page(answer.body, doing).metadata.resource_version, self.buffer.newest
        if version.isdecimal() and newest.isdecimal() and int(version) < int(newest):
            where = f"at resource version {version}, before the {newest} that it gave earlier"
            raise Expired(f"cannot {doing}: the API server is {where}; list again from the start", reason="WentBack")

    def _bodies(self, event: WatchEvent, decoded: dict[str, Any]) -> list[bytes]:
        """What an encoder refuses, nested too deep above all, is left out of the object: it must not end the watch."""
        try:
            return [self._body(event.type, obj) for obj in self._form.event_objects(decoded)]
        except (TypeError, RecursionError):
            readable = decode_item(repaired(bytes(event.object)))
            return [self._body(event.type, obj) for obj in self._form.event_objects(readable)]

    def _body(self, type_: str, obj: dict[str, Any]) -> bytes:
        """Who deleted an object, nothing in it says: its newest manager only changed it last."""
        manager = take_manager(obj)
        redacted = self._redactor.redact_object(obj)
        return orjson.dumps({"type": type_, "object": redacted, "manager": manager if type_ != "DELETED" else None})

    def _heard(self) -> float:
        now = self._clock()
        self.heard_at = now
        return now

    def _tell(self) -> None:
        for listener in self.listeners:
            listener.set()

    def _pause(self, lasted: float, length: int) -> float:
        """Before the next request: none after one that lasted; one that is cut off again and again comes rarer."""
        self.early_ends = 0 if lasted >= 0.9 * length else self.early_ends + 1
        if self.early_ends < 2:
            return 0.0
        between = min(LONGEST_PAUSE_SECONDS, FIRST_PAUSE_SECONDS * 2.0 ** (self.early_ends - 2))
        return max(0.0, between - lasted)


def _code_of(status: Any) -> int:
    code = status.get("code") if isinstance(status, dict) else None
    return code if isinstance(code, int) else 500


def _resource_version(obj: dict[str, Any]) -> str:
    """Of an object, or of a Table with the one row of an event. Raises ClusterError when there is none."""
    for one in (obj, *(row.get("object") or {} for row in obj.get("rows") or [])):
        version = (one.get("metadata") or {}).get("resourceVersion")
        if version:
            return str(version)
    raise ClusterError("cannot follow a watch: the API server sent an event without resourceVersion")
