"""The fixed tables, as typed models. `migrations` creates them; a test compares the two.

Times are epoch seconds. Booleans are 0 and 1. Tables of kinds are in `kind_tables`.
"""

from __future__ import annotations

from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column


class Base(DeclarativeBase):
    """Only Core statements are built from the models: no session, no unit of work."""


class ClusterModel(Base):
    """A cluster that has been scanned. `name` is its context's name; `uid` that of its kube-system namespace."""

    __tablename__ = "clusters"
    name: Mapped[str] = mapped_column(primary_key=True)
    uid: Mapped[str]
    server_version: Mapped[str]
    api_server: Mapped[str]
    registered_at: Mapped[int]
    last_success_at: Mapped[int | None]
    watches_held: Mapped[int | None]


class CacheMetadata(Base):
    """Freshness of one (cluster, kind, scope); the fields of `cache.freshness.Freshness`."""

    __tablename__ = "cache_metadata"
    cluster: Mapped[str] = mapped_column(primary_key=True)
    kind: Mapped[str] = mapped_column(primary_key=True)
    scope: Mapped[str] = mapped_column(primary_key=True)
    freshness_class: Mapped[str]
    resource_version: Mapped[str]
    last_full_at: Mapped[int | None]
    last_checked_at: Mapped[int | None]
    ttl_seconds: Mapped[int]
    expires_at: Mapped[int | None]
    item_count: Mapped[int]
    complete: Mapped[int]
    permitted: Mapped[int | None]
    last_error: Mapped[str | None]
    last_error_at: Mapped[int | None]
    duration_ms: Mapped[int | None]
    strategy: Mapped[str]
    malformed: Mapped[int]
    redaction: Mapped[str]
    generation: Mapped[int]
    last_counted_at: Mapped[int | None]


class KindTable(Base):
    """Which declaration a kind's table was made from; `side_tables` is a JSON list of names."""

    __tablename__ = "kind_tables"
    name: Mapped[str] = mapped_column(primary_key=True)
    declaration_hash: Mapped[str]
    side_tables: Mapped[str]


class Label(Base):
    __tablename__ = "labels"
    cluster: Mapped[str] = mapped_column(primary_key=True)
    kind: Mapped[str] = mapped_column(primary_key=True)
    uid: Mapped[str] = mapped_column(primary_key=True)
    key: Mapped[str] = mapped_column(primary_key=True)
    value: Mapped[str]


class Annotation(Base):
    __tablename__ = "annotations"
    cluster: Mapped[str] = mapped_column(primary_key=True)
    kind: Mapped[str] = mapped_column(primary_key=True)
    uid: Mapped[str] = mapped_column(primary_key=True)
    key: Mapped[str] = mapped_column(primary_key=True)
    value: Mapped[str]


class DeletedObject(Base):
    """An object that is gone, with its last row (a JSON object, times as epoch seconds) and manifest."""

    __tablename__ = "deleted_objects"
    cluster: Mapped[str] = mapped_column(primary_key=True)
    kind: Mapped[str] = mapped_column(primary_key=True)
    uid: Mapped[str] = mapped_column(primary_key=True)
    namespace: Mapped[str | None]
    name: Mapped[str]
    resource_version: Mapped[str]
    created_at: Mapped[int | None]
    first_seen_at: Mapped[int]
    deleted_at: Mapped[int]
    row: Mapped[str]
    manifest: Mapped[bytes | None]


class Change(Base):
    """One field of one object went from `old` to `new`, seen at `seen_at`. Values are text, JSON when structured.

    `manager` is the newest field manager of that version of the object; null when several wrote at the same time.
    """

    __tablename__ = "changes"
    id: Mapped[int] = mapped_column(primary_key=True)
    cluster: Mapped[str]
    kind: Mapped[str]
    namespace: Mapped[str | None]
    name: Mapped[str]
    uid: Mapped[str]
    field: Mapped[str]
    old: Mapped[str | None]
    new: Mapped[str | None]
    seen_at: Mapped[int]
    resource_version: Mapped[str]
    manager: Mapped[str | None]


class HistoryRules(Base):
    """By which version of the redaction rules `changes` and `deleted_objects` of a kind were stored."""

    __tablename__ = "history_rules"
    cluster: Mapped[str] = mapped_column(primary_key=True)
    kind: Mapped[str] = mapped_column(primary_key=True)
    rules: Mapped[str]


class ApiUsage(Base):
    """What the scanner cost an API server in one hour; `hour` is the epoch second at which it begins."""

    __tablename__ = "api_usage"
    cluster: Mapped[str] = mapped_column(primary_key=True)
    hour: Mapped[int] = mapped_column(primary_key=True)
    verb: Mapped[str] = mapped_column(primary_key=True)
    requests: Mapped[int]
    bytes: Mapped[int]


class Finding(Base):
    """What an analyzer found; `resolved_at` is null while it holds."""

    __tablename__ = "findings"
    cluster: Mapped[str] = mapped_column(primary_key=True)
    id: Mapped[str] = mapped_column(primary_key=True)
    analyzer: Mapped[str]
    severity: Mapped[str]
    kind: Mapped[str]
    namespace: Mapped[str | None]
    name: Mapped[str]
    uid: Mapped[str | None]
    title: Mapped[str]
    detail: Mapped[str]
    first_seen_at: Mapped[int]
    last_seen_at: Mapped[int]
    resolved_at: Mapped[int | None]


class RefreshRequestModel(Base):
    __tablename__ = "refresh_requests"
    id: Mapped[int] = mapped_column(primary_key=True)
    cluster: Mapped[str]
    kind: Mapped[str]
    namespace: Mapped[str | None]
    reason: Mapped[str]
    requested_at: Mapped[int]
    served_at: Mapped[int | None]


class ScannerModel(Base):
    """One row: the scanner that last used this database. Information only; the lock is a flock."""

    __tablename__ = "scanner"
    id: Mapped[int] = mapped_column(primary_key=True)
    pid: Mapped[int]
    version: Mapped[str]
    mode: Mapped[str]
    started_at: Mapped[int]
    last_tick_at: Mapped[int]
    stopped_at: Mapped[int | None]
