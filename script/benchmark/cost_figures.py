"""What the API server is asked for, and what it sends, in an hour: beside a client that lists everything every five minutes."""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Mapping
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import urllib3
import yaml
from byte_counter import ByteCounter, byte_counter
from changing_pods import ChangingPods
from figures import Section, megabytes
from follow_figures import RATE, daemon, wait_until_followed

LISTS_AN_HOUR = 12
SHARE = 20
SETTLE_SECONDS = 5
PAGE = 500
CHECKS_AN_HOUR = {True: 15, False: 2.5}
"""Of a kind that is dynamic, at 0.8 of 300 s, and of one that is not, at 0.8 of 1,800 s."""
FULL_LISTS_AN_HOUR = 1 / 6
"""SCANNER_FULL_LIST_INTERVAL."""


@dataclass(frozen=True, slots=True)
class Hour:
    """Of a measured while, as an hour of it would be."""

    requests: float
    received: float


def cost_figures(
    control_plane: Any, environment: Mapping[str, str], database: Path, *, pods: int, duration_seconds: float
) -> Section:
    """Needs a filled database, and uses a copy of it: the scanner finds the cluster at another address."""
    database = _copied(database)
    environment = {**environment, "CACHE_DB_PATH": str(database)}
    section = Section(
        f"An hour of the API server's time, {pods:,} pods",
        f"`scanner run` with its default intervals, {duration_seconds:.0f} s idle and as long at {RATE} changes a second, after "
        "everything is followed; an hour is that many times more, with its checks (fifteen of the dynamic kinds, two and a half "
        "of the static ones), which are measured by themselves, and a sixth of a LIST of every kind (due every six hours). "
        "Bytes are those on the wire (TLS, compressed where the API server compresses, which it does not for watches), counted "
        f"by a relay in front of it. The other client lists the same kinds in pages of {PAGE}, compressed, once; an hour of it "
        f"is {LISTS_AN_HOUR} times that.",
    )
    with byte_counter(control_plane.server) as counter:
        through = environment | {"KUBECONFIG": str(_kubeconfig(control_plane, counter, database.parent))}
        whole = _list_everything(control_plane, counter)
        with daemon(_default_intervals(through), database):
            changing = ChangingPods(control_plane)
            wait_until_followed(changing, database)
            idle = _hour(control_plane, counter, duration_seconds)
            with changing.at_a_rate(RATE):
                busy = _hour(control_plane, counter, duration_seconds)
            checks = {dynamic: _check(control_plane, counter, database, dynamic=dynamic) for dynamic in CHECKS_AN_HOUR}
    other = Hour(whole.requests * LISTS_AN_HOUR, whole.received * LISTS_AN_HOUR)
    section.add("one LIST of every kind", f"{whole.requests:.0f} requests, {whole.received / 1e6:.1f} MB")
    for dynamic, check in checks.items():
        name = f"one check of every {'dynamic' if dynamic else 'static'} kind"
        section.add(name, f"{check.requests:.0f} requests, {check.received / 1e3:.0f} kB")
    section.add("the other client, an hour", f"{other.requests:,.0f} requests, {megabytes(other.received)}")
    for name, measured in (("idle", idle), (f"{RATE} changes a second", busy)):
        requests = measured.requests + _an_hour_of(checks, "requests") + whole.requests * FULL_LISTS_AN_HOUR
        received = measured.received + _an_hour_of(checks, "received") + whole.received * FULL_LISTS_AN_HOUR
        section.add(f"the scanner, {name}, an hour", f"{requests:,.0f} requests, {received / 1e6:.1f} MB")
        ratio = received / other.received
        section.add(f"bytes of the scanner, {name} / the other client", f"{ratio:.3f}", f"≤ 1/{SHARE}", ratio <= 1 / SHARE)
    left = other.received / SHARE / (RATE * 3600)
    section.add(f"what 1/{SHARE} leaves for each changed object at {RATE} changes a second", f"{left:.0f} bytes")
    return section


def _an_hour_of(checks: Mapping[bool, Hour], what: str) -> float:
    return sum(getattr(check, what) * CHECKS_AN_HOUR[dynamic] for dynamic, check in checks.items())


def _default_intervals(environment: Mapping[str, str]) -> dict[str, str]:
    """The TTLs decide how often something is checked: not those that keep other measurements fresh."""
    return {name: value for name, value in environment.items() if name not in ("CACHE_DYNAMIC_TTL", "CACHE_STATIC_TTL")}


def _copied(database: Path) -> Path:
    path = database.with_name("counted.db")
    with closing(sqlite3.connect(database)) as source, closing(sqlite3.connect(path)) as target:
        source.backup(target)
    path.chmod(0o600)
    return path


def _kubeconfig(control_plane: Any, counter: ByteCounter, folder: Path) -> Path:
    document = yaml.safe_load(Path(control_plane.kubeconfig).read_text())
    for cluster in document["clusters"]:
        cluster["cluster"]["server"] = counter.url
    path = folder / "counted.yaml"
    path.touch(mode=0o600)
    path.write_text(yaml.safe_dump(document))
    return path


def _hour(control_plane: Any, counter: ByteCounter, seconds: float) -> Hour:
    mark, before = control_plane.audit.mark(), counter.received
    started = time.monotonic()
    time.sleep(seconds)
    requests = len(control_plane.audit.requests(mark, user_agent="k8s-mcp"))
    factor = 3600 / (time.monotonic() - started)
    return Hour(requests * factor, (counter.received - before) * factor)


def _check(control_plane: Any, counter: ByteCounter, database: Path, *, dynamic: bool) -> Hour:
    """One check of every kind of a class, asked for as the agent asks for it."""
    from cache.refresh_requests import request_refresh
    from kinds.registry import KINDS

    mark, before = control_plane.audit.mark(), counter.received
    for name, kind in KINDS.items():
        if kind.dynamic == dynamic:
            request_refresh(database, cluster=control_plane.context, kind=name, reason="a benchmark asks")
    deadline = time.monotonic() + 120
    with closing(sqlite3.connect(f"file:{database}?mode=ro", uri=True)) as connection:
        while connection.execute("SELECT 1 FROM refresh_requests WHERE served_at IS NULL LIMIT 1").fetchone():
            assert time.monotonic() < deadline, "the daemon serves no requests"
            time.sleep(0.1)
    time.sleep(SETTLE_SECONDS)
    return Hour(len(control_plane.audit.requests(mark, user_agent="k8s-mcp")), counter.received - before)


def _list_everything(control_plane: Any, counter: ByteCounter) -> Hour:
    """Every kind that the scanner lists, page by page."""
    from kinds.registry import KINDS

    headers = {"Authorization": f"Bearer {control_plane.admin_token}", "Accept-Encoding": "gzip"}
    http = urllib3.PoolManager(ca_certs=str(control_plane.ca_file), headers=headers)
    before, requests = counter.received, 0
    for kind in KINDS.values():
        token = ""
        while True:
            fields = {"limit": str(PAGE)} | ({"continue": token} if token else {})
            answer = http.request("GET", counter.url + kind.api_path(), fields=fields)
            requests += 1
            token = answer.json()["metadata"].get("continue", "") if answer.status == 200 else ""
            if not token:
                break
    http.clear()
    return Hour(requests, counter.received - before)
