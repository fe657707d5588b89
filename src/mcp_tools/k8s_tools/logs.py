"""Logs of containers: redacted, searched, folded, and cut to a budget."""

from __future__ import annotations

import asyncio
import heapq
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from configuration.errors import ClusterError, InvalidArguments, Unauthorized, Unreachable
from kinds.registry import KINDS
from mcp_tools.at_most import at_most
from mcp_tools.k8s_api import ClusterApi
from mcp_tools.k8s_tools.reading import scope_of
from mcp_tools.line_search import matching_lines
from mcp_tools.log_answer import LogFindings, answer_of
from mcp_tools.log_folding import folded, unfolded
from mcp_tools.log_levels import ERROR, WARNING
from mcp_tools.log_lines import LogLine, read_lines, with_context
from mcp_tools.log_sources import (
    EVERY_CONTAINER,
    ChosenSources,
    LogSource,
    read_source,
    sources_of_pod,
    sources_of_selector,
)
from mcp_tools.log_times import given_time
from mcp_tools.log_troubles import trouble_notes
from mcp_tools.object_names import container_name, object_name
from mcp_tools.output_schemas import obj
from mcp_tools.plain_text import plain_text
from mcp_tools.tool_declaration import CONTEXT, MAX_TOKENS, ToolAnswer, ToolContext, ToolDeclaration, boolean, integer, text, tool

TAIL_LINES = 200
MOST_LINES = 100_000
READ_BYTES = 32 * 1024 * 1024
"""Of all logs of one call together."""
_OUT_OF_REACH = "no argument reaches what is before them: `kubectl logs --limit-bytes` reads a log from its beginning"
"""The API server counts `tailLines` from the end only."""
_AT_ONCE = 4
_PODS = KINDS["pods"]
_LEVELS = {"error": ERROR, "warning": WARNING}
_TEXT = {"type": "string"}
_COUNT = {"type": "integer"}


@dataclass(frozen=True, slots=True)
class _Wanted:
    """Which of the lines that were read are shown."""

    until: str
    level: str
    grep: str
    before: int
    after: int

    @property
    def is_filter(self) -> bool:
        return bool(self.level or self.grep)


@tool(
    "k8s_get_pod_logs",
    title="Get logs of pods",
    arguments={
        "context": CONTEXT,
        "name": text("Pod.", default=""),
        "namespace": text("Empty: the context's own.", max_length=63, default=""),
        "label_selector": text("Several pods instead of one.", max_length=4096, default=""),
        "offset": integer("Pods already read.", minimum=0, maximum=100_000, default=0),
        "container": text("* for all.", max_length=63, default=""),
        "previous": boolean("The run before the last restart.", default=False),
        "tail_lines": integer(f"Lines read at most; default {TAIL_LINES}, when filtered all.", minimum=1, maximum=MOST_LINES),
        "since_seconds": integer("Only younger lines.", minimum=1, maximum=31_536_000),
        "since_time": text("RFC 3339.", max_length=40, default=""),
        "until_time": text("RFC 3339.", max_length=40, default=""),
        "level": text("This or worse.", choices=("", *_LEVELS), default=""),
        "grep": text("Regular expression.", max_length=500, default=""),
        "before": integer("Context lines.", minimum=0, maximum=50, default=0),
        "after": integer("Context lines.", minimum=0, maximum=50, default=0),
        "timestamps": boolean("Show times.", default=False),
        "fold": boolean("Fold repeated lines.", default=True),
        "max_tokens": MAX_TOKENS,
    },
    output=obj(
        {
            "cluster": _TEXT,
            "namespace": _TEXT,
            "pod": {"type": "string", "description": "Empty when there are several"},
            "container": {"type": "string", "description": "Empty when there are several"},
            "containers": {"type": "array", "items": _TEXT, "description": "pod/container, as they were read"},
            "previous": {"type": "boolean"},
            "shown": {"type": "integer", "description": "Lines that the text shows, folded ones counted"},
            "text_lines": {"type": "integer", "description": "Lines at the end of the text that are no heading"},
            "read": {"type": "integer", "description": "Lines that the API server sent"},
            "matched": {"type": ["integer", "null"], "description": "Lines that fit level and grep; null without either"},
            "levels": {
                "type": "object",
                "description": "Level -> lines that were read",
                "additionalProperties": _COUNT,
            },
            "first_time": _TEXT,
            "last_time": _TEXT,
            "truncated": {"type": "boolean", "description": "Whether something that was asked for is left out"},
            "note": _TEXT,
        }
    ),
)
async def get_pod_logs(
    tools: ToolContext, *, name: str = "", context: str = "", namespace: str = "", label_selector: str = "", offset: int = 0,
    container: str = "", previous: bool = False, tail_lines: int | None = None, since_seconds: int | None = None,
    since_time: str = "", until_time: str = "", level: str = "", grep: str = "", before: int = 0, after: int = 0,
    timestamps: bool = False, fold: bool = True, max_tokens: int = 4000,
) -> ToolAnswer:  # fmt: skip
    """Log lines, newest last, redacted (best effort), searched by level and grep, counted by level."""
    if bool(name) == bool(label_selector.strip()):
        raise InvalidArguments("give either name (one pod) or label_selector (several)")
    if offset and name:
        raise InvalidArguments("offset counts the pods of a label_selector; with name leave it out")
    since, until = given_time(since_time, "since_time"), given_time(until_time, "until_time")
    wanted = _Wanted(until, level, grep, before, after)
    if since and since_seconds:
        raise InvalidArguments("give either since_seconds or since_time")
    api = tools.clusters.api(context)
    scope = str(scope_of(tools, api, _PODS, namespace))
    chosen = await _choose(api, scope, name, label_selector.strip(), container, offset)
    tail = tail_lines or (MOST_LINES if wanted.is_filter or wanted.until or since or since_seconds else TAIL_LINES)
    query: list[tuple[str, str | int]] = [("previous", "true")] if previous else []
    query += [("sinceSeconds", since_seconds)] if since_seconds else [("sinceTime", since)] if since else []
    logs = await _read_all(tools, api, scope, chosen.sources, query, tail)
    lines = [[line for line in log.lines if not wanted.until or line.time <= wanted.until] for log in logs]
    matched, picked = await _pick(lines, wanted)
    merged = list(heapq.merge(*picked, key=lambda line: line.time))
    head = _head(api.context, scope, chosen.sources, previous=previous)
    troubles = trouble_notes([(source, log.trouble) for source, log in zip(chosen.sources, logs, strict=True) if log.trouble])
    notes = tuple(dict.fromkeys(note for note in (chosen.left_out, *(log.note for log in logs), *troubles) if note))
    everything = list(heapq.merge(*lines, key=lambda line: line.time)) if len(lines) > 1 else lines[0]
    found = LogFindings(
        head, chosen.sources, everything, matched, folded(merged) if fold else unfolded(merged), notes, timestamps,
        cut_short=bool(chosen.left_out) or any(log.cut_short for log in logs),
    )  # fmt: skip
    return answer_of(found, max_tokens)


async def _choose(api: ClusterApi, scope: str, name: str, selector: str, container: str, offset: int) -> ChosenSources:
    wanted = container if container in ("", EVERY_CONTAINER) else container_name(container)
    if selector:
        return await sources_of_selector(api, scope, selector, wanted, offset)
    return await sources_of_pod(api, scope, object_name(name), wanted)


@dataclass(frozen=True, slots=True)
class _Log:
    """One log as it was read, or why it could not be."""

    lines: list[LogLine]
    note: str = ""
    cut_short: bool = False
    trouble: str = ""


async def _read_all(
    tools: ToolContext, api: ClusterApi, scope: str, sources: Sequence[LogSource], query: list[tuple[str, str | int]], tail: int
) -> list[_Log]:
    """A log that cannot be read (its container waits to start) costs only itself, unless it is the only one."""
    room = READ_BYTES // len(sources)

    async def read(index: int) -> _Log:
        source = sources[index]
        try:
            body, used = await read_source(api, scope, source, query, tail, max_bytes=room)
        except (Unreachable, Unauthorized):
            raise
        except ClusterError as error:
            if len(sources) == 1:
                raise
            return _Log([], cut_short=True, trouble=plain_text(tools.redactor.redact_echo(str(error))))
        lines = await asyncio.to_thread(read_lines, body, tools.redactor, source=index)
        return _Log(lines, *_shortened(len(lines), used, tail, alone=len(sources) == 1))

    return await at_most(range(len(sources)), read, count=_AT_ONCE)


def _shortened(read: int, used: int, tail: int, *, alone: bool) -> tuple[str, bool]:
    """What to say about lines that were not read, and whether they were asked for."""
    if used < tail:
        advice = _OUT_OF_REACH if alone else "ask for one pod and container to get more"
        return f"only the last {used} lines of a log were read, they are long; {advice}", True
    if read < used:
        return "", False
    if used < MOST_LINES:
        return "older lines exist or may exist: raise tail_lines, or name since_seconds", False
    return f"lines before the last {MOST_LINES} are not read, if there are any; {_OUT_OF_REACH}", True


async def _pick(logs: list[list[LogLine]], wanted: _Wanted) -> tuple[int | None, list[list[LogLine]]]:
    """-> how many lines fit the filters (None: there is none), and the lines to show of each log, with their context."""
    if not wanted.is_filter:
        return None, logs
    candidates = [
        (log, index)
        for log, lines in enumerate(logs)
        for index, line in enumerate(lines)
        if not wanted.level or line.level in _LEVELS[wanted.level]
    ]
    if wanted.grep:
        found = await matching_lines([logs[log][index].text for log, index in candidates], wanted.grep)
        candidates = [candidates[place] for place in found]
    matching: list[list[int]] = [[] for _ in logs]
    for log, index in candidates:
        matching[log].append(index)
    picked = [with_context(lines, matching[log], wanted.before, wanted.after) for log, lines in enumerate(logs)]
    return len(candidates), picked


def _head(context: str, scope: str, sources: tuple[LogSource, ...], *, previous: bool) -> dict[str, Any]:
    pods, containers = {source.pod for source in sources}, {source.container for source in sources}
    return {
        "cluster": context,
        "namespace": scope,
        "pod": sources[0].pod if len(pods) == 1 else "",
        "container": sources[0].container if len(containers) == 1 else "",
        "containers": [f"{source.pod}/{source.container}" for source in sources],
        "previous": previous,
    }


TOOLS: tuple[ToolDeclaration, ...] = (get_pod_logs,)
