"""The simulated API server beside a real one: the same requests, the same answers."""

from __future__ import annotations

import json
from typing import Any

import pytest

from controlplane.polling import wait_until
from two_clusters import Json, Side

PODS = "/api/v1/namespaces/{}/pods"
BUDGETS = "/apis/policy/v1/namespaces/{}/poddisruptionbudgets"
WEB = {"app": "web"}


def pods(side: Side, *names: str, ready: bool = True, **spec: Any) -> None:
    for name in names:
        whole = {"containers": [{"name": "app", "image": "example/web:1"}], "terminationGracePeriodSeconds": 0} | spec
        side.done("POST", PODS, {"metadata": {"name": name, "labels": WEB}, "spec": whole})
    if ready:
        wait_until(lambda: all(is_ready(side, name) for name in names), f"the pods of the {side.name} cluster to be ready")


def is_ready(side: Side, name: str) -> bool:
    conditions = side.done("GET", f"{PODS}/{name}").get("status", {}).get("conditions", [])
    return any(one["type"] == "Ready" and one["status"] == "True" for one in conditions)


def budget(side: Side, name: str = "keep-web", min_available: int = 2, **expected: int) -> None:
    spec = {"minAvailable": min_available, "selector": {"matchLabels": WEB}}
    side.done("POST", BUDGETS, {"metadata": {"name": name}, "spec": spec})
    counted(side, name, **expected)


def counted(side: Side, name: str = "keep-web", **expected: int) -> None:
    """Waits for what the disruption controller makes of it."""
    wait_until(lambda: expected.items() <= status_of(side, name).items(), f"{side.name}: {name} to count {expected}")


def status_of(side: Side, name: str = "keep-web") -> Json:
    status: Json = side.done("GET", f"{BUDGETS}/{name}").get("status", {})
    return status


def evict(side: Side, name: str, **options: Any) -> tuple[Any, ...]:
    """What the API server answers, without what is a number of its own."""
    body = {"apiVersion": "policy/v1", "kind": "Eviction", "metadata": {"name": name, "namespace": side.namespace}}
    status, answer = side.call("POST", f"{PODS}/{name}/eviction", body | ({"deleteOptions": options} if options else {}))
    return status, answer.get("status"), answer.get("reason"), answer.get("message"), answer.get("details"), answer.get("code")


def test_an_eviction_takes_one_of_the_disruptions_that_are_allowed_and_with_none_left_it_is_429(both: tuple[Side, Side]) -> None:
    def told(side: Side) -> list[Any]:
        pods(side, "a", "b", "c")
        budget(side, disruptionsAllowed=1, currentHealthy=3)
        found: list[Any] = [evict(side, "a", dryRun=["All"]), status_of(side)["disruptionsAllowed"], evict(side, "a")]
        found.append(status_of(side)["disruptionsAllowed"])  # at once, not when the controller has looked again
        counted(side, currentHealthy=2)
        found.append(evict(side, "b"))
        return [*found, side.call("GET", f"{PODS}/a")[0], is_ready(side, "b")]

    simulated, real = (told(side) for side in both)
    assert simulated == real
    assert simulated[1:4:2] == [1, 0]
    assert simulated[4][0] == 429
    assert "keep-web needs 2 healthy pods and has 2 currently" in str(simulated[4])


def test_what_counts_for_no_budget_is_evicted_all_the_same_and_two_budgets_are_an_error(both: tuple[Side, Side]) -> None:
    def told(side: Side) -> list[Any]:
        pods(side, "a")
        pods(side, "nowhere", ready=False, nodeSelector={"there-is": "none"})
        budget(side, min_available=1, disruptionsAllowed=0, currentHealthy=1)
        found: list[Any] = [evict(side, "nowhere"), evict(side, "a"), evict(side, "no-such-pod")]
        budget(side, "second", min_available=1, currentHealthy=1)
        return [*found, evict(side, "a")]

    simulated, real = (told(side) for side in both)
    assert simulated == real
    assert [one[0] for one in simulated] == [201, 429, 404, 500]


@pytest.mark.parametrize("policy", ["IfHealthyBudget", "AlwaysAllow"])
def test_a_pod_that_is_not_ready_goes_as_the_budgets_policy_says(both: tuple[Side, Side], policy: str) -> None:
    def told(side: Side) -> tuple[Any, ...]:
        pods(side, "a")
        budget(side, min_available=2, disruptionsAllowed=0, currentHealthy=1)
        side.done("PATCH", f"{BUDGETS}/keep-web", {"spec": {"unhealthyPodEvictionPolicy": policy}}, "merge")
        wait_until(lambda: status_of(side).get("observedGeneration") == 2, f"{side.name}: the policy to be seen")
        unready = [{"type": "Ready", "status": "False", "lastTransitionTime": "2026-01-01T00:00:00Z"}]
        side.done("PATCH", f"{PODS}/a/status", {"status": {"conditions": unready}}, "strategic")
        counted(side, currentHealthy=0)
        return evict(side, "a")

    simulated, real = (told(side) for side in both)
    assert simulated == real
    assert simulated[0] == {"IfHealthyBudget": 429, "AlwaysAllow": 201}[policy]


DEPLOYMENTS = "/apis/apps/v1/namespaces/{}/deployments"


def deployment(replicas: int = 1, image: str = "example/web:1", **more: Any) -> Json:
    container = {"name": "app", "image": image, "ports": [{"containerPort": 80}]} | more
    template = {"metadata": {"labels": WEB}, "spec": {"containers": [container]}}
    spec = {"replicas": replicas, "selector": {"matchLabels": WEB}, "template": template}
    return {"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "web"}, "spec": spec}


def apply(side: Side, body: Json, manager: str, *, force: bool = False) -> tuple[int, Json]:
    return side.call("PATCH", f"{DEPLOYMENTS}/web?fieldManager={manager}&force={str(force).lower()}", body, "apply")


def owners(side: Side, path: str) -> list[str]:
    """Who owns a field, written as `f:spec/f:replicas`; status aside."""
    found = []
    for entry in side.done("GET", f"{DEPLOYMENTS}/web")["metadata"]["managedFields"]:
        fields = entry["fieldsV1"]
        for step in path.split("/"):
            fields = (fields or {}).get(step)
        if fields is not None and not entry.get("subresource"):
            found.append(f"{entry['manager']} {entry['operation']}")
    return sorted(found)


def refusal(status: int, answer: Json) -> tuple[Any, ...]:
    """A real server has the causes in any order of their managers."""
    causes = sorted(answer.get("details", {}).get("causes", []), key=str)
    return status, answer.get("reason"), answer.get("message"), causes


def test_an_apply_over_the_fields_of_others_is_the_conflict_that_a_real_server_raises(both: tuple[Side, Side]) -> None:
    def told(side: Side) -> list[Any]:
        side.done("POST", f"{DEPLOYMENTS}?fieldManager=creator", deployment())
        found: list[Any] = [refusal(*apply(side, deployment(replicas=3), "ours"))]
        found.append(apply(side, deployment(), "ours")[0])  # the same values are shared, not fought over
        found.append(owners(side, "f:spec/f:replicas"))
        side.done("PATCH", f"{DEPLOYMENTS}/web?fieldManager=scaler", {"spec": {"replicas": 2}}, "merge")
        found += [owners(side, "f:spec/f:replicas"), owners(side, "f:spec/f:selector")]
        found.append(refusal(*apply(side, deployment(replicas=4, image="example/web:2"), "ours")))
        found.append(apply(side, deployment(replicas=4, image="example/web:2"), "ours", force=True)[0])
        found.append(owners(side, "f:spec/f:replicas"))
        found.append(refusal(*apply(side, deployment(replicas=5, image="example/web:3"), "theirs")))
        return found

    simulated, real = (told(side) for side in both)
    assert simulated == real
    assert simulated[0][:2] == (409, "Conflict")
    assert simulated[2] == ["creator Update", "ours Apply"]
    assert simulated[3] == ["scaler Update"]
    assert simulated[7] == ["ours Apply"]


def test_the_tool_explains_a_conflict_of_either_server_in_the_same_words(both: tuple[Side, Side]) -> None:
    def told(side: Side) -> list[Any]:
        side.done("POST", f"{DEPLOYMENTS}?fieldManager=creator", deployment())
        manifest = json.dumps(deployment(replicas=3))
        error = side.tools.error("k8s_apply_manifest", manifest=manifest, namespace=side.namespace)
        done = side.tools("k8s_apply_manifest", manifest=manifest, namespace=side.namespace, force=True)
        changes = [one for one in done["changes"] if one["path"].startswith("spec")]
        again = side.tools("k8s_apply_manifest", manifest=manifest, namespace=side.namespace)
        return [error["type"], error["status"], error["message"].partition(")")[2], changes, again["note"]]

    simulated, real = (told(side) for side in both)
    assert simulated == real
    assert "force=true" in simulated[2]
    assert simulated[3] == [{"path": "spec.replicas", "old": 1, "new": 3}]
