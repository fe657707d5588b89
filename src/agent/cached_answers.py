"""Answers built from the cache, in the shape that the live tool gives."""

from __future__ import annotations

from typing import Any

from agent.answer import Answer
from agent.cache_access import CacheAccess
from agent.cached_read import CachedGet, CachedList, CachedRead
from agent.source_ledger import human_age
from configuration.errors import NotFound
from kinds.envelope import Envelope


class NotInCache(NotFound):
    """The cache holds the kind, but not this object; `envelope` says as of when."""

    def __init__(self, message: str, envelope: Envelope) -> None:
        super().__init__(message, status=404, reason="NotFound")
        self.envelope = envelope


async def cached_answer(cache: CacheAccess, tool: str, cluster: str, read: CachedRead, token: str = "") -> Answer:
    """Raises NotInCache, with the age, for an object that did not exist when the cache last looked; or a CacheError."""
    if isinstance(read, CachedList):
        return await _listed(cache, tool, cluster, read, token)
    return await _one(cache, tool, cluster, read)


async def _listed(cache: CacheAccess, tool: str, cluster: str, read: CachedList, token: str) -> Answer:
    page = await cache.page(cluster, read, token)
    structured: dict[str, Any] = {"rows": page.rows, "envelope": page.envelope.as_json(), "continue": page.continue_token}
    return Answer(tool=tool, cluster=cluster, source="cache", structured=structured, envelope=page.envelope)


async def _one(cache: CacheAccess, tool: str, cluster: str, read: CachedGet) -> Answer:
    found = await cache.get(cluster, read)
    if found.manifest is None:
        age = human_age(found.envelope.age_seconds)
        raise NotInCache(f"{read.what} did not exist in cluster {cluster} {age} ago (cache)", found.envelope)
    structured = {"row": found.row, "manifest": found.manifest, "envelope": found.envelope.as_json()}
    return Answer(tool=tool, cluster=cluster, source="cache", structured=structured, envelope=found.envelope)
