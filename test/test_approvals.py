"""Who may approve what: policies, the refusal, and what an approval is bound to."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from agent.approval_policy import narrowest
from agent.approval_request import ApprovalRequest, ObjectRef
from agent.approvals import PolicyApprover, RefusingApprover, TerminalApprover
from configuration.errors import ApprovalNeeded, ConfigurationError

DELETE = ApprovalRequest(
    tool="k8s_delete_resource",
    arguments={"kind": "deployments", "name": "web", "namespace": "dev", "context": "kind-dev"},
    action="delete",
    cluster="kind-dev",
    cluster_uid="cluster-1",
    in_use=True,
    target=ObjectRef(kind="Deployment", name="web", namespace="dev", uid="u1", resource_version="10", generation=3),
    changes=("spec.replicas: 2",),
    blast_radius=("2 pods belong to it and end with it: web-1, web-2",),
    irreversible="the Deployment is gone",
)


@pytest.mark.parametrize(
    "policy",
    [
        "k8s_delete_resource:namespace=dev,kind=Deployment",
        "delete-resource:ns=dev",
        "delete-resource:kind=deploy,name=we*",
        "all:namespace=dev",
        "all:namespace=*",
        "all:namespace=d*,cluster=kind-*",
        "k8s_delete_resource: namespace=dev , name=web",
    ],
)
async def test_a_policy_that_covers_the_change_approves_and_says_which_it_was(policy: str) -> None:
    decision = await PolicyApprover.parse([policy]).decide(DELETE)
    assert decision.approved
    assert decision.by == f"--approve={policy}"


@pytest.mark.parametrize(
    "policy",
    [
        "k8s_delete_resource:namespace=prod",
        "k8s_delete_resource:namespace=dev,kind=Service",
        "k8s_delete_resource:namespace=dev,name=web2",
        "create-deployment:namespace=dev",
        "all:cluster=kind-prod",
        "all:namespace=dev,cluster=kind-prod",
        "all:name=w?b",
        "all:name=[w]eb",
    ],
)
async def test_a_policy_for_something_else_leaves_it_refused(policy: str) -> None:
    with pytest.raises(ApprovalNeeded):
        await PolicyApprover.parse([policy]).decide(DELETE)


@pytest.mark.parametrize("policy", ["all:namespace=dev", "all:namespace=*", "delete-resource:ns=dev,name=dev"])
async def test_a_namespace_condition_never_covers_deleting_the_namespace_itself(policy: str) -> None:
    namespace = replace(DELETE, target=ObjectRef(kind="Namespace", name="dev", uid="n1"))
    with pytest.raises(ApprovalNeeded):
        await PolicyApprover.parse([policy]).decide(namespace)


@pytest.mark.parametrize(
    ("policy", "words"),
    [
        ("", "no changing tool is called ''"),
        ("everything:namespace=dev", "no changing tool is called 'everything'"),
        ("k8s_list_pods:namespace=dev", "no changing tool"),
        ("all", "say where it holds, for example all:namespace=dev"),
        ("k8s_delete_resource:", "say where it holds"),
        ("all:namespace", "is no condition"),
        ("all:namespace=", "is no condition"),
        ("all:namespace=dev,namespace=prod", "each once"),
        ("all:replicas=3", "is no condition"),
        ("all:kind=Sandwich", "unknown kind 'Sandwich'"),
    ],
)
def test_a_policy_that_cannot_be_understood_is_a_configuration_error(policy: str, words: str) -> None:
    with pytest.raises(ConfigurationError) as caught:
        PolicyApprover.parse([policy])
    assert words in str(caught.value)
    assert str(caught.value).startswith("--approve=")
    assert caught.value.exit_code == 2


async def test_the_suggested_policy_allows_exactly_that_change() -> None:
    approver = PolicyApprover.parse([narrowest(DELETE)])
    assert (await approver.decide(DELETE)).approved
    for other in (
        replace(DELETE, cluster="kind-prod"),
        replace(DELETE, target=replace(DELETE.target, name="web2")),
        replace(DELETE, target=replace(DELETE.target, namespace="prod")),
        replace(DELETE, target=replace(DELETE.target, kind="Service")),
        replace(DELETE, tool="k8s_create_deployment"),
    ):
        with pytest.raises(ApprovalNeeded):
            await approver.decide(other)


async def test_the_refusal_says_what_would_happen_and_what_would_allow_it() -> None:
    with pytest.raises(ApprovalNeeded) as caught:
        await RefusingApprover().decide(DELETE)
    text = str(caught.value)
    assert caught.value.exit_code == 5
    for part in ("nothing was changed", "delete Deployment dev/web in cluster kind-dev", "web-1, web-2", "cannot be undone"):
        assert part in text
    assert "--approve='k8s_delete_resource:namespace=dev,kind=Deployment,name=web,cluster=kind-dev'" in text


@pytest.mark.parametrize(
    ("typed", "approved", "reason"),
    [
        ("y", True, ""),
        (" YES ", True, ""),
        ("", False, ""),
        ("n", False, ""),
        ("yes please", False, "yes please"),
        ("是", False, "是"),
    ],
)
async def test_only_a_plain_yes_at_the_terminal_approves(typed: str, approved: bool, reason: str) -> None:
    async def ask(_request: ApprovalRequest) -> str:
        return typed

    decision = await TerminalApprover(ask).decide(DELETE)
    assert (decision.approved, decision.by, decision.reason) == (approved, "terminal", reason)


@pytest.mark.parametrize(
    ("change", "same"),
    [
        ({}, True),
        ({"cluster_uid": "cluster-2"}, False),
        ({"cluster": "kind-prod"}, False),
        ({"tool": "k8s_create_deployment"}, False),
        ({"arguments": {**DELETE.arguments, "propagation": "Orphan"}}, False),
        ({"target": replace(DELETE.target, uid="u2")}, False),
        ({"target": replace(DELETE.target, generation=4)}, False),
        ({"target": replace(DELETE.target, resource_version="11")}, True),
        ({"warnings": ("something",)}, True),
    ],
)
def test_an_approval_holds_for_the_same_change_of_the_same_object_only(change: dict[str, Any], same: bool) -> None:
    assert DELETE.same_change(replace(DELETE, **change)) is same


def test_without_a_generation_the_resource_version_decides() -> None:
    before = ObjectRef(kind="ConfigMap", name="settings", namespace="dev", uid="u1", resource_version="10")
    assert before.same_state(before)
    assert not before.same_state(replace(before, resource_version="11"))


def test_a_long_list_of_changes_says_how_much_of_it_is_shown() -> None:
    request = replace(DELETE, changes=tuple(f"field{n}: {n}" for n in range(40)))
    assert "30 of 40 changed fields shown" in request.describe()


LONG = replace(
    DELETE,
    changes=(*(f"field{n}: {n}" for n in range(40)), "last: " + "x" * 3000 + "end"),
    others=tuple(ObjectRef(kind="Pod", name=f"pod-{n}", namespace="dev") for n in range(30)),
    said=tuple(f"argument {n}" for n in range(40)),
    warnings=tuple(f"warning {n}" for n in range(40)),
)


def test_a_part_says_how_much_is_missing_and_the_whole_misses_nothing() -> None:
    part, whole = LONG.question(), LONG.question(whole=True)
    for told in ("20 of 31 objects", "30 of 41 changed fields", "30 of 40 arguments", "30 of 40 warnings"):
        assert f"… {told} shown" in part
    for last in ("pod-29", "field39: 39", "xend", "argument 39", "warning 39"):
        assert last not in part
        assert last in whole
    assert "argument" not in LONG.describe(whole=True), "what was said is for the person, not for errors and logs"


async def test_a_policy_without_a_cluster_covers_no_other_context_that_the_model_names() -> None:
    elsewhere = replace(DELETE, cluster="kind-prod", in_use=False)
    with pytest.raises(ApprovalNeeded):
        await PolicyApprover.parse(["all:namespace=dev"]).decide(elsewhere)
    assert (await PolicyApprover.parse(["all:namespace=dev,cluster=kind-prod"]).decide(elsewhere)).approved
