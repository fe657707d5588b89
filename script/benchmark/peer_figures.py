"""What four questions cost a model through our server and through kubernetes-mcp-server, side by side on one cluster."""

from __future__ import annotations

import asyncio
import json
import os
import statistics
import sys
import tempfile
import time
from collections.abc import Mapping
from contextlib import AsyncExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from figures import Section
from mcp import Client
from mcp.client.stdio import StdioServerParameters

from agent.commands.tools import count_tokens
from controlplane.polling import wait_until
from peer_server import VERSION, peer_binary

SMALL = 500
GOALS = {500: 10, 10_000: 200}
"""Pods -> how many times fewer tokens than the other server's, for whatever grows with the cluster."""
BUDGET = 4_000
RUNS = 3
CALL_SECONDS = 300
LOG_LINES, EVERY = 50_000, 200
"""One line in so many is an error."""
FAILING = ("CrashLoopBackOff", "ImagePullBackOff", "OOMKilled", "Error", "Pending")
NAMESPACE = "shop-00"
VICTIM = "checkout-failing"

Call = tuple[str, dict[str, Any]]


@dataclass(frozen=True, slots=True, eq=False)
class Question:
    """`ours`, `theirs`: the calls that answer it, by the cheapest way that each server has. `needles` must be in the answer."""

    title: str
    ours: tuple[Call, ...]
    theirs: tuple[Call, ...]
    needles: tuple[str, ...] = ()
    grows: bool = True
    """Whether the other server's answer grows with what is asked about: the goal is for those."""


@dataclass(slots=True)
class Cost:
    """Of one question through one server; seconds of each run, requests of the last."""

    text_tokens: int = 0
    tokens: int = 0
    """Text and structured content: a client may pass both on."""
    requests: int = 0
    largest: int = 0
    """Tokens of the largest single answer."""
    missing: int = 0
    """Needles that are not in the answer."""
    seconds: list[float] = field(default_factory=list)


def peer_figures(*, pods: int, runs: int = RUNS) -> Section:
    section = Section(
        f"Side by side with kubernetes-mcp-server {VERSION}",
        "Both servers over stdio on the same control plane, one after the other, after a call that warms each up. Tokens are "
        "cl100k, of text and structured content together (of the text alone in brackets). Times are medians; requests are "
        "those of the API server's audit log. The log is served by KWOK from a file, to both alike. A question that one server "
        "cannot put in one call takes several. The goal is for what grows with the cluster or the log; about one pod there is "
        "little to leave out.",
    )
    for size in (SMALL,) if pods <= SMALL else (SMALL, pods):
        with _cluster(size) as (control_plane, failing):
            costs = asyncio.run(_measured(control_plane, failing, runs))
        _report(section, size, costs)
    return section


def _report(section: Section, size: int, costs: Mapping[Question, tuple[Cost, Cost]]) -> None:
    factor = GOALS[max(pods for pods in GOALS if pods <= max(size, SMALL))]
    for question, (ours, theirs) in costs.items():
        name = f"{size:,} pods: {question.title}"
        ratio = theirs.tokens / max(1, ours.tokens)
        by_text = theirs.text_tokens / max(1, ours.text_tokens)
        wanted = None if theirs.missing else factor if question.grows else 1
        goal, holds = ("", None) if wanted is None else (f"≥ {wanted}", ratio >= wanted)
        section.add(f"{name}, tokens of theirs / ours", f"{ratio:,.1f} ({by_text:,.1f})", goal, holds)
        section.add(f"{name}, ours", _told(ours, question), "nothing missing", not ours.missing)
        section.add(f"{name}, theirs", _told(theirs, question))
    largest = max(ours.largest for ours, _ in costs.values())
    section.add(f"{size:,} pods: largest answer of ours", f"{largest:,} tokens", f"≤ {BUDGET:,}", largest <= BUDGET)


def _told(cost: Cost, question: Question) -> str:
    seconds = statistics.median(cost.seconds)
    told = f"{cost.tokens:,} tokens ({cost.text_tokens:,}), {seconds:.2f} s, requests: {cost.requests}"
    return told + (f"; of {len(question.needles)} names that answer it {cost.missing} are missing" if cost.missing else "")


# --- the questions


def questions(failing: tuple[str, ...]) -> list[Question]:
    pod = {"namespace": NAMESPACE, "name": VICTIM}
    of_pod = {"namespace": NAMESPACE, "fieldSelector": f"involvedObject.name={VICTIM}"}
    phases = {"fieldSelector": "status.phase!=Running,status.phase!=Succeeded"}
    log = {"namespace": NAMESPACE, "name": VICTIM, "container": "app"}
    return [
        Question("list all pods, and say which are not healthy", (("k8s_list_pods", {}),), (("pods_list", {}),), failing),
        Question("failing pods", (("k8s_list_pods", {"healthy": False}),), (("pods_list", {}),), failing),
        Question(
            "failing pods, theirs asked by phase, which does not see what restarts",
            (("k8s_list_pods", {"healthy": False}),),
            (("pods_list", phases),),
            failing,
            grows=False,
        ),
        Question(
            "one pod's description with its events",
            (("k8s_describe", {"kind": "pods"} | pod),),
            (("pods_get", pod), ("events_list", of_pod)),
            (VICTIM, "Back-off restarting failed container"),
            grows=False,
        ),
        Question(
            f"error lines of a log of {LOG_LINES:,} lines",
            (("k8s_get_pod_logs", log | {"level": "error"}),),
            (("pods_log", log | {"tail": LOG_LINES}),),
            ("payment refused", "cannot reach inventory"),
        ),
    ]


# --- measuring


async def _measured(control_plane: Any, failing: tuple[str, ...], runs: int) -> dict[Question, tuple[Cost, Cost]]:
    async with AsyncExitStack() as stack:
        folder = stack.enter_context(tempfile.TemporaryDirectory())
        environment = {
            "PATH": os.environ["PATH"], "HOME": folder, "KUBECONFIG": str(control_plane.kubeconfig),
            "REDACTION_KEY_FILE": str(Path(folder) / "key"),
        }  # fmt: skip
        own = StdioServerParameters(command=sys.executable, args=["-m", "mcp_tools", "--read-only"], env=environment)
        peer = StdioServerParameters(command=str(peer_binary()), args=["--read-only"], env=environment)
        ours, theirs = [await stack.enter_async_context(Client(one)) for one in (own, peer)]
        await ours.call_tool("k8s_list_namespaces", {})
        await theirs.call_tool("namespaces_list", {})
        return {
            question: (
                await _cost(ours, question.ours, question, control_plane, runs),
                await _cost(theirs, question.theirs, question, control_plane, runs),
            )
            for question in questions(failing)
        }


async def _cost(client: Client, calls: tuple[Call, ...], question: Question, control_plane: Any, runs: int) -> Cost:
    cost = Cost()
    for run in range(runs):
        mark = control_plane.audit.mark()
        started = time.perf_counter()
        answers = [await client.call_tool(name, arguments, read_timeout_seconds=CALL_SECONDS) for name, arguments in calls]
        cost.seconds.append(time.perf_counter() - started)
        cost.requests = len(control_plane.audit.requests(mark, user="admin"))
        if run == 0:
            _count(cost, answers, question)
    return cost


def _count(cost: Cost, answers: list[Any], question: Question) -> None:
    everything = ""
    for answer in answers:
        text = "\n".join(block.text for block in answer.content if block.type == "text")
        assert not answer.is_error, f"{question.title}: {text[:500]}"
        structured = "" if answer.structured_content is None else json.dumps(answer.structured_content, separators=(",", ":"))
        texts, whole = count_tokens(text), count_tokens(text) + count_tokens(structured)
        cost.text_tokens += texts
        cost.tokens += whole
        cost.largest = max(cost.largest, whole)
        everything += text + structured
    cost.missing = sum(needle not in everything for needle in question.needles)


# --- the cluster


@contextmanager
def _cluster(pods: int) -> Any:
    """(control plane, names of the failing pods): one pod in 50 fails, at most 20; one of them has the long log."""
    from controlplane.binaries import ensure_binaries
    from controlplane.clusters import start_cluster
    from controlplane.control_plane import ControlPlane
    from controlplane.options import ClusterOptions

    binaries = ensure_binaries()
    options = ClusterOptions(name=f"peers-{os.getpid()}-{pods}", gogc=400)
    control_plane = ControlPlane(start_cluster(options, binaries, detached=False), binaries)
    try:
        failing = max(5, min(20, pods // 50))
        control_plane.populate(nodes=max(5, pods // 100), pods=pods - failing)
        yield control_plane, _fail(control_plane, failing)
    finally:
        control_plane.stop()


def _fail(control_plane: Any, count: int) -> tuple[str, ...]:
    names = [VICTIM, *(f"failing-{number:02d}" for number in range(count - 1))]
    for number, name in enumerate(names):
        state = FAILING[number % len(FAILING)]
        namespace = f"shop-{number % 50:02d}"
        if state == "Pending":
            control_plane.pods.create_unschedulable(namespace, name)
        else:
            control_plane.pods.create(namespace, name, state)
    control_plane.logs.set(NAMESPACE, VICTIM, log_text())
    path = f"/api/v1/namespaces/{NAMESPACE}/events"
    wait_until(
        lambda: any(one["involvedObject"]["name"] == VICTIM for one in control_plane.api.get(path)["items"]),
        f"an event of {NAMESPACE}/{VICTIM}",
        timeout_seconds=60,
    )
    return tuple(names)


def log_text() -> str:
    """Requests that went well, and two sorts of errors that repeat with other numbers."""
    errors = (
        "payment refused: card of order {0} was declined by provider-{1}",
        "cannot reach inventory: timeout after {1}00 ms, order {0}",
    )
    lines = []
    for number in range(LOG_LINES):
        if number % EVERY == EVERY - 1:
            lines.append("ERROR checkout " + errors[number // EVERY % 2].format(100_000 + number, number % 7))
        else:
            lines.append(
                f"INFO checkout GET /orders/{100_000 + number} 200 {number % 83} ms trace={number * 2654435761 % 2**32:08x}"
            )
    return "\n".join(lines)
