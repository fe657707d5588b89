"""The HTTP face: authentication, routing, and one method per verb."""

from __future__ import annotations

import hmac
from typing import Any

import orjson
import yaml
from aiohttp import web

from demo import (
    api_status,
    deletion,
    discovery,
    eviction,
    list_query,
    patching,
    pod_logs,
    protobuf_body,
    request_target,
    scale_subresource,
    tables,
)
from demo.api_status import ApiError, Json
from demo.deletion import Deleter
from demo.http_streams import StreamingApi
from demo.list_query import Lister
from demo.object_api import ObjectApi, WriteOptions
from demo.request_target import Target
from demo.resources import REVIEWS
from demo.store import Stored
from demo.watch_stream import WatchHub

MAX_BODY_BYTES = 3 * 1024 * 1024
_PATCH_TYPES = (
    "application/json-patch+json",
    "application/merge-patch+json",
    "application/strategic-merge-patch+json",
    "application/apply-patch+yaml",
)


def _json(document: Json, status: int = 200) -> web.Response:
    return web.Response(body=orjson.dumps(document), status=status, content_type="application/json")


def _failure(error: ApiError) -> web.Response:
    response = _json(error.status, error.code)
    if error.code == 401:
        response.headers["WWW-Authenticate"] = 'Bearer realm="kubernetes-master"'
    if error.code == 429:
        response.headers["Retry-After"] = "10"
    return response


class HttpApi:
    """Answers every request; `token` is the one bearer token that is let in."""

    def __init__(
        self, api: ObjectApi, lister: Lister, deleter: Deleter, hub: WatchHub, logs: pod_logs.LogSource, token: str
    ) -> None:
        self._api = api
        self._lister = lister
        self._deleter = deleter
        self._streams = StreamingApi(api, hub, logs)
        self._authorization = f"Bearer {token}".encode()

    def application(self) -> web.Application:
        app = web.Application(client_max_size=MAX_BODY_BYTES)
        app.router.add_route("*", "/{path:.*}", self.handle)
        return app

    async def handle(self, request: web.Request) -> web.StreamResponse:
        """Route one request; an ApiError becomes its Status."""
        try:
            given = request.headers.get("Authorization", "").encode()
            if not hmac.compare_digest(given, self._authorization):
                raise api_status.unauthorized()
            document = self._document(request)
            if document is not None:
                return document
            return await self._resource_request(request)
        except ApiError as error:
            return _failure(error)
        except web.HTTPRequestEntityTooLarge:
            message = f"Request entity too large: limit is {MAX_BODY_BYTES}"
            return _failure(ApiError(413, "RequestEntityTooLarge", message))

    def _document(self, request: web.Request) -> web.Response | None:
        """Health, version, discovery and OpenAPI; None for everything else."""
        path, table = request.path.rstrip("/"), self._api.table
        if path in ("/healthz", "/livez", "/readyz"):
            return web.Response(text="ok")
        if path == "/version":
            return _json(discovery.version())
        if path in ("/api", "/apis"):
            return self._discovery_root(request, path == "/api")
        if path.startswith("/openapi/v3"):
            parts = path.split("/")[3:]
            if not parts:
                return _json(discovery.openapi_index(table))
            group, version = ("", parts[-1]) if parts[0] == "api" else (parts[1], parts[-1])
            return _json(discovery.openapi_document(table, group, version))
        parts = path.strip("/").split("/")
        found = None
        if parts[0] == "api" and len(parts) == 2:
            found = discovery.resource_list(table, "", parts[1])
        elif parts[0] == "apis" and len(parts) == 2:
            found = discovery.api_group(table, parts[1])
        elif parts[0] == "apis" and len(parts) == 3:
            found = discovery.resource_list(table, parts[1], parts[2])
        return _json(found) if found else None

    def _discovery_root(self, request: web.Request, core: bool) -> web.Response:
        accept = request.headers.get("Accept", "")
        if "as=APIGroupDiscoveryList" in accept:
            version = "v2" if "v=v2;" in accept or accept.split(",")[0].endswith("v=v2") else "v2beta1"
            response = _json(discovery.aggregated(self._api.table, core, version))
            media = f"application/json;g=apidiscovery.k8s.io;v={version};as=APIGroupDiscoveryList"
            response.headers["Content-Type"] = media
            return response
        return _json(discovery.api_versions(request.host) if core else discovery.api_groups(self._api.table))

    async def _resource_request(self, request: web.Request) -> web.StreamResponse:
        if request.path.startswith("/apis/authorization.k8s.io/v1/") and request.method == "POST":
            kind = REVIEWS.get(request.path.rpartition("/")[2])
            if kind is None:
                raise api_status.method_not_allowed()
            return _json(scale_subresource.allow_everything(kind, await self._body(request)), 201)
        target = request_target.parse_path(request.path, self._api.table)
        if target.subresource == "log":
            return await self._streams.log(request, target)
        if target.subresource == "scale":
            return await self._scale(request, target)
        if target.subresource == "eviction":
            return await self._evict(request, target)
        method = request.method
        if method == "GET":
            watching = request.query.get("watch", "") in ("true", "1")
            return await self._streams.watch(request, target) if watching else self._read(request, target)
        if method == "POST" and not target.name:
            return await self._create(request, target)
        if method == "PUT" and target.name:
            body = await self._body(request)
            options = self._write_options(request, target)
            return self._answer(request, target, self._api.replace(*_address(target), body, options))
        if method == "PATCH" and target.name:
            return await self._patch(request, target)
        if method == "DELETE":
            return await self._delete(request, target)
        raise api_status.method_not_allowed()

    async def _body(self, request: web.Request) -> Any:
        content_type = request.content_type
        raw = await request.read()
        if content_type == protobuf_body.MEDIA_TYPE:
            return protobuf_body.decode(raw)
        if "cbor" in content_type:
            message = "the body of the request was in an unknown format - accepted media types include: application/json"
            raise ApiError(415, "UnsupportedMediaType", message)
        try:
            return yaml.safe_load(raw) if "yaml" in content_type else orjson.loads(raw or b"{}")
        except (orjson.JSONDecodeError, yaml.YAMLError) as failure:
            raise api_status.bad_request(f"the body of the request is not valid: {failure}") from failure

    @staticmethod
    def _write_options(request: web.Request, target: Target, operation: str = "Update") -> WriteOptions:
        agent = request.headers.get("User-Agent", "unknown").partition("/")[0]
        dry_run = deletion.check_dry_run(request.query.getall("dryRun", []))
        manager = request.query.get("fieldManager") or agent
        return WriteOptions(manager, dry_run, target.subresource, operation)

    def _read(self, request: web.Request, target: Target) -> web.Response:
        form = request_target.accepted_form(request.headers.get("Accept", ""))
        if target.name:
            return self._answer(request, target, self._api.get(*_address(target)))
        page = self._lister.page(target.resource, target.namespace, request.query)
        if form == "table":
            include = request.query.get("includeObject", "Metadata")
            return _json(tables.table(target.resource, page.objects, page.metadata, include, self._api.clock()))
        body = list_query.metadata_list_body(page) if form == "metadata" else list_query.list_body(target.resource, page)
        return web.Response(body=body, content_type="application/json")

    def _answer(self, request: web.Request, target: Target, stored: Stored, status: int = 200) -> web.Response:
        form = request_target.accepted_form(request.headers.get("Accept", ""))
        if form == "metadata":
            return _json(tables.partial_metadata(stored.obj), status)
        if form == "table":
            include = request.query.get("includeObject", "Metadata")
            metadata = {"resourceVersion": stored.obj["metadata"].get("resourceVersion", "")}
            return _json(tables.table(target.resource, [stored], metadata, include, self._api.clock()), status)
        return web.Response(body=stored.json, status=status, content_type="application/json")

    async def _create(self, request: web.Request, target: Target) -> web.Response:
        body = await self._body(request)
        if target.resource.namespaced and not target.namespace:
            raise api_status.method_not_allowed()
        options = self._write_options(request, target)
        stored = self._api.create(target.resource, target.namespace, body, options)
        return self._answer(request, target, stored, 201)

    async def _patch(self, request: web.Request, target: Target) -> web.Response:
        body, kind = await self._body(request), request.content_type
        if kind not in _PATCH_TYPES:
            message = "the body of the request was in an unknown format - accepted media types include: " + ", ".join(
                _PATCH_TYPES
            )
            raise ApiError(415, "UnsupportedMediaType", message)
        if kind == "application/apply-patch+yaml":
            return self._apply(request, target, body)
        if kind == "application/json-patch+json":
            change = lambda obj: patching.json_patch(obj, body)  # noqa: E731
        elif kind == "application/merge-patch+json" or target.resource.printer_columns:
            change = lambda obj: patching.json_merge(obj, body)  # noqa: E731
        else:
            change = lambda obj: patching.strategic_merge(obj, body)  # noqa: E731
        stored = self._api.change(*_address(target), change, self._write_options(request, target))
        return self._answer(request, target, stored)

    def _apply(self, request: web.Request, target: Target, body: Any) -> web.Response:
        if not request.query.get("fieldManager"):
            cause = api_status.field_required("fieldManager", "is required for apply patch")
            raise api_status.invalid("PatchOptions", "meta.k8s.io", "", [cause])
        options = self._write_options(request, target, "Apply")
        stored, new = self._api.apply(*_address(target), body, options, force=request.query.get("force") in ("true", "1"))
        return self._answer(request, target, stored, 201 if new else 200)

    async def _delete(self, request: web.Request, target: Target) -> web.Response:
        options = deletion.parse_options(await self._body(request) or {}, dict(request.query))
        resource = target.resource
        if not target.name:
            page = self._lister.page(resource, target.namespace, request.query)
            for stored in page.objects:
                metadata = stored.obj["metadata"]
                self._deleter.delete(resource, metadata.get("namespace", ""), metadata["name"], options)
            return web.Response(body=list_query.list_body(resource, page), content_type="application/json")
        stored, gone = self._deleter.delete(resource, target.namespace, target.name, options)
        if gone and resource.key != "pods":
            return _json(api_status.success(resource.plural, resource.group, target.name, stored.obj["metadata"]["uid"]))
        return self._answer(request, target, stored)

    async def _evict(self, request: web.Request, target: Target) -> web.Response:
        if request.method != "POST":
            raise api_status.method_not_allowed()
        body = await self._body(request)
        options = deletion.parse_options(body.get("deleteOptions") or {}, dict(request.query))
        eviction.evict(self._api, self._deleter, target.namespace, target.name, options)
        return _json({**api_status.success("", "", "", ""), "code": 201}, 201)

    async def _scale(self, request: web.Request, target: Target) -> web.Response:
        stored = self._api.get(*_address(target))
        if request.method == "GET":
            return _json(scale_subresource.scale_of(stored.obj))
        body = await self._body(request)
        options = WriteOptions(self._write_options(request, target).manager, self._write_options(request, target).dry_run)
        wanted = scale_subresource.wanted_scale(stored.obj, body, request.method, request.content_type)
        change = lambda obj: scale_subresource.scaled(obj, wanted)  # noqa: E731
        return _json(scale_subresource.scale_of(self._api.change(*_address(target), change, options).obj))


def _address(target: Target) -> tuple[Any, str, str]:
    return target.resource, target.namespace, target.name
