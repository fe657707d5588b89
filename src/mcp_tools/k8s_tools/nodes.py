"""k8s_node: cordon, uncordon and drain. Pods leave by the eviction API, so that disruption budgets hold."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from configuration.errors import ClusterError, InvalidArguments, K8sMcpError, NotFound
from kinds import label_selector
from kinds.kind import Kind
from kinds.registry import KINDS
from mcp_tools.answer_budget import DEFAULT_TOKENS
from mcp_tools.api_targets import ApiTarget
from mcp_tools.drain_plan import DrainPlan, drain_plan
from mcp_tools.foreseen_changes import Foreseen
from mcp_tools.k8s_api import ClusterApi, Query
from mcp_tools.k8s_tools.change_answers import (
    CHANGE_OUTPUT,
    DRY_RUN,
    MAX_CHANGE_TOKENS,
    NAME,
    RESOURCE_VERSION,
    UID,
    Changed,
    Manifest,
    change_answer,
)
from mcp_tools.list_pages import decode_object, decode_page
from mcp_tools.object_names import namespace_name, object_name
from mcp_tools.object_writes import STRATEGIC, Target, check_preconditions, with_preconditions
from mcp_tools.request_guard import hold_to_approved
from mcp_tools.tool_declaration import CONTEXT, ToolAnswer, ToolContext, ToolDeclaration, boolean, integer, number, text, tool

_NODES, _PODS, _BUDGETS = KINDS["nodes"], KINDS["pods"], KINDS["poddisruptionbudgets"]
MOST_WAIT_SECONDS = 300.0
_RETRY_SECONDS = 1.0
_SHOWN = 20


@tool(
    "k8s_node",
    title="Cordon, uncordon or drain a node",
    arguments={
        "context": CONTEXT,
        "name": NAME,
        "action": text("drain cordons too.", choices=("cordon", "uncordon", "drain")),
        "delete_emptydir_data": boolean("Also pods with emptyDir.", default=False),
        "force": boolean("Also pods without controller.", default=False),
        "grace_period_seconds": integer("Instead of the pods' own.", minimum=0, maximum=86_400),
        "wait_seconds": number("For pods to leave.", maximum=MOST_WAIT_SECONDS, default=20),
        "uid": UID,
        "resource_version": RESOURCE_VERSION,
        "dry_run": DRY_RUN,
        "max_tokens": MAX_CHANGE_TOKENS,
    },
    output=CHANGE_OUTPUT,
    read_only=False,
    destructive=True,
)
async def node(
    tools: ToolContext, *, name: str, action: str, context: str = "", delete_emptydir_data: bool = False, force: bool = False,
    grace_period_seconds: int | None = None, wait_seconds: float = 20, uid: str = "", resource_version: str = "",
    dry_run: bool = False, max_tokens: int = DEFAULT_TOKENS,
) -> ToolAnswer:  # fmt: skip
    """Cordon, uncordon or drain, which evicts as PodDisruptionBudgets allow. Idempotent: repeat a drain until nothing remains."""
    target = Target(tools.clusters.api(context), _NODES, None, object_name(name))
    before = await target.read(tools)
    check_preconditions(target.title, before, uid, resource_version)
    plan = DrainPlan()
    if action == "drain":
        plan = drain_plan(await _pods_on(target.api, name), delete_emptydir_data=delete_emptydir_data, force=force)
        _refuse(target, plan)
        hold_to_approved(Foreseen(objects=tuple(_identity(_PODS, pod) for pod in plan.evict)))
    wanted = action != "uncordon"
    patch = with_preconditions({"spec": {"unschedulable": wanted or None}}, before["metadata"]["uid"], resource_version)
    after, warnings = await target.patched(tools, patch, STRATEGIC, doing=f"{action} {target.title}", dry_run=dry_run)
    marked = Changed(kind=_NODES, before=before, after=after, action="uncordoned" if not wanted else "cordoned")
    if action != "drain":
        said = f"would {action} {target.title}" if dry_run else f"{action}ed {target.title}"
        if bool(before["spec"].get("unschedulable")) == wanted:
            said = f"{target.title} is {action}ed already; nothing {'would change' if dry_run else 'changed'}"
        return change_answer(tools, action, [marked], dry_run=dry_run, note=said, max_tokens=max_tokens, warnings=warnings)
    drain = _Drain(tools, target.api, plan, grace_period_seconds)
    if dry_run:
        await drain.read_budgets()
    await drain.run(0 if dry_run else wait_seconds, dry_run=dry_run)
    return change_answer(
        tools, "drain", [marked, *drain.changed(dry_run=dry_run)], dry_run=dry_run, max_tokens=max_tokens,
        note=drain.note(target.title, dry_run=dry_run), warnings=[*warnings, *_unseen(tools, target.api), *drain.warnings()],
    )  # fmt: skip


def _refuse(target: Target, plan: DrainPlan) -> None:
    if plan.in_the_way:
        told = [f"{name} needs {flags}" for name, flags in list(plan.in_the_way.items())[:_SHOWN]]
        more = f"; {_SHOWN} of {len(plan.in_the_way)} shown" if len(plan.in_the_way) > _SHOWN else ""
        raise InvalidArguments(f"cannot drain {target.title}, nothing was done: {'; '.join(told)}{more}")


def _unseen(tools: ToolContext, api: ClusterApi) -> list[str]:
    """Pods of namespaces that this server must not touch are on the node all the same."""
    listing = ApiTarget("list", api.context, resource="pods")
    hidden = sorted({rule.namespace for rule in tools.policy.hidden_namespaces("k8s_node", listing)})
    return [f"pods in {', '.join(hidden)} were not looked at: this server's policy denies these namespaces"] if hidden else []


async def _pods_on(api: ClusterApi, node_name: str) -> list[Manifest]:
    doing = f"list the pods on Node {node_name}"
    pods: list[Manifest] = []
    token = ""
    while True:
        query: Query = [
            ("limit", 500),
            ("fieldSelector", f"spec.nodeName={node_name}"),
            *([("continue", token)] if token else []),
        ]
        page = decode_page((await api.get(_PODS.api_path(), doing=doing, query=query)).body, doing)
        try:
            pods += [decode_object(item) for item in page.items or []]
        except (TypeError, ValueError) as error:
            raise ClusterError(f"cannot {doing}: an item is no object ({type(error).__name__}); try again") from None
        token = page.metadata.continue_token
        if not token:
            return pods


@dataclass
class _Drain:
    """One drain: what became of each pod. Keys are `namespace/name`."""

    tools: ToolContext
    api: ClusterApi
    plan: DrainPlan
    grace_period_seconds: int | None
    states: dict[str, str] = field(default_factory=dict)
    """evicted (asked for and granted), gone, blocked, failed."""
    reasons: dict[str, str] = field(default_factory=dict)
    together: list[str] = field(default_factory=list)
    """What budgets allow less of at once than a dry run of each single eviction says."""

    async def read_budgets(self) -> None:
        """Each eviction of a dry run is tried by itself; how many may go together only the budgets say."""
        for namespace in sorted({str(pod["metadata"]["namespace"]) for pod in self.plan.evict}):
            doing = f"list the PodDisruptionBudgets of namespace {namespace}"
            try:
                page = decode_page((await self.api.get(_BUDGETS.api_path(namespace_name(namespace)), doing=doing)).body, doing)
                budgets = [decode_object(item) for item in page.items or []]
            except K8sMcpError as error:
                self.together.append(f"how many may go at once in {namespace} is unknown ({type(error).__name__})")
                continue
            self.together += [told for budget in budgets if (told := _at_once(budget, namespace, self.plan.evict))]

    async def run(self, wait_seconds: float, *, dry_run: bool) -> None:
        """Ask for each eviction; ask again where a budget forbids it; see pods go; until the time is over."""
        deadline = time.monotonic() + wait_seconds
        pending = list(self.plan.evict)
        while pending:
            for pod in pending:
                await self._evict(pod, dry_run=dry_run)
            if dry_run:
                return
            await self._look()
            pending = [pod for pod in pending if self.states[_key(pod)] == "blocked"]
            while not pending and "evicted" in self.states.values() and time.monotonic() < deadline:
                await asyncio.sleep(_RETRY_SECONDS)
                await self._look()
            if not pending or time.monotonic() + _RETRY_SECONDS > deadline:
                return
            await asyncio.sleep(_RETRY_SECONDS)

    async def _evict(self, pod: Manifest, *, dry_run: bool) -> None:
        metadata, key = pod["metadata"], _key(pod)
        options: dict[str, Any] = {"preconditions": {"uid": metadata["uid"]}}
        if self.grace_period_seconds is not None:
            options["gracePeriodSeconds"] = self.grace_period_seconds
        body = {
            "apiVersion": "policy/v1",
            "kind": "Eviction",
            "metadata": {"name": metadata["name"], "namespace": metadata["namespace"]},
            "deleteOptions": options,
        }
        path = f"{_PODS.api_path(object_name(metadata['namespace']), object_name(metadata['name']))}/eviction"
        try:
            await self.api.send("POST", path, body, doing=f"evict Pod {key}", dry_run=dry_run)
            self.states[key] = "evicted"
        except NotFound:
            self.states[key] = "gone"
        except K8sMcpError as error:
            status = error.status if isinstance(error, ClusterError) else 0
            # 409: another pod has got its name; 429: a disruption budget, or the API server has too much to do
            self.states[key] = {409: "gone", 429: "blocked"}.get(status, "failed")
            self.reasons[key] = str(error)

    async def _look(self) -> None:
        """Which of the evicted pods are gone; a pod of the same name with another uid is another one."""
        for pod in self.plan.evict:
            key, metadata = _key(pod), pod["metadata"]
            if self.states.get(key) != "evicted":
                continue
            try:
                path = _PODS.api_path(object_name(metadata["namespace"]), object_name(metadata["name"]))
                found = decode_object((await self.api.get(path, doing=f"get Pod {key}")).body)
            except NotFound:
                self.states[key] = "gone"
            except ClusterError as error:
                self.reasons[key] = str(error)
            else:
                self.states[key] = "evicted" if found["metadata"]["uid"] == metadata["uid"] else "gone"

    def changed(self, *, dry_run: bool) -> list[Changed]:
        """Each pod that an eviction was asked for."""
        found = []
        for pod in self.plan.evict:
            state = self.states.get(_key(pod), "blocked")
            manifest = self.tools.redactor.redact_object({"apiVersion": "v1", "kind": "Pod", "metadata": pod["metadata"]})
            kept = manifest if state in ("blocked", "failed") else None
            word = "would evict" if dry_run and kept is None else "evicted" if state == "gone" else _WORDS[state]
            found.append(Changed(kind=_PODS, before=manifest, after=kept, action=word))
        return found

    def note(self, title: str, *, dry_run: bool) -> str:
        """Numbers, and what remains."""
        counts = {state: sum(one == state for one in self.states.values()) for state in _WORDS}
        total = len(self.plan.evict)
        if dry_run:
            going = [_key(pod) for pod in self.plan.evict if self.states.get(_key(pod)) in ("evicted", "gone")]
            text_ = f"would cordon {title} and evict {len(going)} of {total} pods" + (f": {_some(going)}" if going else "")
        else:
            text_ = f"cordoned {title}; {counts['gone']} of {total} pods are gone"
        told = [text_, *self.together]
        if counts["evicted"] and not dry_run:
            told.append(f"{counts['evicted']} evicted ones are still ending")
        if counts["blocked"]:
            told.append(f"{counts['blocked']} may not go now (PodDisruptionBudget), see warnings")
        if counts["failed"]:
            told.append(f"{counts['failed']} could not be evicted, see warnings")
        if self.plan.stay:
            told.append(f"{len(self.plan.stay)} stay: {_some([f'{name} ({why})' for name, why in self.plan.stay.items()])}")
        if not dry_run:
            remains = counts["evicted"] + counts["blocked"] + counts["failed"]
            told.append("repeat the call to go on" if remains else "nothing remains to be evicted")
        return "; ".join(told)

    def warnings(self) -> list[str]:
        """Why pods are still there."""
        return [f"{key}: {self.reasons[key]}" for key, state in self.states.items() if state in ("blocked", "failed")]


def _identity(kind: Kind, manifest: Manifest) -> dict[str, Any]:
    return Changed(kind=kind, before=manifest, after=manifest).reference()


_WORDS = {"evicted": "evicted, ending", "gone": "evicted", "blocked": "blocked", "failed": "failed"}


def _at_once(budget: Manifest, namespace: str, pods: Sequence[Manifest]) -> str:
    """`at most 1 of 3 pods at once (PodDisruptionBudget shop/web)`; "" when it allows all of them."""
    requirements = label_selector.parse(label_selector.selector_text((budget.get("spec") or {}).get("selector") or {}) or "")
    held = [
        pod for pod in pods
        if pod["metadata"]["namespace"] == namespace
        and label_selector.matches(requirements, pod["metadata"].get("labels") or {})
    ]  # fmt: skip
    allowed = int((budget.get("status") or {}).get("disruptionsAllowed") or 0)
    if len(held) <= allowed:
        return ""
    return f"at most {allowed} of {len(held)} at once (PodDisruptionBudget {namespace}/{budget['metadata']['name']})"


def _key(pod: Manifest) -> str:
    return f"{pod['metadata']['namespace']}/{pod['metadata']['name']}"


def _some(names: Sequence[str]) -> str:
    return ", ".join(names[:_SHOWN]) + (f", … {_SHOWN} of {len(names)} shown" if len(names) > _SHOWN else "")


TOOLS: tuple[ToolDeclaration, ...] = (node,)
