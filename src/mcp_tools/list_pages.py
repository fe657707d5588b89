"""Pages of the API as objects, one at a time, without building the whole page in memory."""

from __future__ import annotations

from typing import Any

import msgspec
import orjson

from configuration.errors import ClusterError


class ListMeta(msgspec.Struct):
    """`metadata` of a list."""

    resource_version: str = msgspec.field(name="resourceVersion", default="")
    continue_token: str = msgspec.field(name="continue", default="")
    remaining: int | None = msgspec.field(name="remainingItemCount", default=None)


class ListPage(msgspec.Struct):
    """One page; each item is still JSON text."""

    metadata: ListMeta = msgspec.field(default_factory=ListMeta)
    items: list[msgspec.Raw] | None = None


_DECODER = msgspec.json.Decoder(ListPage)


def decode_page(body: bytes, doing: str) -> ListPage:
    """Raises ClusterError when the body is no list (half a page, a proxy's answer)."""
    try:
        return _DECODER.decode(body)
    except msgspec.MsgspecError as error:
        raise ClusterError(f"cannot {doing}: the API server's answer is not a list ({error}); try again") from None


def decode_object(raw: msgspec.Raw | bytes) -> dict[str, Any]:
    """One object without its managedFields, which are half of its bytes and nobody's answer."""
    obj: dict[str, Any] = orjson.loads(memoryview(raw))
    metadata = obj.get("metadata")
    if isinstance(metadata, dict):
        metadata.pop("managedFields", None)
    return obj
