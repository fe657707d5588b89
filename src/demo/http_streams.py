"""Answers that go on: watches and followed logs."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from contextlib import suppress
from datetime import datetime

from aiohttp import web

from demo import api_status, list_query, pod_logs, request_target
from demo.api_status import ApiError
from demo.object_api import ObjectApi
from demo.pod_logs import LogOptions
from demo.request_target import Target
from demo.watch_stream import WatchHub, WatchOptions, WatchStream

FOLLOW_SECONDS = 0.5


class StreamingApi:
    """WATCH of any resource and pods/log."""

    def __init__(self, api: ObjectApi, hub: WatchHub, logs: pod_logs.LogSource) -> None:
        self._api = api
        self._hub = hub
        self._logs = logs

    async def watch(self, request: web.Request, target: Target) -> web.StreamResponse:
        """Chunked, one JSON document a line; see watch_stream."""
        accept = request.headers.get("Accept", "")
        options = watch_options(request.query, target, accept, self._api.store.revision)
        response = await _begin(request, "application/json")
        stream = WatchStream(self._api.store, self._hub, target.resource, options, self._api.clock)
        with suppress(ConnectionResetError):  # who watched has gone, in the middle of a write
            async for chunk in stream.chunks():
                await response.write(chunk)
        return response

    async def log(self, request: web.Request, target: Target) -> web.StreamResponse:
        """A container's log as text; with follow=true until that run of it ends."""
        pod = self._api.get(target.resource, target.namespace, target.name).obj
        options = pod_logs.parse_options(request.query, self._api.clock())
        container = pod_logs.choose_container(pod, options.container)
        started, ended = pod_logs.chosen_run(pod, container, options.previous)
        until = ended or self._api.clock()
        body = pod_logs.render(self._logs(pod, container, started, until, ended is not None), options)
        if not options.follow or ended is not None:
            return web.Response(body=body, content_type="text/plain", charset="utf-8")
        response = await _begin(request, "text/plain; charset=utf-8")
        await response.write(body)
        await self._follow(response, target, container, (started, until), options.timestamps)
        return response

    async def _follow(
        self, response: web.StreamResponse, target: Target, container: str, run: tuple[datetime, datetime], timestamps: bool
    ) -> None:
        """New lines until the pod, or this run of its container, ends; `run` is (start, shown until)."""
        started, shown_until = run
        plain = LogOptions("", False, True, timestamps, None, None, None)
        while not self._hub.closed:
            await asyncio.sleep(FOLLOW_SECONDS)
            current = self._api.store.get(target.resource, target.namespace, target.name)
            try:
                run_start, ended = pod_logs.chosen_run(current.obj, container, previous=False) if current else (None, None)
            except ApiError:
                return
            if current is None or run_start != started:
                return
            until = ended or self._api.clock()
            lines = self._logs(current.obj, container, started, until, ended is not None)
            if fresh := [line for line in lines if line[0] > shown_until]:
                await response.write(pod_logs.render(fresh, plain))
            if ended is not None:
                return
            shown_until = until


async def _begin(request: web.Request, content_type: str) -> web.StreamResponse:
    response = web.StreamResponse(headers={"Content-Type": content_type})
    response.enable_chunked_encoding()
    await response.prepare(request)
    return response


def watch_options(query: Mapping[str, str], target: Target, accept: str, current: int) -> WatchOptions:
    """The watch that a request asks for; ApiError 400 for parameters that make none."""
    if target.name:
        query = {**query, "fieldSelector": f"metadata.name={target.name}"}
    revision = list_query.parse_revision(query.get("resourceVersion", ""))
    initial = query.get("sendInitialEvents", "") in ("true", "1")
    if initial and query.get("resourceVersionMatch") != "NotOlderThan":
        text = "sendInitialEvents requires setting resourceVersionMatch to NotOlderThan"
        cause = api_status.field_forbidden("resourceVersionMatch", text)
        raise api_status.invalid("ListOptions", "meta.k8s.io", "", [cause])
    if revision > current:
        raise api_status.too_large_revision(revision, current)
    timeout = query.get("timeoutSeconds", "") or "1800"
    if not timeout.isdigit():
        raise api_status.bad_request(f'strconv.ParseInt: parsing "{timeout}": invalid syntax')
    bookmarks = query.get("allowWatchBookmarks", "") in ("true", "1")
    return WatchOptions(
        namespace=target.namespace,
        predicate=list_query.predicate_of(target.resource, query),
        revision=None if initial or revision == 0 else revision,
        bookmarks=bookmarks,
        mark_initial_end=initial and bookmarks,
        timeout_seconds=float(timeout) or 1800.0,
        form=request_target.accepted_form(accept),
        include_object=query.get("includeObject", "Metadata"),
    )
