"""Memory of a full scan against the size of the cluster: the simulated API serves more pods than fit a test machine for real."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path

from figures import Section
from measured_process import Measured, measure

SCANNER = "from scanner.cli import app; app(prog_name='scanner')"
SIZES = (10_000, 30_000)
GROWTH = 1.1
MEGABYTE = 1_000_000


def size_figures() -> Section:
    section = Section(
        "Memory does not follow the size of the cluster",
        "A full scan of the simulated cluster (`python -m demo --pods N`), each into an empty database.",
    )
    peaks = {}
    for pods in SIZES:
        peaks[pods] = scan_simulated(pods)[0].peak_bytes
        section.add(f"peak memory of a scan of {pods:,} pods, scanner and MCP server", f"{peaks[pods] / MEGABYTE:.0f} MB")
    ratio = peaks[SIZES[-1]] / peaks[SIZES[0]]
    section.add(f"{SIZES[-1]:,} pods / {SIZES[0]:,} pods", f"{ratio:.2f}", f"≤ {GROWTH}", ratio <= GROWTH)
    return section


def scan_simulated(pods: int) -> tuple[Measured, int]:
    """A full scan of a simulated cluster of so many pods, and how many objects it found."""
    with tempfile.TemporaryDirectory() as folder:
        kubeconfig = Path(folder) / "kubeconfig"
        command = [sys.executable, "-m", "demo", "--kubeconfig", str(kubeconfig), "--pods", str(pods), "--speed", "0"]
        demo = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        try:
            assert demo.stdout is not None
            demo.stdout.readline()
            environment = os.environ | {
                "KUBECONFIG": str(kubeconfig),
                "CACHE_DB_PATH": f"{folder}/cache.db",
                "REDACTION_KEY_FILE": f"{folder}/key",
            }
            done = measure([sys.executable, "-c", SCANNER, "scan", "-o", "json"], environment)
            assert done.exit_code == 0, done.stderr
        finally:
            demo.communicate()  # closing its stdin ends it
    return done, sum(row["objects"] for row in json.loads(done.stdout)["kinds"])
