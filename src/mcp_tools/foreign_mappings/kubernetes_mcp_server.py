"""The scanner through kubernetes-mcp-server (github.com/containers/kubernetes-mcp-server, tried with 0.0.67).

Its `resources_list` gives whole objects, with uid and resourceVersion, when it was started with `--list-output yaml`. It
tells neither the list's resourceVersion nor changes nor counts, and has no pages: the scanner then lists every kind at
its interval. Two of its manners have to be watched:

- It hands out the values of Secrets. They are not asked for.
- Where the credentials may not list a kind in all namespaces, it lists the context's namespace instead, and does not say
  so. A list that could be such a one is asked for again in a namespace that does not exist: only who may list the kind
  everywhere may list it there.
"""

from __future__ import annotations

import asyncio
import logging
import re
import secrets
from collections.abc import Awaitable, Callable, Mapping
from typing import TYPE_CHECKING, Any

import orjson

from configuration.errors import (
    ClusterError,
    ConfigurationError,
    K8sMcpError,
    KindNotServed,
    NotFound,
    NotPermitted,
    ToolError,
    Unauthorized,
    Unreachable,
)
from kinds.generic import generic_kind
from kinds.registry import KINDS, declared_kind
from mcp_tools.collector_pause import collector_paused
from mcp_tools.kubeconfig import IN_CLUSTER, KubeConfig, load_kubeconfig
from mcp_tools.object_names import namespace_name
from mcp_tools.server_connection import AnswerTooLarge

if TYPE_CHECKING:
    from kinds.kind import Kind
    from mcp_tools.foreign_answers import ForeignAnswers

log = logging.getLogger(__name__)

NAME = "kubernetes-mcp-server"
ARGUMENTS = ("--read-only", "--list-output", "yaml", "--toolsets", "core")
"""With which the scanner starts it: it changes nothing, and lists whole objects."""
TOOLS = ("k8s_list_contexts", "k8s_get_cluster_info", "k8s_export_page", "k8s_list_api_resources")
"""Of ours, that this answers."""

Call = Callable[[str, Mapping[str, Any]], Awaitable[dict[str, Any] | None]]
"""Calls one of its tools; gives the structured content as it came. Raises ToolError with the text of an error."""
Answer = tuple[str, dict[str, Any] | None]

_LIST, _GET = "resources_list", "resources_get"
_REFUSALS: tuple[tuple[type[ClusterError], int, re.Pattern[str]], ...] = (
    (KindNotServed, 404, re.compile(r"no matches for kind|could not find the requested resource")),
    (NotPermitted, 403, re.compile(r"\bforbidden\b", re.IGNORECASE)),
    (Unauthorized, 401, re.compile(r"\bUnauthorized\b|asked for the client to provide credentials")),
    (
        Unreachable,
        0,
        re.compile(
            r"dial tcp|connection (refused|reset)|i/o timeout|no such host|deadline exceeded|tls:|x509:|\bEOF\b|timed out"
        ),
    ),
    (NotFound, 404, re.compile(r"\bnot found\b")),
)
"""How client-go words what the API server answered, in the order in which it is looked for."""


def as_cluster_error(error: ToolError) -> K8sMcpError:
    """An error that it answered with as the class that our own server would have named."""
    if type(error) is not ToolError:
        return error
    text = str(error)
    for kind, status, words in _REFUSALS:
        if words.search(text):
            return kind(text, status=status)
    return error


class KubernetesMcpServer:
    """Answers our tools by its own. `foreign` redacts what arrives; `environment` is read for the kubeconfig."""

    def __init__(self, environment: Mapping[str, str], foreign: ForeignAnswers) -> None:
        self._environment = environment
        self._foreign = foreign
        self._nowhere = f"not-there-{secrets.token_hex(6)}"
        self._by_namespace: set[tuple[str, str]] = set()
        """(context, kind) whose list does not fit one answer."""
        self._generic: dict[str, Kind] = {}

    async def answer(self, tool: str, arguments: Mapping[str, Any], call: Call) -> Answer:
        """As our own tool would. Raises what that raises."""
        context = str(arguments.get("context") or "")
        try:
            if tool == "k8s_list_contexts":
                return "", {"contexts": self._contexts()}
            if tool == "k8s_get_cluster_info":
                return "", await self._cluster_info(context, call)
            if tool == "k8s_list_api_resources":
                return "", {"cluster": context, "rows": await self._custom_resources(context, call), "unknown_groups": []}
            return await self._page(context, arguments, call), None
        except ToolError as error:
            raise as_cluster_error(error) from None

    # --- clusters

    def _config(self) -> KubeConfig | None:
        return load_kubeconfig(self._environment)

    def _contexts(self) -> list[dict[str, Any]]:
        """From the kubeconfig, which is the same for both: its own answer would hold tokens."""
        config = self._config()
        if config is None:
            return [{"name": IN_CLUSTER, "current": True}]
        return [
            {"name": one.name, "server": self._foreign.words(one.server), "current": one.name == config.current}
            for one in config.contexts()
        ]

    async def _cluster_info(self, context: str, call: Call) -> dict[str, Any]:
        config = self._config()
        server = config.context(context).server if config is not None else ""
        arguments = {"apiVersion": "v1", "kind": "Namespace", "name": "kube-system"}
        uid = None
        try:
            found = await call(_GET, self._in_context(context) | arguments)
            uid = ((found or {}).get("metadata") or {}).get("uid")
        except ToolError as error:
            if not isinstance(as_cluster_error(error), NotPermitted | NotFound):
                raise
        return {
            "cluster": context,
            "cluster_uid": uid if isinstance(uid, str) else None,
            "server_version": "",  # no tool of it tells
            "api_server": self._foreign.words(server),
            "counts": {},
            "may_list": None,
        }

    def _in_context(self, context: str) -> dict[str, Any]:
        """It takes `context` only where the kubeconfig has several."""
        config = self._config()
        if config is None or len(config.contexts()) < 2:
            return {}
        return {"context": context or config.current}

    # --- kinds

    async def _custom_resources(self, context: str, call: Call) -> list[dict[str, Any]]:
        """Rows of k8s_list_api_resources: custom resources only, since no tool of it tells what else is served."""
        definitions = await self._list(context, KINDS["customresourcedefinitions"], "", call)
        rows = []
        for definition in definitions:
            spec = definition.get("spec") or {}
            names = spec.get("names") or {}
            version = next((v["name"] for v in spec.get("versions") or () if v.get("served") and v.get("storage")), None)
            if version is None or not isinstance(names.get("plural"), str):
                continue
            group, namespaced = str(spec.get("group") or ""), spec.get("scope") == "Namespaced"
            rows.append({
                "name": names["plural"], "kind": str(names.get("kind")), "group": group, "version": str(version),
                "namespaced": namespaced, "verbs": ["get", "list"], "short_names": list(names.get("shortNames") or ()),
            })  # fmt: skip
            full = f"{names['plural']}.{group}"
            self._generic[full] = generic_kind(full, group, str(version), str(names.get("kind")), namespaced)
        return rows

    async def _kind(self, context: str, name: str, call: Call) -> Kind:
        kind = declared_kind(name) or self._generic.get(name)
        if kind is None:
            await self._custom_resources(context, call)
            kind = self._generic.get(name)
        if kind is None:
            raise KindNotServed(
                f"{name} is neither built in nor a custom resource of {context}; {NAME} tells of no other kinds", status=404
            )
        return kind

    # --- lists

    async def _page(self, context: str, arguments: Mapping[str, Any], call: Call) -> str:
        """A page is the whole kind; where that does not fit an answer, a namespace. The token names those that are left."""
        kind = await self._kind(context, str(arguments["kind"]), call)
        if kind.name == "secrets":
            raise NotPermitted(f"secrets are not asked for: {NAME} would hand out their values", status=403)
        left = [name for name in str(arguments.get("continue_token") or "").split(",") if name]
        namespace = str(arguments.get("namespace") or "")
        if namespace:
            left = [namespace_name(namespace)]
        elif not left:
            whole = await self._whole(context, kind, call)
            if whole is not None:
                return await asyncio.to_thread(self._as_page, kind, whole, "")
            left = await self._namespaces(context, call)
        objects = await self._list(context, kind, left[0], call)
        return await asyncio.to_thread(self._as_page, kind, objects, ",".join(left[1:]))

    async def _whole(self, context: str, kind: Kind, call: Call) -> list[dict[str, Any]] | None:
        """All objects of a kind; None when they do not fit one answer."""
        if (context, kind.name) in self._by_namespace:
            return None
        try:
            objects = await self._list(context, kind, "", call)
        except AnswerTooLarge as error:
            if not kind.namespaced:
                raise
            log.info("%s %s is listed by namespaces from now on: %s", context, kind.name, error)
            self._by_namespace.add((context, kind.name))
            return None
        if kind.namespaced and len({_namespace(one) for one in objects}) < 2:
            await self._list(context, kind, self._nowhere, call)
        return objects

    async def _namespaces(self, context: str, call: Call) -> list[str]:
        found = await self._list(context, KINDS["namespaces"], "", call)
        names = [str((one.get("metadata") or {}).get("name") or "") for one in found]
        return sorted(namespace_name(name) for name in names if name) or ["default"]

    async def _list(self, context: str, kind: Kind, namespace: str, call: Call) -> list[dict[str, Any]]:
        arguments = {"apiVersion": kind.api_version, "kind": kind.kind} | ({"namespace": namespace} if namespace else {})
        answer = await call(_LIST, self._in_context(context) | arguments)
        items = (answer or {}).get("items")
        if not isinstance(items, list) or not all(_is_object(one) for one in items):
            raise ConfigurationError(
                f"{NAME} answered {_LIST} of {kind.name} without whole objects: start it with --list-output yaml, version 0.0.67"
            )
        return items

    def _as_page(self, kind: Kind, objects: list[dict[str, Any]], continue_token: str) -> str:
        version, key_id = self._foreign.redaction
        head = {
            "kind": kind.name,
            "resource_version": "",  # not told: nothing can be caught up with from here
            "continue": continue_token,
            "remaining": None,
            "redactor_version": version,
            "key_id": key_id,
        }
        with collector_paused():
            texts = [orjson.dumps(self._foreign.kubernetes_object(_of_kind(one, kind))) for one in objects]
        return (orjson.dumps(head)[:-1] + b',"objects":[' + b",".join(texts) + b"]}").decode()


def _is_object(item: Any) -> bool:
    """Rows of a table have no metadata."""
    return isinstance(item, dict) and isinstance(item.get("metadata"), dict)


def _namespace(item: dict[str, Any]) -> Any:
    return item["metadata"].get("namespace")


def _of_kind(item: dict[str, Any], kind: Kind) -> dict[str, Any]:
    """What is redacted by its kind must have it, and be it."""
    item["apiVersion"], item["kind"] = kind.api_version, kind.kind
    item["metadata"].pop("managedFields", None)
    return item
