"""The fault-injecting proxy that the proofs stand on: each fault does what it says, in front of a real API server."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import urllib3
import yaml

from fault_proxy import Fault, FaultProxy, verb_of

CONFIGMAPS = "/api/v1/configmaps"


@pytest.fixture
def proxy(control_plane: Any, tmp_path: Path) -> Iterator[FaultProxy]:
    with FaultProxy(control_plane.kubeconfig, tmp_path / "proxy", longest_seconds=120) as proxy:
        yield proxy


class Client:
    """Plain HTTP with the proxy's kubeconfig and nothing else."""

    def __init__(self, proxy: FaultProxy) -> None:
        document = yaml.safe_load(proxy.kubeconfig.read_text())
        headers = {"Authorization": f"Bearer {document['users'][0]['user']['token']}"}
        ca = str(proxy.kubeconfig.with_name("ca.crt"))
        self.address = proxy.address
        self.pool = urllib3.PoolManager(ca_certs=ca, retries=False, timeout=5, headers=headers)

    def get(self, path: str, **options: Any) -> Any:
        return self.pool.request("GET", self.address + path, **options)

    def names(self, path: str) -> list[str]:
        answer = self.get(path)
        assert answer.status == 200, answer.data
        return [item["metadata"]["name"] for item in answer.json()["items"]]


@pytest.fixture
def client(proxy: FaultProxy) -> Client:
    return Client(proxy)


def configmap(control_plane: Any, namespace: str, name: str) -> dict[str, Any]:
    made: dict[str, Any] = control_plane.api.post(f"/api/v1/namespaces/{namespace}/configmaps", {"metadata": {"name": name}})
    return made


def test_requests_pass_with_their_credentials_and_are_recorded(proxy: FaultProxy, client: Client) -> None:
    assert "kube-system" in client.names("/api/v1/namespaces?limit=500")
    (recorded,) = proxy.requests
    assert (recorded.verb, recorded.path, recorded.query, recorded.status) == ("list", "/api/v1/namespaces", "limit=500", 200)
    assert recorded.bytes_sent > 100
    assert client.get(CONFIGMAPS, headers={"Authorization": "Bearer wrong"}).status == 401


@pytest.mark.parametrize(
    ("method", "path", "query", "verb"),
    [
        ("GET", "/api/v1/pods", "limit=5", "list"),
        ("GET", "/api/v1/namespaces", "", "list"),
        ("GET", "/api/v1/namespaces/shop", "", "get"),
        ("GET", "/api/v1/namespaces/shop/pods", "watch=true&limit=1", "watch"),
        ("GET", "/apis/apps/v1/namespaces/shop/deployments/web", "", "get"),
        ("GET", "/apis/apps/v1/deployments", "allowWatchBookmarks=true&watch=1", "watch"),
        ("GET", "/version", "", "get"),
        ("PATCH", "/api/v1/namespaces/shop/pods/x", "", "patch"),
    ],
)
def test_verbs_are_those_that_rbac_knows(method: str, path: str, query: str, verb: str) -> None:
    assert verb_of(method, path, query) == verb


def test_a_status_is_answered_as_often_as_it_was_asked_for(proxy: FaultProxy, client: Client) -> None:
    proxy.inject(Fault(action="status", status=429, retry_after=1, path="*/configmaps", count=2))
    refused = [client.get(CONFIGMAPS) for _ in range(3)]
    assert [one.status for one in refused] == [429, 429, 200]
    assert refused[0].headers["Retry-After"] == "1"
    assert refused[0].json()["reason"] == "TooManyRequests"
    assert client.get("/api/v1/namespaces").status == 200


def test_pages_are_cut_to_size_and_a_continue_token_can_expire(proxy: FaultProxy, client: Client) -> None:
    proxy.page_limit = 2
    page = client.get("/api/v1/namespaces?limit=500").json()
    assert len(page["items"]) == 2
    proxy.inject(Fault(action="status", status=410, verb="list", continued=True))
    following = f"/api/v1/namespaces?limit=500&continue={page['metadata']['continue']}"
    assert client.get("/api/v1/namespaces?limit=500").status == 200
    assert client.get(following).status == 410
    assert client.get(following).status == 200


def test_half_a_page_arrives_as_a_broken_connection(proxy: FaultProxy, client: Client) -> None:
    proxy.inject(Fault(action="half page"))
    with pytest.raises(urllib3.exceptions.HTTPError):
        client.get("/api/v1/namespaces")
    assert client.names("/api/v1/namespaces")


def test_a_hanging_request_goes_on_when_the_fault_is_cleared(proxy: FaultProxy, client: Client) -> None:
    fault = proxy.inject(Fault(action="hang", path="*/configmaps"))
    with pytest.raises(urllib3.exceptions.ReadTimeoutError):
        client.get(CONFIGMAPS, timeout=0.3)
    assert fault.hits == 1
    proxy.clear()
    assert client.get(CONFIGMAPS).status == 200


def test_connections_are_refused_until_they_are_accepted_again(proxy: FaultProxy, client: Client) -> None:
    assert client.get(CONFIGMAPS).status == 200
    proxy.refuse()
    with pytest.raises(urllib3.exceptions.HTTPError, match="refused|aborted|reset"):
        client.get(CONFIGMAPS)
    with pytest.raises(urllib3.exceptions.HTTPError, match="refused"):
        client.get(CONFIGMAPS)
    proxy.accept()
    assert client.get(CONFIGMAPS).status == 200


class Watch:
    """An open watch of one namespace's ConfigMaps."""

    def __init__(self, client: Client, namespace: str) -> None:
        path = f"/api/v1/namespaces/{namespace}/configmaps"
        version = client.get(path).json()["metadata"]["resourceVersion"]
        self._answer = client.get(f"{path}?watch=true&resourceVersion={version}", preload_content=False)
        self._rest = b""

    def event(self) -> tuple[str, str]:
        """(type, name) of the next event."""
        while b"\n" not in self._rest:
            self._rest += self._answer.read1()
            assert self._rest, "the watch ended"
        line, self._rest = self._rest.split(b"\n", 1)
        event = json.loads(line)
        return event["type"], event["object"].get("metadata", {}).get("name", str(event["object"].get("code")))


def test_watch_events_are_swallowed_and_doubled(
    control_plane: Any, fresh_namespace: str, proxy: FaultProxy, client: Client
) -> None:
    watch = Watch(client, fresh_namespace)
    while True:  # the namespace's own kube-root-ca.crt may still come
        configmap(control_plane, fresh_namespace, f"seen-{time.monotonic_ns()}")
        if watch.event()[1].startswith("seen"):
            break
    proxy.inject(Fault(action="swallow", verb="watch", path="*/configmaps"))
    proxy.inject(Fault(action="duplicate", verb="watch", path="*/configmaps"))
    for name in ("lost", "twice", "last"):
        configmap(control_plane, fresh_namespace, name)
    names = []
    while not names or names[-1] != "last":
        names.append(watch.event()[1])
    assert [name for name in names if name in ("lost", "twice", "last")] == ["twice", "twice", "last"]


@pytest.mark.parametrize("action", ["cut", "cut line"])
def test_a_watch_breaks_at_an_event(
    control_plane: Any, fresh_namespace: str, proxy: FaultProxy, client: Client, action: Any
) -> None:
    watch = Watch(client, fresh_namespace)
    proxy.inject(Fault(action=action, verb="watch", path="*/configmaps"))
    configmap(control_plane, fresh_namespace, "one")
    with pytest.raises((urllib3.exceptions.HTTPError, AssertionError)):
        watch.event()


def test_a_watch_can_begin_with_an_error_event(fresh_namespace: str, proxy: FaultProxy, client: Client) -> None:
    proxy.inject(Fault(action="watch error", status=410, verb="watch"))
    assert Watch(client, fresh_namespace).event() == ("ERROR", "410")


def test_it_stops_by_itself(control_plane: Any, tmp_path: Path) -> None:
    with FaultProxy(control_plane.kubeconfig, tmp_path / "proxy", longest_seconds=0.2) as proxy:
        proxy._thread.join(10)
        assert not proxy._thread.is_alive()
