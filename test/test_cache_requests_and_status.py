"""Refresh requests, the scanner's heartbeat, and what `scanner status` is made of; the settings."""

from __future__ import annotations

from functools import partial
from pathlib import Path

import pytest

from cache.api_usage import HourlyUsage
from cache.cache_manager import CacheManager
from cache.refresh_requests import latest_request, request_refresh
from cache.scan_lock import ScanLock
from cache.settings import CacheSettings
from cache.status import cache_status
from cache.ttl_manager import TtlPolicy
from cache_fixtures import CLUSTER, START, Clock, pods, scan
from configuration.errors import ConfigurationError
from configuration.sources import load
from kinds.registry import KINDS

PODS = KINDS["pods"]


def test_a_request_waits_until_it_is_marked_as_served(manager: CacheManager, clock: Clock) -> None:
    ask = partial(request_refresh, manager.path, kind="pods", clock=clock)
    number = ask(cluster=CLUSTER, namespace="a", reason="pods were deleted")
    other = ask(cluster=CLUSTER)
    ask(cluster="of another scanner")
    ask(cluster=CLUSTER, kind="of another scanner")
    waiting = partial(manager.waiting_requests, [CLUSTER], ["pods", "nodes"])
    for _ in range(2):
        assert [(found.id, found.kind, found.namespace, found.reason, found.requested_at) for found in waiting()] == [
            (number, "pods", "a", "pods were deleted", START),
            (other, "pods", None, "", START),
        ]
    manager.mark_served([number])
    assert [found.id for found in waiting()] == [other]
    assert len(manager.waiting_requests([CLUSTER, "of another scanner"], ["pods"])) == 2


def test_an_equal_request_takes_the_place_of_one_that_waits_but_is_not_served_with_it(
    manager: CacheManager, clock: Clock
) -> None:
    """The scan that the first one started may have begun before the second one, in the same second."""
    first = request_refresh(manager.path, cluster=CLUSTER, kind="pods", clock=clock)
    again = request_refresh(manager.path, cluster=CLUSTER, kind="pods", clock=clock)
    assert [found.id for found in manager.waiting_requests([CLUSTER], ["pods"])] == [again]
    manager.mark_served([first])
    assert [found.id for found in manager.waiting_requests([CLUSTER], ["pods"])] == [again]


def test_served_requests_are_forgotten_after_a_day_and_others_with_the_history(manager: CacheManager, clock: Clock) -> None:
    served = request_refresh(manager.path, cluster=CLUSTER, kind="pods", clock=clock)
    request_refresh(manager.path, cluster="gone", kind="pods", clock=clock)
    manager.mark_served([served])
    clock.now += 86_401
    assert manager.cleanup().refresh_requests == 1
    assert latest_request(manager.path, cluster=CLUSTER, kind="pods") is None
    assert latest_request(manager.path, cluster="gone", kind="pods") == START
    clock.now += 6 * 86_400
    assert manager.cleanup().refresh_requests == 1


def test_status_tells_age_freshness_errors_and_who_scans(manager: CacheManager, clock: Clock) -> None:
    manager.record_scanner(mode="daemon", version="1.2.3")
    scan(manager, "pods", pods(4))
    manager.record_failure(CLUSTER, KINDS["nodes"], "nodes is forbidden", permitted=False)
    clock.now += 42
    with ScanLock(manager.path):
        status = cache_status(manager.path)
        assert status.holder is not None
    nodes, found = status.kinds
    assert (found.kind, found.age_seconds(clock()), found.ttl_seconds, found.is_fresh(clock())) == ("pods", 42, 300, True)
    assert (found.item_count, found.duration_ms) == (4, 7)
    assert (nodes.kind, nodes.age_seconds(clock()), nodes.permitted, nodes.last_error) == (
        "nodes",
        None,
        False,
        "nodes is forbidden",
    )
    assert status.heartbeat is not None
    assert (status.heartbeat.mode, status.heartbeat.started_at, status.heartbeat.stopped_at) == ("daemon", START, None)
    assert not status.daemon_died
    assert status.size_bytes > 4096
    assert cache_status(manager.path).daemon_died
    clock.now += 300
    manager.record_scanner(stopped=True)
    stopped = cache_status(manager.path)
    assert stopped.holder is None
    assert stopped.heartbeat is not None
    assert stopped.heartbeat.stopped_at == START + 342
    assert not stopped.daemon_died


def test_status_tells_what_the_last_hour_cost_each_api_server(manager: CacheManager, clock: Clock) -> None:
    hour = START // 3600 * 3600
    manager.record_usage(CLUSTER, hour - 3601, {"list": (500, 5_000_000)}, 1)
    manager.record_usage(CLUSTER, hour - 1, {"list": (40, 4000), "watch": (8, 80)}, 2)
    manager.record_usage(CLUSTER, hour + 60, {"list": (3, 300)}, 5)
    manager.record_usage(CLUSTER, hour + 900, {"list": (2, 200), "get": (1, 10)}, 4)
    usage = cache_status(manager.path, clock=lambda: hour + 900).usage
    assert usage == {CLUSTER: HourlyUsage({"get": 1, "list": 5 + 30, "watch": 6}, 510 + 3000 + 60, 4)}
    assert cache_status(manager.path, clock=lambda: hour + 3 * 3600).usage == {}
    clock.now = hour + 8 * 86_400
    manager.cleanup()
    assert cache_status(manager.path, clock=lambda: hour + 60).usage == {}


def test_settings_become_the_policy(monkeypatch: pytest.MonkeyPatch) -> None:
    names = {
        "CACHE_STATIC_TTL": 9,
        "CACHE_DYNAMIC_TTL": 8,
        "CACHE_STALE_GRACE": 7,
        "CACHE_HISTORY_RETENTION": 6,
        "CACHE_HISTORY_MAX_MB": 5,
    }
    for name, value in names.items():
        monkeypatch.setenv(name, str(value))
    policy = load(CacheSettings).ttl_policy()
    assert policy == TtlPolicy(static_ttl=9, dynamic_ttl=8, stale_grace=7, history_retention=6, history_max_bytes=5_000_000)


@pytest.mark.parametrize("value", ["0", "-1", "soon", "1.5"])
@pytest.mark.parametrize("name", ["cache_static_ttl", "cache_dynamic_ttl", "cache_cleanup_interval", "cache_stale_grace"])
def test_durations_are_positive_whole_seconds(name: str, value: str) -> None:
    with pytest.raises(ConfigurationError, match=name.upper()):
        load(CacheSettings, **{name: value})


def test_only_sqlite_is_accepted_as_a_database_url_and_no_password_is_shown(tmp_path: Path) -> None:
    assert load(CacheSettings, cache_db_url=f"sqlite:///{tmp_path}/c.db").cache_db_path == tmp_path / "c.db"
    with pytest.raises(ConfigurationError, match="only sqlite") as refused:
        load(CacheSettings, cache_db_url="postgresql://user:canary-password@db/k8s")
    assert "canary-password" not in str(refused.value)
    with pytest.raises(ConfigurationError, match="relative path"):
        load(CacheSettings, cache_db_url="sqlite:///data/c.db")


def test_only_the_default_folder_may_be_created(tmp_path: Path) -> None:
    assert load(CacheSettings).default_database
    assert not load(CacheSettings, cache_db_path=tmp_path / "c.db").default_database
