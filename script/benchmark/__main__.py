"""Measures what the issue tracker promises, on a real API server, and writes docs/benchmarks.md.

uv run python script/benchmark                     10,000 pods, three runs (about six minutes)
uv run python script/benchmark --pods 2000 --runs 1 --no-write
"""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
sys.path[:0] = [str(ROOT / "src"), str(ROOT / "test")]

from cached_reads import cached_read_figures  # noqa: E402
from figures import markdown  # noqa: E402
from scan_figures import scan_figures  # noqa: E402
from size_figures import size_figures  # noqa: E402
from startup_figures import startup_figures  # noqa: E402

DOCUMENT = ROOT / "docs" / "benchmarks.md"
NODES = 100


def main() -> int:
    arguments = _arguments()
    with _control_plane(arguments) as control_plane, tempfile.TemporaryDirectory() as folder:
        database = Path(folder) / "cache.db"
        environment = _environment(control_plane, database)
        sections = [
            scan_figures(control_plane, environment, database, pods=arguments.pods, runs=arguments.runs),
            cached_read_figures(control_plane, environment, database, pods=arguments.pods),
            startup_figures(environment, runs=max(3, arguments.runs)),
            size_figures(),
        ]
    text = markdown(sections, arguments.pods)
    print(text)
    if not arguments.no_write:
        DOCUMENT.write_text(text)
    return int(any(figure.holds is False for section in sections for figure in section.figures))


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--pods", type=int, default=10_000)
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument(
        "--cluster", help="a cluster that `script/testcluster up` has started with so many pods; it is left running"
    )
    parser.add_argument("--no-write", action="store_true", help="print only, leave docs/benchmarks.md as it is")
    return parser.parse_args()


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


def _environment(control_plane: Any, database: Path) -> dict[str, str]:
    """TTLs so long that nothing goes stale while it is measured."""
    return {
        "PATH": os.environ["PATH"],
        "HOME": str(database.parent),
        "LANG": "C.UTF-8",
        "KUBECONFIG": str(control_plane.kubeconfig),
        "CACHE_DB_PATH": str(database),
        "CACHE_DYNAMIC_TTL": "86400",
        "CACHE_STATIC_TTL": "86400",
        "SCANNER_BATCH_SIZE": os.environ.get("SCANNER_BATCH_SIZE", ""),
    }


if __name__ == "__main__":
    sys.exit(main())
