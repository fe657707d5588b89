"""Rules of a server: how they are written, which requests they are about, and that they hold for every tool."""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from configuration.errors import ClusterError, ConfigurationError, K8sMcpError, NotPermitted
from controlplane.control_plane import ControlPlane
from custom_resources import definition, installed
from mcp_tools.all_tools import ALL_TOOLS
from mcp_tools.api_targets import ApiTarget, api_target
from mcp_tools.discovery import Discovery
from mcp_tools.k8s_api import Clusters
from mcp_tools.object_counts import count_objects_at
from mcp_tools.request_guard import RequestGuard, ToolCall, during
from mcp_tools.server_address import ASKS_ITSELF, ONLY_READS
from mcp_tools.server_policy import ServerPolicy, policy_of, rules_of
from mcp_tools.settings import McpSettings
from mcp_tools.tool_loader import ToolLoader
from scripted_api import scripted_api
from server_fixtures import ToolClient, text_of

TOOLS = [tool.name for tool in ALL_TOOLS]
SELF = "/apis/authorization.k8s.io/v1"
PROJECT = "/apis/project.openshift.io/v1"


# --- which request is about what


@pytest.mark.parametrize(
    ("method", "path", "expected"),
    [
        ("GET", "/api/v1/pods", ("list", "", "pods", "", "", "")),
        ("GET", "/api/v1/namespaces/a/pods", ("list", "", "pods", "", "a", "")),
        ("GET", "/api/v1/namespaces/a/pods/p", ("get", "", "pods", "", "a", "p")),
        ("GET", "/api/v1/namespaces/a/pods/p/log", ("get", "", "pods", "log", "a", "p")),
        ("GET", "/api/v1/namespaces/a/pods/p/exec", ("connect", "", "pods", "exec", "a", "p")),
        ("POST", "/api/v1/namespaces/a/pods/p/exec", ("connect", "", "pods", "exec", "a", "p")),
        ("GET", "/api/v1/nodes/n/proxy/metrics/cadvisor", ("connect", "", "nodes", "proxy", "", "n")),
        ("GET", "/apis/k/v1/namespaces/a/vms/v/console", ("connect", "k", "vms", "console", "a", "v")),
        ("POST", "/api/v1/namespaces/a/serviceaccounts/s/token", ("connect", "", "serviceaccounts", "token", "a", "s")),
        ("POST", "/api/v1/namespaces/a/pods/p/eviction", ("create", "", "pods", "eviction", "a", "p")),
        ("GET", "/api/v1/namespaces", ("list", "", "namespaces", "", "", "")),
        ("DELETE", "/api/v1/namespaces/a", ("delete", "", "namespaces", "", "a", "a")),
        ("PUT", "/api/v1/namespaces/a/finalize", ("update", "", "namespaces", "finalize", "a", "a")),
        ("PATCH", "/apis/apps/v1/namespaces/a/deployments/d/scale", ("patch", "apps", "deployments", "scale", "a", "d")),
        ("DELETE", "/apis/apps/v1/namespaces/a/deployments", ("deletecollection", "apps", "deployments", "", "a", "")),
        ("DELETE", "/api/v1/nodes/n", ("delete", "", "nodes", "", "", "n")),
        ("GET", f"{PROJECT}/projects", ("list", "project.openshift.io", "projects", "", "", "")),
        ("DELETE", f"{PROJECT}/projects/a", ("delete", "project.openshift.io", "projects", "", "a", "a")),
        ("GET", "/apis/rbac.k8s.io/v1/clusterroles/system:node", ("get", "rbac.k8s.io", "clusterroles", "", "", "system:node")),
        ("GET", "/version", ("get", "", "", "", "", "")),
        ("GET", "/apis", ("get", "", "", "", "", "")),
        ("GET", "/apis/apps/v1", ("get", "", "", "", "", "")),
        ("GET", "/openapi/v3/apis/apps/v1", ("get", "", "", "", "", "")),
        ("POST", f"{SELF}/selfsubjectaccessreviews", ("create", "authorization.k8s.io", "selfsubjectaccessreviews", "", "", "")),
    ],
)  # fmt: skip
def test_a_request_is_read_as_the_api_server_reads_it(method: str, path: str, expected: tuple[str, ...]) -> None:
    found = api_target(method, path, (), "c")
    assert (found.verb, found.group, found.resource, found.subresource, found.namespace, found.name) == expected
    assert found.context == "c"


@pytest.mark.parametrize(
    ("watch", "verb"),
    [
        (None, "list"),
        ("1", "watch"),
        (1, "watch"),
        ("true", "watch"),
        ("", "watch"),
        ("yes", "watch"),
        ("0", "list"),
        ("false", "list"),
    ],
)
def test_a_watch_is_told_by_the_query(watch: Any, verb: str) -> None:
    query = [] if watch is None else [("watch", watch)]
    assert api_target("GET", "/api/v1/pods", query, "c").verb == verb


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("GET", "api/v1/pods"), ("GET", "/api/v1//pods"), ("GET", "/api/v1/pods/"), ("GET", "/api/v1/../v1/pods"),
        ("GET", "/api/v1/namespaces/a/../b/pods"), ("GET", "/api/v1/namespaces/./pods"), ("GET", "/api/v1/namespaces/a%2fb/pods"),
        ("GET", "/api/v1/namespaces/a\x00/pods"), ("GET", "/api/v1/namespaces/a\r\nX: y/pods"), ("GET", "/api/v1/pods?watch=1"),
        ("GET", "/api/v1/pods#x"), ("GET", "/api/v1/namespaces/A/pods"), ("GET", "/api/v1/namespaces/a/pods/p/log/more"),
        ("GET", "/api/v1/watch/pods"), ("GET", "/api/v1/proxy/nodes/n"), ("GET", "/api/v1/namespaces/a/Pods"), ("GET", "/"),
        ("GET", "/metrics/../api"), ("GET", "/logs/kubelet.log"), ("GET", "/debug/pprof"), ("GET", "/apis/-x/v1/pods"),
        ("POST", "/version"), ("DELETE", "/apis/apps"), ("PATCH", "/api/v1"), ("OPTIONS", "/api/v1/pods"),
        ("get", "/api/v1/pods"), ("CONNECT", "/api/v1/nodes/n"), ("GET", "/api/v1/namespaces/a/pods/…"),
        ("GET", "/api/v1/pods\\x"), ("HEAD", "/api/v1/pods"),
    ],
)  # fmt: skip
def test_what_is_not_plain_is_not_sent(method: str, path: str) -> None:
    with pytest.raises(NotPermitted) as caught:
        api_target(method, path, (), "c")
    assert caught.value.reason == "UnclearRequest"
    assert "\n" not in str(caught.value)
    assert "\x00" not in str(caught.value)


@pytest.mark.parametrize("name", ["dryRun", "fieldSelector", "labelSelector", "watch", "continue"])
def test_a_parameter_that_comes_twice_is_not_sent(name: str) -> None:
    with pytest.raises(NotPermitted):
        api_target("GET", "/api/v1/pods", [(name, "All"), (name, "x")], "c")


# --- rules


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("", "empty"), (";", "empty"), ("namespace=a;", "empty"), (" ", "empty"), ("namespace", "none of"),
        ("namespace=", "no value"),
        ("=a", "empty"), ("namespaces=a", "none of tool, namespace, kind, context"), ("Namespace=a", "none of"),
        ("tool=k8s_scal", "no tool"), ("tool=*", "no tool"), ("kind=deploymnets", "no kind"), ("kind=*", "no kind"),
        ("kind=pods/exec", "no kind"), ("kind=.", "no kind"), ("kind=a.b/c", "no kind"), ("namespace=A", "no namespace"),
        ("namespace=a/b", "no namespace"), ("namespace=a,namespace=b", "twice"), ("namespace=a b", "no namespace"),
        ("allow=namespace=a", "none of"), ("namespace=a,,kind=pods", "empty"),
    ],
)  # fmt: skip
def test_a_rule_that_is_none_shows_the_grammar(text: str, why: str) -> None:
    with pytest.raises(ConfigurationError) as caught:
        rules_of([text], "--deny", TOOLS)
    assert why in str(caught.value)
    assert "tool=k8s_scale,namespace=dev-*" in str(caught.value)
    assert "--deny" in str(caught.value)


@pytest.mark.parametrize(
    ("kind", "group", "resource"),
    [
        ("deploy", "apps", "deployments"), ("Deployment", "apps", "deployments"), ("deployments.apps", "apps", "deployments"),
        ("po", "", "pods"), ("endpoints", "", "endpoints"), ("widgets.example.com", "example.com", "widgets"),
        ("events", "events.k8s.io", "events"), ("events.events.k8s.io", "", "events"), ("pods", "metrics.k8s.io", "pods"),
        ("ns", "project.openshift.io", "projects"), ("projects.project.openshift.io", "", "namespaces"),
        ("rolebindings", "authorization.openshift.io", "rolebindings"),
    ],
)  # fmt: skip
def test_a_kind_may_be_named_as_for_kubectl(kind: str, group: str, resource: str) -> None:
    policy = ServerPolicy(deny=rules_of([f"kind={kind}"], "--deny", TOOLS))
    assert policy.denial("any", ApiTarget("get", "c", group, resource, "", "a", "x"))
    assert policy.denial("any", ApiTarget("patch", "c", group, resource, "status", "a", "x"))
    assert not policy.denial("any", ApiTarget("get", "c", group, "configmaps", "", "a", "x"))


def test_each_part_of_a_rule_narrows_it() -> None:
    policy = ServerPolicy(
        deny=rules_of(["tool=k8s_patch_resource,namespace=dev-*,kind=deploy,context=arn:aws:*/prod"], "--deny", TOOLS)
    )
    target = ApiTarget("patch", "arn:aws:eks:x/prod", "apps", "deployments", "", "dev-1", "web")
    assert policy.denial("k8s_patch_resource", target)
    assert not policy.denial("k8s_delete_resource", target)
    for change in (
        {"namespace": "dev"},
        {"namespace": ""},
        {"resource": "pods", "group": ""},
        {"context": "arn:aws:eks:x/prod2"},
    ):
        values = {name: getattr(target, name) for name in ApiTarget.__slots__} | change
        assert not policy.denial("k8s_patch_resource", ApiTarget(**values)), change


def test_flags_and_settings_add_up(monkeypatch: pytest.MonkeyPatch) -> None:
    settings = McpSettings(mcp_deny="namespace=a; kind=secrets", mcp_allow="namespace=dev-*")
    policy = policy_of(settings, TOOLS, deny=["namespace=b"], allow=["tool=k8s_patch_resource"])
    assert [rule.text for rule in policy.deny] == ["namespace=b", "namespace=a", "kind=secrets"]
    assert [rule.text for rule in policy.allow] == ["tool=k8s_patch_resource", "namespace=dev-*"]


@pytest.mark.parametrize(
    ("arguments", "environment", "words"),
    [
        (["--deny", ""], {}, "--deny"), (["--allow", "kind=podz"], {}, "no kind"), (["--deny", "tool=k8s_no"], {}, "no tool"),
        ([], {"MCP_DENY": "namespaze=a"}, "MCP_DENY"), ([], {"MCP_ALLOW": "namespace=a;"}, "MCP_ALLOW"),
        (["--denny", "namespace=a"], {}, "No such option"), (["--approval", "none"], {}, "none"),
        (["--read-only=false"], {}, "read-only"),
        (["--read-only", "--allow=namespace=a"], {}, "--allow does nothing beside --read-only"),
        (["--read-only", "--enable-exec"], {}, "--enable-exec does nothing beside --read-only"),
        (["--deny=namespace=a", "--approve"], {}, "No such option"),
    ],
)  # fmt: skip
def test_a_server_with_a_wrong_rule_does_not_start(
    arguments: list[str], environment: dict[str, str], words: str, tmp_path: Path
) -> None:
    ended = subprocess.run(
        [sys.executable, "-m", "mcp_tools", *arguments], capture_output=True, text=True, timeout=60, stdin=subprocess.DEVNULL,
        env={"PATH": "/usr/bin:/bin", "HOME": str(tmp_path), "REDACTION_KEY_FILE": str(tmp_path / "key"), **environment},
        check=False,
    )  # fmt: skip
    assert ended.returncode == 2, ended.stderr
    assert words in ended.stderr
    assert ended.stdout == ""
    assert not (tmp_path / "key").exists(), "nothing was written"


def test_a_denied_tool_is_not_there(tool_client: Callable[..., ToolClient], tmp_path: Path) -> None:
    policy = ServerPolicy(deny=rules_of(["tool=k8s_delete_resource", "tool=k8s_get_pod_logs,namespace=a"], "--deny", TOOLS))
    client = tool_client(tmp_path / "none", policy=policy)
    names = {tool.name for tool in client.gate().listed()}
    assert "k8s_delete_resource" not in names
    assert "k8s_get_pod_logs" in names
    assert client.error("k8s_delete_resource", kind="pods", name="x", namespace="a")["type"] == "UnknownTool"


# --- the guard


def judged(policy: ServerPolicy, method: str, path: str, query: Any = (), body: Any = None, call: ToolCall | None = None) -> Any:
    guard = RequestGuard(policy)
    with during(call or ToolCall("t", may_change=True)):
        return list(guard.judged(method, path, query, body, context="c", doing="do it"))


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ([], "metadata.namespace!=a,metadata.namespace!=b"),
        ([("fieldSelector", "spec.nodeName=n")], "metadata.namespace!=a,metadata.namespace!=b,spec.nodeName=n"),
        ([("fieldSelector", "x=y\\")], "metadata.namespace!=a,metadata.namespace!=b,x=y\\"),
        ([("fieldSelector", "")], "metadata.namespace!=a,metadata.namespace!=b"),
    ],
)
def test_a_list_of_all_namespaces_leaves_out_the_denied(query: Any, expected: str) -> None:
    policy = ServerPolicy(deny=rules_of(["namespace=a", "namespace=b,kind=pods", "namespace=c,kind=secrets"], "--deny", TOOLS))
    assert dict(judged(policy, "GET", "/api/v1/pods", query))["fieldSelector"] == expected
    assert judged(policy, "GET", "/api/v1/nodes") == []
    assert judged(policy, "GET", "/api/v1/namespaces/x/pods") == []
    assert judged(policy, "GET", "/api/v1/namespaces") == [("fieldSelector", "metadata.name!=a")]
    assert judged(policy, "POST", f"{SELF}/selfsubjectaccessreviews", body={}) == []
    with pytest.raises(NotPermitted):
        judged(policy, "DELETE", "/apis/example.com/v1/widgets", [("dryRun", "All")], {"dryRun": ["All"]})


def test_a_pattern_cannot_be_left_out_so_one_namespace_has_to_be_named() -> None:
    policy = ServerPolicy(deny=rules_of(["namespace=kube-*"], "--deny", TOOLS))
    for path in ("/api/v1/pods", "/api/v1/namespaces", "/apis/example.com/v1/widgets"):
        with pytest.raises(NotPermitted, match="name one namespace"):
            judged(policy, "GET", path)
    assert judged(policy, "GET", "/api/v1/namespaces/default/pods") == []
    with pytest.raises(NotPermitted, match="denied"):
        judged(policy, "GET", "/api/v1/namespaces/kube-system/pods")


@pytest.mark.parametrize(
    ("method", "path", "query", "body"),
    [
        ("POST", "/api/v1/namespaces/a/pods", [], {}),
        ("POST", "/api/v1/namespaces/a/pods", [("dryRun", "all")], {}),
        ("POST", "/api/v1/namespaces/a/pods", [("dryRun", "")], {}),
        ("POST", "/api/v1/namespaces/a/pods", [("dryrun", "All")], {"dryRun": ["All"]}),
        ("DELETE", "/api/v1/namespaces/a/pods/p", [("dryRun", "All")], {}),
        ("DELETE", "/api/v1/namespaces/a/pods/p", [], {"dryRun": ["All"]}),
        ("DELETE", "/api/v1/namespaces/a/pods/p", [("dryRun", "All")], {"dryRun": []}),
        ("POST", "/api/v1/namespaces/a/pods/p/exec", [("dryRun", "All")], {}),
        ("GET", "/api/v1/namespaces/a/pods/p/exec", [("dryRun", "All")], None),
        ("GET", "/api/v1/nodes/n/proxy/run/x", [], None),
        ("POST", "/api/v1/namespaces/a/serviceaccounts/s/token", [("dryRun", "All")], {}),
        ("POST", "/apis/authorization.k8s.io/v1/subjectaccessreviews", [], {}),
    ],
)
def test_what_would_change_something_is_not_sent_without_a_grant(method: str, path: str, query: Any, body: Any) -> None:
    for policy in (ServerPolicy(), ServerPolicy(read_only=True), ServerPolicy(allow=rules_of(["namespace=b"], "--allow", TOOLS))):
        with pytest.raises(Exception, match="cannot do it"):
            judged(policy, method, path, query, body)
    everything = ServerPolicy(approval="client")
    with pytest.raises(Exception, match="cannot do it"):
        judged(everything, method, path, query, body, ToolCall("t", may_change=True, only_trial=True))
    with pytest.raises(Exception, match="cannot do it"):
        judged(everything, method, path, query, body, ToolCall("t"))
    assert judged(everything, method, path, query, body) == list(query)


def test_a_tool_that_reads_may_not_even_try_a_change() -> None:
    query, body = [("dryRun", "All")], {"dryRun": ["All"]}
    assert judged(ServerPolicy(), "DELETE", "/api/v1/namespaces/a/pods/p", query, body) == query
    for policy, call in ((ServerPolicy(), ToolCall("t")), (ServerPolicy(read_only=True), ToolCall("t", may_change=True))):
        with pytest.raises(NotPermitted, match="only to read"):
            judged(policy, "DELETE", "/api/v1/namespaces/a/pods/p", query, body, call)


def test_what_a_call_leaves_running_may_change_nothing() -> None:
    guard = RequestGuard(ServerPolicy(approval="client"))

    async def run() -> None:
        go = asyncio.Event()

        async def later() -> None:
            await go.wait()
            guard.judged("POST", "/api/v1/namespaces/a/pods", (), {}, context="c", doing="do it")

        with during(ToolCall("t", may_change=True)):
            task = asyncio.create_task(later())
            await asyncio.sleep(0)
        go.set()
        with pytest.raises(NotPermitted, match="no tool call that is still running"):
            await task

    asyncio.run(run())


def test_the_name_of_a_new_object_is_part_of_what_is_granted() -> None:
    granted = ToolCall("t", may_change=True, granted=frozenset([ApiTarget("create", "c", "", "pods", "", "a", "shown")]))
    assert judged(ServerPolicy(), "POST", "/api/v1/namespaces/a/pods", [], {"metadata": {"name": "shown"}}, granted) == []
    other = ToolCall("t", may_change=True, granted=granted.granted)
    with pytest.raises(Exception, match="not what was approved"):
        judged(ServerPolicy(), "POST", "/api/v1/namespaces/a/pods", [], {"metadata": {"name": "other"}}, other)
    namespaces = ServerPolicy(deny=rules_of(["namespace=a"], "--deny", TOOLS))
    with pytest.raises(NotPermitted, match="denied"):
        judged(namespaces, "POST", "/api/v1/namespaces", [("dryRun", "All")], {"metadata": {"name": "a"}})


def test_a_project_of_openshift_is_the_namespace_of_its_name() -> None:
    denying = ServerPolicy(deny=rules_of(["namespace=a"], "--deny", TOOLS), approval="client")
    for method, path, body in (
        ("GET", f"{PROJECT}/projects/a", None),
        ("DELETE", f"{PROJECT}/projects/a", None),
        ("PATCH", f"{PROJECT}/projects/a", {}),
        ("POST", f"{PROJECT}/projects", {"metadata": {"name": "a"}}),
        ("POST", f"{PROJECT}/projectrequests", {"metadata": {"name": "a"}}),
    ):
        with pytest.raises(NotPermitted, match="denied"):
            judged(denying, method, path, body=body)
    assert judged(denying, "GET", f"{PROJECT}/projects/b") == []
    for query in ([], [("watch", "true")]):
        assert dict(judged(denying, "GET", f"{PROJECT}/projects", query))["fieldSelector"] == "metadata.name!=a"
    pattern = ServerPolicy(deny=rules_of(["namespace=a*"], "--deny", TOOLS))
    with pytest.raises(NotPermitted, match="name one namespace"):
        judged(pattern, "GET", f"{PROJECT}/projects")


def test_who_may_change_what_is_in_a_namespace_may_not_delete_its_project() -> None:
    for rule, permitted in (("namespace=a", False), ("namespace=a,kind=namespaces", True)):
        policy = ServerPolicy(allow=rules_of([rule], "--allow", TOOLS))
        assert policy.allows("t", api_target("DELETE", f"{PROJECT}/projects/a", (), "c")) is permitted, rule


def test_a_project_is_told_by_its_name_once() -> None:
    assert str(api_target("DELETE", f"{PROJECT}/projects/a", (), "c")) == "delete projects.project.openshift.io a"


# --- on a real API server


@pytest.fixture(scope="module")
def secretive(control_plane: ControlPlane) -> Any:
    """A namespace that the policy denies, with one object of several kinds in it; and one next to it."""
    names = []
    for name in ("policy-denied", "policy-open"):
        names.append(control_plane.create_namespace(name))
        api = control_plane.api
        api.post(
            f"/api/v1/namespaces/{name}/configmaps",
            {"metadata": {"name": "canary", "labels": {"policy": "x"}}, "data": {"a": "b"}},
        )
        api.post(f"/api/v1/namespaces/{name}/secrets", {"metadata": {"name": "canary"}, "stringData": {"a": "b"}})
    yield tuple(names)
    for name in names:
        control_plane.delete_namespace(name)


@pytest.fixture
def denying(control_plane: ControlPlane, tool_client: Callable[..., ToolClient]) -> Callable[..., ToolClient]:
    def make(*deny: str) -> ToolClient:
        policy = ServerPolicy(approval="client", deny=rules_of(deny, "--deny", TOOLS))
        return tool_client(control_plane.kubeconfig, policy=policy)

    return make


def test_answers_about_all_namespaces_say_which_ones_the_policy_leaves_out(
    denying: Any, control_plane: ControlPlane, secretive: tuple[str, str]
) -> None:
    denied, other = secretive
    client = denying(f"namespace={denied}")
    said = f"namespace {denied} is left out: this server's policy denies it"
    for tool, arguments in (
        ("k8s_list_resources", {"kind": "configmaps"}),
        ("k8s_list_resources", {"kind": "configmaps", "limit": 1}),
        ("k8s_list_resources", {"kind": "configmaps", "view": "summary"}),
        ("k8s_list_pods", {}),
        ("k8s_list_namespaces", {}),
        ("k8s_list_events", {}),
    ):
        result = client.result(tool, arguments)
        assert said in text_of(result), tool
        assert said in result.structured_content["envelope"]["note"], tool
    for arguments in ({"kind": "nodes"}, {"kind": "configmaps", "namespace": other}):
        assert "left out" not in text_of(client.result("k8s_list_resources", arguments))
    assert "left out" not in text_of(denying().result("k8s_list_namespaces"))
    names = {row["name"] for row in client("k8s_list_namespaces", view="rows", limit=500)["rows"]}
    assert denied not in names


def test_the_size_of_a_cluster_says_which_namespaces_are_not_counted(denying: Any, secretive: tuple[str, str]) -> None:
    denied, other = secretive
    result = denying(f"namespace={denied}").result("k8s_get_cluster_info")
    said = f"namespace {denied} is left out of the number of namespaces and pods: this server's policy denies it"
    assert said in text_of(result)
    assert result.structured_content["note"] == said
    differing = denying(f"namespace={denied},kind=pods", f"namespace={other}")("k8s_get_cluster_info")["note"]
    assert f"namespace {other} is left out of the number of namespaces" in differing
    assert f"namespaces {denied}, {other} are left out of the number of pods" in differing
    assert "note" not in denying(f"namespace={denied}")("k8s_get_cluster_info", count=False)
    assert denying("namespace=no-such-*")("k8s_get_cluster_info")["counts"]["pods"] is None


def test_every_kind_that_a_cluster_serves_can_still_be_listed(control_plane: ControlPlane) -> None:
    """Not every kind takes a selector by namespace, and what is in no namespace is listed whole."""

    async def run() -> dict[str, str]:
        policy = ServerPolicy(deny=rules_of(["namespace=policy-denied"], "--deny", TOOLS))
        narrow = Clusters({"KUBECONFIG": str(control_plane.kubeconfig)}, policy=policy)
        whole = Clusters({"KUBECONFIG": str(control_plane.kubeconfig)})
        served = await Discovery().served(narrow.api())
        listable = [one for one in served.resources if "list" in one.verbs]
        assert len(listable) > 40
        troubles = {}
        for one in listable:
            path = f"/apis/{one.group}/{one.version}/{one.name}" if one.group else f"/api/{one.version}/{one.name}"
            try:
                counts = [await count_objects_at(of.api(), path, doing="count") for of in (narrow, whole)]
            except ClusterError as error:
                troubles[one.full_name] = str(error)
                continue
            if not one.namespaced and one.name != "namespaces" and counts[0].count != counts[1].count:
                troubles[one.full_name] = str(counts)
        await narrow.close()
        await whole.close()
        return troubles

    troubles = asyncio.run(run())
    assert not troubles, "\n".join(troubles.values())


def test_lists_counts_and_pages_leave_out_a_denied_namespace(
    denying: Any, control_plane: ControlPlane, secretive: tuple[str, str]
) -> None:
    denied, other = secretive
    everything, client = denying(), denying(f"namespace={denied}")

    def names(of: ToolClient, kind: str) -> set[str]:
        return {row.get("namespace") or row["name"] for row in of("k8s_list_resources", kind=kind, limit=500)["rows"]}

    for kind in ("configmaps", "secrets", "serviceaccounts", "namespaces"):
        assert names(everything, kind) - names(client, kind) == {denied}, kind
        assert other in names(client, kind)
    selected = client("k8s_list_resources", kind="configmaps", label_selector="policy=x")
    assert {row["namespace"] for row in selected["rows"]} == {other}

    def count(of: ToolClient, kind: str) -> int:
        answer = json.loads(text_of(of.result("k8s_count_objects", counts=[{"kind": kind}])))
        return int(answer["results"][0]["count"])

    inside = len(control_plane.api.get(f"/api/v1/namespaces/{denied}/configmaps")["items"])
    assert count(everything, "configmaps") - count(client, "configmaps") == inside
    assert count(everything, "namespaces") - count(client, "namespaces") == 1

    page = json.loads(text_of(client.result("k8s_export_page", kind="configmaps", limit=1000)))
    assert {one["metadata"]["namespace"] for one in page["objects"]} >= {other}
    assert denied not in {one["metadata"]["namespace"] for one in page["objects"]}


def test_a_watch_of_all_namespaces_hears_nothing_of_a_denied_one(
    denying: Any, control_plane: ControlPlane, secretive: tuple[str, str]
) -> None:
    def heard(client: ToolClient) -> set[str]:
        start = control_plane.api.get("/api/v1/configmaps?limit=1")["metadata"]["resourceVersion"]
        for name in secretive:
            control_plane.api.patch(f"/api/v1/namespaces/{name}/configmaps/canary", {"data": {"a": start}})
        watches = [{"kind": "configmaps", "cursor": start}]
        found = client.result("k8s_list_changes", watches=watches, wait_seconds=5, linger_seconds=1, hold=False)
        (result,) = json.loads(text_of(found))["results"]
        assert result["error"] is None
        return {change["object"]["metadata"]["namespace"] for change in result["changes"]}

    assert heard(denying()) >= set(secretive)
    assert heard(denying(f"namespace={secretive[0]}")) & set(secretive) == {secretive[1]}


@pytest.mark.parametrize(
    ("tool", "arguments"),
    [
        ("k8s_list_pods", {"namespace": "policy-denied"}),
        ("k8s_list_resources", {"kind": "cm", "namespace": "policy-denied"}),
        ("k8s_get_resource", {"kind": "configmaps", "name": "canary", "namespace": "policy-denied"}),
        ("k8s_get_resource", {"kind": "namespaces", "name": "policy-denied"}),
        ("k8s_get_pod_logs", {"name": "canary", "namespace": "policy-denied"}),
        ("k8s_export_page", {"kind": "secrets", "namespace": "policy-denied"}),
        ("k8s_delete_resource", {"kind": "configmaps", "name": "canary", "namespace": "policy-denied"}),
        ("k8s_delete_resource", {"kind": "namespaces", "name": "policy-denied", "dry_run": True}),
        ("k8s_create_deployment", {"name": "x", "namespace": "policy-denied", "image": "nginx", "dry_run": True}),
        ("k8s_patch_resource", {"kind": "cm", "name": "canary", "namespace": "policy-denied", "patch": {"data": {"a": "c"}}}),
    ],
)
def test_what_is_denied_is_refused_by_every_tool(
    tool: str, arguments: dict[str, Any], denying: Any, secretive: tuple[str, str]
) -> None:
    error = denying(f"namespace={secretive[0]}").error(tool, arguments)
    assert (error["type"], error["reason"]) == ("NotPermitted", "PolicyDenied")
    assert "policy" in error["message"]


def test_openshifts_projects_do_not_lead_around_a_denied_namespace(
    denying: Any, control_plane: ControlPlane, secretive: tuple[str, str]
) -> None:
    group, kind = "project.openshift.io", "projects.project.openshift.io"
    with installed(control_plane.api, definition("projects", group, "Project", scope="Cluster")):
        for name in secretive:
            body = {"apiVersion": f"{group}/v1", "kind": "Project", "metadata": {"name": name}}
            control_plane.api.post(f"{PROJECT}/projects", body)
        client = denying(f"namespace={secretive[0]}")
        assert [row["name"] for row in client("k8s_list_resources", kind=kind)["rows"]] == [secretive[1]]
        for tool, more in (("k8s_get_resource", {}), ("k8s_delete_resource", {"dry_run": True}), ("k8s_delete_resource", {})):
            error = client.error(tool, {"kind": kind, "name": secretive[0]} | more)
            assert (error["type"], error["reason"]) == ("NotPermitted", "PolicyDenied")
        assert control_plane.api.get(f"{PROJECT}/projects/{secretive[0]}")
        trial = client("k8s_delete_resource", kind=kind, name=secretive[1], dry_run=True)
        assert "1 secret," in trial["note"], "what is in its namespace goes with it"


def test_a_denied_kind_and_a_denied_context_are_refused(
    denying: Any, control_plane: ControlPlane, secretive: tuple[str, str]
) -> None:
    for client in (denying("kind=secrets"), denying(f"context={control_plane.context[:5]}*")):
        error = client.error("k8s_list_resources", kind="secrets")
        assert (error["type"], error["reason"]) == ("NotPermitted", "PolicyDenied")
    assert denying("kind=secrets")("k8s_list_resources", kind="configmaps")["rows"]


def test_usage_in_a_denied_namespace_is_left_out_even_by_a_server_that_knows_no_selectors(
    tool_client: Callable[..., ToolClient], tmp_path: Path
) -> None:
    used = [
        {
            "metadata": {"namespace": namespace, "name": "pod"},
            "containers": [{"name": "c", "usage": {"cpu": "1", "memory": "1Mi"}}],
        }
        for namespace in ("policy-denied", "policy-open")
    ]
    with scripted_api(items={"/apis/metrics.k8s.io/v1beta1/pods": used}) as server:
        for rule in ("namespace=policy-denied", "namespace=policy-denied,kind=po"):
            policy = ServerPolicy(deny=rules_of([rule], "--deny", TOOLS))
            rows = tool_client(server.kubeconfig(tmp_path), policy=policy)("k8s_top")["rows"]
            assert [row["namespace"] for row in rows] == ["policy-open"]
        assert server.requests[-1][2]["fieldSelector"] == "metadata.namespace!=policy-denied"


@pytest.mark.parametrize("scope", ["Namespaced", "Cluster"])
def test_custom_resources_are_left_out_too(
    scope: str, denying: Any, control_plane: ControlPlane, secretive: tuple[str, str]
) -> None:
    group = f"{scope.lower()}.policy.example"
    with installed(control_plane.api, definition("things", group, "Thing", scope=scope)):
        root = f"/apis/{group}/v1"
        collections = [f"namespaces/{name}/things" for name in secretive] if scope == "Namespaced" else ["things"]
        for collection in collections:
            body = {"apiVersion": f"{group}/v1", "kind": "Thing", "metadata": {"name": "one"}}
            control_plane.api.post(f"{root}/{collection}", body)
        rows = denying(f"namespace={secretive[0]}")("k8s_list_resources", kind=f"things.{group}")["rows"]
        assert [row.get("namespace") for row in rows] == ([secretive[1]] if scope == "Namespaced" else [None])


async def test_the_settings_and_flags_of_who_starts_our_server_reach_it(
    control_plane: ControlPlane, secretive: tuple[str, str], tmp_path: Path
) -> None:
    denied, other = secretive
    environment = {"PATH": "/usr/bin:/bin", "HOME": str(tmp_path), "KUBECONFIG": str(control_plane.kubeconfig)}
    settings = McpSettings(
        mcp_allow=f"namespace={other},kind=configmaps", mcp_deny=f"namespace={denied}", redaction_key_file=tmp_path / "key"
    )
    for name in ("by-rule", "by-nobody", "by-client"):
        control_plane.api.post(f"/api/v1/namespaces/{other}/configmaps", {"metadata": {"name": name}})

    async def deletes(flags: tuple[str, ...], name: str, kind: str = "configmaps") -> str:
        async with ToolLoader(settings, environment=environment, own_flags=flags) as loader:
            with pytest.raises(NotPermitted):
                await loader.call("k8s_list_resources", {"kind": "configmaps", "namespace": denied})
            try:
                return (await loader.call("k8s_delete_resource", {"kind": kind, "namespace": other, "name": name})).text
            except K8sMcpError as error:
                return type(error).__name__

    assert (await deletes((), "by-rule")).startswith("deleted")
    assert await deletes((), "default", kind="serviceaccounts") == "ApprovalNeeded"
    assert (await deletes(ASKS_ITSELF, "by-client")).startswith("deleted")
    assert await deletes(ONLY_READS, "by-nobody") == "UnknownTool"
