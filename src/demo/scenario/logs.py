"""Logs out of nothing but the seed, the pod and the time: the same question gives the same lines."""

from __future__ import annotations

import random
from collections.abc import Iterator
from datetime import datetime, timedelta

from demo.api_status import Json
from demo.pod_logs import LogLine
from demo.scenario import voices
from demo.scenario.behaviours import FAULTS, app_of
from demo.scenario.voices import Voice

KEPT_LINES = 2000
"""As after the kubelet's rotation: older lines are gone."""


class LogBook:
    """Writes each container's log; see pod_logs.LogSource for the signature of `lines`."""

    def __init__(self, seed: int) -> None:
        self._seed = seed

    def lines(self, pod: Json, container: str, started: datetime, until: datetime, ended: bool) -> Iterator[LogLine]:
        """The lines of one run that ended, or has come, at `until`."""
        voice = self._voice(pod, ended, until - started)
        last = voice.last_words if ended else ()
        first_line = started + timedelta(seconds=0.2 * len(voice.opening) + 0.4)
        count = max(int((until - first_line).total_seconds() / voice.cadence), 0)
        if count + len(voice.opening) <= KEPT_LINES:
            for index, text in enumerate(voice.opening):
                at = started + timedelta(seconds=0.2 * (index + 1))
                if at <= until:
                    yield at, _stamp(text, at)
        for number in range(max(count - KEPT_LINES, 0), count):
            chance = random.Random(f"{self._seed} {pod['metadata']['uid']} {container} {number}")  # noqa: S311 - the same lines each time
            at = first_line + timedelta(seconds=voice.cadence * (number + 0.8 * chance.random()))
            yield at, voice.line(chance, at, number)
        for index, text in enumerate(last):
            at = until - timedelta(milliseconds=len(last) - index)
            yield at, _stamp(text, at)

    @staticmethod
    def _voice(pod: Json, ended: bool, span: timedelta) -> Voice:
        namespace, app = app_of(pod)
        if namespace == "kube-system":
            return voices.SYSTEM
        fault = FAULTS.get((namespace, app))
        if app == "checkout" and fault and not ended and span > timedelta(seconds=fault.runs_ticks * 4):
            return voices.HEALTHY_CHECKOUT
        return voices.VOICES.get(app, voices.DEFAULT)


def _stamp(text: str, at: datetime) -> str:
    return text.replace("{at}", f"{at:%Y-%m-%dT%H:%M:%SZ}")
