"""How a tool that changes something is called: tried first, permitted by a rule or a person, then made, and nothing beyond."""

from __future__ import annotations

import copy
import logging
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any

from configuration.errors import ApprovalNeeded, Conflict, DryRunRefused
from kinds.counted import first_few
from mcp_tools.api_targets import ApiTarget
from mcp_tools.asked_person import Person, Says
from mcp_tools.change_questions import PlannedChange, WaitingQuestions, narrowest_rule, question_about
from mcp_tools.foreseen_changes import arguments_in_full, told_in_full
from mcp_tools.proposed_values import Disguise
from mcp_tools.request_guard import ToolCall, changed_meanwhile, during
from mcp_tools.server_policy import ServerPolicy
from mcp_tools.tool_declaration import ToolAnswer, ToolDeclaration

log = logging.getLogger(__name__)

TRIES = 3
"""While an object moves between the question and the change, in ways that are not what was asked about."""
_WHOLE = 100_000
"""Tokens of the answer of a dry run that is for us."""

Arguments = Mapping[str, Any]
Run = Callable[[ToolDeclaration, Arguments], Awaitable[ToolAnswer]]
MarksOf = Callable[[str], frozenset[str]]
"""See Redactor.marks_of."""


@dataclass(frozen=True, slots=True)
class OpenQuestion:
    """The person has to answer first; the client then makes the call again with this token."""

    text: str
    token: str


class ChangeGate:
    """`run` calls the tool's function; it raises what the tool raises."""

    def __init__(self, policy: ServerPolicy, run: Run, marks_of: MarksOf, waiting: WaitingQuestions | None = None) -> None:
        self._policy = policy
        self._run = run
        self._marks_of = marks_of
        self._waiting = waiting or WaitingQuestions()

    async def call(self, tool: ToolDeclaration, arguments: Arguments, person: Person) -> ToolAnswer | OpenQuestion:
        """The answer, or the question that stands before it. Raises ApprovalNeeded when nobody permits it."""
        if arguments.get("dry_run") is True:
            return await self._made(tool, arguments, ToolCall(tool.name, may_change=True, only_trial=True))
        if self._policy.approval == "client":
            return await self._made(tool, arguments, ToolCall(tool.name, may_change=True))
        if (token := person.question_token) is not None:
            plan = self._waiting.take(person.client, token, tool.name, arguments)
            return await self._answered(tool, plan, person.said)
        planned = await self._tried(tool, arguments)
        if isinstance(planned, ToolAnswer):
            return planned
        if all(self._policy.allows(tool.name, target) for target in planned.targets):
            return await self._made(tool, arguments, ToolCall(tool.name, may_change=True))
        return await self._asked(tool, planned, person)

    async def _made(self, tool: ToolDeclaration, arguments: Arguments, call: ToolCall) -> ToolAnswer:
        with during(call):
            # the tool's own: what a person agreed to, or a second run takes, stays what the client said
            return await self._run(tool, copy.deepcopy(dict(arguments)))

    async def _tried(self, tool: ToolDeclaration, arguments: Arguments) -> PlannedChange | ToolAnswer:
        if "dry_run" not in tool.arguments:
            return await self._begun(tool, arguments, arguments)
        plan = await self._planned(tool, arguments, Disguise())
        return plan if plan.targets else await self._begun(tool, arguments, plan.arguments)

    async def _planned(self, tool: ToolDeclaration, arguments: Arguments, disguise: Disguise) -> PlannedChange:
        """Its own dry run, with the guard writing down what it touches. Raises what the dry run raises."""
        whole = {"max_tokens": _WHOLE} if "max_tokens" in tool.arguments else {}
        call = ToolCall(tool.name, may_change=True, only_trial=True, disguise=disguise)
        plan = PlannedChange(tool.name, arguments, arguments, (), disguise=disguise)
        try:
            answer = await self._made(tool, {**arguments, **whole, "dry_run": True}, call)
        except DryRunRefused as error:
            if not call.touched:
                raise
            return replace(plan, targets=tuple(call.touched), details=f"{error}\n{arguments_in_full(arguments)}")
        bound = {**arguments, **_preconditions(tool, arguments, (answer.structured or {}).get("object"))}
        marks_of = disguise.widened(self._marks_of)
        details = told_in_full(call.foreseen, arguments, marks_of) if call.foreseen else arguments_in_full(arguments)
        return replace(plan, arguments=bound, targets=tuple(call.touched), foreseen=call.foreseen, details=details)

    async def _begun(self, tool: ToolDeclaration, given: Arguments, arguments: Arguments) -> PlannedChange | ToolAnswer:
        """What the API server cannot try (exec) is begun, and stopped by the guard at the first change that nobody has permitted.

        The answer of a tool that changes nothing this time.
        """
        call = ToolCall(tool.name, may_change=True)
        try:
            answer = await self._made(tool, arguments, call)
        except ApprovalNeeded:
            if not call.refused:
                raise
        else:
            if not call.refused:
                return answer
        return PlannedChange(tool.name, given, arguments, tuple(call.refused), details=arguments_in_full(arguments))

    async def _asked(self, tool: ToolDeclaration, plan: PlannedChange, person: Person) -> ToolAnswer | OpenQuestion:
        if not person.can_be_asked:
            raise ApprovalNeeded(
                f"{tool.name} needs a person's approval for {_summary(plan.targets)}, and this client cannot ask one (no MCP "
                f"elicitation); nothing was changed. No argument helps: whoever starts the server may permit it with "
                f"{narrowest_rule(plan)}"
            )
        question = question_about(plan)
        if person.asked_by_second_call:
            return OpenQuestion(question, self._waiting.keep(person.client, plan))
        return await self._answered(tool, plan, await person.says(question))

    async def _answered(self, tool: ToolDeclaration, plan: PlannedChange, said: Says) -> ToolAnswer:
        if said != "yes":
            how = "said no" if said == "no" else "gave no answer"
            raise ApprovalNeeded(
                f"{tool.name}: the person who was asked about {_summary(plan.targets)} {how}; nothing was changed. Do not try it "
                "another way, and not again before they ask for it"
            )
        log.info("a person approved %s: %s", tool.name, _summary(plan.targets))
        if plan.foreseen is None:
            return await self._made(tool, plan.arguments, _granted(plan))
        for _ in range(TRIES - 1):
            try:
                return await self._made_as_approved(tool, plan)
            except Conflict:
                if not plan.is_bound_to_a_version:
                    raise
        return await self._made_as_approved(tool, plan)

    async def _made_as_approved(self, tool: ToolDeclaration, plan: PlannedChange) -> ToolAnswer:
        """Tried once more: a person takes time to answer. Raises Conflict for what they have not agreed to."""
        now = await self._planned(tool, plan.given, plan.disguise)
        if not plan.covers(now):
            raise changed_meanwhile(tool.name)
        return await self._made(tool, now.arguments, _granted(plan))


def _granted(plan: PlannedChange) -> ToolCall:
    return ToolCall(plan.tool, may_change=True, granted=frozenset(plan.targets), approved=plan.foreseen, disguise=plan.disguise)


def _preconditions(tool: ToolDeclaration, arguments: Arguments, seen: object) -> dict[str, Any]:
    """uid and resourceVersion of the object that the dry run was about, and the container that it chose, where the tool takes
    them and the client gave none."""
    if not isinstance(seen, Mapping) or seen.get("existed") is False:
        return {}
    return {
        name: seen[name]
        for name in ("uid", "resource_version", "container")
        if name in tool.arguments and not arguments.get(name) and isinstance(seen.get(name), str)
    }


def _summary(targets: tuple[ApiTarget, ...]) -> str:
    return first_few([f"{target} (context {target.context})" for target in targets], 3)
