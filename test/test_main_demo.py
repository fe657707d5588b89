"""`main demo`: everything on a simulated cluster, and nothing of it left behind."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest

from agent.commands.demo_cluster import demo_environment
from terminal_fixtures import SOURCE, StartOnTerminal

FORBIDDEN = "https://203.0.113.1"
LAST_PROCESS_SECONDS = 60.0
"""By then what was started has noticed that it is to end; on a busy machine it may still be importing when it is told."""


@pytest.fixture
def environment(tmp_path: Path) -> dict[str, str]:
    """A person's environment: their cluster and their database must stay out of it. The demo's folder is made in TMPDIR."""
    (tmp_path / "tmp").mkdir()
    (tmp_path / "home").mkdir()
    return {
        "PATH": "/usr/bin:/bin", "HOME": str(tmp_path / "home"), "TMPDIR": str(tmp_path / "tmp"),
        "KUBECONFIG": "/no/such/kubeconfig", "CACHE_DB_PATH": str(tmp_path / "mine.db"), "K8S_CONTEXTS": "prod",
        "MCP_SERVER_URL": "stdio:///bin/false", "SCANNER_DYNAMIC_INTERVAL": "wrong",
    }  # fmt: skip


def _processes(marker: str) -> list[str]:
    """Command lines of the processes whose environment names the folder."""
    found = []
    for entry in Path("/proc").iterdir():
        if not entry.name.isdigit():
            continue
        try:
            if marker.encode() in (entry / "environ").read_bytes():
                found.append((entry / "cmdline").read_text().replace("\0", " "))
        except OSError:
            continue
    return found


def assert_nothing_left(environment: dict[str, str], *, folder: bool = True) -> None:
    deadline = time.monotonic() + LAST_PROCESS_SECONDS
    while left := _processes(environment["TMPDIR"]):
        assert time.monotonic() < deadline, left
        time.sleep(0.05)
    if folder:
        assert list(Path(environment["TMPDIR"]).iterdir()) == []
    assert not Path(environment["CACHE_DB_PATH"]).exists()


def _start(environment: dict[str, str], *arguments: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, str(SOURCE / "main.py"), "demo", *arguments], env=environment, stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, preexec_fn=_heed_ctrl_c,
    )  # fmt: skip


def _heed_ctrl_c() -> None:
    """A shell starts what it leaves in the background, as this suite may be, with SIGINT ignored, and children inherit that."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)


def test_once_scans_answers_three_questions_and_leaves_nothing(environment: dict[str, str]) -> None:
    process = _start(environment, "--once", "-o", "json", "--seed", "7")
    out, err = process.communicate(timeout=120)
    assert process.returncode == 0, err
    report = json.loads(out)
    assert report["kinds"]["pods"]["objects"] > 40
    assert report["kinds"]["nodes"]["objects"] >= 3
    assert all(kind["seconds"] >= 0 for kind in report["kinds"].values())
    assert report["seconds"]["total"] >= report["seconds"]["scan"] > 0
    assert len(report["queries"]) == 3
    for asked in report["queries"]:
        assert asked["rows"]
        assert all(envelope["fresh"] and envelope["cluster"] == "demo" for envelope in asked["freshness"])
    statuses = {row[2] for row in report["queries"][0]["rows"]}
    assert {"CrashLoopBackOff", "ImagePullBackOff", "Pending"} <= statuses
    assert_nothing_left(environment)


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_interrupted_at_any_moment_it_cleans_up(environment: dict[str, str], number: signal.Signals, code: int) -> None:
    process = _start(environment, "--once")
    deadline = time.monotonic() + 60
    while not any("scanner" in command for command in _processes(environment["TMPDIR"])):
        assert time.monotonic() < deadline
        assert process.poll() is None
        time.sleep(0.02)
    process.send_signal(number)
    _, err = process.communicate(timeout=60)
    assert process.returncode == code, err
    assert "Traceback" not in err
    assert_nothing_left(environment)


def test_killed_outright_it_leaves_no_process(environment: dict[str, str]) -> None:
    process = _start(environment, "--once")
    deadline = time.monotonic() + 60
    while not any("scanner" in command for command in _processes(environment["TMPDIR"])):
        assert time.monotonic() < deadline
        time.sleep(0.02)
    process.kill()
    process.communicate(timeout=60)
    assert_nothing_left(environment, folder=False)


def test_a_port_in_use_is_one_line_and_leaves_nothing(environment: dict[str, str]) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        process = _start(environment, "--once", "--port", str(taken.getsockname()[1]))
        _, err = process.communicate(timeout=60)
    assert process.returncode == 1
    (line,) = err.strip().splitlines()
    assert line.startswith("error: the simulated cluster did not start")
    assert_nothing_left(environment)


def test_the_session_on_the_demo_answers_from_cache_and_live_and_goes_without_a_trace(
    main_on_terminal: StartOnTerminal, environment: dict[str, str]
) -> None:
    terminal = main_on_terminal("demo", environment=environment, columns=140)
    terminal.expect("/logs ([a-z0-9-]+) -n shop", seconds=60)
    pod = terminal.text[: terminal.seen].rsplit("/logs ", 1)[1].split()[0]
    terminal.expect("哪些 Pod")
    terminal.expect("demo/shop ❯")
    terminal.line("/pods -A healthy=false")
    terminal.expect(r"CrashLoopBackOff")
    terminal.expect(r"— cache · demo · pods \d+ s old \(fresh\)")
    terminal.line(f"/logs {pod} -n shop")
    terminal.expect("connection refused", seconds=40)
    terminal.expect(f"— live: demo · logs shop/{pod}")
    terminal.line(f"/get pod {pod} -o yaml")
    terminal.expect("containerStatuses")
    terminal.line("/nodes --live")
    terminal.expect("NotReady")
    terminal.expect("— live: demo")
    terminal.type("\x04")
    assert terminal.ends(seconds=30) == 0
    assert_nothing_left(environment)


def test_a_closed_terminal_ends_the_demo_and_all_it_started(
    main_on_terminal: StartOnTerminal, environment: dict[str, str]
) -> None:
    terminal = main_on_terminal("demo", environment=environment, columns=140)
    terminal.expect("demo/shop ❯", seconds=60)
    terminal.process.send_signal(signal.SIGHUP)
    assert terminal.ends(seconds=30) == 143
    assert_nothing_left(environment)


def test_nothing_of_the_persons_own_cluster_reaches_the_demo(tmp_path: Path) -> None:
    mine = {
        "KUBECONFIG": "/mine", "K8S_CONTEXTS": "prod", "CACHE_STATIC_TTL": "1", "MCP_SERVER_URL": FORBIDDEN,
        "LLM_API_KEY": "k", "OPENAI_API_KEY": "k", "HTTPS_PROXY": FORBIDDEN, "NO_PROXY": "internal",
    }  # fmt: skip
    made = demo_environment(mine, tmp_path)
    assert made["KUBECONFIG"].startswith(str(tmp_path))
    assert made["CACHE_DB_PATH"].startswith(str(tmp_path))
    assert made["MCP_SERVER_URL"] == "stdio://"
    assert made["K8S_CONTEXTS"] == "demo"
    assert not {"CACHE_STATIC_TTL", "LLM_API_KEY", "OPENAI_API_KEY"} & set(made)
    assert made["NO_PROXY"] == "internal,127.0.0.1"
    assert made["PYTHONPATH"].split(os.pathsep)[0] == str(SOURCE)
