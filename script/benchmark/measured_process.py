"""Runs a command and measures it: wall time, and the peak memory of it and all its children together."""

from __future__ import annotations

import os
import subprocess
import threading
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

SAMPLE_SECONDS = 0.02
PAGE_BYTES = os.sysconf("SC_PAGE_SIZE")


@dataclass(frozen=True, slots=True)
class Measured:
    """`peak_bytes` is the largest sum of resident sets that a sample saw, program and children."""

    seconds: float
    peak_bytes: int
    exit_code: int
    stdout: str
    stderr: str


def measure(command: Sequence[str], environment: Mapping[str, str], *, keep_output: bool = True) -> Measured:
    """Run to the end. Output that is not kept goes to /dev/null."""
    target = subprocess.PIPE if keep_output else subprocess.DEVNULL
    started = time.perf_counter()
    process = subprocess.Popen(list(command), env=dict(environment), stdout=target, stderr=subprocess.PIPE, text=True)
    sampler = MemorySampler(process.pid)
    with sampler:
        stdout, stderr = process.communicate()
    return Measured(time.perf_counter() - started, sampler.peak_bytes, process.returncode, stdout or "", stderr)


class MemorySampler:
    """Samples a process and its descendants in a thread, until it is left."""

    def __init__(self, pid: int) -> None:
        self.peak_bytes = 0
        self._pid = pid
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._sample, daemon=True)

    def __enter__(self) -> MemorySampler:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join()

    def _sample(self) -> None:
        while not self._stop.wait(SAMPLE_SECONDS):
            self.peak_bytes = max(self.peak_bytes, sum(map(resident_bytes, with_descendants(self._pid))))


def with_descendants(pid: int) -> list[int]:
    """The process and everything that it has started, as far as it still runs."""
    try:
        children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    except OSError:
        return [pid]
    return [pid, *(descendant for child in children for descendant in with_descendants(int(child)))]


def resident_bytes(pid: int) -> int:
    """Resident set size; 0 when the process has ended."""
    try:
        return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * PAGE_BYTES
    except (OSError, IndexError):
        return 0
