"""The cache's own continue tokens: the name after which the next page begins, and which list it belongs to."""

from __future__ import annotations

import base64
import binascii
import hashlib

import orjson

from configuration.errors import InvalidArguments
from kinds.list_query import ListQuery

PREFIX = "c1."
"""Tells a token of the cache from one of the API server."""


def is_cache_token(token: str) -> bool:
    return token.startswith(PREFIX)


def encode(query: ListQuery, cluster: str, last_key: bytes) -> str:
    """The token of the page after `last_key` (a `kinds.record.sort_key`)."""
    payload = _digest(query, cluster) + last_key
    return PREFIX + base64.urlsafe_b64encode(payload).decode().rstrip("=")


def decode(query: ListQuery, cluster: str) -> bytes | None:
    """The sort key after which to go on; None without a token. InvalidArguments when it is not of this list."""
    token = query.continue_token
    if not token:
        return None
    if not is_cache_token(token):
        raise InvalidArguments("continue token is not one of the cache (they begin with c1.); start the list again without it")
    text = token.removeprefix(PREFIX)
    try:
        payload = base64.b64decode(text + "=" * (-len(text) % 4), altchars=b"-_", validate=True)
    except (binascii.Error, ValueError):
        payload = b""
    if len(payload) <= _DIGEST_BYTES:
        raise InvalidArguments("continue token is damaged; start the list again without it")
    digest, key = payload[:_DIGEST_BYTES], payload[_DIGEST_BYTES:]
    if digest != _digest(query, cluster):
        raise InvalidArguments(
            "continue token belongs to another list; repeat cluster, kind, namespace, selector and filters of the first page"
        )
    return key


_DIGEST_BYTES = 6


def _digest(query: ListQuery, cluster: str) -> bytes:
    asked = [cluster, query.kind.name, query.namespace, query.selector, sorted(query.filters.items())]
    return hashlib.sha256(orjson.dumps(asked)).digest()[:_DIGEST_BYTES]
