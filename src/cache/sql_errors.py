"""What SQLite says about a wrong statement, with what would be right."""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable

from cache import sql_functions
from cache.sql_views import Views
from configuration.errors import NeverScanned, QueryRefused, UnknownKind
from kinds.registry import find_kind
from kinds.views import VIEWS

_MISSING = re.compile(r"no such (table|column|function): (?:main\.|temp\.)?(.*)", re.DOTALL)


def explain_sql_error(error: Exception, views: Views, sql: str, longest: int) -> QueryRefused | NeverScanned:
    """The error to raise: near names for an unknown table or column, plain words for a limit."""
    text = str(error)
    missing = _MISSING.match(text)
    if missing and missing[1] == "table":
        return _unknown_table(missing[2], views)
    if missing and missing[1] == "column":
        return QueryRefused(f"{text}; {_columns_hint(missing[2].rpartition('.')[2], views, sql)}")
    if missing:
        return QueryRefused(f"{text}; {_near(missing[2], sql_functions.ALLOWED, 'the functions are')}")
    if "one statement" in text:
        return QueryRefused("only one statement can be run; remove what follows the first semicolon")
    if "too big" in text or "too long" in text or "user-defined function" in text:
        return QueryRefused(f"a value grew over {longest} characters ({text}); select or aggregate less text")
    return QueryRefused(f"SQLite: {text}")


def _unknown_table(name: str, views: Views) -> QueryRefused | NeverScanned:
    bare = name.removeprefix("all_")
    view = next((view for view in VIEWS if view.name == bare), None)
    if view is not None:
        missing = ", ".join(table for table in view.reads if table not in views.names)
        return NeverScanned(f"{bare} needs {missing}, never scanned; run `scanner scan`")
    try:
        kind = find_kind(bare)
    except UnknownKind:
        return QueryRefused(f"there is no table {name[:60]!r}; {_near(name, views.plain_names(), 'the tables are')}")
    if kind.name != bare and kind.name in views.names:
        return QueryRefused(f"there is no table {name[:60]!r}; did you mean {kind.name}?")
    return NeverScanned(f"{kind.name} were never scanned; run `scanner scan --kind {kind.name}`")


def _near(name: str, known: Iterable[str], otherwise: str) -> str:
    near = difflib.get_close_matches(name, known := sorted(known), n=3)
    return f"did you mean {', '.join(near)}?" if near else f"{otherwise}: {', '.join(known)}"


def _columns_hint(name: str, views: Views, sql: str) -> str:
    words = set(re.findall(r"\w+", sql.lower()))
    used = [table for table in views.columns if table in words]
    near = difflib.get_close_matches(name, sorted({column for table in used for column in views.columns[table]}), n=4)
    listed = "; ".join(f"{table} has {', '.join(views.columns[table])}" for table in used[:3])
    return (f"did you mean {', '.join(near)}? " if near else "") + listed
