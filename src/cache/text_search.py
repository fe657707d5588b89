"""Which objects exist, over all kinds, and the words by which they are found: table `objects`, full-text index `search_text`.

Both follow the kinds' tables by triggers, so whoever writes a row, by whatever statement, writes them in the same
transaction. The index keeps no text: SQLite is given the old words again when a row changes or goes, which the trigger
makes from the old row. Stock tokenizers take an unbroken run of Chinese for one word, so of such text every two
neighbouring characters are one.

Every connection parses the whole schema when it opens, so a kind's triggers are short: they hand their columns to the view
`search_feed`, whose triggers make words of them in one place.
"""

# ruff: noqa: S608  -- the names put into SQL are those of declared tables and columns
from __future__ import annotations

import sqlite3
from collections.abc import Iterator

from sqlalchemy import Connection

from kinds.kind import Kind
from kinds.search_columns import SEARCHED, SEARCHED_MAPS, SEARCHED_PROSE, search_columns

OBJECTS, INDEX = "objects", "search_text"
FIRST_UNSPACED = 0x2E80
"""Code points from here on are taken to belong to scripts that put no spaces between words."""

_FEED = "search_feed"
_KINDS_AT_MOST = 1024
_LONGEST_TEXT = 2000
_LONGEST_UNSPACED = 500
"""Characters of a message that are indexed; the rest is left out."""


def _feed() -> Iterator[str]:
    """The view that a row's searched columns are inserted into; `gone`: its words are taken back."""
    words = " || ' ' || ".join(_words(f"NEW.{column}", column) for column in SEARCHED)
    nothing = ", ".join(f"NULL AS {column}" for column in SEARCHED)
    yield f"CREATE VIEW IF NOT EXISTS {_FEED} AS SELECT 0 AS gone, 0 AS id, {nothing}"
    yield f"""CREATE TRIGGER IF NOT EXISTS {_FEED}_added INSTEAD OF INSERT ON {_FEED} WHEN NOT NEW.gone BEGIN
        INSERT INTO {INDEX} (rowid, text) VALUES (NEW.id, {words}); END"""
    yield f"""CREATE TRIGGER IF NOT EXISTS {_FEED}_gone INSTEAD OF INSERT ON {_FEED} WHEN NEW.gone BEGIN
        INSERT INTO {INDEX} ({INDEX}, rowid, text) VALUES ('delete', NEW.id, {words}); END"""


def _words(value: str, column: str) -> str:
    """A list is split at its signs like any text. Of a map the keys are left out: too many objects share them."""
    if column in SEARCHED_MAPS:
        return f"coalesce((SELECT group_concat(value, ' ') FROM json_each({value})), '')"
    if column in SEARCHED_PROSE:
        ascii_only = f"length({value}) = length(CAST({value} AS BLOB))"
        whole = f"substr({value}, 1, {_LONGEST_TEXT})"
        return f"CASE WHEN {value} IS NULL THEN '' WHEN {ascii_only} THEN {whole} ELSE {_pairs(value)} END"
    return f"coalesce({value}, '')"


def _pairs(value: str) -> str:
    """`磁盘满了 on sda` -> `磁盘 盘满 满了 了  on sda`: within a trigger there are no loops but those over a JSON list."""
    length = f"min(length({value}), {_LONGEST_UNSPACED})"
    places = f"json_each('[' || rtrim(replace(hex(zeroblob({length})), '00', '0,'), ',') || ']')"
    character, pair = f"substr({value}, key + 1, 1)", f"substr({value}, key + 1, 2)"
    spaced = f"CASE WHEN unicode({character}) >= {FIRST_UNSPACED} THEN ' ' || {pair} || ' ' ELSE {character} END"
    return f"coalesce((SELECT group_concat({spaced}, '') FROM {places}), '')"


def _tables() -> Iterator[str]:
    yield f"""CREATE TABLE IF NOT EXISTS {OBJECTS} (
        id INTEGER NOT NULL PRIMARY KEY, cluster TEXT NOT NULL, kind TEXT NOT NULL, namespace TEXT, name TEXT NOT NULL,
        uid TEXT NOT NULL, created_at INTEGER)"""
    yield f"CREATE INDEX IF NOT EXISTS {OBJECTS}_by_creation ON {OBJECTS} (cluster, created_at)"
    yield "CREATE TABLE IF NOT EXISTS object_kinds (number INTEGER NOT NULL PRIMARY KEY, kind TEXT NOT NULL UNIQUE)"
    yield f"CREATE VIRTUAL TABLE IF NOT EXISTS {INDEX} USING fts5(text, content='', detail=none, columnsize=0)"


def has_search(connection: sqlite3.Connection) -> bool:
    return connection.execute("SELECT 1 FROM sqlite_master WHERE name = ?", (INDEX,)).fetchone() is not None


def create_search(connection: sqlite3.Connection) -> None:
    for statement in (*_tables(), *_feed()):
        connection.execute(statement)


def drop_search(connection: sqlite3.Connection) -> None:
    """Only together with all tables of kinds, whose triggers need it."""
    connection.execute(f"DROP VIEW IF EXISTS {_FEED}")
    for table in (OBJECTS, INDEX, "object_kinds"):
        connection.execute(f"DROP TABLE IF EXISTS {table}")


def forget_removed_words(connection: Connection) -> None:
    """Merge the index: until then the words of rows that were written again stay in the file, though nothing finds them."""
    connection.exec_driver_sql(f"INSERT INTO {INDEX} ({INDEX}) VALUES ('optimize')")


def follow(connection: sqlite3.Connection, kind: Kind) -> None:
    """Let `objects` and the index follow the kind's table, which was just created."""
    connection.execute("INSERT OR IGNORE INTO object_kinds (kind) VALUES (?)", (kind.name,))
    (number,) = connection.execute("SELECT number FROM object_kinds WHERE kind = ?", (kind.name,)).fetchone()
    for statement in _triggers(kind, number):
        connection.execute(statement)


def _triggers(kind: Kind, number: int) -> Iterator[str]:
    """`number` tells the ids of kinds apart; a row's own id stays the same as long as it exists, also through VACUUM."""
    columns = search_columns(kind)
    differs = " OR ".join(f"OLD.{column} IS NOT NEW.{column}" for column in columns)

    def feed(row: str, gone: int) -> str:
        values = ", ".join(f"{row}.{column}" for column in columns)
        return f"INSERT INTO {_FEED} (gone, id, {', '.join(columns)}) VALUES ({gone}, {identity(row)}, {values});"

    def identity(row: str) -> str:
        return f"{row}.row_id * {_KINDS_AT_MOST} + {number % _KINDS_AT_MOST}"

    name = kind.name.replace("'", "''")
    yield f"""CREATE TRIGGER "{kind.name}_added" AFTER INSERT ON "{kind.name}" BEGIN
        INSERT INTO {OBJECTS} (id, cluster, kind, namespace, name, uid, created_at)
        VALUES ({identity("NEW")}, NEW.cluster, '{name}', NEW.namespace, NEW.name, NEW.uid, NEW.created_at);
        {feed("NEW", 0)} END"""
    yield f"""CREATE TRIGGER "{kind.name}_changed" AFTER UPDATE ON "{kind.name}" WHEN {differs}
        BEGIN {feed("OLD", 1)} {feed("NEW", 0)} END"""
    yield f"""CREATE TRIGGER "{kind.name}_removed" AFTER DELETE ON "{kind.name}" BEGIN {feed("OLD", 1)}
        DELETE FROM {OBJECTS} WHERE id = {identity("OLD")}; END"""
