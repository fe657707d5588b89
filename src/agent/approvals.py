"""Who may say yes to a change: a person at the terminal or an explicit policy, never the model."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol

from configuration.errors import ApprovalNeeded


@dataclass(frozen=True, slots=True, kw_only=True)
class ObjectRef:
    """The object that a change is about. `uid` is "" for one that does not exist yet; `generation` 0 when it has none."""

    kind: str
    name: str
    namespace: str | None = None
    uid: str = ""
    resource_version: str = ""
    generation: int = 0

    def __str__(self) -> str:
        return f"{self.kind} {self.namespace}/{self.name}" if self.namespace else f"{self.kind} {self.name}"


@dataclass(frozen=True, slots=True, kw_only=True)
class ApprovalRequest:
    """A change as the API server's dry run foresees it. Immutable: an approval holds for exactly this."""

    tool: str
    arguments: Mapping[str, Any]
    """Canonical: defaults filled in, without `dry_run`."""
    action: str
    """A verb for the person: create, delete."""
    cluster: str
    cluster_uid: str
    target: ObjectRef
    changes: tuple[str, ...] = ()
    """One line per changed field: `spec.replicas: 2 → 3`."""
    blast_radius: tuple[str, ...] = ()
    """One line each: what else is touched, owned pods, replicas left."""
    warnings: tuple[str, ...] = ()
    irreversible: str = ""
    """What cannot be undone, in one sentence; "" when everything can."""

    def describe(self) -> str:
        raise NotImplementedError

    def policy(self) -> str:
        """The narrowest --approve=POLICY that would allow this."""
        raise NotImplementedError


@dataclass(frozen=True, slots=True)
class Decision:
    """`by` says who decided: "terminal", or the policy's text."""

    approved: bool
    by: str
    reason: str = ""


class Approver(Protocol):
    """Asked once per change, after the dry run. Raises ApprovalNeeded when nobody is there to ask."""

    async def decide(self, request: ApprovalRequest) -> Decision: ...


@dataclass(frozen=True, slots=True)
class TerminalApprover:
    """Asks the person. `ask` gets the question text and returns what was typed; only `yes`/`y` approves."""

    ask: Callable[[ApprovalRequest], Awaitable[str]]

    async def decide(self, request: ApprovalRequest) -> Decision:
        answer = (await self.ask(request)).strip().lower()
        return Decision(answer in ("y", "yes"), "terminal")


@dataclass(frozen=True, slots=True)
class RefusingApprover:
    """For a run without a terminal and without a policy that fits."""

    async def decide(self, request: ApprovalRequest) -> Decision:
        raise ApprovalNeeded(request.describe())


@dataclass(frozen=True)
class PolicyApprover:
    """Allows what one of the policies allows; everything else goes to `otherwise`.

    `PolicyApprover.parse(["create-deployment:namespace=dev"], otherwise=RefusingApprover())`; an unknown policy is a
    ConfigurationError.
    """

    policies: tuple[Any, ...] = field(default=())
    otherwise: Approver = field(default_factory=RefusingApprover)

    @classmethod
    def parse(cls, texts: list[str], *, otherwise: Approver | None = None) -> PolicyApprover:
        raise NotImplementedError

    async def decide(self, request: ApprovalRequest) -> Decision:
        raise NotImplementedError
