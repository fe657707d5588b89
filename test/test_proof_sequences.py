"""Whatever happens to a cluster, its network and its scanner: the cache is always some state of the cluster, never goes
back, calls nothing deleted that exists, and in the end equals the cluster. A real API server behind a proxy that fails.

`uv run python script/proof sequences --seed S --count 1` plays the sequence of a failed test again.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import closing
from dataclasses import replace
from typing import Any

import pytest

from cache.cache_manager import CacheManager
from cache_fixtures import CLUSTER, api_object, scan, staged
from cache_observer import CacheObserver
from cluster_ledger import Ledger
from cluster_sequences import Plan, Step, make_plan, shrunk
from control_plane_fixtures import launch
from sequence_laboratory import WATCH_CACHE_SIZES, SequenceLaboratory

SEEDS = range(1, 25)
KINDS = ("configmaps", "pods")


@pytest.fixture(scope="module")
def laboratory(control_plane_binaries: Any) -> Iterator[SequenceLaboratory]:
    control_plane = launch(control_plane_binaries, nodes=0, controllers=False, watch_cache_sizes=WATCH_CACHE_SIZES)
    try:
        with SequenceLaboratory(control_plane) as laboratory:
            yield laboratory
    finally:
        control_plane.stop()


@pytest.mark.parametrize("seed", SEEDS)
def test_the_cache_is_right_at_every_moment_and_equal_in_the_end(laboratory: SequenceLaboratory, seed: int) -> None:
    plan = laboratory.plan(seed)
    result = laboratory.play(plan)
    again = f"uv run python script/proof sequences --seed {seed} --count 1"
    assert result.problems == [], f"{plan}\nplay it again: {again}"
    assert result.polls > 0
    assert result.converged_by


def test_a_seed_always_makes_the_same_sequence() -> None:
    assert make_plan(7, KINDS) == make_plan(7, KINDS)
    assert make_plan(7, KINDS) != make_plan(8, KINDS)


def test_a_failing_sequence_is_shrunk_to_the_steps_that_matter() -> None:
    plan = make_plan(3, KINDS)
    plan = replace(plan, steps=(*plan.steps[:20], Step("due"), *plan.steps[20:], Step("due")))

    def fails(candidate: Plan) -> bool:
        return sum(step.what == "due" for step in candidate.steps) >= 2

    small = shrunk(plan, fails, tries=200)
    assert sorted(step.what for step in small.steps) == ["due", "due", "start"]


# --- the observer itself can say no


@pytest.fixture
def ledger() -> Ledger:
    """Of a cluster that had two ConfigMaps, then three."""
    ledger = Ledger(["configmaps"])
    ledger.begin("configmaps", {"u1": "1", "u2": "2"})
    ledger.changed("configmaps", {"metadata": {"uid": "u3", "resourceVersion": "3"}})
    return ledger


def configmaps(*numbers: int, version: int | None = None) -> list[Any]:
    objects = [api_object("configmaps", f"c{n}", uid=f"u{n}", version=version or n) for n in numbers]
    return staged("configmaps", *objects)


@pytest.fixture
def observer(manager: CacheManager, ledger: Ledger) -> CacheObserver:
    return CacheObserver(manager.path, CLUSTER, ["configmaps"], ledger)


def test_states_that_were_in_their_order_are_right(manager: CacheManager, observer: CacheObserver) -> None:
    scan(manager, "configmaps", configmaps(1, 2))
    observer.look()
    scan(manager, "configmaps", configmaps(1, 2, 3))
    observer.look()
    assert (observer.violations, observer.states_seen) == ([], 2)


def test_a_state_that_never_was_is_a_violation(manager: CacheManager, observer: CacheObserver) -> None:
    scan(manager, "configmaps", configmaps(1, 3))
    observer.look()
    assert "holds what the cluster never was" in observer.violations[0]


def test_going_back_to_an_earlier_state_is_a_violation(manager: CacheManager, observer: CacheObserver, ledger: Ledger) -> None:
    scan(manager, "configmaps", configmaps(1, 2, 3))
    observer.look()
    ledger.will_delete("u3")
    scan(manager, "configmaps", configmaps(1, 2))
    observer.look()
    assert observer.violations == ["configmaps: went back from state 1 to state 0"]


@pytest.mark.parametrize("asked", [True, False])
def test_the_version_that_a_pod_gets_just_before_it_goes_is_no_violation_when_its_deletion_was_asked_for(
    asked: bool, manager: CacheManager
) -> None:
    ledger = Ledger(["pods"])
    ledger.begin("pods", {"u1": "1"})
    observer = CacheObserver(manager.path, CLUSTER, ["pods"], ledger)
    going = api_object("pods", "p1", uid="u1", version=2)
    going["metadata"]["deletionTimestamp"] = "2026-01-02T03:04:05Z"
    if asked:
        ledger.will_delete("u1")
        ledger.deleted("pods", "u1")
    scan(manager, "pods", staged("pods", going))
    observer.look()
    assert [violation.partition(";")[0] for violation in observer.violations] == (
        [] if asked else ["pods: holds what the cluster never was"]
    )


def test_calling_deleted_what_exists_is_a_violation(manager: CacheManager, observer: CacheObserver, ledger: Ledger) -> None:
    scan(manager, "configmaps", configmaps(1, 2, 3))
    scan(manager, "configmaps", configmaps(1, 2))
    observer.look()
    assert "configmaps u3 was moved to deleted_objects while it existed" in observer.violations


def test_a_count_that_is_not_that_of_the_rows_is_a_violation(manager: CacheManager, observer: CacheObserver) -> None:
    scan(manager, "configmaps", configmaps(1, 2))
    with closing(sqlite3.connect(manager.path, isolation_level=None)) as other:
        other.execute("UPDATE cache_metadata SET item_count = 5")
    observer.look()
    assert "configmaps: 2 rows, but item_count 5" in observer.violations
