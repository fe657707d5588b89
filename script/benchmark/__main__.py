"""Measures what the issue tracker promises, and writes docs/benchmarks.md.

uv run python script/benchmark                            all but `huge` and `peers`, on 10,000 pods of a real API server
uv run python script/benchmark follow cost --no-write     some of them, printed only
uv run python script/benchmark scan --pods 2000 --runs 1 --no-write
uv run python script/benchmark peers                      500 and 10,000 pods, beside another MCP server (needs npm)
uv run python script/benchmark huge                       150,000 simulated pods: half an hour

What is written takes the place of the section of the same name; the others stay.
"""

from __future__ import annotations

import argparse
import importlib
import os
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
sys.path[:0] = [str(ROOT / "src"), str(ROOT / "test")]

from figures import Section, markdown, with_sections  # noqa: E402

DOCUMENT = ROOT / "docs" / "benchmarks.md"
NODES = 100


class Benchmark:
    """What the measurements share; the cluster is started when the first of them needs it."""

    def __init__(self, arguments: argparse.Namespace, stack: ExitStack) -> None:
        self.pods: int = arguments.pods
        self.runs: int = arguments.runs
        self.duration_seconds: float = arguments.seconds
        self._arguments = arguments
        self._stack = stack
        self.folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        self.database = self.folder / "cache.db"

    @cached_property
    def control_plane(self) -> Any:
        return self._stack.enter_context(_control_plane(self._arguments))

    @cached_property
    def environment(self) -> dict[str, str]:
        """TTLs so long that nothing goes stale while it is measured."""
        return {
            "PATH": os.environ["PATH"],
            "HOME": str(self.folder),
            "LANG": "C.UTF-8",
            "KUBECONFIG": str(self.control_plane.kubeconfig),
            "CACHE_DB_PATH": str(self.database),
            "CACHE_DYNAMIC_TTL": "86400",
            "CACHE_STATIC_TTL": "86400",
            "REDACTION_KEY_FILE": str(self.folder / "redaction.key"),
            "SCANNER_BATCH_SIZE": os.environ.get("SCANNER_BATCH_SIZE", ""),
        }

    def on_cluster(self) -> dict[str, Any]:
        """Arguments that every measurement of a real cluster takes."""
        return {
            "control_plane": self.control_plane,
            "environment": self.environment,
            "database": self.database,
            "pods": self.pods,
        }

    def fill(self) -> None:
        """A filled database, for a measurement that needs one and runs by itself."""
        if not self.database.exists():
            from scan_figures import scan

            scan(self.environment, self.pods)


@dataclass(frozen=True, slots=True)
class Measurement:
    """`module` holds a function `MODULE(…) -> Section`, named like itself; `measure` calls it."""

    module: str
    measure: Callable[[Callable[..., Section], Benchmark], Section]
    needs_filled: bool = False

    def exists(self) -> bool:
        return Path(__file__).with_name(f"{self.module}.py").exists()


MEASUREMENTS: dict[str, Measurement] = {
    "scan": Measurement("scan_figures", lambda work, b: work(**b.on_cluster(), runs=b.runs)),
    "unchanged": Measurement("unchanged_figures", lambda work, b: work(**b.on_cluster(), runs=b.runs), needs_filled=True),
    "follow": Measurement(
        "follow_figures", lambda work, b: work(**b.on_cluster(), duration_seconds=b.duration_seconds), needs_filled=True
    ),
    "cost": Measurement(
        "cost_figures", lambda work, b: work(**b.on_cluster(), duration_seconds=b.duration_seconds), needs_filled=True
    ),
    "reads": Measurement("cached_reads", lambda work, b: work(**b.on_cluster()), needs_filled=True),
    "start": Measurement("startup_figures", lambda work, b: work(b.environment, runs=max(3, b.runs)), needs_filled=True),
    "size": Measurement("size_figures", lambda work, _: work()),
    "history": Measurement("history_figures", lambda work, _: work()),
    "query": Measurement("query_figures", lambda work, _: work()),
    "peers": Measurement("peer_figures", lambda work, b: work(pods=b.pods, runs=b.runs)),
    "huge": Measurement("huge_figures", lambda work, _: work()),
}
BY_ITSELF = ("huge", "peers")
"""Only when asked for by name: it takes long, or needs what is not ours."""
FUNCTIONS = {"cached_reads": "cached_read_figures"}


def main() -> int:
    arguments = _arguments()
    chosen = arguments.measurements or [name for name, one in MEASUREMENTS.items() if name not in BY_ITSELF and one.exists()]
    sections = []
    with ExitStack() as stack:
        benchmark = Benchmark(arguments, stack)
        for name in chosen:
            sections.append(_measured(MEASUREMENTS[name], benchmark))
            print(markdown(sections[-1]), flush=True)
    if not arguments.no_write:
        old = DOCUMENT.read_text() if DOCUMENT.exists() else ""
        DOCUMENT.write_text(with_sections(old, [markdown(section) for section in sections]))
    return int(any(figure.holds is False for section in sections for figure in section.figures))


def _measured(measurement: Measurement, benchmark: Benchmark) -> Section:
    if measurement.needs_filled:
        benchmark.fill()
    function = getattr(importlib.import_module(measurement.module), FUNCTIONS.get(measurement.module, measurement.module))
    return measurement.measure(function, benchmark)


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="script/benchmark", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    choice = f"of {', '.join(MEASUREMENTS)}; default: all but {' and '.join(BY_ITSELF)}"
    parser.add_argument("measurements", nargs="*", metavar="WHAT", help=choice)
    parser.add_argument("--pods", type=int, default=10_000)
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--seconds", type=float, default=120, help="how long `follow`, and each half of `cost`, are watched")
    parser.add_argument(
        "--cluster", help="a cluster that `script/testcluster up` has started with so many pods; it is left running"
    )
    parser.add_argument("--no-write", action="store_true", help="print only, leave docs/benchmarks.md as it is")
    arguments = parser.parse_args()
    if unknown := [name for name in arguments.measurements if name not in MEASUREMENTS]:
        parser.error(f"unknown: {', '.join(unknown)}; known: {', '.join(MEASUREMENTS)}")
    return arguments


@contextmanager
def _control_plane(arguments: argparse.Namespace) -> Iterator[Any]:
    from controlplane.binaries import ensure_binaries
    from controlplane.clusters import running_clusters, start_cluster
    from controlplane.control_plane import ControlPlane
    from controlplane.options import ClusterOptions

    binaries = ensure_binaries()
    if arguments.cluster:
        found = {cluster.name: cluster for cluster in running_clusters()}
        yield ControlPlane(found[arguments.cluster], binaries)
        return
    options = ClusterOptions(name=f"benchmark-{os.getpid()}", controllers=False, gogc=400)
    control_plane = ControlPlane(start_cluster(options, binaries, detached=False), binaries)
    try:
        control_plane.populate(nodes=NODES, pods=arguments.pods)
        yield control_plane
    finally:
        control_plane.stop()


if __name__ == "__main__":
    sys.exit(main())
