"""Field-level changes, and objects that are gone."""

from __future__ import annotations

import json
import sqlite3
from contextlib import closing
from dataclasses import replace
from pathlib import Path

from cache.cache_manager import CacheManager
from cache_fixtures import START, Clock, api_object, scan, staged


def changes(path: Path) -> list[tuple[str, str | None, str | None]]:
    with closing(sqlite3.connect(path)) as connection:
        return connection.execute("SELECT field, old, new FROM changes ORDER BY id").fetchall()


def test_changed_fields_are_recorded_with_old_and_new_value(manager: CacheManager, clock: Clock) -> None:
    scan(manager, "pods", staged("pods", api_object("pods", "web-1", labels={"app": "web", "tier": "a"})))
    clock.now += 60
    after = api_object(
        "pods", "web-1", version=2, labels={"app": "web", "tier": "b"}, node="node-9", image="registry.example/app:2"
    )
    after["spec"]["containers"].pop()
    scan(manager, "pods", staged("pods", after))
    found = changes(manager.path)
    assert ("labels.tier", "a", "b") in found
    assert ("node", "node-1", "node-9") in found
    assert ("containers[app].image", "registry.example/app:1", "registry.example/app:2") in found
    assert ("containers[proxy]", "present", None) in found
    assert "resource_version" not in [field for field, _, _ in found]
    with closing(sqlite3.connect(manager.path)) as connection:
        row = connection.execute("SELECT DISTINCT kind, namespace, name, seen_at, resource_version FROM changes").fetchall()
    assert row == [("pods", "default", "web-1", START + 60, "2")]


def test_what_kubernetes_writes_for_itself_is_no_change(manager: CacheManager) -> None:
    first = api_object("services", "web", annotations={"control-plane.alpha.kubernetes.io/leader": "1"})
    second = api_object("services", "web", version=2, annotations={"control-plane.alpha.kubernetes.io/leader": "2"})
    second["metadata"]["managedFields"] = [{"manager": "kubelet"}]
    scan(manager, "services", staged("services", first))
    assert scan(manager, "services", staged("services", second)).changed == 1
    assert changes(manager.path) == []


def test_a_repeated_event_is_no_change(manager: CacheManager) -> None:
    event = api_object("events", "web-1.abc")
    scan(manager, "events", staged("events", event))
    event["metadata"]["resourceVersion"], event["count"] = "2", 17
    scan(manager, "events", staged("events", event))
    assert changes(manager.path) == []


def test_a_removed_object_moves_to_deleted_objects_with_its_last_row(manager: CacheManager, clock: Clock) -> None:
    scan(manager, "pods", staged("pods", api_object("pods", "web-1", restarts=3), api_object("pods", "web-2")))
    clock.now += 60
    assert scan(manager, "pods", staged("pods", api_object("pods", "web-2"))).removed == 1
    with closing(sqlite3.connect(manager.path)) as connection:
        ((kind, namespace, name, first_seen, deleted, row, manifest),) = connection.execute(
            "SELECT kind, namespace, name, first_seen_at, deleted_at, row, manifest FROM deleted_objects"
        ).fetchall()
        left = [connection.execute(f"SELECT count(*) FROM {table}").fetchone()[0] for table in ("pods", "containers", "labels")]
    assert (kind, namespace, name, first_seen, deleted) == ("pods", "default", "web-1", START, START + 60)
    last = json.loads(row)
    assert (last["restarts"], last["healthy"], last["labels"]) == (3, True, {"app": "web"})
    assert [container["name"] for container in last["containers"]] == ["app", "proxy"]
    assert manifest
    assert left == [1, 2, 1]


def test_an_object_that_comes_back_is_no_longer_deleted(manager: CacheManager) -> None:
    page = staged("pods", api_object("pods", "web-1"))
    scan(manager, "pods", page)
    scan(manager, "pods", [])
    scan(manager, "pods", page)
    with closing(sqlite3.connect(manager.path)) as connection:
        assert connection.execute("SELECT count(*) FROM deleted_objects").fetchone() == (0,)


def test_a_quantity_is_recorded_as_written_and_not_a_second_time(manager: CacheManager) -> None:
    first, second = api_object("pods", "web-1"), api_object("pods", "web-1", version=2)
    second["spec"]["containers"][0]["resources"]["requests"] = {"cpu": "1", "memory": "1Gi", "ephemeral-storage": "2Gi"}
    scan(manager, "pods", staged("pods", first))
    scan(manager, "pods", staged("pods", second))
    assert changes(manager.path) == [
        ("containers[app].cpu_request", "100m", "1"),
        ("containers[app].memory_request", "128Mi", "1Gi"),
        ("containers[app].ephemeral_request", None, "2Gi"),
    ]


def test_a_list_records_who_wrote_an_object_last(manager: CacheManager) -> None:
    scan(manager, "pods", staged("pods", api_object("pods", "web-1"), api_object("pods", "web-2")))
    moved = staged("pods", *(api_object("pods", f"web-{n}", version=2, node="node-2") for n in (1, 2)))
    scan(manager, "pods", [replace(moved[0], manager="kubectl"), moved[1]])
    with closing(sqlite3.connect(manager.path)) as connection:
        assert connection.execute("SELECT name, manager FROM changes").fetchall() == [("web-1", "kubectl"), ("web-2", None)]
