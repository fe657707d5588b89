"""What a person is asked before a change, and where questions wait for their answer."""

from __future__ import annotations

import json
import secrets
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from configuration.errors import ApprovalNeeded
from mcp_tools.api_targets import ApiTarget
from mcp_tools.foreseen_changes import Foreseen
from mcp_tools.plain_text import plain_text
from mcp_tools.proposed_values import Disguise

KEPT_SECONDS = 600.0
MOST_KEPT = 100
"""Of one client; the next one puts its own oldest out."""
MAX_TARGETS_CHARACTERS = 12_000
"""A person must have seen all that is changed: more than that is not asked about at once."""
MAX_DETAILS_CHARACTERS = 4000
"""And nothing of it is cut."""


@dataclass(frozen=True, slots=True)
class PlannedChange:
    """One call that would change something, as its dry run has shown it."""

    tool: str
    given: Mapping[str, Any]
    """Arguments as the client gave them, with defaults."""
    arguments: Mapping[str, Any]
    """The same, bound to the object that the dry run has seen (uid, resourceVersion)."""
    targets: tuple[ApiTarget, ...]
    foreseen: Foreseen | None = None
    """What the dry run says would change; None for what has no dry run."""
    details: str = ""
    """For the person, whole: the dry run's words, or the arguments."""
    disguise: Disguise = field(default_factory=Disguise, compare=False, repr=False)
    """Kept, so that what is made can be compared with what was shown."""

    @property
    def is_bound_to_a_version(self) -> bool:
        """Whether a change in between makes the call fail, and that is our doing."""
        return self.arguments.get("resource_version") != self.given.get("resource_version")

    def covers(self, other: PlannedChange) -> bool:
        """Whether a person who agreed to this has agreed to the other."""
        if self.foreseen is None or other.foreseen is None:
            return (self.targets, self.arguments) == (other.targets, other.arguments)
        return set(other.targets) <= set(self.targets) and self.foreseen.covers(other.foreseen)


def question_about(plan: PlannedChange) -> str:
    """The question, as plain text. Raises ApprovalNeeded when a person could not see all of it."""
    contexts = ", ".join(dict.fromkeys(target.context for target in plan.targets))
    listed = "\n".join(_line(f"- {target}") for target in plan.targets)
    if len(listed) > MAX_TARGETS_CHARACTERS:
        raise ApprovalNeeded(
            f"{plan.tool}: {len(plan.targets)} changes at once are more than a person can be asked about; make fewer in one "
            f"call, or let whoever starts the server allow them ({narrowest_rule(plan)})"
        )
    details = plain_text(plan.details)
    if len(details) > MAX_DETAILS_CHARACTERS:
        raise ApprovalNeeded(
            f"{plan.tool}: what would change takes {len(details)} characters to tell, and a person who is asked must be able to "
            f"read it ({MAX_DETAILS_CHARACTERS:,} at most); nothing was changed. Change less in one call, or let whoever starts "
            f"the server allow it ({narrowest_rule(plan)})"
        )
    head = [f"Allow {plan.tool} in {_line(f'context {contexts}')}?", listed]
    if plan.foreseen is None:
        head.append("What it is called with (there was no dry run of this):")
    else:
        head.append("What a dry run says (text from the cluster is quoted, it decides nothing):")
    return "\n".join([*head, *(f"| {line}" for line in details.splitlines())])


def narrowest_rule(plan: PlannedChange) -> str:
    """The `--allow` rules that permit exactly this tool on these kinds in these places."""
    rules: dict[str, None] = {}
    for target in plan.targets:
        where = f",namespace={target.namespace}" if target.namespace else ""
        rules[f'--allow "tool={plan.tool},context={_line(target.context)}{where},kind={target.full_resource}"'] = None
    return " ".join(list(rules)[:5]) + (f" and {len(rules) - 5} more" if len(rules) > 5 else "")


@dataclass
class WaitingQuestions:
    """Questions whose answer comes with another call. Each is answered at most once; none can be made up by a client.

    Each client has its own (asked_person.Person.client): it can neither answer, use up nor push out those of another one.
    """

    clock: Callable[[], float] = time.monotonic
    _waiting: dict[str, dict[str, tuple[float, PlannedChange]]] = field(default_factory=dict)
    """Client -> token -> until when, and what."""

    def keep(self, client: str, plan: PlannedChange) -> str:
        """The token that brings it back to this client."""
        self._forget_old()
        own = self._waiting.setdefault(client, {})
        while len(own) >= MOST_KEPT:
            del own[next(iter(own))]
        token = secrets.token_urlsafe(32)
        own[token] = self.clock() + KEPT_SECONDS, plan
        return token

    def take(self, client: str, token: str, tool: str, given: Mapping[str, Any]) -> PlannedChange:
        """The question, which is gone then. Raises ApprovalNeeded for one that this client was never asked, is too old, was
        answered already, or was about another call."""
        self._forget_old()
        _, plan = self._waiting.get(client, {}).pop(token, (0.0, None))
        if plan is None or plan.tool != tool or _canonical(plan.given) != _canonical(given):
            raise ApprovalNeeded(
                f"{tool}: this confirmation belongs to no open question about this call (it was used, is older than "
                f"{KEPT_SECONDS / 60:.0f} minutes, or was about other arguments); nothing was changed, call the tool again"
            )
        return plan

    def _forget_old(self) -> None:
        now = self.clock()
        for client, own in list(self._waiting.items()):
            for token in [token for token, (until, _) in own.items() if until <= now]:
                del own[token]
            if not own:
                del self._waiting[client]


def _line(text: str) -> str:
    return " ".join(plain_text(text).split())


def _canonical(arguments: Mapping[str, Any]) -> str:
    return json.dumps(dict(arguments), sort_keys=True)
