"""Changes a real cluster, one request at a time, and writes down in a ledger what became of each."""

from __future__ import annotations

import itertools
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

from cluster_ledger import Ledger
from controlplane.api_client import ApiClient, ApiError
from controlplane.polling import wait_until

Object = dict[str, Any]
WIDGETS = "widgets.proof.example.com"
WIDGET_DEFINITION: Object = {
    "metadata": {"name": WIDGETS},
    "spec": {
        "group": "proof.example.com",
        "scope": "Namespaced",
        "names": {"plural": "widgets", "singular": "widget", "kind": "Widget", "listKind": "WidgetList"},
        "versions": [
            {
                "name": "v1",
                "served": True,
                "storage": True,
                "schema": {"openAPIV3Schema": {"type": "object", "x-kubernetes-preserve-unknown-fields": True}},
            }
        ],
    },
}
COLLECTIONS: Mapping[str, str] = {
    "configmaps": "/api/v1/namespaces/{}/configmaps",
    "secrets": "/api/v1/namespaces/{}/secrets",
    "pods": "/api/v1/namespaces/{}/pods",
    "deployments": "/apis/apps/v1/namespaces/{}/deployments",
    WIDGETS: "/apis/proof.example.com/v1/namespaces/{}/widgets",
}
"""Where objects of a kind are, by namespace. Without controllers nobody else touches them."""
WHOLE: Mapping[str, str] = {"namespaces": "/api/v1/namespaces"} | {
    kind: path.replace("/namespaces/{}", "") for kind, path in COLLECTIONS.items()
}
"""Where they are all listed."""


class ClusterDriver:
    """`kinds` are plural names from WHOLE. Requests take turns, so that the ledger has them in the order of their effect."""

    def __init__(self, api: ApiClient, kinds: Sequence[str]) -> None:
        self.kinds = tuple(kinds)
        self.namespaced = tuple(kind for kind in kinds if kind in COLLECTIONS)
        self.ledger = Ledger(kinds)
        self._api = api
        self._turn = threading.RLock()
        self._numbers = itertools.count(1)
        self._objects: dict[tuple[str, str, str], str] = {}
        """(kind, namespace, name) -> uid"""
        for kind in kinds:
            self.ledger.begin(kind, self.listed(kind))

    def listed(self, kind: str) -> dict[str, str]:
        """uid -> resourceVersion of everything there is, from the API server."""
        return {item["metadata"]["uid"]: item["metadata"]["resourceVersion"] for item in self._items(kind)}

    def labels(self, kind: str) -> set[tuple[str, str, str]]:
        """(uid, key, value)"""
        return {
            (item["metadata"]["uid"], key, value)
            for item in self._items(kind)
            for key, value in item["metadata"].get("labels", {}).items()
        }

    def columns(self, kind: str) -> set[tuple[str, str, str]]:
        """(uid, column, value): `name`, a Deployment's `replicas`, and the image of each container of a pod."""
        found = set()
        for item in self._items(kind):
            uid, spec = item["metadata"]["uid"], item.get("spec", {})
            found.add((uid, "name", item["metadata"]["name"]))
            if kind == "deployments":
                found.add((uid, "replicas", str(spec["replicas"])))
            if kind == "pods":
                found |= {(uid, f"image of {container['name']}", container["image"]) for container in spec["containers"]}
        return found

    @contextmanager
    def standing_still(self) -> Iterator[None]:
        """Nobody else changes anything meanwhile."""
        with self._turn:
            yield

    def exists(self, kind: str, namespace: str, name: str) -> bool:
        return (kind, namespace, name) in self._objects

    def create(self, kind: str, namespace: str, name: str) -> None:
        """Nothing happens when it is there already, or its namespace is not."""
        if self.exists(kind, namespace, name) or not self.exists("namespaces", "", namespace):
            return
        body = new_object(kind, name, next(self._numbers))
        with self._turn:
            self._remember(kind, namespace, name, self._api.post(COLLECTIONS[kind].format(namespace), body))

    def update(self, kind: str, namespace: str, name: str) -> None:
        self._patch(kind, namespace, name, changed_fields(kind, next(self._numbers)))

    def label(self, kind: str, namespace: str, name: str, key: str, value: str | None) -> None:
        """Set a label, or take it away (None)."""
        self._patch(kind, namespace, name, {"metadata": {"labels": {key: value}}})

    def delete(self, kind: str, namespace: str, name: str) -> None:
        if (uid := self._objects.get((kind, namespace, name))) is None:
            return
        with self._turn:
            self.ledger.will_delete(uid)
            self._api.delete(f"{COLLECTIONS[kind].format(namespace)}/{name}?gracePeriodSeconds=0")
            self.ledger.deleted(kind, uid)
            del self._objects[kind, namespace, name]

    def create_namespace(self, name: str) -> None:
        """With the account that pods need."""
        if self.exists("namespaces", "", name):
            return
        with self._turn:
            self._remember("namespaces", "", name, self._api.post("/api/v1/namespaces", {"metadata": {"name": name}}))
            self._api.post(f"/api/v1/namespaces/{name}/serviceaccounts", {"metadata": {"name": "default"}})

    def delete_namespace(self, name: str) -> None:
        """What a namespace's controller does: it is marked, its objects go one by one, then it goes itself."""
        if (uid := self._objects.get(("namespaces", "", name))) is None:
            return
        with self._turn:
            self.ledger.will_delete(uid)
            self._note("namespaces", self._api.delete(f"/api/v1/namespaces/{name}"))
            for kind, namespace, object_name in [key for key in self._objects if key[1] == name]:
                self.delete(kind, namespace, object_name)
            self._api.delete(f"/api/v1/namespaces/{name}/serviceaccounts/default")
            body = {"metadata": {"name": name}, "spec": {"finalizers": []}}
            self._api.put(f"/api/v1/namespaces/{name}/finalize", body)
            self.ledger.deleted("namespaces", uid)
            del self._objects["namespaces", "", name]

    def delete_all(self) -> None:
        """Everything that this driver has made."""
        for _, _, name in [key for key in self._objects if key[0] == "namespaces"]:
            self.delete_namespace(name)

    def _patch(self, kind: str, namespace: str, name: str, body: Object) -> None:
        if not self.exists(kind, namespace, name):
            return
        with self._turn:
            self._note(kind, self._api.patch(f"{COLLECTIONS[kind].format(namespace)}/{name}", body))

    def _remember(self, kind: str, namespace: str, name: str, obj: Object) -> None:
        self._objects[kind, namespace, name] = obj["metadata"]["uid"]
        self._note(kind, obj)

    def _note(self, kind: str, obj: Object) -> None:
        """Only what is new: a patch that changes nothing leaves the version as it was."""
        metadata = obj["metadata"]
        if self.ledger.current(kind).get(metadata["uid"]) != metadata["resourceVersion"]:
            self.ledger.changed(kind, obj)

    def _items(self, kind: str) -> list[Object]:
        items: list[Object] = self._api.get(WHOLE[kind])["items"]
        return items


def new_object(kind: str, name: str, number: int) -> Object:
    metadata = {"name": name, "labels": {"app": name, "number": str(number)}}
    container = {"name": "app", "image": f"registry.example/app:{number}"}
    bodies: dict[str, Object] = {
        "configmaps": {"data": {"number": str(number)}},
        "secrets": {"type": "Opaque", "stringData": {"password": f"canary-{number}"}},
        "pods": {"spec": {"containers": [container]}},
        "deployments": {
            "spec": {
                "replicas": number % 4,
                "selector": {"matchLabels": {"app": name}},
                "template": {"metadata": {"labels": {"app": name}}, "spec": {"containers": [container]}},
            }
        },
        WIDGETS: {"apiVersion": "proof.example.com/v1", "kind": "Widget", "spec": {"size": number}},
    }
    return {"metadata": metadata} | bodies[kind]


def changed_fields(kind: str, number: int) -> Object:
    """A patch of something that is neither label nor annotation, where the kind lets one change."""
    bodies: dict[str, Object] = {
        "configmaps": {"data": {"number": str(number)}},
        "secrets": {"stringData": {f"key-{number % 3}": str(number)}},
        "pods": {"spec": {"activeDeadlineSeconds": 1_000_000 - number}},
        "deployments": {"spec": {"replicas": number % 7}},
        WIDGETS: {"spec": {"size": number}},
    }
    return bodies[kind]


def install_widgets(api: ApiClient) -> None:
    """The custom resource of the proofs; returns when it is served."""

    def is_served() -> bool:
        try:
            return "items" in api.get(WHOLE[WIDGETS])
        except ApiError:
            return False

    if not is_served():
        api.post("/apis/apiextensions.k8s.io/v1/customresourcedefinitions", WIDGET_DEFINITION)
        wait_until(is_served, "the custom resource of the proofs")
