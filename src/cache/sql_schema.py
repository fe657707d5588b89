"""The schema of guarded SQL, as text for a model's prompt or a person."""

from __future__ import annotations

from collections.abc import Iterable

from kinds.kind import Column, Kind, columns_of
from kinds.record import Record
from kinds.views import VIEWS, View

_INTRODUCTION = """SQLite, one SELECT. Each table shows the chosen cluster; all_<table> (all_pods …) shows every cluster.
Types: text, integer, real; time = epoch seconds (datetime(x,'unixepoch'); now: unixepoch()); boolean = 0/1, null = not set;
json = JSON text (json_extract, ->>, json_each; keys with dots in quotes: labels->>'$."app.kubernetes.io/name"').
Objects are found by (namespace, name) or uid; finding by label is fastest through the labels table."""

_FIXED = """labels(kind text -- plural, e.g. 'pods', uid, key, value)   annotations(kind, uid, key, value)
objects(kind, namespace, name, uid, created_at time, text) -- every object of every kind that exists now. text is for MATCH:
 words in namespace, name, status, reason, message, node, images and labels' values; all must be found, each as the beginning
 of a word; OR and -word are understood: SELECT * FROM pods WHERE uid IN (SELECT uid FROM objects WHERE text MATCH 'crashloop')
changes(kind, namespace, name, uid, field -- column, labels.KEY or containers[NAME].COLUMN, old, new, seen_at time, manager)
deleted_objects(kind, namespace, name, uid, created_at time, first_seen_at time, deleted_at time, row json -- its last row)
cache_metadata(kind, scope, last_checked_at time, expires_at time, item_count, complete, permitted, last_error)
clusters(name, uid, server_version, api_server)"""


def describe_schema(kinds: Iterable[Kind], *, brief: bool = False) -> str:
    """Compact: the columns that all kinds share once, then each kind's own, with what they mean (not if `brief`)."""
    shared = columns_of(Record)
    names = {column.name for column in shared}
    lines = [_INTRODUCTION, f"every kind: cluster, {_columns(shared, brief)}, first_seen_at time"]
    for kind in kinds:
        own = [column for column in kind.columns if column.name not in names]
        lines.append(f"{kind.name}({_columns(own, brief)})" if own else f"{kind.name}()")
        for side in kind.side_tables:
            owner = f"{kind.kind.lower()}_uid text -- {kind.name}.uid, position integer"
            lines.append(f"{side.name}(cluster, {owner}, {_columns(side.columns, brief)})")
    return "\n".join([*lines, _FIXED, *map(_view, VIEWS)])


def _view(view: View) -> str:
    return f"{view.name}({_columns(view.columns, brief=True)}) -- {view.doc}"


def _columns(columns: Iterable[Column], brief: bool) -> str:
    return ", ".join(f"{column.name} {column.type}" + ("" if brief else f" -- {column.doc}") for column in columns)
