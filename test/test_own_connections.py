"""Connections that are kept for the next user: clean, on the present file, and not after an error."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from cache.connection import create_file
from cache.own_connections import KEPT, OwnConnections


@pytest.fixture
def own(tmp_path: Path) -> Iterator[OwnConnections]:
    path = tmp_path / "cache.db"
    create_file(path)
    connections = OwnConnections(path)
    yield connections
    connections.close()


def test_the_next_user_gets_the_same_connection_without_the_temporary_tables_of_the_last(own: OwnConnections) -> None:
    with own.connection() as first:
        first.execute("CREATE TEMP TABLE staged (uid TEXT)")
        first.execute('CREATE TEMP TABLE "odd name" (uid TEXT)')
    with own.connection() as second:
        assert second is first
        assert second.execute("SELECT count(*) FROM sqlite_temp_master").fetchone() == (0,)


def test_two_users_at_once_have_a_connection_each_and_no_more_than_some_are_kept(own: OwnConnections) -> None:
    with ExitStack() as stack:
        connections = [stack.enter_context(own.connection()) for _ in range(KEPT + 1)]
        assert len({id(connection) for connection in connections}) == KEPT + 1
    closed = 0
    for connection in connections:
        try:
            connection.execute("SELECT 1")
        except sqlite3.ProgrammingError:
            closed += 1
    assert closed == 1


def test_a_connection_is_not_used_again_after_an_error_or_within_a_transaction(own: OwnConnections) -> None:
    with pytest.raises(KeyError), own.connection() as failed:
        raise KeyError
    with own.connection() as open_ended:
        assert open_ended is not failed
        open_ended.execute("BEGIN IMMEDIATE")
    with own.connection() as next_one:
        assert next_one is not open_ended
        next_one.execute("BEGIN IMMEDIATE")  # nobody holds the lock any more
        next_one.execute("ROLLBACK")


def test_a_large_temporary_file_is_given_back_to_the_disk(own: OwnConnections) -> None:
    with own.connection() as large:
        large.execute("CREATE TEMP TABLE staged (data BLOB)")
        large.execute("INSERT INTO staged SELECT zeroblob(2000000)")
    with own.connection() as next_one:
        assert next_one is not large


def test_connections_to_a_file_that_was_replaced_are_not_used_again(own: OwnConnections, tmp_path: Path) -> None:
    with own.connection() as old:
        pass
    with own.connection() as out:
        own.close()  # what a manager does that finds another file at its path
    for connection in (old, out):
        with pytest.raises(sqlite3.ProgrammingError):
            connection.execute("SELECT 1")
