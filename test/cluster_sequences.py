"""Random sequences of what can happen to a cluster, its network and its scanner.

A sequence is made from its seed alone. Each step stands by itself (deleting what is not there does nothing), so that any
part of a sequence is a sequence too: that is how `shrunk` finds a small one that still fails.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

NAMESPACES = ("a", "b")
NAMES = tuple(f"n{number}" for number in range(6))
STEPS = 40

WEIGHTS = {
    "create": 20, "update": 16, "label": 9, "unlabel": 4, "delete": 11, "recreate": 6, "burst": 5,
    "delete namespace": 2, "create namespace": 2, "pause": 22, "due": 14, "refresh": 3, "fault": 14, "clear": 8,
    "refuse": 2, "cut": 3, "restart": 4, "kill mcp server": 1, "clock back": 2, "clock on": 2, "clock past grace": 1,
    "expire history": 3, "api server": 1,
}  # fmt: skip
LIST_FAULTS = (
    "status 500", "status 429", "half page", "delay", "hang",
    "later status 500", "later status 410", "later half page", "later delay", "later hang",
)  # fmt: skip
"""`later`: of the second and further pages of lists only."""
WATCH_FAULTS = ("watch error", "watch gone", "cut", "cut line", "duplicate", "swallow")


@dataclass(frozen=True, slots=True)
class Step:
    """`what` is a key of WEIGHTS; `detail` a fault's name, `number` a duration, a count or a label's value."""

    what: str
    kind: str = ""
    namespace: str = ""
    name: str = ""
    detail: str = ""
    number: float = 0.0

    def __str__(self) -> str:
        target = "/".join(part for part in (self.kind, self.namespace, self.name) if part)
        return " ".join(part for part in (self.what, target, self.detail, f"{self.number:g}" if self.number else "") if part)


@dataclass(frozen=True, slots=True)
class Plan:
    """One sequence. `follow`: whether the scanner may watch. `as_process`: its crashes are kill -9.

    `clock_rate`: how fast the scanner's clock goes, so that its intervals pass within the seconds that a sequence takes.
    """

    seed: int
    follow: bool
    as_process: bool
    page_limit: int
    clock_rate: float
    steps: tuple[Step, ...]

    def __str__(self) -> str:
        how = f"follow {'on' if self.follow else 'off'}, {'process' if self.as_process else 'thread'}"
        about = f"seed {self.seed}: {how}, pages of {self.page_limit}, clock x{self.clock_rate:g}"
        return "\n".join([about, *(f"  {step}" for step in self.steps)])


def make_plan(seed: int, kinds: Sequence[str], *, follow: bool | None = None, as_process: bool | None = None) -> Plan:
    """The same seed and kinds give the same plan. None: the seed decides."""
    chance = random.Random(seed)
    decided_follow, decided_process = chance.random() < 0.5, chance.random() < 0.12
    page_limit, clock_rate = chance.choice((2, 3, 5, 500)), chance.choice((1.0, 200.0, 800.0))
    names, weights = list(WEIGHTS), list(WEIGHTS.values())
    follows = decided_follow if follow is None else follow
    faults = LIST_FAULTS + WATCH_FAULTS if follows else LIST_FAULTS
    steps = [_step(chance, what, kinds, faults) for what in chance.choices(names, weights, k=STEPS)]
    first = Step("first fill") if chance.random() < 0.8 else Step("pause", number=round(chance.random(), 2))
    begin = [Step("create namespace", namespace=name) for name in NAMESPACES]
    begin += [Step("create", kind, NAMESPACES[0], name) for kind in kinds for name in NAMES[:4]]
    return Plan(
        seed,
        follows,
        decided_process if as_process is None else as_process,
        page_limit,
        clock_rate,
        (*begin, Step("start"), first, *steps),
    )


def _step(chance: random.Random, what: str, kinds: Sequence[str], faults: Sequence[str]) -> Step:
    kind, namespace, name = chance.choice(kinds), chance.choice(NAMESPACES), chance.choice(NAMES)
    number = chance.random()
    if what in ("create", "update", "delete", "recreate", "refresh"):
        return Step(what, kind, namespace, name)
    if what in ("label", "unlabel"):
        return Step(what, kind, namespace, name, detail=f"key-{chance.randrange(3)}", number=chance.randrange(1000))
    if what == "burst":
        return Step(what, kind, namespace, number=chance.randrange(5, 25))
    if what in ("delete namespace", "create namespace"):
        return Step(what, namespace=namespace)
    if what == "fault":
        fault = chance.choice(faults)
        kind = kind if number < (0.3 if fault in WATCH_FAULTS else 0.7) else ""
        return Step(what, kind, detail=fault, number=chance.choice((1, 2, 4, 12)))
    if what in ("pause", "refuse"):
        return Step(what, number=round(number * (0.6 if what == "pause" else 1.0), 2))
    return Step(what)


def shrunk(plan: Plan, fails: Callable[[Plan], bool], *, tries: int = 40) -> Plan:
    """A shorter plan that still fails, by leaving out ever smaller parts and playing what is left again."""
    size = max(1, len(plan.steps) // 2)
    while size and tries:
        position = 0
        while position < len(plan.steps) and tries:
            candidate = replace(plan, steps=plan.steps[:position] + plan.steps[position + size :])
            tries -= 1
            if any(step.what == "start" for step in candidate.steps) and fails(candidate):
                plan = candidate
            else:
                position += size
        size //= 2
    return plan
