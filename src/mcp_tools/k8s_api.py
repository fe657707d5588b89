"""Raw asynchronous access to the Kubernetes API of any number of contexts.

Answers are bytes: the typed models of the kubernetes library cost 1.9 ms a pod and drop fields they do not know.
"""

from __future__ import annotations

import asyncio
import logging
import re
import time
from collections.abc import AsyncIterator, Iterable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from configuration.errors import ClusterError, ConfigurationError, NotPermitted, Unreachable
from mcp_tools.api_connection import Connection
from mcp_tools.api_errors import error_of
from mcp_tools.api_usage import ApiUsage, ReceivedBytes
from mcp_tools.api_websocket import WebSocketBroken, WebSocketRefused, open_websocket
from mcp_tools.current_connection import CurrentConnection
from mcp_tools.kubeconfig import IN_CLUSTER, SERVICE_ACCOUNT, ContextEntry, KubeConfigSource, service_account_namespace
from mcp_tools.request_guard import RequestGuard
from mcp_tools.secret_access import SecretAccess
from mcp_tools.server_policy import ServerPolicy

if TYPE_CHECKING:
    import aiohttp

log = logging.getLogger(__name__)

CONNECT_SECONDS = 3.0
READ_SECONDS = 30.0
MAX_ERROR_BYTES = 1024 * 1024
JSON = "application/json"
TABLE = "application/json;as=Table;v=v1;g=meta.k8s.io"
METADATA_LIST = "application/json;as=PartialObjectMetadataList;v=v1;g=meta.k8s.io"

_PLAIN_PATH = re.compile(r"(?:/[A-Za-z0-9._:@+~-]+)+")

Query = Sequence[tuple[str, str | int]]


class AnswerTooLarge(ClusterError):
    """The answer is longer than the caller can take; nothing of it was kept."""


@dataclass(frozen=True, slots=True)
class Answer:
    """A successful answer. `warnings` are the texts of its `Warning` headers."""

    status: int
    body: bytes
    warnings: tuple[str, ...] = ()
    retry_after: str = ""


@dataclass(frozen=True, slots=True)
class AnswerStream:
    """A successful answer that goes on. `headers_seconds` is how long the API server took to begin it."""

    pieces: AsyncIterator[bytes]
    headers_seconds: float


class ClusterApi:
    """One context: requests, credentials, and their renewal."""

    def __init__(self, context: str, source: KubeConfigSource, connection: CurrentConnection, guard: RequestGuard) -> None:
        self.context = context
        self._guard = guard
        self._source = source
        self._connection = connection
        self.usage = ApiUsage()

    @property
    def server(self) -> str:
        """Address of the API server."""
        config = self._source.current()
        return config.context(self.context).server if config else "https://kubernetes.default.svc"

    def learn_without_namespaces(self, kinds: Iterable[tuple[str, str]]) -> None:
        """(API group, plural) of what the cluster says is in no namespace."""
        self._guard.without_namespaces = frozenset(kinds)

    def hides(self, group: str, resource: str, namespace: str) -> bool:
        """See RequestGuard.hides."""
        return self._guard.hides(group, resource, namespace, context=self.context)

    def left_out(self, group: str, resource: str) -> tuple[str, ...]:
        """See RequestGuard.left_out."""
        return self._guard.left_out(group, resource, context=self.context)

    async def close(self) -> None:
        """Close all connections, also those that are in use."""
        await self._connection.close()

    def retire(self) -> asyncio.Task[None]:
        """Refuse further requests; the task closes all connections once the last request has ended."""
        self._connection.refuse_further()
        return asyncio.create_task(self._connection.end())

    async def get(
        self, path: str, *, doing: str, query: Query = (), accept: str = JSON, max_bytes: int | None = None,
        read_seconds: float = READ_SECONDS, secret: SecretAccess | None = None,
    ) -> Answer:  # fmt: skip
        """GET. `doing` completes "cannot …" in an error; `read_seconds` is the longest silence; `secret` says why the payload
        of one Secret is needed. Raises ClusterError."""
        if secret is None or not secret.covers(path, query, accept):
            _refuse_secret_payloads(path, accept, doing)
        return await self._request(
            "GET", path, doing=doing, query=query, accept=accept, max_bytes=max_bytes, read_seconds=read_seconds
        )

    @asynccontextmanager
    async def stream(
        self, path: str, *, doing: str, query: Query, accept: str = JSON, silence_seconds: float | None = None
    ) -> AsyncIterator[AnswerStream]:
        """GET whose answer goes on, as a watch does: the block runs once the headers are there.

        Not compressed, since a compressor holds back what it has not finished. Raises ClusterError and its subclasses,
        Unreachable when the connection breaks or nothing comes for `silence_seconds`.
        """
        _refuse_secret_payloads(path, accept, doing)
        doing = f"{doing} (context {self.context})"
        how: dict[str, Any] = {"query": query, "accept": accept, "encoding": "identity", "read_seconds": silence_seconds}
        how["headers_seconds"] = READ_SECONDS
        connection = await self._connection.get()
        for attempt in (1, 2):
            started = time.monotonic()
            async with self._response(connection, "GET", path, doing, **how) as (response, received):
                if response.status < 400:
                    yield AnswerStream(_pieces(response, received), time.monotonic() - started)
                    return
                body = await _read_bounded(response.content, MAX_ERROR_BYTES, doing)
                received.count()
            if response.status != 401 or attempt == 2:
                raise error_of(response.status, body, doing, retry_after=response.headers.get("Retry-After", ""))
            connection = await self._renewed(connection)

    async def send(
        self,
        method: str,
        path: str,
        body: dict[str, Any] | list[Any],
        *,
        doing: str,
        query: Query = (),
        content_type: str = JSON,
        dry_run: bool = False,
    ) -> Answer:
        """POST, PUT, PATCH or DELETE; never repeated, except after a 401, which changed nothing.

        With a body a DELETE ignores the query: a dry run that is only there deletes for real. So it goes into the body
        (DeleteOptions) as well; in the query it is for the audit log.
        """
        if dry_run:
            query = [*query, ("dryRun", "All")]
            body = body | {"dryRun": ["All"]} if method == "DELETE" and isinstance(body, dict) else body
        return await self._request(method, path, doing=doing, query=query, body=body, content_type=content_type)

    @asynccontextmanager
    async def websocket(
        self, path: str, *, doing: str, query: Query, protocols: tuple[str, ...]
    ) -> AsyncIterator[aiohttp.ClientWebSocketResponse]:
        """A connection that a subresource gives (exec). Judged like every request; never opened twice, except after a 401."""
        query = self._guard.judged("GET", path, query, None, context=self.context, doing=doing)
        doing = f"{doing} (context {self.context})"
        connection = await self._connection.get()
        for attempt in (1, 2):
            try:
                async with open_websocket(connection, path, query, protocols, CONNECT_SECONDS + READ_SECONDS) as socket:
                    self.usage.sent("GET", path, query)
                    yield socket
                    return
            except WebSocketRefused as refused:
                if refused.status != 401 or attempt == 2:
                    raise error_of(refused.status, b"", doing) from None
            except WebSocketBroken as broken:
                raise self._unreachable(broken.cause, doing, READ_SECONDS, unknown_outcome=broken.was_open) from None
            connection = await self._renewed(connection)

    async def _request(self, method: str, path: str, *, doing: str, **how: Any) -> Answer:
        doing = f"{doing} (context {self.context})"
        connection = await self._connection.get()
        answer = await self._attempt(connection, method, path, doing, **how)
        if answer.status == 401:
            connection = await self._renewed(connection)
            answer = await self._attempt(connection, method, path, doing, **how)
        if answer.status >= 400:
            raise error_of(answer.status, answer.body, doing, retry_after=answer.retry_after)
        return answer

    async def _renewed(self, refused: Connection) -> Connection:
        log.info("context %s: the API server answered 401, loading the credentials again", self.context)
        return await self._connection.get(instead_of=refused)

    async def _attempt(
        self, connection: Connection, method: str, path: str, doing: str, *, max_bytes: int | None = None, **how: Any
    ) -> Answer:
        async with self._response(connection, method, path, doing, **how) as (response, received):
            try:
                content = await _read_bounded(response.content, max_bytes, doing)
            finally:
                received.count()
            warnings = tuple(_warning_text(value) for value in response.headers.getall("Warning", ()))
            return Answer(response.status, content, warnings, response.headers.get("Retry-After", ""))

    @asynccontextmanager
    async def _response(
        self, connection: Connection, method: str, path: str, doing: str, *,
        query: Query = (), body: object = None, accept: str = JSON, content_type: str = JSON, encoding: str = "gzip",
        read_seconds: float | None = READ_SECONDS, headers_seconds: float | None = None,
    ) -> AsyncIterator[tuple[aiohttp.ClientResponse, ReceivedBytes]]:  # fmt: skip
        """The answer as soon as its headers are there, whatever its status. No request leaves but from here, past the guard."""
        import aiohttp

        query = self._guard.judged(method, path, query, body, context=self.context, doing=doing)
        timeout = aiohttp.ClientTimeout(total=None, sock_connect=CONNECT_SECONDS, sock_read=read_seconds)
        headers = {"Accept": accept, "Accept-Encoding": encoding, "Content-Type": content_type}
        try:
            with connection.used() as client:
                prepared = await client.param_serialize(
                    method, path, query_params=list(query), header_params=headers, body=body, auth_settings=["BearerToken"]
                )
                self.usage.sent(method, path, query)
                async with asyncio.timeout(headers_seconds):
                    response = (await client.call_api(*prepared, _request_timeout=timeout)).response
                async with response:
                    yield response, self.usage.meter(response)
        except (aiohttp.ClientError, TimeoutError, OSError) as error:
            was_sent = not isinstance(error, aiohttp.ClientConnectorError | aiohttp.ConnectionTimeoutError)
            raise self._unreachable(
                error, doing, headers_seconds or read_seconds or READ_SECONDS, unknown_outcome=method != "GET" and was_sent
            ) from error

    def _unreachable(self, error: Exception, doing: str, read_seconds: float, *, unknown_outcome: bool) -> Unreachable:
        if isinstance(error, TimeoutError):
            what = f"no answer within {CONNECT_SECONDS:.0f} s to connect and {read_seconds:.0f} s to read"
        else:
            what = str(getattr(error, "strerror", None) or error or type(error).__name__)
        advice = "check that it runs, the network, and the address and CA in the kubeconfig"
        if unknown_outcome:
            advice = "whether the change was made is unknown: read the object before trying again"
        return Unreachable(
            f"cannot {doing}: the API server at {self.server} does not answer: {what[:300]}; {advice}",
            reason=type(error).__name__,
        )


async def _pieces(response: aiohttp.ClientResponse, received: ReceivedBytes) -> AsyncIterator[bytes]:
    async for piece in response.content.iter_any():
        received.count()
        yield piece


async def _read_bounded(content: Any, max_bytes: int | None, doing: str) -> bytes:
    if max_bytes is None:
        return bytes(await content.read())
    chunks, size = [], 0
    async for chunk in content.iter_any():
        size += len(chunk)
        if size > max_bytes:
            raise AnswerTooLarge(f"cannot {doing}: the answer is larger than {max_bytes} bytes; ask for less")
        chunks.append(chunk)
    return b"".join(chunks)


def _warning_text(header: str) -> str:
    """`299 - "text"` -> `text`."""
    _, _, rest = header.partition(" ")
    return rest.partition(" ")[2].strip().strip('"') or header


def _refuse_secret_payloads(path: str, accept: str, doing: str) -> None:
    """Secrets are read as Table or metadata: the API server then sends no values at all. For one by its name see SecretAccess."""
    if _may_be_of_secrets(path) and accept not in (TABLE, METADATA_LIST):
        raise NotPermitted(
            f"cannot {doing}: this server never fetches the payload of Secrets; k8s_inspect_secret tells what is in one",
            reason="SecretPayload",
        )


def _may_be_of_secrets(path: str) -> bool:
    """Whether `secrets` stands in the path anywhere but where a namespace or an object is named.

    A path that is not written plainly counts too: on the way an URL is decoded, and `//`, `.` and `..` are taken out of it.
    """
    parts = path.split("/")[1:]
    if not _PLAIN_PATH.fullmatch(path) or {".", ".."} & set(parts):
        return True
    head = 3 if parts[0] == "apis" else 2  # apis/GROUP/VERSION, api/VERSION
    place = parts[head:]
    if place[:1] == ["watch"]:
        place = place[1:]
    if place[:1] == ["namespaces"] and len(place) > 2:
        place = place[2:]
    resource, below_the_name = place[:1], place[2:]
    return "secrets" in (*parts[:head], *resource, *below_the_name)


class Clusters:
    """All contexts that this server may use, each connected on first use."""

    def __init__(
        self,
        environment: Mapping[str, str],
        *,
        allowed: tuple[str, ...] = (),
        version: str = "0",
        policy: ServerPolicy | None = None,
        service_account: Path = SERVICE_ACCOUNT,
    ) -> None:
        self.policy = policy or ServerPolicy()
        self._environment = environment
        self._source = KubeConfigSource(environment)
        self._allowed = () if "*" in allowed else allowed
        self._user_agent = f"k8s-mcp/{version}"
        self._service_account = service_account
        self._apis: dict[str, ClusterApi] = {}
        self._retiring: dict[asyncio.Task[None], ClusterApi] = {}

    def contexts(self) -> list[ContextEntry]:
        """The contexts that may be used; what is held of others is given up. Raises ConfigurationError."""
        config = self._source.current()
        if config is None:
            namespace = service_account_namespace(self._service_account / "namespace")
            found = [ContextEntry(IN_CLUSTER, IN_CLUSTER, "https://kubernetes.default.svc", "service account", namespace)]
        else:
            found = [entry for entry in config.contexts() if not self._allowed or entry.name in self._allowed]
        self._retire_all_but({entry.name for entry in found})
        return found

    def _retire_all_but(self, names: set[str]) -> None:
        """Close the APIs of contexts that are gone, each once its last request has ended."""
        for gone in [name for name in self._apis if name not in names]:
            log.info("context %s is no longer in the kubeconfig: its connections are closed", gone)
            api = self._apis.pop(gone)
            task = api.retire()
            self._retiring[task] = api
            task.add_done_callback(self._retiring.pop)

    def default(self) -> str:
        """The context that an empty argument means. Raises ConfigurationError."""
        config = self._source.current()
        if config is None:
            return IN_CLUSTER
        if self._allowed and config.current not in self._allowed:
            return config.context(self._allowed[0]).name
        return config.context().name

    def api(self, context: str = "") -> ClusterApi:
        """The API of a context, "" for the default one. Raises ConfigurationError with the names that may be used."""
        name = context or self.default()
        known = [entry.name for entry in self.contexts()]
        if name not in known:
            raise ConfigurationError(
                f"context {name[:100]!r} does not exist or is not allowed by K8S_CONTEXTS; known: {', '.join(known) or 'none'}"
            )
        config = self._source.current()
        if config is not None:
            config.context(name)
        if name not in self._apis:
            connection = CurrentConnection(
                name, self._source, self._environment, self._user_agent, service_account=self._service_account
            )
            self._apis[name] = ClusterApi(name, self._source, connection, RequestGuard(self.policy))
        return self._apis[name]

    def own_namespace(self, context: str) -> str:
        """The namespace that kubectl would use in a context."""
        return next((entry.namespace for entry in self.contexts() if entry.name == context), "default")

    def used(self) -> Mapping[str, ClusterApi]:
        """Context -> its API, for the contexts that have been asked for."""
        return self._apis

    async def close(self) -> None:
        """Close all connections."""
        apis = [*self._apis.values(), *self._retiring.values()]
        for task in self._retiring:
            task.cancel()
        for api in apis:
            await api.close()
