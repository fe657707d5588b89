"""The schemas that an API server publishes of its kinds (OpenAPI v3), one document for each group and version.

A document is up to some megabytes; what is kept of it are its schemas as JSON text, decoded one at a time when asked for.
Source: kubernetes.io/docs/concepts/overview/kubernetes-api, k8s.io/kube-openapi pkg/handler3.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import msgspec
import orjson

from configuration.errors import ClusterError, KindNotServed, NotFound
from kinds.kind import Kind
from mcp_tools.k8s_api import ClusterApi

KEPT_SECONDS = 300.0
"""As long as discovery is kept: a CustomResourceDefinition may change."""
KEPT_BYTES = 16 * 1024 * 1024
"""Of all contexts together; the document that was used longest ago goes first."""
MAX_DOCUMENT_BYTES = 32 * 1024 * 1024


class _Gvk(msgspec.Struct):
    group: str = ""
    version: str = ""
    kind: str = ""


class _Head(msgspec.Struct):
    gvks: list[_Gvk] = msgspec.field(name="x-kubernetes-group-version-kind", default_factory=list)


class _Components(msgspec.Struct):
    schemas: dict[str, msgspec.Raw] = msgspec.field(default_factory=dict)


class _Document(msgspec.Struct):
    components: _Components = msgspec.field(default_factory=_Components)


_DOCUMENTS = msgspec.json.Decoder(_Document)
_HEADS = msgspec.json.Decoder(_Head)


@dataclass(frozen=True, slots=True)
class Schemas:
    """The schemas of one group and version. `kinds`: Kind -> name of its schema."""

    texts: Mapping[str, bytes] = field(repr=False)
    kinds: Mapping[str, str]
    size: int

    def schema(self, name: str) -> dict[str, Any]:
        """{} for a name that is not there."""
        text = self.texts.get(name)
        found = orjson.loads(text) if text is not None else {}
        return found if isinstance(found, dict) else {}


@dataclass
class OpenApiSchemas:
    """What each context publishes, kept for five minutes within a bound on memory. Used from one event loop."""

    clock: Callable[[], float] = time.monotonic
    kept_bytes: int = KEPT_BYTES
    _kept: dict[tuple[str, str], tuple[float, Schemas]] = field(default_factory=dict)

    @property
    def size(self) -> int:
        """Bytes of schemas that are kept."""
        return sum(schemas.size for _, schemas in self._kept.values())

    async def of(self, api: ClusterApi, kind: Kind) -> Schemas:
        """The schemas of a kind's group and version. Raises ClusterError, KindNotServed when nothing is published."""
        root = f"apis/{kind.group}/{kind.version}" if kind.group else f"api/{kind.version}"
        place = api.context, root
        asked_at, schemas = self._kept.pop(place, (float("-inf"), None))
        if schemas is None or self.clock() - asked_at > KEPT_SECONDS:
            asked_at, schemas = self.clock(), await _ask(api, kind, root)
        self._kept[place] = asked_at, schemas  # the last one is the one used last
        while self.size > self.kept_bytes and len(self._kept) > 1:
            del self._kept[next(iter(self._kept))]
        return schemas


async def _ask(api: ClusterApi, kind: Kind, root: str) -> Schemas:
    doing = f"read the OpenAPI schemas of {kind.api_version}"
    try:
        answer = await api.get(f"/openapi/v3/{root}", doing=doing, max_bytes=MAX_DOCUMENT_BYTES)
    except NotFound:
        raise KindNotServed(
            f"context {api.context} publishes no OpenAPI v3 schema for {kind.api_version}: the API group is not installed, or "
            "the API server is older than 1.24; k8s_list_api_resources says what is served",
            status=404,
            reason="NoSchema",
        ) from None
    try:
        found = _DOCUMENTS.decode(answer.body).components.schemas
        texts = {name: bytes(memoryview(raw)) for name, raw in found.items()}  # a copy: a part would hold on to the whole
        kinds = {gvk.kind: name for name, text in texts.items() for gvk in _gvks(text) if _is_of(gvk, kind)}
    except msgspec.MsgspecError:
        raise ClusterError(f"cannot {doing}: the API server's answer is no OpenAPI document; try again") from None
    return Schemas(texts, kinds, sum(len(name) + len(text) for name, text in texts.items()))


def _gvks(text: bytes) -> list[_Gvk]:
    return _HEADS.decode(text).gvks if b"x-kubernetes-group-version-kind" in text else []


def _is_of(gvk: _Gvk, kind: Kind) -> bool:
    return gvk.group == kind.group and gvk.version == kind.version
