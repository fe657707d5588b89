"""What people see of history: one query for a window of time, also for what is gone; `/changes`; releases and past events."""

from __future__ import annotations

import asyncio
import io
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from datetime import datetime
from pathlib import Path

import pytest

from agent.repl.all_commands import slash_commands
from agent.repl.history_commands import shown_value
from agent.repl.slash_line import parse
from agent.repl.workbench import Workbench
from agent.settings import AgentSettings
from agent.terminal.moments import local_time, parse_moment
from agent.terminal.screen import Screen
from cache.cache_manager import CacheManager, ClusterIdentity
from cache.connection import connect_reader
from cache.sql_guard import describe_schema, run_query
from cache.sql_views import create_views
from cache.ttl_manager import TtlPolicy
from cache_fixtures import CLUSTER, START, Clock, api_object, scan, staged
from configuration.errors import ConfigurationError, K8sMcpError, NeverScanned
from kinds.registry import KINDS
from kinds.times import to_rfc3339
from kinds.views import VIEWS
from shop_cache_fixtures import CLUSTER as SHOP
from shop_cache_fixtures import bare_environment

MINUTE = 60


def created(kind: str, name: str, at: float, namespace: str = "payments", **changes: object) -> dict[str, object]:
    obj = api_object(kind, name, namespace, **changes)
    obj["metadata"]["creationTimestamp"] = to_rfc3339(int(at))
    return obj


def a_busy_hour(manager: CacheManager, clock: Clock, cluster: str = CLUSTER) -> None:
    """At minute 0 all is old; `web` is scaled at 10, `api-1` is created at 12 and gone at 15, `late` comes at 40."""
    old, start = START - 86_400, clock.now
    web = created("deployments", "web", old, spec={"replicas": 2, "template": {"spec": {"containers": []}}})
    api = created("pods", "api-0", old)
    other = created("pods", "other-0", start + 12 * MINUTE, "shop")

    def look(minute: int, deployments: list[object], pods: list[object]) -> None:
        clock.now = start + minute * MINUTE
        scan(manager, "deployments", staged("deployments", *deployments), cluster=cluster)
        scan(manager, "pods", staged("pods", *pods), cluster=cluster)

    look(0, [web], [api])
    scaled = created("deployments", "web", old, version=2, spec={"replicas": 5, "template": {"spec": {"containers": []}}})
    look(10, [scaled], [api])
    look(13, [scaled], [api, created("pods", "api-1", start + 12 * MINUTE), other])
    look(15, [scaled], [api, other])
    look(41, [scaled], [api, other, created("pods", "late", start + 40 * MINUTE)])


def test_one_query_tells_what_changed_in_a_namespace_in_a_window_also_of_what_is_gone(
    manager: CacheManager, clock: Clock
) -> None:
    a_busy_hour(manager, clock)
    window = f"at BETWEEN {START + 5 * MINUTE} AND {START + 25 * MINUTE}"
    columns = f"(at - {START}) / 60, what, kind, name, field, old, new"
    sql = f"SELECT {columns} FROM timeline WHERE namespace = 'payments' AND {window} ORDER BY at"
    rows = run_query(manager.path, sql, cluster=CLUSTER).rows
    assert (10, "changed", "deployments", "web", "replicas", "2", "5") in rows
    assert [row[:4] for row in rows if row[2] == "pods"] == [(12, "created", "pods", "api-1"), (15, "deleted", "pods", "api-1")]
    assert {row[3] for row in rows} == {"web", "api-1"}, "a first scan creates nothing"


def test_events_are_no_changes_but_their_history_stays(manager: CacheManager, clock: Clock) -> None:
    gone = created("events", "api-0.1", START - 30) | {"message": "磁盘已满"}
    scan(manager, "events", staged("events", gone, created("events", "api-0.2", START - 20)))
    clock.now += 3600
    scan(manager, "events", staged("events", created("events", "api-0.2", START - 20)))
    kept = "SELECT name, reason, message, count, last_seen, object_name, gone, gone_at FROM event_history ORDER BY name"
    (first, second) = run_query(manager.path, kept, cluster=CLUSTER).rows
    assert first == ("api-0.1", "BackOff", "磁盘已满", 3, 1767323105, "web-1", 1, START + 3600)
    assert second == ("api-0.2", "BackOff", "restarting", 3, 1767323105, "web-1", 0, None)
    assert run_query(manager.path, "SELECT * FROM timeline", cluster=CLUSTER).rows == []


def release(name: str, revision: int, status: str, modified: int, namespace: str = "shop") -> dict[str, object]:
    labels = {"owner": "helm", "name": name, "version": str(revision), "status": status, "modifiedAt": str(modified)}
    secret = api_object("secrets", f"sh.helm.release.v1.{name}.v{revision}", namespace, labels=labels)
    return secret | {"type": "helm.sh/release.v1", "data": {"release": None}}


def test_helm_releases_are_the_latest_revisions_by_the_labels_of_their_secrets(manager: CacheManager) -> None:
    revisions = [release("web", number, "superseded" if number < 10 else "failed", START + number) for number in range(1, 11)]
    others = [release("web", 1, "deployed", START, "payments"), api_object("secrets", "token", "shop", labels={"owner": "helm"})]
    scan(manager, "secrets", staged("secrets", *revisions, *others))
    sql = "SELECT namespace, release, revision, status, updated_at, chart FROM helm_releases ORDER BY 1"
    result = run_query(manager.path, sql, cluster=CLUSTER)
    assert result.rows == [("payments", "web", 1, "deployed", START, None), ("shop", "web", 10, "failed", START + 10, None)]
    assert {envelope.kind for envelope in result.freshness} == {"labels", "secrets"}
    assert run_query(manager.path, "SELECT count(*) FROM helm_revisions", cluster=CLUSTER).rows == [(11,)]


@pytest.mark.parametrize("view", ["helm_releases", "helm_revisions", "event_history", "pod_workloads", "timeline", "objects"])
def test_a_view_over_what_was_never_scanned_is_an_error_and_never_zero_rows(view: str, manager: CacheManager) -> None:
    if view not in ("timeline", "objects"):
        scan(manager, "nodes", [])
    with pytest.raises(NeverScanned):
        run_query(manager.path, f"SELECT count(*) FROM {view}", cluster=CLUSTER)


@pytest.mark.parametrize("view", VIEWS, ids=lambda view: view.name)
def test_a_view_has_the_columns_that_it_declares_for_one_cluster_and_for_all(view, manager: CacheManager, clock: Clock) -> None:
    with closing(connect_reader(manager.path)) as connection:
        views = create_views(connection, CLUSTER, f"{view.name} all_{view.name}")
    declared = ("cluster", *(column.name for column in view.columns))
    assert views.columns[view.name] == views.columns[f"all_{view.name}"] == declared
    assert f"{view.name}(" in describe_schema([KINDS["pods"]])


def test_the_views_of_a_cluster_show_nothing_of_another(manager: CacheManager, clock: Clock) -> None:
    manager.register_cluster(ClusterIdentity(cluster="other", uid="other-uid"))
    scan(manager, "pods", [])
    a_busy_hour(manager, clock, cluster="other")
    assert run_query(manager.path, "SELECT * FROM timeline", cluster=CLUSTER).rows == []
    everywhere = run_query(manager.path, "SELECT DISTINCT cluster FROM all_timeline", cluster=CLUSTER).rows
    assert everywhere == [("other",)]


# --- /changes


@pytest.fixture
def changes(tmp_path: Path, clock: Clock) -> Callable[[str], str]:
    """Runs `/changes …` at minute 45 of the busy hour; what it prints."""
    path = tmp_path / "cache.db"
    with CacheManager(path, policy=TtlPolicy(), clock=clock) as manager:
        manager.register_cluster(ClusterIdentity(cluster=SHOP, uid="u"))
        a_busy_hour(manager, clock, cluster=SHOP)
    clock.now = START + 45 * MINUTE

    async def run(rest: str) -> str:
        command, out = slash_commands()["changes"], io.StringIO()
        settings = AgentSettings(cache_db_path=path)
        environment = bare_environment(tmp_path, namespace="payments")
        async with Workbench(settings, Screen(out, out), environment=environment, ask_approval=_nobody, clock=clock) as bench:
            await command.handler(bench, parse("changes", rest, command.options))
        return out.getvalue()

    return lambda rest: asyncio.run(run(rest))


async def _nobody(_: object) -> str:
    raise AssertionError("nothing is to be approved")


def test_changes_tells_the_last_hour_of_the_namespace_in_local_time(changes: Callable[[str], str]) -> None:
    lines = changes("").splitlines()
    assert lines[0].split() == ["TIME", "WHAT", "KIND", "NAME", "CHANGE", "BY"]
    assert [line.split()[2:5] for line in lines[1:] if " pods " in line] == [
        ["created", "pods", "api-1"], ["deleted", "pods", "api-1"], ["created", "pods", "late"],
    ]  # fmt: skip
    assert any("replicas: 2 → 5" in line for line in lines)
    assert local_time(START + 10 * MINUTE, date=False) in "\n".join(lines)


@pytest.mark.parametrize(
    ("rest", "names"),
    [
        ("--since 20m", {"late"}),
        ("api-1", {"api-1"}),
        ("api-*", {"api-1"}),
        ("deploy/web", {"web"}),
        ("--kind pods", {"api-1", "late"}),
        ("-n shop", {"other-0"}),
        ("-A --kind pod", {"api-1", "late", "other-0"}),
        ("--since 45m --until 31m", {"web", "api-1"}),
        ("--limit 1", {"late"}),
    ],
)
def test_changes_is_narrowed_by_name_kind_namespace_and_time(rest: str, names: set[str], changes: Callable[[str], str]) -> None:
    shown = changes(rest).splitlines()[1:-1]
    assert {name for name in ("web", "api-0", "api-1", "late", "other-0") if any(f" {name} " in line for line in shown)} == names


@pytest.mark.parametrize(
    ("rest", "says"),
    [
        ("--since yesterday", "is no time"),
        ("--since 10m --until 20m", "before --since"),
        ("a b", "one object at a time"),
        ("pods/x --kind pods", "said twice"),
        ("things/x", "unknown kind"),
        ('"x\' OR 1=1"', "no name"),
        ('-n "p\'"', "no name"),
        ("--limit 0", "number from 1"),
        ("--kind nodes", "never scanned"),
    ],
)
def test_changes_says_what_is_wrong(rest: str, says: str, changes: Callable[[str], str]) -> None:
    with pytest.raises((ConfigurationError, K8sMcpError), match=says):
        changes(rest)


def test_nothing_changed_is_said_with_the_window(changes: Callable[[str], str]) -> None:
    assert changes("--since 1m").startswith("nothing changed in namespace payments: ")


@pytest.fixture(params=["UTC", "Asia/Shanghai", "America/St_Johns"])
def zone(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    monkeypatch.setenv("TZ", request.param)
    time.tzset()
    yield request.param
    monkeypatch.undo()
    time.tzset()


def test_times_are_read_as_people_write_them(zone: str) -> None:
    now = datetime(2026, 11, 21, 15, 0).astimezone().timestamp()

    def at(*parts: int) -> int:
        return int(datetime(2026, *parts).astimezone().timestamp())

    assert parse_moment("14:20", now) == at(11, 21, 14, 20)
    assert parse_moment("16:00:05", now) == at(11, 20, 16, 0, 5), "the last one before now"
    assert parse_moment("00:10", now, after=at(11, 20, 23, 50)) == at(11, 21, 0, 10), "the first one after the other end"
    assert parse_moment("2h", now) == now - 7200
    assert parse_moment("1d", now) == now - 86_400
    assert parse_moment("2026-11-20", now) == at(11, 20)
    assert parse_moment("2026-11-20T08:30", now) == at(11, 20, 8, 30)
    assert parse_moment("2026-11-20T08:30Z", now) == 1795163400
    assert parse_moment("2026-11-20 08:30+08:00", now) == 1795163400 - 8 * 3600
    assert parse_moment("now", now) == now
    assert datetime.fromisoformat(local_time(now).replace(" ", "T", 1).replace(" ", "")).timestamp() == now
    for wrong in ("", "25:00", "14:61", "soon", "2026-13-01"):
        with pytest.raises(ValueError, match="is no time"):
            parse_moment(wrong, now)


@pytest.mark.parametrize(
    ("kind", "field", "value", "shown"),
    [
        ("pods", "started_at", str(START), local_time(START)),
        ("pods", "containers[app].state_since", str(START), local_time(START)),
        ("pods", "restarts", str(START), str(START)),
        ("pods", "containers[app].restarts", "2", "2"),
        ("widgets.example.com", "started_at", str(START), str(START)),
    ],
)
def test_moments_among_the_changes_are_shown_as_such(kind: str, field: str, value: str, shown: str) -> None:
    assert shown_value(kind, field, value) == shown
