"""Pages of the API as objects, one at a time, without building the whole page in memory."""

from __future__ import annotations

from typing import Any, TypeVar

import msgspec
import orjson

from configuration.errors import ClusterError
from mcp_tools.json_repair import LEVELS, cut_deep, depth_of, repaired

Page = TypeVar("Page")

_LEVELS_ABOVE = 5
"""Of the page around its objects."""


class ListMeta(msgspec.Struct):
    """`metadata` of a list."""

    resource_version: str = msgspec.field(name="resourceVersion", default="")
    continue_token: str = msgspec.field(name="continue", default="")
    remaining: int | None = msgspec.field(name="remainingItemCount", default=None)


class ListPage(msgspec.Struct):
    """One page; each item is still JSON text. An answer without `items` is no empty list: it is something else."""

    items: list[msgspec.Raw] | None
    metadata: ListMeta = msgspec.field(default_factory=ListMeta)


_DECODER = msgspec.json.Decoder(ListPage)


def decode_page(body: bytes, doing: str) -> ListPage:
    """Raises ClusterError when the body is no list (half a page, a proxy's answer)."""
    return decode_list(_DECODER, body, doing)


def decode_list(decoder: msgspec.json.Decoder[Page], body: bytes, doing: str, what: str = "list") -> Page:
    """The same with another decoder. An object that is nested too deep for it is cut off, and costs nobody else."""
    try:
        try:
            return decoder.decode(body)
        except RecursionError:
            return decoder.decode(cut_deep(body, LEVELS + _LEVELS_ABOVE))
        except msgspec.ValidationError:
            raise
        except msgspec.DecodeError:
            return decoder.decode(_repaired_page(body))
    except msgspec.MsgspecError as error:
        raise ClusterError(f"cannot {doing}: the API server's answer is not a {what} ({error}); try again") from None


def _repaired_page(body: bytes) -> bytes:
    """Text that is no valid Unicode, in one object, must not cost the page. What is no JSON at all is given back as it is."""
    try:
        return repaired(body)
    except ValueError:
        return body


def decode_item(raw: msgspec.Raw | bytes) -> dict[str, Any]:
    """One object with its managedFields. Raises TypeError or ValueError when it is none."""
    text = memoryview(raw)
    try:
        obj = orjson.loads(text)
    except orjson.JSONDecodeError:
        obj = orjson.loads(repaired(bytes(text)))
    if not isinstance(obj, dict):
        raise TypeError(f"an object is a JSON object, not {type(obj).__name__}")
    return obj


def decode_object(raw: msgspec.Raw | bytes) -> dict[str, Any]:
    """One object without its managedFields, which are half of its bytes and nobody's answer; cut where it is nested too deep
    for what looks at it."""
    obj = _without_managed_fields(decode_item(raw))
    if depth_of(obj) > LEVELS:
        obj = _without_managed_fields(decode_item(repaired(bytes(memoryview(raw)))))
    return obj


def _without_managed_fields(obj: dict[str, Any]) -> dict[str, Any]:
    metadata = obj.get("metadata")
    if isinstance(metadata, dict):
        metadata.pop("managedFields", None)
    return obj
