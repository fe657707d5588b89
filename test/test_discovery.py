"""Which kinds a cluster serves, and what a name means there."""

from __future__ import annotations

import asyncio
import json
import os
from collections.abc import Awaitable, Callable, Iterable, Iterator
from pathlib import Path
from typing import Any, TypeVar

import pytest

from configuration.errors import ClusterError, K8sMcpError, KindNotServed, UnknownKind
from controlplane.control_plane import ControlPlane
from custom_resources import definition, installed
from kinds.registry import KINDS
from mcp_tools.discovery import ApiResource, Discovery, kind_of
from mcp_tools.k8s_api import Answer, ClusterApi, Clusters
from server_fixtures import ToolClient, text_of

GROUP = "discovery.example.com"
OTHER = "other.example.com"
Result = TypeVar("Result")


@pytest.fixture(scope="module")
def custom(control_plane: ControlPlane) -> Iterator[None]:
    definitions = (
        definition("widgets", GROUP, "Widget", versions=("v1beta1", "v1"), shortNames=["wd"]),
        definition("gadgets", GROUP, "Gadget", scope="Cluster"),
        definition("gadgets", OTHER, "Gadget"),
        definition("deployments", OTHER, "Deployment"),
    )
    with installed(control_plane.api, *definitions):
        yield


def ask(kubeconfig: Path, do: Callable[[ClusterApi], Awaitable[Result]]) -> Result:
    async def run() -> Result:
        clusters = Clusters({**os.environ, "KUBECONFIG": str(kubeconfig)}, version="test")
        try:
            return await do(clusters.api())
        finally:
            await clusters.close()

    return asyncio.run(run())


def named(found: tuple[ApiResource, ...], name: str) -> ApiResource:
    (one,) = [resource for resource in found if resource.full_name == name]
    return one


class OldServer:
    """An API server before 1.26: it knows nothing of aggregated discovery and ignores who asks for it."""

    def __init__(self, api: ClusterApi) -> None:
        self._api = api
        self.context = api.context
        self.asked: list[str] = []
        self.learn_without_namespaces = api.learn_without_namespaces

    async def get(self, path: str, *, doing: str, **_: Any) -> Answer:
        self.asked.append(path)
        if path.startswith("/apis/metrics.example.com"):
            raise ClusterError("503")
        answer = await self._api.get(path, doing=doing)
        if path == "/apis":
            groups = json.loads(answer.body)
            gone = {"name": "metrics.example.com", "versions": [{"version": "v1"}], "preferredVersion": {"version": "v1"}}
            return Answer(200, json.dumps(groups | {"groups": [gone, *groups["groups"]]}).encode())
        return answer


def test_every_kind_is_discovered_in_two_requests_with_its_preferred_version(control_plane: ControlPlane, custom: None) -> None:
    mark = control_plane.audit.mark()
    found = ask(control_plane.kubeconfig, lambda api: Discovery().served(api)).resources
    asked = [request.uri for request in control_plane.audit.requests(mark, user_agent="k8s-mcp/test")]
    assert sorted(asked) in ([], ["/api", "/apis"])  # the audit policy may leave discovery out
    assert named(found, f"widgets.{GROUP}") == ApiResource(
        "widgets",
        "Widget",
        GROUP,
        "v1",
        True,
        ("delete", "deletecollection", "get", "list", "patch", "create", "update", "watch"),
        ("wd",),
        "widget",
    )
    assert not named(found, f"gadgets.{GROUP}").namespaced
    assert named(found, "pods").short_names == ("po",)
    assert named(found, "horizontalpodautoscalers.autoscaling").version == "v2"
    assert not [one for one in found if "/" in one.name]


def test_an_old_api_server_is_asked_group_by_group_with_the_same_outcome(control_plane: ControlPlane, custom: None) -> None:
    async def both(api: ClusterApi) -> tuple[Any, Any]:
        return await Discovery().served(api), await Discovery().served(OldServer(api))  # type: ignore[arg-type]

    new, old = ask(control_plane.kubeconfig, both)
    assert {(one.full_name, one.version, one.kind, one.namespaced, one.short_names) for one in old.resources} == {
        (one.full_name, one.version, one.kind, one.namespaced, one.short_names) for one in new.resources
    }
    assert old.unknown_groups == ("metrics.example.com/v1",)


def test_an_answer_is_kept_for_five_minutes_and_asked_again_for_names_that_are_new(control_plane: ControlPlane) -> None:
    now = 1000.0
    discovery = Discovery(clock=lambda: now)

    async def run(api: ClusterApi) -> list[int]:
        nonlocal now
        server = OldServer(api)
        rounds = []
        for seconds, unknown in ((0, False), (299, False), (2, False), (5, True), (6, True)):
            now += seconds
            await discovery.served(server)  # type: ignore[arg-type]
            if unknown:
                with pytest.raises(UnknownKind):
                    await discovery.kind(server, "gizmos")  # type: ignore[arg-type]
            rounds.append(server.asked.count("/apis"))
        return rounds

    assert ask(control_plane.kubeconfig, run) == [1, 1, 2, 2, 3]


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("pods", ("pods", "v1", "pods")),
        ("deploy", ("deployments", "apps/v1", "deployments")),
        ("Deployments.apps", ("deployments", "apps/v1", "deployments")),
        (f"deployments.{OTHER}", (f"deployments.{OTHER}", f"{OTHER}/v1", "deployments")),
        (f"widgets.{GROUP}", (f"widgets.{GROUP}", f"{GROUP}/v1", "widgets")),
        ("widgets", (f"widgets.{GROUP}", f"{GROUP}/v1", "widgets")),
        ("widget", (f"widgets.{GROUP}", f"{GROUP}/v1", "widgets")),
        ("WD", (f"widgets.{GROUP}", f"{GROUP}/v1", "widgets")),
        (f"gadgets.{GROUP}", (f"gadgets.{GROUP}", f"{GROUP}/v1", "gadgets")),
        ("leases", ("leases.coordination.k8s.io", "coordination.k8s.io/v1", "leases")),
        ("podtemplates", ("podtemplates", "v1", "podtemplates")),
    ],
)
def test_a_name_means_what_kubectl_takes_it_for(
    control_plane: ControlPlane, custom: None, name: str, expected: tuple[str, str, str]
) -> None:
    kind = ask(control_plane.kubeconfig, lambda api: Discovery().kind(api, name))
    assert (kind.name, kind.api_version, kind.resource) == expected
    assert kind.generic == (kind.name not in KINDS)


@pytest.mark.parametrize(
    ("name", "error", "words"),
    [
        ("gizmos", UnknownKind, "nor is it a plural, singular, short name or kind among the"),
        ("gadgets", UnknownKind, f"ambiguous .* gadgets.{GROUP}, gadgets.{OTHER}"),
        ("gizmos.absent.example.com", KindNotServed, "serves no 'gizmos' in API group 'absent.example.com'"),
        (f"gizmos.{GROUP}", KindNotServed, "serves no 'gizmos'"),
        ("tokenreviews", UnknownKind, "unknown kind"),
        ("../../secrets", UnknownKind, "unknown kind"),
        ("", UnknownKind, "unknown kind"),
    ],
)
def test_a_name_that_means_nothing_or_several_is_refused_with_what_to_do(
    control_plane: ControlPlane, custom: None, name: str, error: type[K8sMcpError], words: str
) -> None:
    with pytest.raises(error, match=words):
        ask(control_plane.kubeconfig, lambda api: Discovery().kind(api, name))


def test_the_tool_lists_kinds_as_rows_filtered_by_group_and_name(tools: ToolClient, custom: None) -> None:
    (row,) = tools("k8s_list_api_resources", group=GROUP, name="wd")["rows"]
    assert (row["name"], row["kind"], row["group"], row["version"], row["namespaced"], row["short_names"]) == (
        "widgets",
        "Widget",
        GROUP,
        "v1",
        True,
        ["wd"],
    )
    assert {one["group"] for one in tools("k8s_list_api_resources", group="core")["rows"]} == {""}
    assert f"gadgets.{OTHER}\tGadget\tv1\ttrue\t-" in text_of(tools.result("k8s_list_api_resources", max_tokens=50_000))


def test_lists_pages_and_objects_of_kinds_that_are_not_declared(
    tools: ToolClient, control_plane: ControlPlane, custom: None
) -> None:
    namespace = control_plane.create_namespace("generic-tools")
    body = {
        "apiVersion": f"{GROUP}/v1",
        "kind": "Widget",
        "metadata": {"name": "one", "labels": {"a": "b"}},
        "spec": {"size": 3, "password": "cnry-widget"},
        "status": {"phase": "Grown", "conditions": [{"type": "Ready", "status": "False", "reason": "Slow"}]},
    }
    control_plane.api.post(f"/apis/{GROUP}/v1/namespaces/{namespace}/widgets", body)
    listed = tools("k8s_list_resources", kind="wd", namespace=namespace)
    (row,) = listed["rows"]
    assert (row["name"], row["status_phase"], row["ready"], row["reason"]) == ("one", "Grown", False, "Slow")
    assert listed["envelope"]["kind"] == f"widgets.{GROUP}"
    assert tools("k8s_list_resources", kind="widgets", filters={"ready": True})["rows"] == []
    got = tools("k8s_get_resource", kind="widget", name="one", namespace=namespace)["manifest"]
    assert (got["spec"]["size"], "cnry-widget" in str(got)) == (3, False)
    page = json.loads(text_of(tools.result("k8s_export_page", kind=f"widgets.{GROUP}")))
    assert [one["metadata"]["name"] for one in page["objects"]] == ["one"]
    assert (page["kind"], page["managers"]) == (f"widgets.{GROUP}", ["testcluster"])
    control_plane.delete_namespace(namespace)


def test_kinds_that_are_declared_are_found_in_rows_as_themselves() -> None:
    assert kind_of(ApiResource("pods", "Pod", "", "v1", True, ("list",))) is KINDS["pods"]
    assert kind_of(ApiResource("pods", "Pod", "x.io", "v1", True, ("list",))).name == "pods.x.io"


@pytest.mark.parametrize(
    ("group", "name", "version"),
    [("", "../v1/secrets", "v1"), ("x.io/../..", "things", "v1"), ("x.io", "things", "v1/secrets"), ("x.io", "things?a=b", "v1")],
)
def test_names_that_would_lead_elsewhere_in_a_path_are_left_out(group: str, name: str, version: str) -> None:
    """They come from servers behind the API server, which may say anything."""

    class Aggregated:
        context = "odd"

        def learn_without_namespaces(self, kinds: Iterable[tuple[str, str]]) -> None:
            assert list(kinds) == [("fine.io", "fine")]

        async def get(self, path: str, **_: Any) -> Answer:
            resource = {"resource": name, "responseKind": {"kind": "Thing"}, "scope": "Namespaced", "verbs": ["list"]}
            fine = {"resource": "fine", "responseKind": {"kind": "Fine"}, "scope": "Cluster", "verbs": ["list"]}
            odd = {"metadata": {"name": group}, "versions": [{"version": version, "resources": [resource]}]}
            good = {"metadata": {"name": "fine.io"}, "versions": [{"version": "v1", "resources": [fine, None, {"resource": 1}]}]}
            items = [odd, good, None, {"versions": "x"}] if path == "/apis" else []
            return Answer(200, json.dumps({"kind": "APIGroupDiscoveryList", "items": items}).encode())

    found = asyncio.run(Discovery().served(Aggregated()))  # type: ignore[arg-type]
    assert [one.full_name for one in found.resources] == ["fine.fine.io"]
