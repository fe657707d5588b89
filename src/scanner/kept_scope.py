"""What is kept up by changes, and how far it is."""

from __future__ import annotations

from dataclasses import dataclass

from cache.freshness import Freshness
from kinds.kind import Kind

ScopeKey = tuple[str, str]
"""(kind name, namespace or "" for the whole cluster)"""


@dataclass(slots=True)
class KeptScope:
    """One kind of one cluster, as a whole or in one namespace. Only ChangeFeed moves it on."""

    kind: Kind
    scope: str
    stored: str
    """The resourceVersion in the database: what the next write follows on."""
    cursor: str
    """What the next question starts from; ahead of `stored` by bookmarks that were not worth a write."""
    total: int
    """How many objects the cache holds."""
    malformed: int = 0
    """How many objects the API server may hold beyond them, since they cannot be read."""
    heard_at: float = 0.0
    """Epoch seconds: when the API server was last heard of this."""
    live: bool = False
    """Whether that was so lately, on a watch that is still open, that what came since would have come here."""
    redaction: str = ""
    """Rules and key by which the last answer was redacted."""
    held: bool = True
    """False: the MCP server holds no watch for it, it has too many already."""

    @property
    def key(self) -> ScopeKey:
        return self.kind.name, self.scope


def kept_scope(kind: Kind, row: Freshness) -> KeptScope:
    """Where the cache is with one scope."""
    return KeptScope(
        kind=kind,
        scope=row.scope,
        stored=row.resource_version,
        cursor=row.resource_version,
        total=row.item_count,
        malformed=row.malformed,
        heard_at=float(row.last_checked_at or 0),
    )
