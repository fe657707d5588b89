"""Values that arguments of our tools usually have, or that are nearly so: fuzzing begins from them, by argument name.

They fit the simulated cluster of src/demo.
"""

from __future__ import annotations

from typing import Any

CONFIG_MAP = """apiVersion: v1
kind: ConfigMap
metadata: {name: made, namespace: shop}
data: {a: b}
"""
MANIFESTS = (
    CONFIG_MAP, f"{CONFIG_MAP}---\n{CONFIG_MAP}", "apiVersion: v1\nkind: List\nitems: []\n", "a: &a [1]\nb: *a\n", "a: &a [*a]\n",
    "!!python/object/apply:os.system [x]", "--- \n...\n", '{"kind": "Pod", "apiVersion": 1}', "kind: Pod\nkind: Pod\n",
    "&a [*b]", "? {a: b}\n: c\n",
    "kind: {a: b}\napiVersion: [v1]\nmetadata: x\n",
    "apiVersion: v1\nkind: Nothing\nmetadata: {name: a}\n",
    "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: [a]}\n", "apiVersion: v1\nkind: ConfigMap\nmetadata:\n", "[" * 3000,
    "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: made}\ndata: {a: .nan, b: 1e999, c: 0o17, d: 2020-01-01}\n",
)  # fmt: skip
PATCHES = (
    {}, [], {"metadata": {"labels": {"a": "b"}}}, {"metadata": {"labels": None}}, {"metadata": 7}, {"spec": {"replicas": 2}},
    {"spec": {"template": {"spec": {"containers": [{"name": "web", "image": "x"}]}}}}, {"kind": "Secret", "apiVersion": "v9"},
    {"$patch": "delete"}, {"$setElementOrder/containers": [{}]}, {"metadata": {"name": "other", "uid": "x"}},
    {"data": {"a": None}},
    [{"op": "test", "path": "/metadata/name", "value": "x"}], [{"op": "add", "path": "/metadata/labels/a", "value": "b"}],
    [{"op": "remove", "path": ""}], [{"op": "move", "from": "/a", "path": "/b"}], [{"op": 7}], [7], [{"op": "copy"}],
    [{"op": "replace", "path": "/spec/replicas", "value": "many"}], {"status": {"a": {}}}, {"spec": None},
)  # fmt: skip
LIKELY: dict[str, tuple[Any, ...]] = {
    "namespace": ("", "shop", "payments", "kube-system", "nowhere"),
    "label_selector": ("", "app=checkout", "app in (checkout, cart),tier!=db", "!app", "a=b,", "app in ()", "a notin (b", "a>1"),
    "grep": ("error", "(?i)fail|timeout", "(a+)+$", "(.*)*x", "[", "^", "$", "\\bOOM",
             "(?P<a>x)(?P=a)", "\\1", "(?=a)", "a{99999}"),
    "since_time": ("2026-03-14T09:00:00Z", "2026-03-14T09:00:00+25:00", "yesterday",
                   "9999-12-31T23:59:59Z", "0001-01-01T00:00:00Z"),
    "container": ("", "*", "web", "app", "nothing"),
    "verb": ("", "get", "list", "*", "delete", "impersonate"),
    "resource": ("", "pods", "*", "deploy", "/metrics", "secrets", "nothing.example.com"),
    "subresource": ("", "log", "exec", "scale"),
    "path": ("", "spec", "spec.containers[0].image", "metadata.labels", "data['a.b']", "pods.spec.containers",
             "pods", "deploy.spec", "spec..", "[0]", "spec.containers[99999999999999999999]",
             "pods." + ".".join("spec" for _ in range(90))),
    "release": ("", "checkout", "shop", "nothing"),
    "only": ("", "Deployment/checkout", "a.b.c", "/", "Service/"),
    "reason": ("BackOff", "Unhealthy", "FailedScheduling"),
    "status": ("Running", "CrashLoopBackOff", "Ready", "Active"),
    "node": ("node-1", "null", ""),
    "group": ("", "apps", "core", "batch", "nothing.example.com"),
    "cursor": ("1", "48007", "48500", "9" * 20, "9" * 64, "a"),
    "continue_token": ("", "eyJ2IjoibWV0YS5rOHMuaW8vdjEiLCJydiI6NDgwMDcsInN0YXJ0IjoiYVx1MDAwMCJ9", "e30", "AAAA",
                       "=", "k8s-mcp:1:1"),
    "image": ("nginx", "nginx:1.29", "registry.example.com/a/b@sha256:" + "0" * 64),
    "manifest": MANIFESTS,
    "patch": PATCHES,
    "filters": ({}, {"healthy": False}, {"status": "Running"}, {"healthy": "false"},
                {"restarts": 10**18}, {"nothing": 1}, {"name": True}),
    "resource_version": ("", "1", "0", "48007", "x"),
    "uid": ("", "00000000-0000-0000-0000-000000000000", "x"),
    "command": (["true"], ["sh", "-c", "env"], []),
    "max_tokens": (200, 1000, 1001, 4000, 100_000),
}  # fmt: skip
LIKELY["until_time"] = LIKELY["since_time"]
LIKELY["namespaces"] = ([], ["shop"], ["shop", "nowhere"])
KINDS = (
    "pods", "po", "Pod", "deployments", "deploy", "statefulsets", "daemonsets", "services", "nodes", "namespaces", "events",
    "secrets", "configmaps", "jobs", "ingresses", "endpointslices.discovery.k8s.io", "nothing",
    "widgets.example.com", "pods.example.com",
)  # fmt: skip
