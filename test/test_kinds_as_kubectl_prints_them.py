"""Every declared kind against a real API server: the cells that kubectl prints, and the names that it knows."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

import pytest

from cache.cache_manager import CacheManager
from cache.cache_reader import CacheReader
from cache_fixtures import CLUSTER, scan, staged
from controlplane.control_plane import ControlPlane
from controlplane.polling import wait_until
from every_kind_of_object import KINDS, EveryKindOfObject, every_kind_of_object
from kinds.kind import Kind, row
from kinds.list_query import ListQuery
from kinds.storable_check import StorableCheck
from kinds_around_workloads import ALL_KINDS
from kubectl_cells import CELLS, PLACEHOLDERS, RELATIVE
from mcp_tools.object_forms import form_of

NAMESPACE = "kinds-as-printed"


@pytest.fixture(scope="module")
def objects(control_plane: ControlPlane) -> Iterator[EveryKindOfObject]:
    namespace = control_plane.create_namespace(NAMESPACE)
    control_plane.create_nodes(["cordoned"], labels={"node-role.kubernetes.io/edge": "", "kubernetes.io/role": "old"})
    control_plane.api.patch("/api/v1/nodes/cordoned", {"spec": {"unschedulable": True}})
    with every_kind_of_object(control_plane, namespace) as made:
        yield made
    control_plane.api.delete("/api/v1/nodes/cordoned")
    control_plane.delete_namespace(namespace)


def printed(cell: Any) -> Any:
    """Nothing is one thing here, whatever kubectl prints for it."""
    return None if cell in PLACEHOLDERS else cell


@pytest.mark.parametrize("kind", ALL_KINDS, ids=lambda kind: kind.name)
def test_columns_equal_the_cells_that_kubectl_prints(kind: Kind, objects: EveryKindOfObject) -> None:
    table = objects.api.get_table(kind.api_path(NAMESPACE))
    titles = [definition["name"] for definition in table["columnDefinitions"]]
    assert table["rows"], "nothing to compare"
    assert set(titles) - RELATIVE == set(CELLS[kind.name])
    for line in table["rows"]:
        record = kind.read(in_its_form(kind, line))
        for title, cell in zip(titles, line["cells"], strict=True):
            if title == "Restarts":
                assert_restarts(record, cell)
            elif title not in RELATIVE:
                assert printed(CELLS[kind.name][title](record)) == printed(cell), f"{title} of {record.name}"


def in_its_form(kind: Kind, line: dict[str, Any]) -> dict[str, Any]:
    if kind.name != "secrets":
        whole: dict[str, Any] = line["object"]
        return whole
    (secret,) = form_of(kind).event_objects({"kind": "Table", "rows": [line]})
    return secret


def assert_restarts(pod: Any, cell: str) -> None:
    """`5 (3m ago)`: the brackets are there exactly when we know when."""
    match = re.fullmatch(r"(\d+)( \(.+ ago\))?", cell)
    assert match, cell
    assert int(match[1]) == pod.restarts
    assert bool(match[2]) == bool(pod.restarts and pod.last_restart_at)


@pytest.mark.parametrize("kind", ALL_KINDS, ids=lambda kind: kind.name)
def test_records_of_real_objects_hold_what_their_columns_declare(kind: Kind, objects: EveryKindOfObject) -> None:
    found = objects.real(kind.name)
    assert found
    assert [StorableCheck(kind).complaint(kind.read(item)) for item in found] == [""] * len(found)


def test_real_objects_of_every_kind_read_back_from_the_cache_as_live_rows(
    objects: EveryKindOfObject, manager: CacheManager, reader: CacheReader
) -> None:
    for kind in ALL_KINDS:
        page = staged(kind, *objects.real(kind.name))
        scan(manager, kind, page)
        stored = reader.list(CLUSTER, ListQuery(kind, limit=1000)).rows
        assert stored == [row(kind, item.record) for item in page], kind.name


def test_declarations_agree_with_what_the_api_server_says_of_its_resources(objects: EveryKindOfObject) -> None:
    for kind in ALL_KINDS:
        root = kind.api_path().removesuffix(f"/{kind.name}")
        (found,) = [r for r in objects.api.get(root)["resources"] if r["name"] == kind.name]
        assert (found["kind"], found["namespaced"]) == (kind.kind, kind.namespaced)
        assert set(kind.aliases) == {found["singularName"], *found.get("shortNames", [])}, kind.name


def record(objects: EveryKindOfObject, kind: str, name: str) -> Any:
    return KINDS[kind].read(objects.get(kind, name))


def test_the_odd_pods_are_as_odd_as_they_were_meant_to_be(objects: EveryKindOfObject) -> None:
    table = objects.api.get_table(f"/api/v1/namespaces/{NAMESPACE}/pods")
    statuses = {line["cells"][2] for line in table["rows"]}
    assert {
        "CrashLoopBackOff",
        "OOMKilled",
        "ImagePullBackOff",
        "Init:CrashLoopBackOff",
        "Terminating",
        "SchedulingGated",
    } <= statuses
    meshed = record(objects, "pods", "meshed")
    assert (meshed.ready, meshed.restarts) == ("2/2", 2)


def test_endpoints_of_a_service_join_its_pods(objects: EveryKindOfObject) -> None:
    slices = [
        KINDS["endpointslices"].read(item) for item in objects.api.get(KINDS["endpointslices"].api_path(NAMESPACE))["items"]
    ]
    web: Any = next(slice_ for slice_ in slices if getattr(slice_, "service", None) == "web")
    pods = {item["metadata"]["uid"] for item in objects.api.get(KINDS["pods"].api_path(NAMESPACE))["items"]}
    assert (web.ready_endpoints, web.total_endpoints) == (2, 2)
    assert {endpoint.target_uid for endpoint in web.endpoint_rows} <= pods


def test_health_is_what_the_controllers_report(objects: EveryKindOfObject) -> None:
    assert record(objects, "persistentvolumeclaims", "bound").healthy
    assert not record(objects, "persistentvolumeclaims", "pending").healthy
    assert record(objects, "persistentvolumes", f"{NAMESPACE}-used").status == "Bound"
    assert record(objects, "poddisruptionbudgets", "web").healthy
    assert record(objects, "customresourcedefinitions", f"orders.{NAMESPACE}.example").healthy
    quota = {row.resource: row.used_normalised for row in record(objects, "resourcequotas", "shop").resources}
    assert quota["count/configmaps"] == 2  # ours and kube-root-ca.crt


def test_an_autoscaler_without_metrics_or_target_is_not_healthy_and_says_why(objects: EveryKindOfObject) -> None:
    def reasons() -> Any:
        seen = {name: record(objects, "horizontalpodautoscalers", name) for name in ("web", "many")}
        assert not any(autoscaler.healthy for autoscaler in seen.values())
        return all(a.reason for a in seen.values()) and {name: a.reason for name, a in seen.items()}

    found = wait_until(reasons, "the first look of the autoscaler's controller", timeout_seconds=60, interval_seconds=0.2)
    assert found == {"web": "FailedGetResourceMetric", "many": "FailedGetScale"}
