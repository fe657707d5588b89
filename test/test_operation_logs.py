"""The log as JSON lines: what each holds, and what none does."""

from __future__ import annotations

import json
import logging
import re
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import yaml

from configuration.logs import JsonFormatter
from demo_fixtures import DemoServer
from kinds.registry import KINDS
from scan_fixtures import ScannerProcess
from scanner.scan_report import KindReport
from test_scanner_daemon import filled, stop, wait_for

MakeScanner = Callable[..., ScannerProcess]
RFC_3339_UTC = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z")


def formatted(message: str, *arguments: object, **extra: Any) -> dict[str, Any]:
    record = logging.getLogger("a.logger").makeRecord("a.logger", logging.WARNING, "f", 1, message, arguments, None, extra=extra)
    line = JsonFormatter().format(record)
    assert "\n" not in line
    decoded: dict[str, Any] = json.loads(line)
    return decoded


def test_a_line_says_when_how_grave_who_and_what() -> None:
    line = formatted("two\nlines of %s", "text")
    assert RFC_3339_UTC.fullmatch(line.pop("time"))
    assert line == {"level": "warning", "logger": "a.logger", "message": "two\nlines of text"}


def test_a_scan_is_told_in_members_of_its_own() -> None:
    report = KindReport(
        cluster="prod", kind="pods", outcome="scanned", strategy="catch-up", objects=9, added=1, duration_seconds=0.12345
    )
    line = formatted(report.line(), **report.log_fields())
    figures = {name: line[name] for name in ("cluster", "kind", "strategy", "objects", "added", "changed", "removed")}
    assert figures == {
        "cluster": "prod", "kind": "pods", "strategy": "catch-up", "objects": 9, "added": 1, "changed": 0, "removed": 0
    }  # fmt: skip
    assert line["duration_seconds"] == 0.123
    assert "error" not in line
    failed = KindReport(cluster="prod", kind="pods", outcome="failed", error="nobody home")
    assert formatted(failed.line(), **failed.log_fields())["error"] == "nobody home"


def test_a_traceback_stays_in_its_line() -> None:
    try:
        raise ValueError("broken")
    except ValueError:
        record = logging.getLogger("x").makeRecord("x", logging.ERROR, "f", 1, "failed", (), sys.exc_info())
    assert "ValueError: broken" in json.loads(JsonFormatter().format(record))["traceback"]


def test_every_line_of_a_daemon_is_json_and_none_holds_its_credentials(
    demo_server: DemoServer, scanner_process: MakeScanner
) -> None:
    """With --debug, which leaves nothing out that is logged without."""
    scanner = scanner_process(demo_server.kubeconfig, SCANNER_LOG_FORMAT="json")
    process = scanner.start("run", "--debug")
    last = next(reversed([name for name, kind in KINDS.items() if not kind.optional]))
    filled(scanner)
    wait_for(lambda: f'"kind": "{last}"' in scanner.log.read_text(), "the line of the last scan")
    stop(process)
    text = scanner.log.read_text()
    lines = [json.loads(line) for line in text.splitlines()]
    scans = {line["kind"]: line for line in lines if line.get("outcome") == "scanned" and line["strategy"] == "list"}
    assert {"pods", "services", last} <= set(scans)
    assert scans["pods"]["objects"] > 10
    assert all(RFC_3339_UTC.fullmatch(line["time"]) for line in lines)
    (user,) = yaml.safe_load(Path(demo_server.kubeconfig).read_text())["users"]
    assert user["user"]["token"] not in text


def test_an_error_that_ends_a_command_is_a_json_line_too(scanner_process: MakeScanner) -> None:
    scanner = scanner_process(Path("/nowhere/kubeconfig"))
    done = scanner.run("scan", SCANNER_LOG_FORMAT="json")
    (line,) = [json.loads(line) for line in done.stderr.splitlines()]
    assert (done.returncode, line["level"]) == (2, "error")
    assert "/nowhere/kubeconfig" in line["message"]
    assert scanner.run("scan").stderr.startswith("error: ")
