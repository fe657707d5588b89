"""What people ask of 100,000 pods, as guarded SQL: a connection, its views, the statement and the rows, each time anew."""

from __future__ import annotations

import tempfile
import time
from pathlib import Path

from figures import Section, milliseconds

from cache.sql_guard import run_query
from cache_fixtures import CLUSTER
from large_cache import QUESTIONS, fill_large_cache

PODS = 100_000
SECONDS = 0.02
RUNS = 21


def query_figures() -> Section:
    section = Section(
        f"Queries over {PODS:,} pods",
        f"`main query`'s SQL on a database of {PODS:,} pods, 200,000 containers and 100,000 changes (test/large_cache.py), "
        f"medians of {RUNS} runs in one process. “Nothing” is what opening the file costs each of them.",
    )
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "cache.db"
        fill_large_cache(path, pods=PODS)
        section.add("nothing: `SELECT 1`", milliseconds(_times(path, "SELECT 1", 1)))
        for name, question in QUESTIONS.items():
            times = _times(path, question.sql, question.rows)
            fast = sorted(times)[RUNS // 2] <= SECONDS
            section.add(f"by {name}: {question.rows} rows", milliseconds(times), f"about {SECONDS * 1000:.0f} ms", fast)
        section.add("database", f"{path.stat().st_size / 1e6:.0f} MB")
    return section


def _times(path: Path, sql: str, rows: int) -> list[float]:
    times = []
    for _ in range(RUNS):
        started = time.perf_counter()
        result = run_query(path, sql, cluster=CLUSTER)
        times.append(time.perf_counter() - started)
        assert len(result.rows) == rows, (sql, len(result.rows))
    return times
