"""The kind declarations: reading objects, columns, order, and what the declaration hash notices."""

from __future__ import annotations

import dataclasses
import os
import subprocess
import sys
from typing import Any

import pytest

from configuration.errors import ConfigurationError, UnknownKind
from kinds.deployments import DEPLOYMENTS
from kinds.envelope import live
from kinds.events import EVENTS
from kinds.jobs import JOBS
from kinds.kind import Kind, row
from kinds.list_query import ListQuery
from kinds.metadata import conditions
from kinds.nodes import NODES
from kinds.pods import PODS, PodRecord
from kinds.record import sort_key
from kinds.registry import KINDS, counted_kind, find_kind
from kinds.services import SERVICES
from mcp_tools.text_tables import rows_as_text

META = {"name": "web", "namespace": "shop", "uid": "u1", "resourceVersion": "7", "creationTimestamp": "2026-01-02T03:04:05Z"}


def pod(spec: dict[str, Any] | None = None, status: dict[str, Any] | None = None, **meta: Any) -> PodRecord:
    record = PODS.read({"metadata": META | meta, "spec": {"containers": [{"name": "a"}]} | (spec or {}), "status": status or {}})
    assert isinstance(record, PodRecord)
    return record


@pytest.mark.parametrize("kind", KINDS.values(), ids=lambda kind: kind.name)
def test_every_kind_reads_an_object_that_has_nothing_but_a_name_and_a_uid(kind: Kind) -> None:
    record = kind.read({"metadata": {"name": "x", "uid": "u"}})
    assert (record.name, record.uid, record.created_at, record.labels) == ("x", "u", None, {})


@pytest.mark.parametrize("kind", KINDS.values(), ids=lambda kind: kind.name)
def test_every_kind_reads_an_object_whose_spec_and_status_are_null(kind: Kind) -> None:
    assert kind.read({"metadata": {"name": "x", "uid": "u"}, "spec": None, "status": None}).name == "x"


@pytest.mark.parametrize("kind", KINDS.values(), ids=lambda kind: kind.name)
def test_an_object_without_a_uid_cannot_be_read(kind: Kind) -> None:
    with pytest.raises(KeyError):
        kind.read({"metadata": {"name": "x"}})


@pytest.mark.parametrize("kind", KINDS.values(), ids=lambda kind: kind.name)
def test_list_columns_filters_and_docs_speak_of_columns_that_exist(kind: Kind) -> None:
    assert set(kind.list_columns) <= set(kind.columns_by_name)
    assert set(kind.filters.values()) <= set(kind.columns_by_name)
    assert all(column.doc for column in kind.columns)
    assert all(column.doc for side in kind.side_tables for column in side.columns)
    assert all(kind.columns_by_name[name].index for name in kind.filters.values() if name in ("status", "healthy", "node"))


@pytest.mark.parametrize(("name", "kind"), [("po", "pods"), ("Pod", "pods"), ("deploy", "deployments"), ("NS", "namespaces")])
def test_kinds_are_found_by_the_names_that_kubectl_knows(name: str, kind: str) -> None:
    assert find_kind(name).name == kind


def test_an_unknown_kind_is_answered_with_the_known_ones() -> None:
    with pytest.raises(UnknownKind, match=r"unknown kind 'gizmos'; known kinds: .*pods"):
        find_kind("gizmos")


def test_api_paths_are_those_of_the_kubernetes_api() -> None:
    assert PODS.api_path() == "/api/v1/pods"
    assert DEPLOYMENTS.api_path("shop", "web") == "/apis/apps/v1/namespaces/shop/deployments/web"
    assert NODES.api_path("ignored", "n1") == "/api/v1/nodes/n1"


def test_the_declaration_hash_changes_with_columns_and_with_the_revision() -> None:
    assert dataclasses.replace(PODS, revision=PODS.revision + 1).declaration_hash != PODS.declaration_hash
    assert dataclasses.replace(PODS, side_tables=()).declaration_hash != PODS.declaration_hash
    assert dataclasses.replace(PODS).declaration_hash == PODS.declaration_hash


def test_lists_are_in_the_order_of_storage_keys_not_of_namespace_then_name() -> None:
    assert sorted([("a", "x"), ("a-b", "x")], key=lambda pair: sort_key(*pair)) == [("a-b", "x"), ("a", "x")]


def test_a_filter_that_a_kind_does_not_know_is_refused_with_those_it_knows() -> None:
    with pytest.raises(ConfigurationError, match="cannot be filtered by colour; it knows: status, node"):
        ListQuery(kind=PODS, filters={"colour": "red"})


def test_rows_show_times_as_rfc_3339_and_keep_null_apart_from_false_and_zero() -> None:
    columns = ("created_at", "node", "automount_token", "restarts", "host_network", "host_pid")
    shown = row(PODS, pod(spec={"hostNetwork": False}, status={"phase": "Pending"}), columns)
    assert shown == {
        "created_at": "2026-01-02T03:04:05Z",
        "node": None,
        "automount_token": None,
        "restarts": 0,
        "host_network": False,
        "host_pid": None,
    }


@pytest.mark.parametrize(
    "text", ["2026-01-02T03:04:05Z", "2026-01-02T03:04:05", "2026-01-02 03:04:05.9", "2026-01-02T05:04:05+02:00"]
)
def test_a_time_without_a_zone_is_utc_wherever_this_runs(text: str) -> None:
    program = f"from kinds.times import to_time; print(to_time({text!r}))"
    environment = os.environ | {"TZ": "Asia/Tokyo"}
    printed = subprocess.run([sys.executable, "-c", program], env=environment, check=True, capture_output=True, text=True)
    assert int(printed.stdout) == 1767323045


@pytest.mark.parametrize("odd", ["false", "true", 0, 1, [], {}])
@pytest.mark.parametrize(
    ("kind", "spec"),
    [
        (KINDS["pods"], "hostNetwork"),
        (KINDS["pods"], "hostPID"),
        (KINDS["pods"], "hostIPC"),
        (KINDS["nodes"], "unschedulable"),
        (KINDS["deployments"], "paused"),
        (KINDS["jobs"], "suspend"),
        (KINDS["cronjobs"], "suspend"),
    ],
)
def test_what_is_no_boolean_is_never_read_as_true(kind: Kind, spec: str, odd: object) -> None:
    with pytest.raises(TypeError, match="not a boolean"):
        kind.read({"metadata": META, "spec": {spec: odd}})


def test_container_rows_tell_roles_apart_and_keep_quantities_raw_and_normalised() -> None:
    record = pod(
        spec={
            "containers": [
                {
                    "name": "a",
                    "image": "r/a:1",
                    "resources": {"requests": {"cpu": "250m", "memory": "1Gi"}, "limits": {"ephemeral-storage": "2G"}},
                    "env": [{"name": "DB_PASSWORD", "value": "hidden"}],
                }
            ],
            "initContainers": [{"name": "setup"}, {"name": "mesh", "restartPolicy": "Always"}],
            "ephemeralContainers": [{"name": "debug"}],
        },
        status={
            "containerStatuses": [
                {
                    "name": "a",
                    "restartCount": 3,
                    "ready": True,
                    "state": {"running": {"startedAt": "2026-01-02T03:04:06Z"}},
                    "lastState": {"terminated": {"reason": "OOMKilled", "exitCode": 137, "finishedAt": "2026-01-02T03:04:05Z"}},
                }
            ]
        },
    )
    roles = {container.name: container.role for container in record.containers}
    assert roles == {"a": "main", "setup": "init", "mesh": "sidecar", "debug": "ephemeral"}
    main = record.containers[0]
    assert (main.cpu_request, main.cpu_request_millicores, main.cpu_limit) == ("250m", 250, None)
    assert (main.memory_request_bytes, main.ephemeral_limit_bytes) == (1024**3, 2 * 10**9)
    assert (main.state, main.last_reason, main.last_exit_code, main.restarts) == ("running", "OOMKilled", 137, 3)
    assert main.env_names == ["DB_PASSWORD"]
    assert "hidden" not in repr(record)
    assert record.last_restart_at == main.last_finished_at


def test_volumes_are_named_by_type_and_source() -> None:
    record = pod(spec={"volumes": [{"name": "v", "persistentVolumeClaim": {"claimName": "data"}}, {"name": "t", "emptyDir": {}}]})
    assert record.volumes == [
        {"name": "v", "type": "persistentVolumeClaim", "source": "data"},
        {"name": "t", "type": "emptyDir", "source": None},
    ]


def test_a_running_phase_is_not_health() -> None:
    crashing = pod(
        status={
            "phase": "Running",
            "containerStatuses": [{"name": "a", "restartCount": 9, "state": {"waiting": {"reason": "CrashLoopBackOff"}}}],
        }
    )
    assert (crashing.status, crashing.healthy, crashing.ready) == ("CrashLoopBackOff", False, "0/1")
    finished = pod(status={"phase": "Succeeded", "containerStatuses": [{"name": "a", "state": {"terminated": {"exitCode": 0}}}]})
    assert finished.healthy


def test_a_deployment_is_healthy_only_when_its_present_spec_is_rolled_out() -> None:
    def deployment(**status: int) -> bool:
        obj = {"metadata": META | {"generation": 2}, "spec": {"replicas": 2}, "status": {"replicas": 2} | status}
        return bool(DEPLOYMENTS.read(obj).healthy)  # type: ignore[attr-defined]

    assert deployment(observedGeneration=2, updatedReplicas=2, availableReplicas=2)
    assert not deployment(observedGeneration=1, updatedReplicas=2, availableReplicas=2)
    assert not deployment(observedGeneration=2, updatedReplicas=1, availableReplicas=2)
    assert not deployment(observedGeneration=2, updatedReplicas=2, availableReplicas=2, replicas=3)


def test_a_node_under_pressure_is_not_healthy_and_a_cordoned_one_may_be() -> None:
    def node(conditions: dict[str, str], **spec: Any) -> Any:
        listed = [{"type": type_, "status": status} for type_, status in conditions.items()]
        return NODES.read({"metadata": META, "spec": spec, "status": {"conditions": listed}})

    assert not node({"Ready": "True", "DiskPressure": "True"}).healthy
    cordoned = node({"Ready": "True"}, unschedulable=True)
    assert (cordoned.status, cordoned.healthy) == ("Ready,SchedulingDisabled", True)
    assert node({"Ready": "Unknown"}).status == "NotReady"
    assert node({}).status == "Unknown"


def test_service_ports_and_selectors_read_as_kubectl_prints_them() -> None:
    record: Any = SERVICES.read(
        {
            "metadata": META,
            "spec": {
                "ports": [{"port": 80}, {"port": 443, "nodePort": 30443, "protocol": "TCP"}],
                "selector": {"b": "2", "a": "1"},
            },
        }
    )
    assert (record.ports, record.selector, record.headless) == ("80/TCP,443:30443/TCP", "a=1,b=2", False)


@pytest.mark.parametrize(
    ("spec", "status", "completions", "words"),
    [
        ({"completions": 3}, {"succeeded": 1}, "1/3", "Running"),
        ({"parallelism": 4}, {}, "0/1 of 4", "Running"),
        ({}, {"conditions": [{"type": "Failed", "status": "True"}]}, "0/1", "Failed"),
        ({}, {"conditions": [{"type": "Suspended", "status": "True"}]}, "0/1", "Suspended"),
    ],
)
def test_job_columns_read_as_kubectl_prints_them(spec: Any, status: Any, completions: str, words: str) -> None:
    record: Any = JOBS.read({"metadata": META, "spec": spec, "status": status})
    assert (record.completions, record.status) == (completions, words)


def test_an_event_series_counts_its_latest_occurrence() -> None:
    record: Any = EVENTS.read(
        {
            "metadata": META,
            "eventTime": "2026-01-01T00:00:00.5Z",
            "series": {"count": 5, "lastObservedTime": "2026-01-01T00:01:00Z"},
            "involvedObject": {"kind": "Pod", "name": "web"},
        }
    )
    assert (record.count, record.last_seen - record.first_seen, record.object_name) == (5, 60, "web")


@pytest.mark.parametrize(
    ("spec", "points", "external_ip"),
    [
        ({"type": "ClusterIP"}, [], None),
        ({"type": "ClusterIP", "externalIPs": ["192.0.2.2", "192.0.2.1"]}, [], "192.0.2.2,192.0.2.1"),
        ({"type": "LoadBalancer"}, [], "<pending>"),
        (
            {"type": "LoadBalancer", "externalIPs": ["192.0.2.1"]},
            [{"hostname": "lb"}, {"ip": "192.0.2.9"}],
            "192.0.2.9,lb,192.0.2.1",
        ),
        ({"type": "ExternalName", "externalName": "db.example"}, [], "db.example"),
    ],
)
def test_external_addresses_of_a_service_read_as_kubectl_prints_them(spec: Any, points: Any, external_ip: str | None) -> None:
    record: Any = SERVICES.read({"metadata": META, "spec": spec, "status": {"loadBalancer": {"ingress": points}}})
    assert record.external_ip == external_ip


def test_an_event_shows_its_message_without_the_blanks_around_it() -> None:
    record: Any = EVENTS.read({"metadata": META, "message": "\nback-off \n"})
    assert (record.message, record.count) == ("back-off", 1)


def test_conditions_without_a_type_are_passed_over() -> None:
    assert pod(status={"conditions": [{"status": "True"}, {"type": "Ready", "status": "True"}]}).conditions == {"Ready": "True"}


def test_the_type_of_a_condition_is_text_whatever_it_was() -> None:
    assert conditions({"status": {"conditions": [{"type": 7, "status": "True"}, {"status": "False"}]}}) == {"7": "True"}


def test_one_object_is_counted_in_the_singular() -> None:
    told = [counted_kind(number, name) for number, name in ((1, "pods"), (2, "pods"), (1, "networkpolicies"), (1, "ingresses"))]
    assert told == ["1 pod", "2 pods", "1 networkpolicy", "1 ingress"]
    assert counted_kind(1, "widgets.example.com") == "1 widgets.example.com"
    envelope = live("demo", "pods", now=0, shown=1, total=1, more=False)
    assert rows_as_text(["name"], [{"name": "a"}], envelope, "").startswith("1 of 1 pod in demo")
    assert rows_as_text(["name"], [{"name": "a"}], dataclasses.replace(envelope, total=2), "").startswith("1 of 2 pods in demo")
