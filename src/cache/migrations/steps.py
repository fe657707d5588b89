"""The migrations, oldest first. A step is never edited once released: it is history; add another.

Each is a tuple of statements, run in one transaction; the database's `user_version` counts the steps that it has.
Labels and annotations belong to objects of all kinds, so they are here and not with the kinds.
"""

from __future__ import annotations

FIXED_TABLES = (
    """CREATE TABLE clusters (
        name TEXT NOT NULL PRIMARY KEY, uid TEXT NOT NULL, server_version TEXT NOT NULL, api_server TEXT NOT NULL,
        registered_at INTEGER NOT NULL, last_success_at INTEGER)""",
    """CREATE TABLE cache_metadata (
        cluster TEXT NOT NULL, kind TEXT NOT NULL, scope TEXT NOT NULL, freshness_class TEXT NOT NULL,
        resource_version TEXT NOT NULL, last_full_at INTEGER, last_checked_at INTEGER, ttl_seconds INTEGER NOT NULL,
        expires_at INTEGER, item_count INTEGER NOT NULL, complete INTEGER NOT NULL, permitted INTEGER, last_error TEXT,
        last_error_at INTEGER, duration_ms INTEGER, strategy TEXT NOT NULL, malformed INTEGER NOT NULL,
        redaction TEXT NOT NULL, generation INTEGER NOT NULL,
        PRIMARY KEY (cluster, kind, scope)) WITHOUT ROWID""",
    """CREATE TABLE kind_tables (
        name TEXT NOT NULL PRIMARY KEY, declaration_hash TEXT NOT NULL, side_tables TEXT NOT NULL)""",
    """CREATE TABLE labels (
        cluster TEXT NOT NULL, kind TEXT NOT NULL, uid TEXT NOT NULL, key TEXT NOT NULL, value TEXT NOT NULL,
        PRIMARY KEY (cluster, kind, uid, key)) WITHOUT ROWID""",
    "CREATE INDEX labels_by_value ON labels (cluster, kind, key, value)",
    # Annotations may be large: they are found by key, and their values are not copied into an index.
    """CREATE TABLE annotations (
        cluster TEXT NOT NULL, kind TEXT NOT NULL, uid TEXT NOT NULL, key TEXT NOT NULL, value TEXT NOT NULL,
        PRIMARY KEY (cluster, kind, uid, key)) WITHOUT ROWID""",
    "CREATE INDEX annotations_by_key ON annotations (cluster, kind, key)",
    """CREATE TABLE deleted_objects (
        cluster TEXT NOT NULL, kind TEXT NOT NULL, uid TEXT NOT NULL, namespace TEXT, name TEXT NOT NULL,
        resource_version TEXT NOT NULL, created_at INTEGER, first_seen_at INTEGER NOT NULL, deleted_at INTEGER NOT NULL,
        row TEXT NOT NULL, manifest BLOB,
        PRIMARY KEY (cluster, kind, uid))""",
    "CREATE INDEX deleted_objects_by_name ON deleted_objects (cluster, kind, namespace, name)",
    "CREATE INDEX deleted_objects_by_time ON deleted_objects (deleted_at)",
    """CREATE TABLE changes (
        id INTEGER NOT NULL PRIMARY KEY, cluster TEXT NOT NULL, kind TEXT NOT NULL, namespace TEXT, name TEXT NOT NULL,
        uid TEXT NOT NULL, field TEXT NOT NULL, old TEXT, new TEXT, seen_at INTEGER NOT NULL,
        resource_version TEXT NOT NULL)""",
    "CREATE INDEX changes_by_object ON changes (cluster, kind, uid)",
    "CREATE INDEX changes_by_time ON changes (seen_at)",
    """CREATE TABLE findings (
        cluster TEXT NOT NULL, id TEXT NOT NULL, analyzer TEXT NOT NULL, severity TEXT NOT NULL, kind TEXT NOT NULL,
        namespace TEXT, name TEXT NOT NULL, uid TEXT, title TEXT NOT NULL, detail TEXT NOT NULL,
        first_seen_at INTEGER NOT NULL, last_seen_at INTEGER NOT NULL, resolved_at INTEGER,
        PRIMARY KEY (cluster, id))""",
    """CREATE TABLE refresh_requests (
        id INTEGER NOT NULL PRIMARY KEY, cluster TEXT NOT NULL, kind TEXT NOT NULL, namespace TEXT,
        reason TEXT NOT NULL, requested_at INTEGER NOT NULL, served_at INTEGER)""",
    "CREATE INDEX refresh_requests_waiting ON refresh_requests (requested_at) WHERE served_at IS NULL",
    """CREATE TABLE scanner (
        id INTEGER NOT NULL PRIMARY KEY CHECK (id = 1), pid INTEGER NOT NULL, version TEXT NOT NULL, mode TEXT NOT NULL,
        started_at INTEGER NOT NULL, last_tick_at INTEGER NOT NULL, stopped_at INTEGER)""",
)

CHANGES_BY_WHOM = (
    "ALTER TABLE changes ADD COLUMN manager TEXT",
    "ALTER TABLE cache_metadata ADD COLUMN last_counted_at INTEGER",
    "ALTER TABLE clusters ADD COLUMN watches_held INTEGER",
    """CREATE TABLE api_usage (
        cluster TEXT NOT NULL, hour INTEGER NOT NULL, verb TEXT NOT NULL, requests INTEGER NOT NULL, bytes INTEGER NOT NULL,
        PRIMARY KEY (cluster, hour, verb)) WITHOUT ROWID""",
    # Kept apart from cache_metadata, which loses a kind whose declaration changed or that was purged: its history stays.
    """CREATE TABLE history_rules (
        cluster TEXT NOT NULL, kind TEXT NOT NULL, rules TEXT NOT NULL, PRIMARY KEY (cluster, kind)) WITHOUT ROWID""",
    # of `version/key`; a kind whose scopes do not agree is scrubbed when they do
    """INSERT INTO history_rules (cluster, kind, rules)
        SELECT cluster, kind, min(substr(redaction, 1, instr(redaction || '/', '/') - 1)) FROM cache_metadata
        WHERE last_full_at IS NOT NULL GROUP BY cluster, kind HAVING count(DISTINCT redaction) = 1""",
    # What changed in a window of time, of one cluster: view `timeline`.
    "CREATE INDEX changes_in_time_order ON changes (cluster, seen_at)",
    "CREATE INDEX deleted_objects_in_time_order ON deleted_objects (cluster, deleted_at)",
    "CREATE INDEX deleted_objects_by_creation ON deleted_objects (cluster, created_at)",
)

MIGRATIONS: tuple[tuple[str, ...], ...] = (FIXED_TABLES, CHANGES_BY_WHOM)
