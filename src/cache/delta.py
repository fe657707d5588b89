"""What a watch tells of one kind since a resourceVersion, and what became of it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from cache.freshness import WHOLE_CLUSTER
from cache.staging import Staged
from kinds.kind import Kind


@dataclass(frozen=True, slots=True)
class ObjectChange:
    """One watch event. `staged` is None when the object could not be read.

    Then what is stored under `uid` stays as it is, or is removed when the event says DELETED.
    """

    type: Literal["ADDED", "MODIFIED", "DELETED"]
    staged: Staged | None
    uid: str
    manager: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Delta:
    """The events of one (kind, scope), in order, that lead from one stored state to another.

    `since` is the resourceVersion that must be stored still, `until` the one afterwards; they may be equal. With all of
    it written the rows equal the cluster as of `checked_at` (epoch seconds). `redaction` is version and key by which the
    objects were redacted.
    """

    kind: Kind
    scope: str = WHOLE_CLUSTER
    since: str
    until: str
    changes: Sequence[ObjectChange]
    checked_at: float
    redaction: str
    strategy: Literal["follow", "catch-up", "check"]


Refusal = Literal["", "conflict", "redaction", "never listed"]


@dataclass(frozen=True, slots=True)
class DeltaOutcome:
    """`applied` False: nothing of this delta was written, and `why` says what to do about it.

    conflict: the stored resourceVersion is not `since`, somebody listed meanwhile. redaction: the stored rows were
    redacted by other rules, which a LIST has to rewrite. never listed: there is no complete LIST to build on.
    Counted are events that had an effect; `total` objects are stored in the scope afterwards.
    """

    kind: str
    scope: str
    applied: bool
    added: int = 0
    changed: int = 0
    removed: int = 0
    total: int = 0
    why: Refusal = ""
