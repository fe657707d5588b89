"""pods/log: which container, which run of it, which lines.

The lines themselves come from a LogSource: the n-th line of a workload is a function of its number, so
a log grows with the clock and nothing is stored.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta

from demo import api_status
from demo.api_status import Json
from demo.timestamps import parse_time, rfc3339_nano

LogLine = tuple[datetime, str]
LogSource = Callable[[Json, str, datetime, datetime, bool], Iterable[LogLine]]
"""(pod, container, started, ended or now, whether that run has ended) → its lines, oldest first."""

_WAITING_REASONS = ("ContainerCreating", "PodInitializing")


@dataclass(frozen=True, slots=True)
class LogOptions:
    """v1.PodLogOptions. Times are absolute here; `tail` and `limit_bytes` None mean all."""

    container: str
    previous: bool
    follow: bool
    timestamps: bool
    tail: int | None
    since: datetime | None
    limit_bytes: int | None


def _number(query: Mapping[str, str], name: str, least: int) -> int | None:
    text = query.get(name)
    if text is None:
        return None
    if not text.lstrip("-").isdigit():
        raise api_status.bad_request(f'unable to decode query: strconv.ParseInt: parsing "{text}": invalid syntax')
    value = int(text)
    if value < least:
        cause = api_status.field_invalid(name, value, f"must be greater than or equal to {least}")
        raise api_status.invalid("PodLogOptions", "", "", [cause])
    return value


def parse_options(query: Mapping[str, str], now: datetime) -> LogOptions:
    """ApiError 400 or 422 for values that are none."""
    seconds = _number(query, "sinceSeconds", 1)
    since = now - timedelta(seconds=seconds) if seconds is not None else None
    if query.get("sinceTime"):
        try:
            since = parse_time(query["sinceTime"])
        except ValueError as failure:
            raise api_status.bad_request(f"unable to decode query: sinceTime: {failure}") from failure
    flags = {name: query.get(name, "false") in ("true", "1") for name in ("previous", "follow", "timestamps")}
    return LogOptions(
        container=query.get("container", ""),
        tail=_number(query, "tailLines", 0),
        since=since,
        limit_bytes=_number(query, "limitBytes", 1),
        **flags,
    )


def choose_container(pod: Json, asked: str) -> str:
    """The container whose log is meant; ApiError 400 when there are several or no such one."""
    spec, name = pod["spec"], pod["metadata"]["name"]
    main = [container["name"] for container in spec["containers"]]
    init = [container["name"] for container in spec.get("initContainers", ())]
    if asked in main + init:
        return asked
    if asked:
        raise api_status.bad_request(f"container {asked} is not valid for pod {name}")
    if len(main) > 1:
        listed = f"choose one of: [{' '.join(main)}]" + (f" or one of the init containers: [{' '.join(init)}]" if init else "")
        raise api_status.bad_request(f"a container name must be specified for pod {name}, {listed}")
    return str(main[0])


def _status_of(pod: Json, container: str) -> Json:
    statuses = [*pod["status"].get("initContainerStatuses", ()), *pod["status"].get("containerStatuses", ())]
    return next((dict(status) for status in statuses if status["name"] == container), {})


def chosen_run(pod: Json, container: str, previous: bool) -> tuple[datetime, datetime | None]:
    """(start, end or None while it runs) of the run that is asked for; ApiError 400 when there is none."""
    name, namespace = pod["metadata"]["name"], pod["metadata"]["namespace"]
    status = _status_of(pod, container)
    state, last = status.get("state") or {}, (status.get("lastState") or {}).get("terminated")
    if not pod["spec"].get("nodeName"):
        raise api_status.bad_request(f'container "{container}" in pod "{name}" is waiting to start: no node assigned')
    if previous:
        run = last
        if run is None:
            text = f'previous terminated container "{container}" in pod "{name}" not found'
            raise api_status.bad_request(text)
    elif "waiting" in state or not state:
        reason = state.get("waiting", {}).get("reason", "ContainerCreating")
        run = last
        if run is None:
            text = (
                f'container "{container}" in pod "{name}" is waiting to start: {reason}'
                if reason in _WAITING_REASONS
                else f'container "{container}" in pod "{name}" is waiting to start: trying and failing to pull image'
            )
            raise api_status.bad_request(text)
    else:
        run = state.get("terminated") or state.get("running")
    if not run or not run.get("startedAt"):
        raise api_status.bad_request(f'container "{container}" in pod "{namespace}/{name}" has not started')
    ended = run.get("finishedAt")
    return parse_time(run["startedAt"]), parse_time(ended) if ended else None


def render(lines: Iterable[LogLine], options: LogOptions) -> bytes:
    """The lines that the options leave, as the response's body."""
    since = options.since
    kept = [line for line in lines if since is None or line[0] >= since]
    if options.tail is not None:
        kept = kept[len(kept) - options.tail :] if options.tail < len(kept) else kept
    text = "".join(f"{rfc3339_nano(at) + ' ' if options.timestamps else ''}{line}\n" for at, line in kept)
    body = text.encode()
    return body if options.limit_bytes is None else body[: options.limit_bytes]
