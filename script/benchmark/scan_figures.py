"""A full scan of a large cluster against kubectl and against the bare LIST, in turns."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

from figures import Section, megabytes, ratio_in_turns, seconds
from measured_process import Measured, measure

BARE_LIST = Path(__file__).with_name("bare_list.py")
SCAN_RATIO = 0.3
PROCESS_RATIO = 0.5
BARE_LIST_RATIO = 3.0
PEAK_BYTES = 300_000_000


def scan_figures(control_plane: Any, environment: dict[str, str], database: Path, *, pods: int, runs: int) -> Section:
    """Leaves a filled, fresh database behind."""
    kubectl: list[float] = []
    bare: list[float] = []
    first: list[Measured] = []
    again: list[Measured] = []
    for _ in range(runs):
        kubectl.append(_kubectl_seconds(control_plane))
        bare.append(_bare_list_seconds(control_plane, pods))
        for file in database.parent.glob(f"{database.name}*"):
            file.unlink()
        first.append(scan(environment, pods))
        again.append(scan(environment, pods))
    return _section(kubectl, bare, first, again, database, pods)


def _section(
    kubectl: list[float], bare: list[float], first: list[Measured], again: list[Measured], database: Path, pods: int
) -> Section:
    section = Section(
        f"Full scan of {pods:,} pods",
        "All kinds, of which only pods are many: API server, MCP server (stdio), redaction, rows in SQLite. The process includes "
        "the start of Python and of the MCP server; the scan is what a daemon repeats. "
        "`kubectl get pods -A -o json` writes to /dev/null. The bare LIST reads pages of 500 with orjson and keeps nothing. "
        "They run in turns; a ratio is the median of those of each turn.",
    )
    whole, unchanged = _times(first), _times(again)
    inner = [json.loads(run.stdout)["duration_seconds"] for run in first]
    peak = max(run.peak_bytes for run in (*first, *again))
    scan_ratio, process_ratio = ratio_in_turns(inner, kubectl), ratio_in_turns(whole, kubectl)
    to_bare = ratio_in_turns(inner, bare)
    section.add("`kubectl get pods -A -o json`", seconds(kubectl))
    section.add("bare paged LIST", seconds(bare))
    section.add("`scanner scan`, empty database, the whole process", seconds(whole))
    section.add("… of which the scan itself", seconds(inner))
    section.add("`scanner scan` again, nothing changed", seconds(unchanged))
    section.add("scan / kubectl", f"{scan_ratio:.2f}", f"≤ {SCAN_RATIO}", scan_ratio <= SCAN_RATIO)
    section.add("process / kubectl", f"{process_ratio:.2f}", f"≤ {PROCESS_RATIO}", process_ratio <= PROCESS_RATIO)
    section.add("scan / bare LIST", f"{to_bare:.2f}", f"≤ {BARE_LIST_RATIO}", to_bare <= BARE_LIST_RATIO)
    section.add("peak memory, scanner and MCP server", megabytes(peak), f"< {megabytes(PEAK_BYTES)}", peak < PEAK_BYTES)
    section.add("database", megabytes(database.stat().st_size))
    return section


def _times(runs: list[Measured]) -> list[float]:
    return [run.seconds for run in runs]


def _kubectl_seconds(control_plane: Any) -> float:
    command = [str(control_plane.binaries.kubectl), "get", "pods", "-A", "-o", "json"]
    measured = measure(command, control_plane.kubectl_environment(), keep_output=False)
    assert measured.exit_code == 0, measured.stderr
    return measured.seconds


def _bare_list_seconds(control_plane: Any, pods: int) -> float:
    command = [sys.executable, str(BARE_LIST), control_plane.server, str(control_plane.ca_file)]
    started = time.perf_counter()
    done = subprocess.run(command, input=control_plane.admin_token, capture_output=True, text=True, check=True)
    assert int(done.stdout) == pods, f"{done.stdout.strip()} pods instead of {pods}"
    return time.perf_counter() - started


def scan(environment: dict[str, str], pods: int) -> Measured:
    measured = measure([str(Path(sys.executable).with_name("scanner")), "scan", "-o", "json"], environment)
    assert measured.exit_code == 0, measured.stderr
    found = {row["kind"]: row["objects"] for row in json.loads(measured.stdout)["kinds"]}
    assert found["pods"] == pods, f"{found['pods']} pods scanned instead of {pods}"
    return measured
