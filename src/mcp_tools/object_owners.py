"""Who owns an object: the chain of its owner references, upwards."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

from configuration.errors import ClusterError, InvalidArguments, NotFound
from kinds.kind import Kind
from kinds.registry import KINDS
from mcp_tools.discovery import kind_of
from mcp_tools.k8s_api import ClusterApi
from mcp_tools.list_pages import decode_item
from mcp_tools.object_names import object_name
from mcp_tools.tool_declaration import ToolContext

METADATA = "application/json;as=PartialObjectMetadata;v=v1;g=meta.k8s.io"
_LEVELS = 8


@dataclass(frozen=True, slots=True)
class Owner:
    """`state`: exists, gone (its reference is left over), another (of the same name), or why it cannot be told."""

    kind: str
    name: str
    controller: bool
    state: str

    def as_row(self) -> dict[str, Any]:
        return asdict(self)


async def owners_of(api: ClusterApi, tools: ToolContext, manifest: dict[str, Any]) -> list[Owner]:
    """All owners of the object, then the owners of the one that controls it, and so on. Redacted names; raises nothing."""
    found: list[Owner] = []
    namespace = (manifest.get("metadata") or {}).get("namespace")
    references = _references(manifest.get("metadata"))
    while references and len(found) < _LEVELS:
        looked_at = [(one, *await _look(api, tools, one, namespace)) for one in references[: _LEVELS - len(found)]]
        found += [
            Owner(str(one.get("kind")), str(one.get("name")), bool(one.get("controller")), state) for one, state, _ in looked_at
        ]
        above = next((metadata for one, _, metadata in looked_at if one.get("controller")), looked_at[0][2])
        references = _references(above)
    return found


async def owner_kind(api: ClusterApi, tools: ToolContext, reference: dict[str, Any]) -> Kind | None:
    """The kind that an owner reference names; None when this cluster does not serve it. Raises ClusterError."""
    group, _, _ = str(reference.get("apiVersion") or "").rpartition("/")
    wanted = group, str(reference.get("kind"))
    declared = next((kind for kind in KINDS.values() if (kind.group, kind.kind) == wanted), None)
    if declared is not None:
        return declared
    served = await tools.discovery.served(api)
    return next((kind_of(one) for one in served.resources if (one.group, one.kind) == wanted), None)


async def _look(
    api: ClusterApi, tools: ToolContext, reference: dict[str, Any], namespace: str | None
) -> tuple[str, dict[str, Any]]:
    """-> state, metadata ({} when it could not be read)."""
    try:
        kind = await owner_kind(api, tools, reference)
        if kind is None:
            return "its kind is not served here", {}
        path = kind.api_path(namespace, object_name(str(reference.get("name"))))
        answer = await api.get(path, doing=f"get {kind.kind} {reference.get('name')}", accept=METADATA)
        metadata = tools.redactor.redact_object(decode_item(answer.body)).get("metadata") or {}
    except NotFound:
        return "gone", {}
    except (ClusterError, InvalidArguments, TypeError, ValueError) as error:
        return f"unknown ({getattr(error, 'reason', '') or type(error).__name__})", {}
    return ("exists" if metadata.get("uid") == reference.get("uid") else "another"), metadata


def _references(metadata: Any) -> list[dict[str, Any]]:
    """The controller first."""
    listed = metadata.get("ownerReferences") if isinstance(metadata, dict) else None
    found = [one for one in listed if isinstance(one, dict)] if isinstance(listed, list) else []
    return sorted(found, key=lambda one: not one.get("controller"))
