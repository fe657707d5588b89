"""What counts as a difference between a manifest and the live object, and what only looks like one."""

from __future__ import annotations

from typing import Any

import pytest

from mcp_tools.manifest_drift import comparable, drift_between


def spec(value: Any) -> dict[str, Any]:
    return {"apiVersion": "v1", "kind": "X", "metadata": {"name": "x"}, "spec": value}


SAME = {
    "defaults are filled in": ({"a": 1}, {"a": 1, "b": 2}),
    "null leaves it to the server": ({"a": None}, {"a": 5}),
    "null is not stored": ({"a": None}, {}),
    "zero values are not stored": ({"a": False, "b": 0, "c": "", "d": [], "e": {}}, {}),
    "a mapping of nothing": ({"securityContext": {"runAsUser": None, "x": {}}}, {}),
    "an empty string is filled in": ({"type": ""}, {"type": "ClusterIP"}),
    "quantities of the same size": (
        {"resources": {"limits": {"cpu": 0.5, "memory": "1024Mi"}, "requests": {"cpu": "1000m", "nvidia.com/gpu": 1}}},
        {"resources": {"limits": {"cpu": "500m", "memory": "1Gi"}, "requests": {"cpu": 1, "nvidia.com/gpu": "1"}}},
    ),
    "a size of storage": ({"resources": {"requests": {"storage": "1024Mi"}}}, {"resources": {"requests": {"storage": "1Gi"}}}),
    "a size limit": ({"emptyDir": {"sizeLimit": "1000Mi"}}, {"emptyDir": {"sizeLimit": "1048576000"}}),
    "containers in another order": (
        {"containers": [{"name": "a"}, {"name": "b"}]},
        {"containers": [{"name": "b", "x": 1}, {"name": "a"}]},
    ),
    "ports with defaults": ({"ports": [{"port": 80}]}, {"ports": [{"port": 80, "protocol": "TCP", "targetPort": 80}]}),
    "tolerations that admission appended": (
        {"tolerations": [{"key": "a"}]},
        {"tolerations": [{"key": "a", "operator": "Equal"}, {"key": "node.kubernetes.io/not-ready"}]},
    ),
    "two mounts of a volume": (
        {"volumeMounts": [{"name": "v", "mountPath": "/a"}, {"name": "v", "mountPath": "/b"}]},
        {"volumeMounts": [{"name": "v", "mountPath": "/b"}, {"name": "v", "mountPath": "/a", "readOnly": True}]},
    ),
}

DIFFERENT = {
    "another image": ({"image": "a:1"}, {"image": "a:2"}, ["spec.image"]),
    "a field that is gone": ({"paused": True}, {}, ["spec.paused"]),
    "zero where something is": ({"replicas": 0}, {"replicas": 3}, ["spec.replicas"]),
    "false where true is": ({"a": False}, {"a": True}, ["spec.a"]),
    "true is not one": ({"a": True}, {"a": 1}, ["spec.a"]),
    "true in a list is not one": ({"a": [{"b": True}]}, {"a": [{"b": 1}]}, ["spec.a[0].b"]),
    "another quantity": ({"limits": {"cpu": "1"}}, {"limits": {"cpu": "2"}}, ["spec.limits.cpu"]),
    "no quantity at all": ({"size": "1Gi"}, {"size": "1024Mi"}, ["spec.size"]),
    "a container that is gone": (
        {"containers": [{"name": "a"}, {"name": "b"}]},
        {"containers": [{"name": "a"}]},
        ["spec.containers[b]"],
    ),
    "a field in a named item": (
        {"containers": [{"name": "a", "image": "x"}, {"name": "b", "image": "y"}]},
        {"containers": [{"name": "b", "image": "z"}, {"name": "a", "image": "x"}]},
        ["spec.containers[b].image"],
    ),
    "one argument more": ({"args": ["a"]}, {"args": ["a", "b"]}, ["spec.args"]),
    "arguments in another order": ({"args": ["a", "b"]}, {"args": ["b", "a"]}, ["spec.args[0]", "spec.args[1]"]),
    "a rule that somebody added": ({"rules": [{"a": ["b"]}]}, {"rules": [{"a": ["b"]}, {"a": ["*"]}]}, ["spec.rules"]),
    "a port that somebody added": ({"ports": [{"port": 80}]}, {"ports": [{"port": 80}, {"port": 81}]}, ["spec.ports[81]"]),
    "an opening where none was": ({"ingress": []}, {"ingress": [{"from": []}]}, ["spec.ingress"]),
    "an env variable emptied in the manifest": (
        {"env": [{"name": "A", "value": ""}]},
        {"env": [{"name": "A", "value": "x"}]},
        ["spec.env[A].value"],
    ),
    "another type": ({"a": {"b": 1}}, {"a": "b"}, ["spec.a"]),
}  # fmt: skip


@pytest.mark.parametrize(("wanted", "live"), SAME.values(), ids=list(SAME))
def test_what_the_api_server_writes_in_another_way_is_no_difference(wanted: Any, live: Any) -> None:
    assert drift_between(spec(wanted), spec(live)).differences == []


@pytest.mark.parametrize(("wanted", "live", "paths"), DIFFERENT.values(), ids=list(DIFFERENT))
def test_what_somebody_changed_is_named_by_its_path(wanted: Any, live: Any, paths: list[str]) -> None:
    assert [one.path for one in drift_between(spec(wanted), spec(live)).differences] == paths


def test_what_was_added_is_told_apart() -> None:
    wanted = spec({"containers": [{"name": "a", "env": [{"name": "A"}]}]})
    live = spec({"containers": [{"name": "a", "env": [{"name": "A"}, {"name": "B"}]}, {"name": "sidecar"}]})
    found = drift_between(wanted, live)
    assert found.differences == []
    assert found.added == ["spec.containers[a].env[B]", "spec.containers[sidecar]"]


@pytest.mark.parametrize(
    ("wanted", "live", "paths", "added"),
    [
        ({"a": "1Gi"}, {"a": "1024Mi"}, ["data.a"], []),
        ({"a": ""}, {"a": "x"}, ["data.a"], []),
        ({"a": "x"}, {"a": "x", "b": "y"}, [], ["data.b"]),
        ({"a": "x"}, {}, ["data.a"], []),
    ],
)
def test_data_is_compared_to_the_letter(wanted: Any, live: Any, paths: list[str], added: list[str]) -> None:
    head = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "x"}}
    found = drift_between(head | {"data": wanted}, head | {"data": live})
    assert [one.path for one in found.differences] == paths
    assert found.added == added


def test_identity_and_bookkeeping_are_not_compared() -> None:
    wanted = spec({}) | {
        "apiVersion": "v1beta1",
        "status": {"a": 1},
        "metadata": {"name": "x", "creationTimestamp": "x", "labels": {"a": "b"}},
    }
    live = spec({}) | {"metadata": {"name": "x", "uid": "u", "labels": {"a": "c", "d": "e"}}}
    assert [one.path for one in drift_between(wanted, live).differences] == ["metadata.labels.a"]


def test_a_secret_is_compared_as_it_is_stored() -> None:
    written = {"apiVersion": "v1", "kind": "Secret", "stringData": {"a": "x"}, "data": {"a": "b2xk", "b": "aGVs\nbG8=\n"}}
    assert comparable(written) == {"apiVersion": "v1", "kind": "Secret", "data": {"a": "eA==", "b": "aGVsbG8="}}
