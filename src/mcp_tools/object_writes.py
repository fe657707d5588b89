"""Reading an object before it is changed, and changing it: what the tools that change something have in common."""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from configuration.errors import Conflict, DryRunRefused, InvalidArguments, NotFound
from kinds.kind import Kind
from mcp_tools.k8s_api import ClusterApi
from mcp_tools.k8s_tools.change_answers import FIELD_MANAGER, Manifest, title_of
from mcp_tools.k8s_tools.reading import read_object
from mcp_tools.list_pages import decode_object
from mcp_tools.moved_secrets import hide_moved
from mcp_tools.object_names import namespace_name
from mcp_tools.proposed_values import NOTHING, asked_by, disguise_proposed
from mcp_tools.request_guard import running_disguise
from mcp_tools.tool_declaration import ToolContext

MERGE = "application/merge-patch+json"
STRATEGIC = "application/strategic-merge-patch+json"
JSON_PATCH = "application/json-patch+json"
APPLY = "application/apply-patch+yaml"


@dataclass(frozen=True, slots=True)
class Target:
    """One object of one cluster, by validated names."""

    api: ClusterApi
    kind: Kind
    namespace: str | None
    name: str

    @property
    def title(self) -> str:
        """`Deployment dev/web`."""
        return title_of(self.kind, self.namespace, self.name)

    def path(self, subresource: str = "") -> str:
        """Of the API."""
        return self.kind.api_path(self.namespace, self.name) + (f"/{subresource}" if subresource else "")

    async def read(self, tools: ToolContext) -> Manifest:
        """The redacted object without managedFields. Raises NotFound, or another ClusterError.

        Of a Secret nothing but its names can be read here. To show which of its values a change is about, the API server is
        asked, as a dry run, to change nothing: its answer goes through the redactor and no further.
        """
        if self.kind.resource == "secrets" and not self.kind.group:
            try:
                return (await self.patched(tools, {}, MERGE, doing=f"compare {self.title}", dry_run=True))[0]
            except DryRunRefused:
                return await read_object(tools, self.api, self.kind, self.name, self.namespace)
        answer = await self.api.get(self.path(), doing=f"get {self.title}")
        return tools.redactor.redact_object(decode_object(answer.body))

    async def read_or_none(self, tools: ToolContext) -> Manifest | None:
        """None when it does not exist."""
        try:
            return await self.read(tools)
        except NotFound:
            return None

    async def patched(
        self, tools: ToolContext, patch: dict[str, Any] | list[Any], content_type: str, *, doing: str, dry_run: bool,
        subresource: str = "", query: Sequence[tuple[str, str]] = (), before: Manifest | None = None, proposed: bool = False,
    ) -> tuple[Manifest, tuple[str, ...]]:  # fmt: skip
        """The redacted object as the API server has, or would have, stored it; and its warnings.

        What is redacted in `before`, the object until then, stays redacted wherever the change puts it. `proposed`: the patch
        is what a caller says, and gets marks of this call.
        """
        asked = [("fieldManager", FIELD_MANAGER), ("fieldValidation", "Strict"), *query]
        answer = await self.api.send(
            "PATCH", self.path(subresource), patch, doing=doing, query=asked, content_type=content_type, dry_run=dry_run
        )
        after = tools.redactor.redact_object(decode_object(answer.body))
        said = asked_by(patch, before) if proposed else NOTHING
        if before:
            after = hide_moved(before, after, tools.redactor.marks_of, said)
        if proposed:
            disguise_proposed(before, after, said, running_disguise(), self.title)
        return after, answer.warnings


def scope_named(tool: str, kind: Kind, namespace: str) -> str | None:
    """The namespace as it was given; a change never falls back to another one. None for a kind without."""
    if not kind.namespaced:
        return None
    if not namespace:
        raise InvalidArguments(f"{tool}: {kind.name} have namespaces, name the one of the object in `namespace`")
    return namespace_name(namespace)


def preconditions(uid: str, resource_version: str) -> dict[str, str]:
    """As metadata of a patch: the API server answers 409 when the object is another one, or has changed."""
    return {key: value for key, value in (("uid", uid), ("resourceVersion", resource_version)) if value}


def with_preconditions(patch: Mapping[str, Any], uid: str, resource_version: str) -> dict[str, Any]:
    """A merge patch that holds only for this object in this version."""
    wanted = preconditions(uid, resource_version)
    if not wanted:
        return dict(patch)
    complete = copy.deepcopy(dict(patch))
    complete["metadata"] = (complete.get("metadata") or {}) | wanted
    return complete


def check_preconditions(title: str, manifest: Manifest, uid: str, resource_version: str) -> None:
    """For what begins with reading. Raises Conflict, as the API server does."""
    metadata = manifest["metadata"]
    for name, wanted, found in (
        ("uid", uid, metadata.get("uid")),
        ("resourceVersion", resource_version, metadata.get("resourceVersion")),
    ):
        if wanted and wanted != found:
            raise Conflict(
                f"{title} has {name} {found}, not {wanted}: it is another one or has changed, nothing was done; read it again "
                "and repeat with its current uid and resourceVersion",
                status=409,
                reason="Conflict",
            )
