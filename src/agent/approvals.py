"""Who may say yes to a change: a person at the terminal or an explicit policy, never the model."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass
from typing import Protocol

from agent.approval_policy import OWN_MUTATIONS, ApprovalPolicy, narrowest, parse_policy
from agent.approval_request import ApprovalRequest
from configuration.errors import ApprovalNeeded


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
    """Asks the person. `ask` shows the request and returns what was typed; only `y` and `yes` approve."""

    ask: Callable[[ApprovalRequest], Awaitable[str]]

    async def decide(self, request: ApprovalRequest) -> Decision:
        typed = (await self.ask(request)).strip()
        approved = typed.lower() in ("y", "yes")
        return Decision(approved, "terminal", "" if approved or typed.lower() in ("", "n", "no") else typed)


@dataclass(frozen=True, slots=True)
class RefusingApprover:
    """For a run without a terminal and without a policy that fits."""

    async def decide(self, request: ApprovalRequest) -> Decision:
        raise ApprovalNeeded(
            f"approval needed, nothing was changed. It would {request.describe()}\n"
            f"  allowed by: --approve='{narrowest(request)}' (or answer the question at a terminal)"
        )


@dataclass(frozen=True, slots=True)
class PolicyApprover:
    """Allows what one of the policies allows; everything else goes to `otherwise`."""

    policies: tuple[ApprovalPolicy, ...]
    otherwise: Approver

    @classmethod
    def parse(
        cls, texts: Iterable[str], *, otherwise: Approver | None = None, known_tools: Iterable[str] = OWN_MUTATIONS
    ) -> PolicyApprover:
        """From `--approve` texts. Raises ConfigurationError (exit 2) for a policy that cannot be understood."""
        known = tuple(known_tools)
        return cls(tuple(parse_policy(text, known_tools=known) for text in texts), otherwise or RefusingApprover())

    async def decide(self, request: ApprovalRequest) -> Decision:
        for policy in self.policies:
            if policy.allows(request):
                return Decision(True, f"--approve={policy.text}")
        return await self.otherwise.decide(request)
