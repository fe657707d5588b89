"""kill -9 of the scanner at random instants: nothing half is ever visible, nothing is damaged, the next one goes on."""

from __future__ import annotations

from typing import Any

import pytest

from scanner_kills import kill_many
from sequence_laboratory import WATCH_CACHE_SIZES, SequenceLaboratory

KILLS = 20


@pytest.mark.timeout(900)  # each start costs seconds of CPU, which a busy machine does not have
def test_kill_9_at_any_instant_leaves_a_cache_that_is_right_and_the_next_scanner_goes_on(control_plane_factory: Any) -> None:
    control_plane = control_plane_factory(controllers=False, watch_cache_sizes=WATCH_CACHE_SIZES)
    with SequenceLaboratory(control_plane) as laboratory:
        kills = kill_many(laboratory, KILLS, seed=1)
    assert kills.problems == []
    assert kills.count == KILLS
    assert kills.in_requests > 0, "none hit a scan: the instants are badly chosen"
    assert kills.states_seen > KILLS
