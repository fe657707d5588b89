"""Processes as users run them, with --debug, beside planted secrets: nothing in what they print, log or store.

The same with a redactor that does nothing has to find the secrets in every table that keeps what a cluster said, and in the
answers over each transport: else this search could not fail.
"""

from __future__ import annotations

import asyncio
import json
import socket
import subprocess
import sys
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TypeVar

import pytest
from mcp import Client
from mcp.client.stdio import StdioServerParameters

from canary_views import every_view
from controlplane.control_plane import ControlPlane
from controlplane.polling import wait_until
from http_fixtures import ACCEPT, OLD, TOKEN, ServedProcess, calling
from planted_canaries import GROUP, SCRIPT, STRUCTURED, found_in_output, planted_namespace, rows_of
from scan_fixtures import ScannerProcess, query
from test_k8s_tools_canaries import said

A = TypeVar("A")
R = TypeVar("R")
MAIN = Path(sys.executable).with_name("main")
CANARY = "cnry-log-line"
_NO_REDACTOR = """
from mcp_tools.redaction import Redactor
Redactor.redact_object = lambda self, obj: obj
Redactor.redact_text = lambda self, text: text
"""
QUOTING_MOST = frozenset({"k8s_get_pod_logs", "k8s_list_events", "k8s_describe", "k8s_get_resource"})
"""Tools enough to see that a server without the redactor is caught."""
KEEPS_WHAT_WAS_SAID = {"annotations", "configmaps", "containers", "daemonsets", "deployments", "events"}


@pytest.fixture(scope="module")
def planted(control_plane: ControlPlane) -> Iterator[str]:
    with planted_namespace(control_plane, "canaries-of-processes") as name:
        yield name


@pytest.fixture(scope="module")
def without_redactor(tmp_path_factory: pytest.TempPathFactory) -> str:
    """A folder for PYTHONPATH that takes the redactor out of every process."""
    folder = tmp_path_factory.mktemp("no-redactor")
    (folder / "sitecustomize.py").write_text(_NO_REDACTOR)
    return str(folder)


def at_once(run: Callable[[A], R], what: Sequence[A]) -> list[R]:
    """Each process needs most of its time to start, on one core: not one after another."""
    with ThreadPoolExecutor(len(what)) as threads:
        return list(threads.map(run, what))


def scanner_of(control_plane: ControlPlane, folder: Path, **settings: str) -> ScannerProcess:
    settings |= {"SCANNER_EXTRA_KINDS": f"vessels.{GROUP}", "SCANNER_FOLLOW": "true"}
    return ScannerProcess(folder, control_plane.kubeconfig, folder / "cache.db", settings)


def full_scan(scanner: ScannerProcess) -> list[str]:
    """What it prints and logs."""
    done = scanner.run("scan", "--full", "--debug", "-o", "json")
    assert done.returncode == 0, done.stderr[-2000:]
    return [done.stdout, done.stderr]


@dataclass(frozen=True)
class Lived:
    scanner: ScannerProcess
    said: str
    rows: dict[str, str]


@pytest.fixture(scope="module")
def lived(control_plane: ControlPlane, planted: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lived]:
    """A full scan, a catch-up after changes, the commands that show what is known."""
    scanner = scanner_of(control_plane, tmp_path_factory.mktemp("scanner"))
    try:
        said = full_scan(scanner)
        scanner.start("run", "--debug")
        changed = {"metadata": {"annotations": {"example.com/db-password": f"password={CANARY}"}}, "data": {"late.conf": SCRIPT}}
        control_plane.api.patch(f"/api/v1/namespaces/{planted}/configmaps/settings", changed)
        version = control_plane.api.get(f"/api/v1/namespaces/{planted}/configmaps/settings")["metadata"]["resourceVersion"]
        rows = "SELECT resource_version FROM configmaps WHERE name = 'settings'"
        wait_until(lambda: (version,) in query(scanner.database, rows), "the change to be cached", timeout_seconds=60)
        for done in at_once(scanner.run, ["status", "findings"]):
            said += [done.stdout, done.stderr]
        scanner.end()
        yield Lived(scanner, "\n".join([*said, scanner.log.read_text()]), rows_of(scanner.database))
    finally:
        scanner.end()


def test_no_row_and_no_log_of_a_scanner_holds_a_secret(lived: Lived, planted: str) -> None:
    assert planted in "".join(lived.rows.values())
    assert "executed successfully" in lived.said  # of the scheduler: the logs of --debug are there
    assert found_in_output(lived.said) == set()
    assert {table: found_in_output(text) for table, text in lived.rows.items() if found_in_output(text)} == {}
    assert "redacted:" in "".join(lived.rows.values())


def test_no_file_of_a_scanner_holds_a_secret_in_its_bytes(lived: Lived) -> None:
    raw = b"".join(path.read_bytes() for path in lived.scanner.folder.iterdir() if path.is_file())
    assert found_in_output(raw.decode(errors="replace")) == set()


def test_without_the_redactor_each_table_that_keeps_text_holds_secrets(
    control_plane: ControlPlane, planted: str, without_redactor: str, tmp_path: Path
) -> None:
    scanner = scanner_of(control_plane, tmp_path, PYTHONPATH=without_redactor)
    full_scan(scanner)
    leaking = {table for table, text in rows_of(scanner.database).items() if found_in_output(text)}
    assert leaking >= KEEPS_WHAT_WAS_SAID, sorted(leaking)


COMMANDS = (
    ("query", "SELECT * FROM configmaps", "-o", "json"),
    ("query", "SELECT * FROM events"),
    ("query", f"SELECT * FROM pods WHERE name = 'password={CANARY}'"),
    ("query", f"SELECT nonsense FROM password={CANARY}"),
    ("doctor", "--debug"),
    ("tools",),
)


def printed_by(lived: Lived, arguments: tuple[str, ...]) -> str:
    done = subprocess.run(
        [str(MAIN), *arguments], env=lived.scanner.environment, cwd=lived.scanner.folder, capture_output=True, text=True,
        timeout=120, check=False,
    )  # fmt: skip
    return done.stdout + done.stderr


def test_no_command_prints_a_secret(lived: Lived) -> None:
    printed = "\n".join(
        text.replace(f"password={CANARY}", "") for text in at_once(partial(printed_by, lived), COMMANDS)
    )  # what was typed may be said back
    assert len(printed) > 2000
    assert found_in_output(printed) == set()


Views = list[tuple[str, dict[str, object]]]


def stdio_answers(kubeconfig: Path, folder: Path, views: Views, **environment: str) -> tuple[str, str]:
    """What a server with --debug answers over stdio, and what it logs."""
    log = folder / "stdio.log"
    start = 'exec "$0" -m mcp_tools --debug --approval client --enable-exec 2>"$1"'
    given = {"KUBECONFIG": str(kubeconfig), "REDACTION_KEY_FILE": str(folder / "redaction.key"), "HOME": str(folder)}
    server = StdioServerParameters(command="/bin/sh", args=["-c", start, sys.executable, str(log)], env=given | environment)

    async def run() -> str:
        async with Client(server) as client:
            answers = [said(await client.call_tool(tool, one)) for tool, one in views]
            answers.append(said(await client.call_tool(f"password={CANARY}", {"password": CANARY})))
            return "\n".join(answers)

    return asyncio.run(run()), log.read_text()


def quoting_views(namespace: str) -> Views:
    """The first view of each tool, and the last, which quotes."""
    ends = {tool: views if len(views) < 2 else [views[0], views[-1]] for tool, views in every_view(namespace).items()}
    return [(tool, view) for tool, views in ends.items() for view in views]


def telling_views(namespace: str) -> Views:
    """The same of a few tools that show most."""
    return [(tool, view) for tool, view in quoting_views(namespace) if tool in QUOTING_MOST]


def test_neither_answers_nor_logs_over_stdio_hold_a_secret(control_plane: ControlPlane, planted: str, tmp_path: Path) -> None:
    answers, log = stdio_answers(control_plane.kubeconfig, tmp_path, quoting_views(planted))
    assert len(answers) > 20_000
    assert found_in_output(answers) == set()
    assert "DEBUG" in log
    assert found_in_output(log) == set()


def test_without_the_redactor_answers_over_stdio_hold_secrets(
    control_plane: ControlPlane, planted: str, without_redactor: str, tmp_path: Path
) -> None:
    answers, _ = stdio_answers(control_plane.kubeconfig, tmp_path, telling_views(planted), PYTHONPATH=without_redactor)
    assert {"log (raw)", "annotation (raw)", "private key (raw)"} <= found_in_output(answers)


def http_answers(server: ServedProcess, views: Views) -> str:
    wait_until(lambda: listens(server.port), "the server to listen")
    messages: list[object] = [calling(tool, **view) for tool, view in views]
    messages += [calling(f"password={CANARY}"), {"jsonrpc": "2.0", "id": 1, "method": "x", "params": {"password": CANARY}}]
    return "\n".join([post(server.url, json.dumps(one).encode()) for one in messages])


def listens(port: int) -> bool:
    with socket.socket() as tried:
        return tried.connect_ex(("127.0.0.1", port)) == 0


def post(url: str, body: bytes, token: str = TOKEN) -> str:
    headers = ACCEPT | OLD | {"Authorization": f"Bearer {token}"}
    try:
        with urllib.request.urlopen(urllib.request.Request(url, body, headers), timeout=60) as answer:
            return str(answer.read().decode())
    except urllib.error.HTTPError as refused:
        return f"{refused.headers}\n{refused.read().decode()}"


def test_neither_answers_nor_the_access_log_over_http_hold_a_secret(
    control_plane: ControlPlane, planted: str, served: Callable[..., ServedProcess]
) -> None:
    server = served(control_plane.kubeconfig, "--debug", "--allow-writes")
    answers = http_answers(server, quoting_views(planted))
    answers += post(server.url, b'{"password": "' + CANARY.encode() + b'"')
    answers += post(f"{server.url}?token={CANARY}", b"{}", token=CANARY)
    assert len(answers) > 20_000
    server.end()
    assert found_in_output(answers) == set()
    assert "session manager" in server.log  # of the SDK, which is heard with --debug only
    assert found_in_output(server.log) == set()
    assert TOKEN not in server.log + answers


def test_without_the_redactor_answers_over_http_hold_secrets(
    control_plane: ControlPlane, planted: str, without_redactor: str, served: Callable[..., ServedProcess]
) -> None:
    answers = http_answers(served(control_plane.kubeconfig, PYTHONPATH=without_redactor), telling_views(planted))
    assert {"log (raw)", "annotation (raw)", "private key (raw)"} <= found_in_output(answers)
    assert STRUCTURED["annotation"] in answers
