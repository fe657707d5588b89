"""Objects found by words: what is searched, that the index follows every write, and that a statement reaches nothing else."""

from __future__ import annotations

import random
import re
import sqlite3
from collections.abc import Callable
from contextlib import closing
from dataclasses import replace
from typing import Any

import pytest

from cache import kind_tables, text_search
from cache.cache_manager import CacheManager, ClusterIdentity
from cache.match_text import MOST_SEARCHES, MOST_WORDS, index_query
from cache.sql_guard import run_query
from cache_fixtures import CLUSTER, Clock, api_object, delta, pods, scan, staged
from configuration.errors import NeverScanned, QueryRefused
from kinds.record import Record, record
from kinds.registry import KINDS
from kinds.search_columns import search_columns

PODS = KINDS["pods"]


def event(name: str, message: str, version: int = 1) -> dict[str, Any]:
    return api_object("events", name, version=version) | {"message": message}


def found(manager: CacheManager, words: str, *, table: str = "objects", cluster: str = CLUSTER) -> list[str]:
    quoted = words.replace("'", "''")
    return [
        row[0]
        for row in run_query(
            manager.path, f"SELECT name FROM {table} WHERE text MATCH '{quoted}' ORDER BY name", cluster=cluster
        ).rows
    ]


@pytest.fixture
def filled(manager: CacheManager) -> CacheManager:
    waiting = {
        "containerStatuses": [
            {"name": "app", "ready": False, "restartCount": 3, "state": {"waiting": {"reason": "CrashLoopBackOff"}}}
        ]
    }
    scan(
        manager,
        "pods",
        staged(
            "pods",
            api_object("pods", "payments-api-7d9f", "shop", labels={"team": "billing", "app.kubernetes.io/name": "payments"}),
            api_object("pods", "web-1", "shop", node="worker-7", status=waiting, labels={"team": "Front.End"}),
        ),
    )
    scan(manager, "services", staged("services", api_object("services", "payments", "shop", labels={})))
    scan(
        manager,
        "events",
        staged(
            "events",
            event("a.1", "磁盘空间已满 on sda"),
            event("b.2", "Back-off restarting déjà container"),
            event("c.3", "拉取镜像失败"),
        ),
    )
    return manager


@pytest.mark.parametrize(
    ("words", "names"),
    [
        ("payments", ["payments", "payments-api-7d9f"]),
        ("payments-api", ["payments-api-7d9f"]),
        ("paym 7d9", ["payments-api-7d9f"]),
        ("CRASHLOOP", ["web-1"]),
        ("billing", ["payments-api-7d9f"]),
        ("front.end", ["web-1"]),
        ("worker-7", ["web-1"]),
        ("shop -payments", ["web-1"]),
        ("billing OR crashloop", ["payments-api-7d9f", "web-1"]),
        ("back-off deja", ["b.2"]),
        ("磁盘", ["a.1"]),
        ("已满", ["a.1"]),
        ("空间已满 sda", ["a.1"]),
        ("满", ["a.1"]),
        ("镜像失败", ["c.3"]),
        ("磁盘失败", []),
        ("kubernetes", []),
        ("ayments", []),
    ],
)
def test_all_words_must_be_found_each_as_the_beginning_of_a_word(words: str, names: list[str], filled: CacheManager) -> None:
    assert found(filled, words) == names


def test_a_label_an_image_and_any_kind_are_found_and_counted_by_sql(filled: CacheManager) -> None:
    image = PODS.read(api_object("pods", "x")).containers[0].image
    by_kind = f"SELECT kind, count(*) FROM objects WHERE text MATCH '{image} OR payments' GROUP BY kind ORDER BY kind"
    assert run_query(filled.path, by_kind, cluster=CLUSTER).rows == [("pods", 2), ("services", 1)]
    joined = "SELECT name, status FROM pods WHERE uid IN (SELECT uid FROM objects WHERE text MATCH 'crashloop')"
    result = run_query(filled.path, joined, cluster=CLUSTER)
    assert result.rows == [("web-1", "CrashLoopBackOff")]
    assert {envelope.kind for envelope in result.freshness} == {"pods", "objects"}
    others = (
        "SELECT name FROM objects WHERE kind = 'pods' AND (text NOT MATCH 'payments' OR name = 'payments-api-7d9f') ORDER BY 1"
    )
    assert len(run_query(filled.path, others, cluster=CLUSTER).rows) == 2


def test_a_search_among_a_kind_that_was_never_scanned_is_an_error(filled: CacheManager) -> None:
    with pytest.raises(NeverScanned):
        run_query(filled.path, "SELECT name FROM objects WHERE kind = 'nodes' AND text MATCH 'worker'", cluster=CLUSTER)


def test_each_cluster_finds_its_own_objects_and_the_all_view_everyones(filled: CacheManager) -> None:
    filled.register_cluster(ClusterIdentity(cluster="other", uid="other-uid"))
    scan(filled, "pods", staged("pods", api_object("pods", "payments-theirs")), cluster="other")
    assert found(filled, "theirs") == []
    assert found(filled, "theirs", cluster="other") == ["payments-theirs"]
    assert found(filled, "payments", cluster="other") == ["payments-theirs"]
    assert "payments-theirs" in found(filled, "payments", table="all_objects")


# --- the index follows every write


def words_of(connection: sqlite3.Connection, kind: str) -> dict[int, set[str]]:
    """What the index should know of each row, computed the slow way."""
    columns = search_columns(KINDS[kind])
    number = connection.execute("SELECT number FROM object_kinds WHERE kind = ?", (kind,)).fetchone()[0]
    wanted: dict[int, set[str]] = {}
    for row_id, *values in connection.execute(f"SELECT row_id, {', '.join(columns)} FROM {kind}"):
        texts = [str(value) for value in values[:-1] if value] + re.findall(r':"([^"]*)"', values[-1])
        wanted[row_id * 1024 + number] = {word.lower() for text in texts for word in re.findall(r"[^\W_]+", text)}
    return wanted


def check_index(manager: CacheManager) -> None:
    """Every word leads to exactly the rows that have it; nothing is left of rows that are gone."""
    with closing(sqlite3.connect(manager.path)) as connection:
        wanted = {id_: words for kind in ("pods", "nodes") for id_, words in words_of(connection, kind).items()}
        assert {row[0] for row in connection.execute("SELECT id FROM objects")} == set(wanted)
        connection.execute("CREATE VIRTUAL TABLE temp.terms USING fts5vocab(main, search_text, instance)")
        indexed: dict[int, set[str]] = {}
        for term, doc in connection.execute("SELECT term, doc FROM temp.terms"):
            indexed.setdefault(doc, set()).add(term)
        assert indexed == wanted
        connection.execute("INSERT INTO search_text (search_text) VALUES ('integrity-check')")


def test_the_index_follows_scans_deltas_removals_vacuum_and_purges(
    open_manager: Callable[..., CacheManager], clock: Clock
) -> None:
    manager, dice = open_manager(), random.Random(7)
    scan(manager, "nodes", staged("nodes", api_object("nodes", "node-1")))
    version = 100
    for step in range(12):
        version += 1
        chosen = dice.sample(range(30), dice.randrange(1, 25))
        objects = [
            api_object("pods", f"web-{n}", f"team-{n % 3}", version=dice.choice((1, version)), node=f"node-{dice.randrange(3)}",
                       labels={"tier": dice.choice(("gold", "silver"))}, uid=f"uid-{n}-{dice.randrange(2)}")
            for n in chosen
        ]  # fmt: skip
        scan(manager, "pods", staged("pods", *objects), version=str(version))
        removed, changed = objects[0], api_object("pods", f"web-{chosen[-1]}", f"team-{chosen[-1] % 3}", version=version + 500,
                                                  node="node-9", uid=objects[-1]["metadata"]["uid"])  # fmt: skip
        outcome = manager.apply(
            CLUSTER, [delta("pods", ("MODIFIED", changed), ("DELETED", removed), since=str(version), until=str(version + 900))]
        )
        assert outcome[0].applied
        if step % 8 == 3:
            with closing(sqlite3.connect(manager.path)) as connection:
                connection.execute("VACUUM")
        check_index(manager)
    clock.now += 10_000_000
    scan(manager, "nodes", [])
    manager.cleanup()
    check_index(manager)


def test_the_index_loses_what_belongs_to_a_table_that_is_made_anew(open_manager: Callable[..., CacheManager]) -> None:
    manager = open_manager()
    scan(manager, "pods", pods(3))
    scan(manager, "nodes", staged("nodes", api_object("nodes", "node-1")))
    manager.close()
    again = open_manager(kinds={**KINDS, "pods": replace(PODS, revision=PODS.revision + 1)})
    check_index(again)
    assert found(again, "node") == ["node-1"]


def test_tables_of_another_form_are_all_made_anew(
    open_manager: Callable[..., CacheManager], monkeypatch: pytest.MonkeyPatch
) -> None:
    manager = open_manager()
    scan(manager, "pods", pods(3))
    manager.close()
    monkeypatch.setattr(kind_tables, "FORM", 99)
    again = open_manager()
    check_index(again)
    scan(again, "pods", pods(2))
    check_index(again)


def test_a_broken_trigger_would_be_seen(manager: CacheManager) -> None:
    with closing(sqlite3.connect(manager.path)) as connection:
        connection.execute("DROP TRIGGER pods_removed")
    scan(manager, "pods", pods(3))
    scan(manager, "pods", pods(2))
    with pytest.raises(AssertionError):
        check_index(manager)


# --- what a statement reaches


@pytest.mark.parametrize(
    "sql",
    [
        "SELECT * FROM search_text",
        "SELECT * FROM main.search_text",
        "SELECT rowid FROM main.search_text WHERE search_text MATCH 'payments'",
        "SELECT count(*) FROM main.search_text",
        *(f"SELECT * FROM search_text_{part}" for part in ("data", "idx", "config")),
        "SELECT count(*) FROM main.search_text_data",
        "SELECT * FROM main.objects",
        "WITH objects AS (SELECT * FROM main.objects) SELECT cluster FROM objects",
        "SELECT * FROM object_kinds",
        "SELECT * FROM search_feed",
    ],
)
def test_the_index_and_its_tables_cannot_be_reached(sql: str, filled: CacheManager) -> None:
    with pytest.raises(QueryRefused, match=r"cannot be read directly|only reading is allowed"):
        run_query(filled.path, sql, cluster=CLUSTER)


@pytest.mark.parametrize(
    ("tail", "says"),
    [
        ("text MATCH (SELECT 'a')", "one text in quotes"),
        ("text MATCH name", "one text in quotes"),
        ("match('payments', text)", "one text in quotes"),
        ("text MATCH '-.-'", "no word"),
        ("text MATCH '-payments'", "no word"),
        (f"text MATCH '{'a ' * (MOST_WORDS + 1)}'", f"at most {MOST_WORDS}"),
        (" OR ".join(["text MATCH 'a'"] * (MOST_SEARCHES + 1)), f"at most {MOST_SEARCHES}"),
        ("\"match\"('payments', text)", "not available"),
    ],
)
def test_what_is_no_plain_search_is_refused_with_what_would_be(tail: str, says: str, filled: CacheManager) -> None:
    with pytest.raises(QueryRefused, match=says):
        run_query(filled.path, f"SELECT name FROM objects WHERE {tail}", cluster=CLUSTER)


@pytest.mark.parametrize(
    "words", ["web'-1", 'we"b', "a* OR b*", "NEAR(a b)", "text : a", "^a", "a AND (b", "{text} : a", "a NOT b"]
)
def test_signs_that_mean_something_to_the_index_are_never_passed_on(words: str, filled: CacheManager) -> None:
    found(filled, words)


def test_the_query_of_the_index_is_made_of_quoted_words_alone() -> None:
    assert index_query("payments-api OR 磁盘满 -test") == '("payments" AND "api"*) OR ("磁盘" AND "盘满") NOT ("test"*)'
    hostile = index_query('x") OR ("y* NEAR/3 {z}:^q')
    assert re.sub(r'"[^\W_]+"', "W", hostile) == "(W*) OR (W* AND W AND W* AND W AND W*)"


def test_the_form_number_is_raised_when_tables_or_triggers_change() -> None:
    """A database of the last release would keep its old triggers otherwise."""
    import hashlib

    from sqlalchemy.dialects import sqlite as dialect
    from sqlalchemy.schema import CreateIndex, CreateTable

    @record
    class Plain(Record):
        """A record of the common columns only, so that no kind's own columns matter here."""

    kind = replace(KINDS["namespaces"], record=Plain, list_columns=("name",), filters={})
    tables = kind_tables.kind_tables(kind)
    made = [str(CreateTable(tables.main).compile(dialect=dialect.dialect()))]
    made += sorted(str(CreateIndex(index).compile(dialect=dialect.dialect())) for index in tables.main.indexes)
    made += [*text_search._tables(), *text_search._feed(), *text_search._triggers(kind, 1)]
    digest = hashlib.sha256(re.sub(r"\s+", " ", "".join(made)).encode()).hexdigest()[:12]
    assert (kind_tables.FORM, digest) == (2, "8141f8b55520")
