"""k8s_exec: one command in a container, as a list of arguments, bounded in time and output. Off unless the server offers it."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import orjson

from configuration.errors import ClusterError, InvalidArguments
from kinds.registry import KINDS
from mcp_tools.answer_budget import DEFAULT_TOKENS, fitting
from mcp_tools.k8s_api import Query
from mcp_tools.k8s_tools.change_answers import DRY_RUN, MAX_CHANGE_TOKENS, NAME, UID, Changed, Manifest
from mcp_tools.object_names import container_name, namespace_name, object_name
from mcp_tools.object_writes import Target, check_preconditions
from mcp_tools.output_schemas import obj
from mcp_tools.plain_text import plain_text
from mcp_tools.request_guard import running_disguise
from mcp_tools.tool_declaration import CONTEXT, ToolAnswer, ToolContext, ToolDeclaration, listing, number, text, tool

if TYPE_CHECKING:
    import aiohttp

PROTOCOLS = ("v5.channel.k8s.io", "v4.channel.k8s.io")
MAX_OUTPUT_BYTES = 256 * 1024
"""Of both streams together. More is not read: the connection is closed."""
MOST_SECONDS = 300.0
_STDOUT, _STDERR, _ERROR = 1, 2, 3
_DEFAULT_CONTAINER = "kubectl.kubernetes.io/default-container"
_MAX_STATUS_BYTES = 64 * 1024


@dataclass
class _Output:
    """What came until now. `status` is the JSON that ends it."""

    stdout: bytearray = field(default_factory=bytearray)
    stderr: bytearray = field(default_factory=bytearray)
    status: bytearray = field(default_factory=bytearray)
    ended: str = ""
    """Why it ended before the command did; "" when it did not."""

    def take(self, channel: int, data: bytes) -> bool:
        """False when there is enough."""
        if channel == _ERROR:
            self.status += data[: _MAX_STATUS_BYTES - len(self.status)]
            return True
        room = MAX_OUTPUT_BYTES - len(self.stdout) - len(self.stderr)
        if channel in (_STDOUT, _STDERR):
            (self.stdout if channel == _STDOUT else self.stderr).extend(data[:room])
        return len(data) <= room


@tool(
    "k8s_exec",
    title="Run a command in a container",
    arguments={
        "context": CONTEXT,
        "name": NAME,
        "namespace": text("Its namespace.", max_length=63),
        "container": text("Empty: the default one.", max_length=63, default=""),
        "command": listing({"type": "string", "maxLength": 4096}, "Program and arguments; no shell unless it is named.", most=50),
        "timeout_seconds": number("Longest run.", maximum=MOST_SECONDS, default=20),
        "uid": UID,
        "dry_run": DRY_RUN,
        "max_tokens": MAX_CHANGE_TOKENS,
    },
    output=obj(
        {
            "action": {"type": "string"},
            "dry_run": {"type": "boolean"},
            "object": {"type": "object"},
            "before": {"type": "null"},
            "after": {"type": "null"},
            "changes": {"type": "array", "items": {"type": "object"}},
            "warnings": {"type": "array", "items": {"type": "string"}},
            "exit_code": {"type": ["integer", "null"], "description": "null: not known, it was cut off or not run"},
            "lines": {"type": "integer"},
            "lines_shown": {"type": "integer"},
            "note": {"type": "string"},
        }
    ),
    read_only=False,
    destructive=True,
    idempotent=False,
)
async def run_command(
    tools: ToolContext, *, name: str, namespace: str, command: list[str], context: str = "", container: str = "",
    timeout_seconds: float = 20, uid: str = "", dry_run: bool = False, max_tokens: int = DEFAULT_TOKENS,
) -> ToolAnswer:  # fmt: skip
    """Run one command; output is redacted, standard input is empty. What it changes cannot be foreseen; dry_run runs nothing."""
    _check(command)
    target = Target(tools.clusters.api(context), KINDS["pods"], namespace_name(namespace), object_name(name))
    pod = await target.read(tools)
    check_preconditions(target.title, pod, uid, "")
    chosen = _container(target, pod, container)
    output = _Output(ended="dry run, nothing was run") if dry_run else await _run(target, chosen, command, timeout_seconds)
    exit_code = None if output.ended else _exit_code(target, command[0], bytes(output.status))
    return _answer(
        tools, Changed(kind=target.kind, before=pod, after=None), chosen, command, output, exit_code, dry_run, max_tokens
    )


def _check(command: Sequence[str]) -> None:
    if not command or not command[0]:
        raise InvalidArguments('k8s_exec: command is a list that begins with a program, e.g. ["ls", "-l", "/tmp"]')
    if any("\0" in part for part in command):
        raise InvalidArguments("k8s_exec: an argument holds a NUL character, which no program can be given")


def _container(target: Target, pod: Manifest, wanted: str) -> str:
    spec = pod.get("spec") or {}
    names = [
        str(one["name"]) for group in ("containers", "initContainers", "ephemeralContainers") for one in spec.get(group) or []
    ]
    default = (pod["metadata"].get("annotations") or {}).get(_DEFAULT_CONTAINER)
    chosen = wanted or (default if default in names else names[0])
    if chosen not in names:
        raise InvalidArguments(f"k8s_exec: {target.title} has no container {wanted!r}; it has {', '.join(names)}")
    return container_name(chosen)


async def _run(target: Target, container: str, command: Sequence[str], timeout_seconds: float) -> _Output:
    query: Query = [("container", container), ("stdout", "true"), ("stderr", "true"), *(("command", part) for part in command)]
    doing = f"run {command[0][:100]!r} in container {container} of {target.title}"
    output = _Output()
    deadline = time.monotonic() + timeout_seconds
    async with target.api.websocket(target.path("exec"), doing=doing, query=query, protocols=PROTOCOLS) as socket:
        try:
            async with asyncio.timeout(max(0.0, deadline - time.monotonic())):
                await _receive(socket, output)
        except TimeoutError:
            output.ended = f"cut off after {timeout_seconds:g} s; the command may still be running in the container"
    return output


async def _receive(socket: aiohttp.ClientWebSocketResponse, output: _Output) -> None:
    """The first byte of a message is its channel."""
    async for message in socket:
        data = message.data.encode() if isinstance(message.data, str) else message.data
        if isinstance(data, bytes) and data and not output.take(data[0], data[1:]):
            output.ended = f"cut off after {MAX_OUTPUT_BYTES} bytes of output; let the command itself print less"
            return
    if not output.status:
        output.ended = "the connection ended without the command's exit code"


def _exit_code(target: Target, program: str, status: bytes) -> int:
    """Of the Status that ends a command. Raises ClusterError when it was not run at all."""
    try:
        told: dict[str, Any] = orjson.loads(status)
        if told.get("status") == "Success":
            return 0
        causes = (told.get("details") or {}).get("causes") or []
        code = next((one.get("message") for one in causes if one.get("reason") == "ExitCode"), None)
        if told.get("reason") == "NonZeroExitCode" and code is not None:
            return int(code)
    except (ValueError, AttributeError):
        told = {}
    why = str(told.get("message") or "the answer is no Status")[:1000]
    raise ClusterError(
        f"cannot run {program[:100]!r} in {target.title}: {why}; check that the container runs and its image has the program",
        reason=str(told.get("reason") or ""),
    )


def _answer(
    tools: ToolContext, pod: Changed, container: str, command: Sequence[str], output: _Output, exit_code: int | None,
    dry_run: bool, max_tokens: int,
) -> ToolAnswer:  # fmt: skip
    """All of the output is redacted before it is cut, so that no secret is halved past recognition."""
    lines = [*_lines(tools, output.stdout), *(f"stderr: {line}" for line in _lines(tools, output.stderr))]
    clean = tools.redactor.redact_object({"command": list(command)})["command"]
    shown_command = running_disguise().text(plain_text(orjson.dumps(clean).decode()), "command")
    reference = pod.reference() | {"container": container}

    def render(kept: Sequence[str]) -> ToolAnswer:
        ended = f"; {output.ended}" if output.ended else f"; exit code {exit_code}"
        cut = f"; {len(kept)} of {len(lines)} lines shown, a larger max_tokens shows more" if len(kept) < len(lines) else ""
        words = shown_command if len(shown_command) <= 200 else f"{shown_command[:200]}…"
        note = f"{'would run' if dry_run else 'ran'} {words} in container {container} of {pod.title}{ended}{cut}"
        structured = {
            "action": "exec",
            "dry_run": dry_run,
            "object": reference,
            "before": None,
            "after": None,
            "changes": [{"path": f"command in container {container}", "old": None, "new": words}],
            "warnings": ["what a command changes cannot be foreseen or undone"] if dry_run else [],
            "exit_code": exit_code,
            "lines": len(lines),
            "lines_shown": len(kept),
            "note": note,
        }
        return ToolAnswer("\n".join([note, *kept]), structured)

    return fitting(lines, render, max_tokens)


def _lines(tools: ToolContext, stream: bytearray) -> list[str]:
    """What a command prints may be the caller's own words: its marks are those of this call."""
    text = plain_text(tools.redactor.redact_text(stream.decode(errors="replace")))
    return running_disguise().text(text, "output").splitlines()


TOOLS: tuple[ToolDeclaration, ...] = (run_command,)
