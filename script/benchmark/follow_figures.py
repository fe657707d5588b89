"""How far the cache is behind a cluster that changes all the time, and how many watches that takes."""

from __future__ import annotations

import sqlite3
import statistics
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

from changing_pods import ChangingPods
from figures import Section

RATE = 20
MEDIAN_SECONDS = 1.0
P99_SECONDS = 3.0
WATCH_REQUESTS = 12
SHORTEST_WATCH_SECONDS = 540
"""A watch that nothing ends is opened again by then at the earliest (mcp_tools.held_watch)."""
LOOK_SECONDS = 0.05


def follow_figures(
    control_plane: Any, environment: Mapping[str, str], database: Path, *, pods: int, duration_seconds: float
) -> Section:
    """Needs a filled database."""
    section = Section(
        f"Following {RATE} changes a second among {pods:,} pods",
        f"`scanner run` for {duration_seconds:.0f} s. A change counts from the API server's answer to whoever made it until "
        f"another process reads it from the database, which looks every {LOOK_SECONDS * 1000:.0f} ms. Watch requests are those "
        "in the API server's audit log; those that their own end would have caused within the hour are added.",
    )
    changing = ChangingPods(control_plane)
    mark = control_plane.audit.mark()
    with daemon(environment, database):
        wait_until_followed(changing, database)
        first = _watches(control_plane, mark)
        running = control_plane.audit.mark()
        changing.changes.clear()
        with changing.at_a_rate(RATE):
            lags, made = _lags(database, changing, duration_seconds)
        more = _watches(control_plane, running)
    ordered = sorted(lags)
    median, p99 = statistics.median(ordered), ordered[int(len(ordered) * 0.99)]
    section.add("changes made, and how far the writer was behind its pace", f"{made}, {changing.late_seconds:.1f} s")
    section.add("changes seen in the cache", f"{len(lags)}", "all", len(lags) == made)
    section.add("lag, median", f"{median:.2f} s", f"< {MEDIAN_SECONDS:.0f} s", median < MEDIAN_SECONDS)
    section.add("lag, 99 %", f"{p99:.2f} s", f"< {P99_SECONDS:.0f} s", p99 < P99_SECONDS)
    section.add("lag, longest", f"{ordered[-1]:.2f} s")
    hourly = max(more.values(), default=0) * 3600 / duration_seconds + 3600 / SHORTEST_WATCH_SECONDS
    section.add("kinds that are followed", str(len(first)))
    section.add("watch requests for a kind in an hour, at most", f"{hourly:.1f}", f"≤ {WATCH_REQUESTS}", hourly <= WATCH_REQUESTS)
    return section


@contextmanager
def daemon(environment: Mapping[str, str], database: Path, **settings: str) -> Iterator[int]:
    """`scanner run`, its log beside the database; its process id."""
    with (database.parent / "daemon.log").open("a") as log:
        command = [str(Path(sys.executable).with_name("scanner")), "run"]
        process = subprocess.Popen(command, env={**environment, **settings}, stdout=subprocess.DEVNULL, stderr=log)
    try:
        yield process.pid
    finally:
        process.terminate()
        process.wait(30)


def wait_until_followed(changing: ChangingPods, database: Path, *, seconds: float = 300) -> None:
    """Until a change shows up within two seconds: then everything has been caught up with, and is followed."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        change = changing.change()
        while time.monotonic() < change.made_at + 2:
            if _stored(database, [change.uid]).get(change.uid) == change.resource_version:
                return
            time.sleep(LOOK_SECONDS)
    raise AssertionError(f"nothing is followed after {seconds:.0f} s; see {database.parent / 'daemon.log'}")


def _lags(database: Path, changing: ChangingPods, seconds: float) -> tuple[list[float], int]:
    """Seconds until each change could be read, and of how many. A pod that changed again has shown the earlier change too."""
    lags: list[float] = []
    waiting: dict[str, list[tuple[str, float]]] = {}
    taken = 0
    end = time.monotonic() + seconds
    while time.monotonic() < end or (waiting and time.monotonic() < end + 30):
        new = changing.changes[taken:] if time.monotonic() < end else []
        taken += len(new)
        for change in new:
            waiting.setdefault(change.uid, []).append((change.resource_version, change.made_at))
        stored = _stored(database, list(waiting))
        now = time.monotonic()
        for uid, version in stored.items():
            versions = [one for one, _ in waiting[uid]]
            if version in versions:
                seen = versions.index(version) + 1
                lags += [now - made_at for _, made_at in waiting[uid][:seen]]
                del waiting[uid][:seen]
                if not waiting[uid]:
                    del waiting[uid]
        time.sleep(LOOK_SECONDS)
    return lags, taken


def _stored(database: Path, uids: list[str]) -> dict[str, str]:
    marks = ",".join("?" * len(uids))
    with closing(sqlite3.connect(f"file:{database}?mode=ro", uri=True)) as connection:
        return dict(connection.execute(f"SELECT uid, resource_version FROM pods WHERE uid IN ({marks})", uids))  # noqa: S608


def _watches(control_plane: Any, since: int) -> Counter[str]:
    """Watch requests of ours by resource."""
    return Counter(request.resource for request in control_plane.audit.requests(since, user_agent="k8s-mcp", verb="watch"))
