"""`kill`: kill -9 at random instants."""

from __future__ import annotations

import argparse
import time

from proof_document import record

from control_plane_fixtures import launch
from controlplane.binaries import ensure_binaries
from scanner_kills import OBJECTS, kill_many
from sequence_laboratory import WATCH_CACHE_SIZES, SequenceLaboratory


def prove_kills(arguments: argparse.Namespace) -> int:
    started = time.monotonic()
    control_plane = launch(ensure_binaries(), nodes=0, controllers=False, watch_cache_sizes=WATCH_CACHE_SIZES)
    try:
        with SequenceLaboratory(control_plane) as laboratory:
            kinds = len(laboratory.kinds)
            kills = kill_many(laboratory, arguments.count, seed=arguments.seed)
    finally:
        control_plane.stop()
    lines = [
        f"`script/proof kill --count {arguments.count} --seed {arguments.seed}`: {kills.count} kills in "
        f"{(time.monotonic() - started) / 60:.0f} minutes, {len(kills.problems)} problems.",
        "",
        f"- {kinds} kinds with {OBJECTS} objects each, changed all the while; {kills.in_requests} kills hit while the API "
        "server had a request of the scanner to answer.",
        "- After each: integrity_check ok, the lock free. "
        f"The slowest start needed {kills.slowest_start:.1f} s to its first request.",
        f"- The database was looked at {kills.looks} times, {kills.states_seen} times a kind had another state: each was one "
        "that the cluster had been in, none earlier than the one before; every row count was its item_count.",
        *(f"- problem: {problem}" for problem in kills.problems),
    ]
    record("kill -9", lines, write=not arguments.no_write)
    return int(bool(kills.problems))
