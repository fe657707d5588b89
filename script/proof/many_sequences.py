"""`sequences`: plays many random sequences, in as many processes as wanted, each with an API server of its own."""

from __future__ import annotations

import argparse
import os
import sys
import time
from collections import Counter
from collections.abc import Iterable
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, field

from proof_document import record

from cluster_sequences import Plan, shrunk
from control_plane_fixtures import launch
from controlplane.binaries import ensure_binaries
from sequence_laboratory import WATCH_CACHE_SIZES, SequenceLaboratory
from sequence_run import Result

LABORATORY_SEQUENCES = 100
"""After so many, a new API server: it keeps the history of all of them in memory."""
SHOWN = 10


@dataclass(slots=True)
class Sum:
    """Over many results."""

    count: int = 0
    follow: int = 0
    killed: int = 0
    polls: int = 0
    states_seen: int = 0
    faults_hit: int = 0
    seconds: float = 0.0
    slowest: float = 0.0
    converged_by: Counter[str] = field(default_factory=Counter)
    failures: list[str] = field(default_factory=list)

    def add(self, result: Result) -> None:
        self.count += 1
        self.follow += result.plan.follow
        self.killed += result.plan.as_process
        self.polls += result.polls
        self.states_seen += result.states_seen
        self.faults_hit += result.faults_hit
        self.seconds += result.seconds
        self.slowest = max(self.slowest, result.seconds)
        mode = "follow" if result.plan.follow else "list"
        self.converged_by[f"{mode}: {result.converged_by or 'never'}"] += 1
        if result.problems:
            self.failures.append(f"{result.plan}\n  problems: {'; '.join(result.problems)}")

    def include(self, other: Sum) -> None:
        for name in ("count", "follow", "killed", "polls", "states_seen", "faults_hit", "seconds"):
            setattr(self, name, getattr(self, name) + getattr(other, name))
        self.slowest = max(self.slowest, other.slowest)
        self.converged_by += other.converged_by
        self.failures += other.failures


def prove_sequences(arguments: argparse.Namespace) -> int:
    ensure_binaries()
    started = time.monotonic()
    ends_at = time.time() + arguments.minutes * 60
    follow = {"on": True, "off": False, None: None}[arguments.follow]
    size = min(LABORATORY_SEQUENCES, -(-arguments.count // arguments.jobs))
    seeds = range(arguments.seed, arguments.seed + arguments.count)
    chunks = [seeds[start : start + size] for start in range(0, len(seeds), size)]
    total = Sum()
    with ProcessPoolExecutor(arguments.jobs, max_tasks_per_child=1) as pool:
        playing = [pool.submit(_play, chunk, follow, ends_at, arguments.shrink) for chunk in chunks]
        for one in playing:
            total.include(one.result())
    _report(total, arguments, time.monotonic() - started)
    return int(bool(total.failures))


def _play(seeds: Iterable[int], follow: bool | None, ends_at: float, shrink: bool) -> Sum:
    total = Sum()
    control_plane = launch(
        ensure_binaries(), name=f"proof-{os.getpid()}", nodes=0, controllers=False, watch_cache_sizes=WATCH_CACHE_SIZES
    )
    try:
        with SequenceLaboratory(control_plane, longest_seconds=4 * 3600) as laboratory:
            for seed in seeds:
                if time.time() > ends_at:
                    break
                result = laboratory.play(laboratory.plan(seed, follow=follow))
                total.add(result)
                _tell(result)
                if result.problems and shrink:
                    small = shrunk(result.plan, lambda plan: _fails(laboratory, plan))
                    print(f"a smaller one that fails:\n{small}", file=sys.stderr, flush=True)
    finally:
        control_plane.stop()
    return total


def _fails(laboratory: SequenceLaboratory, plan: Plan) -> bool:
    return bool(laboratory.play(plan).problems)


def _tell(result: Result) -> None:
    plan = result.plan
    how = f"{'follow' if plan.follow else 'list'}{', kill -9' if plan.as_process else ''}"
    ended = result.converged_by or "never equal"
    print(
        f"seed {plan.seed} ({how}): {ended}, {result.states_seen} states, {result.faults_hit} faults, {result.seconds:.1f} s",
        file=sys.stderr,
        flush=True,
    )
    if result.problems:
        print(f"{plan}\n  problems: {'; '.join(result.problems)}", file=sys.stderr, flush=True)


def _report(total: Sum, arguments: argparse.Namespace, seconds: float) -> None:
    lines = [
        f"`script/proof sequences --count {arguments.count} --seed {arguments.seed} --jobs {arguments.jobs}`: "
        f"{total.count} sequences in {seconds / 60:.0f} minutes, {len(total.failures)} failed.",
        "",
        f"- {total.follow} with watches, {total.count - total.follow} with lists alone; "
        f"in {total.killed} the scanner was a process of its own and its crashes kill -9.",
        f"- {total.faults_hit} requests or events were broken on their way.",
        f"- The database was looked at {total.polls} times in between, and {total.states_seen} times a kind had another state: "
        "each was one that the cluster had been in, none earlier than the one before.",
        f"- At the end the cache equalled the cluster: {_counts(total.converged_by)}. "
        f"The slowest sequence took {total.slowest:.0f} s.",
    ]
    for failure in total.failures[:SHOWN]:
        lines += ["", "```", failure, "```"]
    record("Random sequences", lines, write=not arguments.no_write)


def _counts(converged_by: Counter[str]) -> str:
    return ", ".join(f"{how} {count}" for how, count in sorted(converged_by.items()))
