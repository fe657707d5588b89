"""Who permits a change: a rule, a person that the client asks, or nobody."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pytest
from mcp import Client
from mcp_types import ElicitResult, InputRequiredResult

from controlplane.control_plane import ControlPlane
from exec_server import exec_server
from mcp_tools.all_tools import ALL_TOOLS
from mcp_tools.api_targets import ApiTarget
from mcp_tools.change_questions import KEPT_SECONDS, PlannedChange, WaitingQuestions, narrowest_rule, question_about
from mcp_tools.foreseen_changes import ANYTHING, Foreseen, GoesWithIt, told_in_full
from mcp_tools.moved_secrets import hide_moved
from mcp_tools.redaction import Redactor
from mcp_tools.server import build_server
from mcp_tools.server_policy import ServerPolicy, rules_of
from server_fixtures import ToolClient, told_error

CREATE, DELETE, PATCH = "k8s_create_deployment", "k8s_delete_resource", "k8s_patch_resource"
TOOLS = [tool.name for tool in ALL_TOOLS]


@dataclass
class Person:
    """Answers every question the same way, and keeps what was asked. `meanwhile` runs before the answer."""

    action: str = "accept"
    content: dict[str, Any] | None = field(default_factory=lambda: {"approve": True})
    meanwhile: Callable[[], object] = lambda: None
    asked: list[str] = field(default_factory=list)

    async def __call__(self, _context: Any, params: Any) -> ElicitResult:
        self.asked.append(params.message)
        await asyncio.to_thread(self.meanwhile)
        return ElicitResult(action=self.action, content=self.content)


@pytest.fixture
def asking(control_plane: ControlPlane, tool_client: Callable[..., ToolClient]) -> Callable[..., ToolClient]:
    """A server as it is by default, for a client behind which there may be a person."""

    def make(person: Person | None = None, mode: str = "auto", *, allow: str = "", deny: str = "") -> ToolClient:
        policy = ServerPolicy(
            enable_exec=True,
            allow=rules_of([allow] if allow else [], "--allow", TOOLS),
            deny=rules_of([deny] if deny else [], "--deny", TOOLS),
        )
        return tool_client(control_plane.kubeconfig, policy=policy, person=person, mode=mode)

    return make


@pytest.fixture(scope="module")
def namespace(control_plane: ControlPlane) -> Any:
    name = control_plane.create_namespace("change-approval")
    yield name
    control_plane.delete_namespace(name)


def config_map(control_plane: ControlPlane, namespace: str, name: str, **data: str) -> str:
    """Made anew; its path."""
    path = f"/api/v1/namespaces/{namespace}/configmaps"
    control_plane.api.post(path, {"metadata": {"name": name}, "data": data})
    return f"{path}/{name}"


def mutations(control_plane: ControlPlane, mark: int, namespace: str) -> list[str]:
    def ours(one: Any) -> bool:
        return one.mutating and one.namespace == namespace

    return [f"{one.verb} {one.name}" for one in control_plane.audit.requests(mark, user_agent="k8s-mcp/", where=ours)]


both_generations = pytest.mark.parametrize("mode", ["auto", "legacy"])


@both_generations
def test_a_person_sees_what_would_change_and_says_yes(
    mode: str, asking: Any, control_plane: ControlPlane, namespace: str
) -> None:
    path = config_map(control_plane, namespace, f"yes-{mode}", level="info")
    person = Person()
    done = asking(person, mode)(
        PATCH, kind="configmaps", name=f"yes-{mode}", namespace=namespace, patch={"data": {"level": "debug"}}
    )
    assert done["dry_run"] is False
    assert control_plane.api.get(path)["data"] == {"level": "debug"}
    (question,) = person.asked
    assert f"- patch configmaps {namespace}/yes-{mode}" in question
    assert '"info" -> "debug"' in question
    assert PATCH in question


@both_generations
@pytest.mark.parametrize(
    ("action", "content"),
    [("decline", None), ("cancel", None), ("accept", None), ("accept", {}), ("accept", {"approve": False}),
     ("accept", {"approve": "true"}), ("accept", {"approve": 1}), ("accept", {"confirm": True})],
)  # fmt: skip
def test_all_but_a_plain_yes_changes_nothing(
    action: str, content: Any, mode: str, asking: Any, control_plane: ControlPlane, namespace: str
) -> None:
    control_plane.api.get(f"/api/v1/namespaces/{namespace}")
    mark = control_plane.audit.mark()
    error = asking(Person(action, content), mode).error(CREATE, name="no", namespace=namespace, image="nginx")
    assert error["type"] == "ApprovalNeeded"
    assert "nothing was changed" in error["message"]
    assert mutations(control_plane, mark, namespace) == []


@both_generations
def test_without_anybody_to_ask_the_answer_says_how_to_permit_it(
    mode: str, asking: Any, control_plane: ControlPlane, namespace: str
) -> None:
    mark = control_plane.audit.mark()
    error = asking(None, mode).error(CREATE, name="nobody", namespace=namespace, image="nginx")
    assert error["type"] == "ApprovalNeeded"
    assert mutations(control_plane, mark, namespace) == []
    rule = error["message"].split('--allow "')[1].split('"')[0]
    assert rule.startswith("tool=k8s_create_deployment,context=")
    assert f"context={control_plane.context}," in rule
    made = asking(None, mode, allow=rule)(CREATE, name=f"nobody-{mode}", namespace=namespace, image="nginx")
    assert made["dry_run"] is False


def test_a_rule_permits_what_it_names_and_nothing_else(asking: Any, control_plane: ControlPlane, namespace: str) -> None:
    client = asking(allow=f"tool={DELETE},namespace={namespace[:-2]}*,kind=configmaps")
    config_map(control_plane, namespace, "by-rule")
    assert client(DELETE, kind="configmaps", name="by-rule", namespace=namespace)["action"] == "delete"
    for arguments in (
        {"kind": "serviceaccounts", "name": "default", "namespace": namespace},
        {"kind": "configmaps", "name": "kube-root-ca.crt", "namespace": "default"},
        {"kind": "namespaces", "name": namespace},
    ):
        assert client.error(DELETE, **arguments)["type"] == "ApprovalNeeded", arguments


def test_a_rule_about_a_namespace_permits_the_namespace_itself_only_by_kind(control_plane: ControlPlane) -> None:
    target = ApiTarget("delete", "c", "", "namespaces", "", "dev", "dev")
    assert not ServerPolicy(allow=rules_of(["namespace=dev"], "--allow", TOOLS)).allows(DELETE, target)
    assert ServerPolicy(allow=rules_of(["namespace=dev,kind=ns"], "--allow", TOOLS)).allows(DELETE, target)
    assert ServerPolicy(deny=rules_of(["namespace=dev"], "--deny", TOOLS)).denial(DELETE, target)


def test_a_denied_change_is_not_even_asked_about(asking: Any, control_plane: ControlPlane, namespace: str) -> None:
    config_map(control_plane, namespace, "denied")
    person = Person()
    client = asking(person, allow=f"namespace={namespace}", deny=f"namespace={namespace},kind=configmaps")
    error = client.error(DELETE, kind="configmaps", name="denied", namespace=namespace)
    assert (error["type"], error["reason"]) == ("NotPermitted", "PolicyDenied")
    assert person.asked == []


def test_a_dry_run_needs_nobody(asking: Any, control_plane: ControlPlane, namespace: str) -> None:
    mark = control_plane.audit.mark()
    assert asking()(CREATE, name="tried", namespace=namespace, image="nginx", dry_run=True)["dry_run"] is True
    assert mutations(control_plane, mark, namespace) == []


@both_generations
def test_the_yes_is_for_the_object_that_was_shown_not_for_its_successor(
    mode: str, asking: Any, control_plane: ControlPlane, namespace: str
) -> None:
    name = f"successor-{mode}"
    path = config_map(control_plane, namespace, name, is_="first")

    def replace_it() -> None:
        control_plane.api.delete(path)
        config_map(control_plane, namespace, name, is_="second")

    error = asking(Person(meanwhile=replace_it), mode).error(DELETE, kind="configmaps", name=name, namespace=namespace)
    assert error["type"] == "Conflict"
    assert control_plane.api.get(path)["data"] == {"is_": "second"}


@both_generations
def test_the_yes_is_for_the_change_that_was_shown(mode: str, asking: Any, control_plane: ControlPlane, namespace: str) -> None:
    name = f"moved-{mode}"
    path = config_map(control_plane, namespace, name, level="info")
    patch = {"kind": "configmaps", "name": name, "namespace": namespace, "patch": {"data": {"level": "debug"}}}
    client = asking(Person(meanwhile=lambda: control_plane.api.patch(path, {"data": {"level": "off"}})), mode)
    assert client.error(PATCH, patch)["type"] == "Conflict"
    assert control_plane.api.get(path)["data"] == {"level": "off"}

    elsewhere = Person(meanwhile=lambda: control_plane.api.patch(path, {"metadata": {"labels": {"x": "y"}}}))
    assert asking(elsewhere, mode)(PATCH, patch)["changes"]
    assert control_plane.api.get(path)["data"] == {"level": "debug"}
    assert len(elsewhere.asked) == 1, "what was shown is still what is done"


def test_what_a_confirmation_is_for_cannot_be_exchanged(asking: Any, control_plane: ControlPlane, namespace: str) -> None:
    """The second call of the newer protocol: its token is single-use, and bound to the call that was asked about."""
    for name in ("shown", "hidden"):
        config_map(control_plane, namespace, name)
    shown = {"kind": "configmaps", "name": "shown", "namespace": namespace}
    hidden = shown | {"name": "hidden"}
    yes = {"approval": ElicitResult(action="accept", content={"approve": True})}

    async def run() -> None:
        async with Client(build_server(asking().gate()), elicitation_callback=Person()) as client:

            async def second(tool: str, arguments: Any, token: str) -> Any:
                return await client.session.call_tool(
                    tool, arguments, request_state=token, input_responses=yes, allow_input_required=True
                )

            async def first() -> str:
                asked = await client.session.call_tool(DELETE, shown, allow_input_required=True)
                assert isinstance(asked, InputRequiredResult)
                assert asked.request_state
                return asked.request_state

            for tool, arguments, token in (
                (DELETE, hidden, await first()),
                (DELETE, hidden, "made-up"),
                (DELETE, shown, ""),
                (CREATE, {"name": "other", "namespace": namespace, "image": "nginx"}, await first()),
            ):
                refused = await second(tool, arguments, token)
                assert told_error(refused)["type"] == "ApprovalNeeded", (tool, arguments)
            token = await first()
            assert not (await second(DELETE, shown, token)).is_error
            config_map(control_plane, namespace, "shown")
            again = await second(DELETE, shown, token)
            assert told_error(again)["type"] == "ApprovalNeeded"

    asyncio.run(run())
    kept = {one["metadata"]["name"] for one in control_plane.api.get(f"/api/v1/namespaces/{namespace}/configmaps")["items"]}
    assert {"shown", "hidden"} <= kept


@pytest.mark.parametrize(
    "name",
    ["approve", "approved", "approval", "confirm", "force", "yes", "allow", "consent", "dryRun", "read_only", "policy", "_meta",
     "request_state"],
)  # fmt: skip
def test_no_argument_of_any_tool_grants_an_approval(name: str, asking: Any) -> None:
    for tool in (tool for tool in ALL_TOOLS if not tool.read_only and name not in tool.arguments):
        given: dict[str, Any] = dict.fromkeys(tool.required, "x") | {name: True}
        error = asking().error(tool.name, given)
        assert error["type"] == "InvalidArguments", tool.name
        assert name in error["message"]


@pytest.mark.parametrize("value", ["false", "true", 0, 1, None, [], {}, ["All"], "All", 1.0, ""])
def test_a_dry_run_is_true_or_false_and_nothing_like_it(value: object, asking: Any, namespace: str) -> None:
    error = asking().error(CREATE, name="forged", namespace=namespace, image="nginx", dry_run=value)
    assert error["type"] == "InvalidArguments"


@both_generations
def test_a_command_is_shown_whole_before_it_runs(mode: str, tool_client: Callable[..., ToolClient], tmp_path: Path) -> None:
    with exec_server(messages=[(1, b"done\n")]) as server:

        def client(person: Person | None, **policy: Any) -> ToolClient:
            offered = ServerPolicy(enable_exec=True, **policy)
            return tool_client(server.kubeconfig(tmp_path), policy=offered, person=person, mode=mode)

        command = {"name": "web-1", "namespace": "dev", "command": ["sh", "-c", "echo one\u202e; rm -rf /data"]}
        no, yes = Person("decline"), Person()
        assert client(no).error("k8s_exec", command)["type"] == "ApprovalNeeded"
        assert client(None).error("k8s_exec", command)["type"] == "ApprovalNeeded"
        long = command | {"command": ["sh", "-c", " " * 4000 + "rm -rf /data"]}
        assert client(yes).error("k8s_exec", long)["type"] in ("ApprovalNeeded", "InvalidArguments")
        assert yes.asked == server.commands == []
        assert client(yes)("k8s_exec", command)["exit_code"] == 0
        (question,) = yes.asked
        assert "- connect pods/exec dev/web-1" in question
        assert "rm -rf /data" in question
        assert "one\\u202e;" in question
        rules = rules_of(["tool=k8s_exec,namespace=dev"], "--allow", TOOLS)
        assert client(None, allow=rules)("k8s_exec", command)["exit_code"] == 0
        assert len(server.commands) == 2


APPLY = "k8s_apply_manifest"


def manifest_of(namespace: str, *names: str, **data: str) -> str:
    documents = [
        {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name, "namespace": namespace}, "data": data}
        for name in names
    ]
    return "\n---\n".join(map(json.dumps, documents))


def test_a_person_sees_every_change_and_each_to_its_end(asking: Any, control_plane: ControlPlane, namespace: str) -> None:
    person = Person("decline")
    long = {"run.sh": "echo harmless; " * 20 + "end-of-the-script", "db_password": "cnry-said-by-the-caller"}
    many = {f"a{number:03}": "v" for number in range(60)} | {"zz": "the-last-one"}
    asking(person).error(APPLY, manifest=manifest_of(namespace, "full", **long))
    asking(person).error(APPLY, manifest=manifest_of(namespace, "full", **many))
    env = {"name": "GREETING", "value": "cnry-env-of-the-caller"}
    asking(person).error(CREATE, name="full", namespace=namespace, image="nginx", env={env["name"]: env["value"]})
    assert "end-of-the-script" in person.asked[0]
    assert "cnry-said-by-the-caller" in person.asked[0], "nobody agrees to a mark"
    assert "the-last-one" in person.asked[1]
    assert env["value"] in person.asked[2]


def test_a_person_sees_what_the_client_said_and_no_secret_of_the_cluster(
    asking: Any, control_plane: ControlPlane, namespace: str
) -> None:
    config_map(control_plane, namespace, "rotated", db_password="cnry-old-password")
    person = Person("decline")
    patch = {"data": {"db_password": "cnry-new-password"}}
    error = asking(person).error(PATCH, kind="configmaps", name="rotated", namespace=namespace, patch=patch)
    assert "‹redacted:" in person.asked[0]
    assert '-> "cnry-new-password"' in person.asked[0]
    assert "cnry-old-password" not in person.asked[0] + str(error)


def test_what_a_person_cannot_be_shown_whole_is_not_asked_about(asking: Any, control_plane: ControlPlane, namespace: str) -> None:
    person = Person()
    error = asking(person).error(APPLY, manifest=manifest_of(namespace, "long", text="x" * 4001))
    assert error["type"] == "ApprovalNeeded"
    assert "Change less in one call" in error["message"]
    assert "--allow" in error["message"]
    assert person.asked == []
    allowed = asking(person, allow=f"tool={APPLY},namespace={namespace}")
    assert allowed(APPLY, manifest=manifest_of(namespace, "long", text="x" * 4001))["action"] == "apply"


@both_generations
def test_what_was_to_be_made_and_has_appeared_meanwhile_is_left_alone(
    mode: str, asking: Any, control_plane: ControlPlane, namespace: str
) -> None:
    name = f"appeared-{mode}"
    person = Person(meanwhile=lambda: config_map(control_plane, namespace, name, owner="somebody else"))
    error = asking(person, mode).error(APPLY, manifest=manifest_of(namespace, name, owner="me"), force=True)
    assert error["type"] == "Conflict"
    path = f"/api/v1/namespaces/{namespace}/configmaps/{name}"
    assert control_plane.api.get(path)["data"] == {"owner": "somebody else"}


@both_generations
def test_the_yes_holds_for_each_document_as_it_was_shown(
    mode: str, asking: Any, control_plane: ControlPlane, namespace: str
) -> None:
    first, second = f"first-{mode}", f"second-{mode}"
    paths = [config_map(control_plane, namespace, name, level="info") for name in (first, second)]

    def change_it() -> None:
        control_plane.api.patch(paths[1], {"data": {"level": "changed by somebody"}})

    def replace_it() -> None:
        control_plane.api.delete(paths[1])
        config_map(control_plane, namespace, second, level="info")

    for meanwhile in (change_it, replace_it):
        manifest = manifest_of(namespace, first, second, level="debug")
        error = asking(Person(meanwhile=meanwhile), mode).error(APPLY, manifest=manifest, force=True)
        assert error["type"] == "Conflict"
        assert control_plane.api.get(paths[0])["data"] == {"level": "info"}
        assert control_plane.api.get(paths[1])["data"]["level"] != "debug"


@both_generations
def test_a_namespace_goes_only_with_what_was_shown_to_be_in_it(
    mode: str, asking: Any, control_plane: ControlPlane, fresh_namespace: str
) -> None:
    config_map(control_plane, fresh_namespace, "shown")
    numbers = iter(range(100))

    def appear() -> None:
        config_map(control_plane, fresh_namespace, f"appeared-{next(numbers)}")

    person = Person(meanwhile=appear)
    error = asking(person, mode).error(DELETE, kind="ns", name=fresh_namespace)
    assert error["type"] == "Conflict"
    assert "configmap" in person.asked[0]
    path = f"/api/v1/namespaces/{fresh_namespace}"
    assert control_plane.api.get(path)["status"]["phase"] == "Active"

    def fewer() -> None:
        control_plane.api.delete(f"{path}/configmaps/shown")

    assert asking(Person(meanwhile=fewer), mode)(DELETE, kind="ns", name=fresh_namespace)["action"] == "delete"


def test_an_object_goes_only_with_as_many_owned_ones_as_were_shown(
    asking: Any, control_plane: ControlPlane, fresh_namespace: str
) -> None:
    path = f"/apis/apps/v1/namespaces/{fresh_namespace}/deployments"
    asking(None, allow=f"tool={CREATE},namespace={fresh_namespace}")(
        CREATE, name="web", namespace=fresh_namespace, image="example/web", replicas=1
    )
    uid = control_plane.api.get(f"{path}/web")["metadata"]["uid"]

    def adopt() -> None:
        template = {"metadata": {"labels": {"app": "web"}}, "spec": {"containers": [{"name": "web", "image": "example/web"}]}}
        metadata = {
            "generateName": "web-", "labels": {"app": "web"},
            "ownerReferences": [{"apiVersion": "apps/v1", "kind": "Deployment", "name": "web", "uid": uid}],
        }  # fmt: skip
        spec = {"replicas": 0, "selector": {"matchLabels": {"app": "web"}}, "template": template}
        control_plane.api.post(path.replace("deployments", "replicasets"), {"metadata": metadata, "spec": spec})

    error = asking(Person(meanwhile=adopt)).error(DELETE, kind="deploy", name="web", namespace=fresh_namespace)
    assert error["type"] == "Conflict"
    assert "deletionTimestamp" not in control_plane.api.get(f"{path}/web")["metadata"]


def test_a_command_runs_in_the_container_and_the_pod_that_were_shown(
    tool_client: Callable[..., ToolClient], tmp_path: Path
) -> None:
    with exec_server(messages=[(1, b"done\n")]) as server:
        pod = server.pod

        def asked(meanwhile: Callable[[], object]) -> tuple[Person, ToolClient]:
            person = Person(meanwhile=meanwhile)
            return person, tool_client(server.kubeconfig(tmp_path), policy=ServerPolicy(enable_exec=True), person=person)

        def replaced() -> None:
            server.pod = pod | {"metadata": pod["metadata"] | {"uid": "5c7e9a3e-0000-4000-8000-00000000000b"}}

        def other_default() -> None:
            annotations = {"kubectl.kubernetes.io/default-container": "sidecar"}
            server.pod = pod | {"metadata": pod["metadata"] | {"annotations": annotations}}

        command = {"name": "web-1", "namespace": "dev", "command": ["true"]}
        person, client = asked(other_default)
        assert client("k8s_exec", command)["exit_code"] == 0
        assert server.containers == ["app"]
        assert '"container": "app"' in person.asked[0]
        server.pod = pod
        _, client = asked(replaced)
        assert client.error("k8s_exec", command)["type"] == "Conflict"
        assert len(server.commands) == 1


# --- the question itself


def test_the_yes_is_for_the_same_or_less() -> None:
    one = {"kind": "pods", "namespace": "a", "name": "b", "uid": "1", "existed": True, "title": "Pod a/b"}
    change = {"path": "spec.x", "old": 1, "new": 2}
    shown = Foreseen(objects=(one, one | {"name": "c"}), changes=(change,))
    assert shown.covers(Foreseen(objects=(one,)))
    for other in (
        Foreseen(objects=(one | {"uid": "2"},)),
        Foreseen(objects=(one | {"name": "d"},)),
        Foreseen(objects=(one | {"existed": False},)),
        Foreseen(objects=(one,), changes=(change | {"old": 0},)),
        Foreseen(objects=(one,), changes=(change | {"new": 3},)),
    ):
        assert not shown.covers(other), other
    then, later = ({"path": "a", "old": None, "new": f"2026-01-01T00:00:0{second}Z"} for second in (1, 2))
    assert Foreseen(objects=(one,), changes=(then,)).covers(Foreseen(objects=(one,), changes=(later,)))


def test_the_yes_is_for_as_much_going_along_or_less() -> None:
    shown = GoesWithIt({"pods": 2}, frozenset({"widgets.example.com"}))
    for less in (GoesWithIt({"pods": 1}), GoesWithIt({"pods": 2, "events": 9, "widgets.example.com": 3}), shown):
        assert shown.covers(less), less
    for more in (
        GoesWithIt({"pods": 3}),
        GoesWithIt({"pods": 2, "secrets": 1}),
        GoesWithIt(unknown=frozenset({"pods"})),
        GoesWithIt(unknown=frozenset({ANYTHING})),
    ):
        assert not shown.covers(more), more
        assert GoesWithIt(unknown=frozenset({ANYTHING})).covers(more)
        for part in ("contents", "owned"):
            assert not Foreseen(**{part: shown}).covers(Foreseen(**{part: more}))


def test_a_value_that_two_arguments_may_stand_for_is_told_by_showing_the_arguments() -> None:
    redactor = Redactor(b"k" * 32)
    secret, packed = "cnry-two-forms", "Y25yeS10d28tZm9ybXM="
    foreseen = Foreseen(changes=({"path": "data.x", "old": None, "new": min(redactor.marks_of(secret))},))
    assert secret in told_in_full(foreseen, {"a": secret}, redactor.marks_of)
    told = told_in_full(foreseen, {"a": secret, "b": packed}, redactor.marks_of)
    assert f'"a": "{secret}"' in told
    assert 'data.x: "‹redacted:' in told


def test_a_part_of_a_text_that_was_hidden_stays_so_elsewhere() -> None:
    redactor = Redactor(b"k" * 32)
    before = redactor.redact_object({"args": ["mysql", "-pcnry-part"]})
    assert "cnry" not in str(before)
    after = hide_moved(before, {"args": ["echo", "-pcnry-part"], "port": "-p3306"}, redactor.marks_of)
    assert "cnry" not in str(after)
    assert after["port"] == "-p3306"


def plan(*targets: ApiTarget, **more: Any) -> PlannedChange:
    return PlannedChange("k8s_apply_manifest", {}, {}, targets, foreseen=Foreseen(), **more)


def test_text_of_the_cluster_cannot_pass_for_the_question() -> None:
    details = "would create x\nwarning: \x1b[2K\rAllow nothing?\n- get pods a/b\u202e\x00\x07"
    question = question_about(plan(ApiTarget("delete", "prod\n- get pods", "", "secrets", "", "a", "b"), details=details))
    lines = question.splitlines()
    assert lines[1:2] == ["- delete secrets a/b"]
    assert "context prod - get pods?" in lines[0]
    assert all(line.startswith("| ") for line in lines[3:])
    assert not any((ord(char) < 32 and char != "\n") or char == "\u202e" for char in question)


def test_a_person_is_shown_every_object_or_not_asked() -> None:
    many = [ApiTarget("patch", "c", "", "configmaps", "", "a", f"name-{number}") for number in range(100)]
    question = question_about(plan(*many))
    assert all(f"- patch configmaps a/name-{number}\n" in question for number in range(100))
    with pytest.raises(Exception, match="more than a person can be asked about"):
        question_about(plan(*(replace(many[0], name=f"{'x' * 200}{number}") for number in range(100))))


def test_the_rule_that_is_proposed_names_tool_context_namespace_and_kind() -> None:
    target = ApiTarget("patch", "prod", "apps", "deployments", "scale", "shop", "web")
    rule = narrowest_rule(plan(target))
    assert rule == '--allow "tool=k8s_apply_manifest,context=prod,namespace=shop,kind=deployments.apps"'
    (parsed,) = rules_of([rule.split('"')[1]], "--allow", ["k8s_apply_manifest"])
    policy = ServerPolicy(allow=(parsed,))
    assert policy.allows("k8s_apply_manifest", target)
    for other in (
        replace(target, namespace="shop2"), replace(target, context="prod2"), replace(target, resource="statefulsets"),
        replace(target, namespace=""), replace(target, group=""),
    ):  # fmt: skip
        assert not policy.allows("k8s_apply_manifest", other)
    assert not policy.allows("k8s_scale", target)


def test_a_question_is_forgotten_when_it_is_old_and_there_are_never_many() -> None:
    now = [0.0]
    waiting = WaitingQuestions(clock=lambda: now[0])
    token = waiting.keep("one", plan())
    now[0] = KEPT_SECONDS
    with pytest.raises(Exception, match="nothing was changed"):
        waiting.take("one", token, "k8s_apply_manifest", {})
    tokens = [waiting.keep("one", plan()) for _ in range(150)]
    with pytest.raises(Exception, match="nothing was changed"):
        waiting.take("one", tokens[0], "k8s_apply_manifest", {})
    assert waiting.take("one", tokens[-1], "k8s_apply_manifest", {})


def test_nothing_is_kept_of_a_client_whose_questions_are_over() -> None:
    now = [0.0]
    waiting = WaitingQuestions(clock=lambda: now[0])
    for number in range(50):
        waiting.keep(f"client {number}", plan())
    now[0] = KEPT_SECONDS
    waiting.keep("another", plan())
    assert list(waiting._waiting) == ["another"]


def test_arguments_that_only_python_takes_for_equal_are_not_the_same_call() -> None:
    waiting = WaitingQuestions()
    asked = PlannedChange("t", {"replicas": 1}, {}, ())
    with pytest.raises(Exception, match="nothing was changed"):
        waiting.take("", waiting.keep("", asked), "t", {"replicas": True})
    assert json.dumps(dict(waiting.take("", waiting.keep("", asked), "t", {"replicas": 1}).given))
