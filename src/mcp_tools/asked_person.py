"""The person behind an MCP client, asked by elicitation, in both generations of the protocol.

Up to 2025-11-25 the server sends a request while the call waits. From 2026-07-28 on the call ends with the question, and the
client makes it again with the answer. What answers is the client's business: one without a person can say yes as well.
"""

from __future__ import annotations

import asyncio
import logging
from dataclasses import dataclass
from typing import Any, Literal, Protocol

from mcp.server.context import ServerRequestContext
from mcp.shared.exceptions import MCPError
from mcp_types import (
    CallToolRequestParams,
    ElicitRequest,
    ElicitRequestFormParams,
    ElicitResult,
    InputRequiredResult,
)
from mcp_types.version import is_version_at_least
from pydantic import ValidationError

log = logging.getLogger(__name__)

ANSWER_SECONDS = 600.0
_SECOND_CALL = "2026-07-28"
"""The first protocol version in which the client makes the call again with the answer."""
_KEY = "approval"
_FIELD = "approve"
_SCHEMA: dict[str, Any] = {
    "type": "object",
    "properties": {_FIELD: {"type": "boolean", "title": "Make this change", "default": False}},
    "required": [_FIELD],
}

Says = Literal["yes", "no", "nothing"]
CLIENT_OF_REQUEST = "k8s-mcp.client"
"""Where in the ASGI scope of a request over HTTP stands whose it is."""


class Person(Protocol):
    """Whoever is asked about one call."""

    @property
    def client(self) -> str:
        """Whose questions these are; "" where there is one client only, as over stdio."""

    @property
    def can_be_asked(self) -> bool:
        """Whether the client says that it can show a question."""

    @property
    def asked_by_second_call(self) -> bool:
        """Whether the question is the call's answer, and comes back with another call."""

    @property
    def question_token(self) -> str | None:
        """What the question was kept under, when this is that other call."""

    @property
    def said(self) -> Says:
        """The answer that such a call brings."""

    async def says(self, question: str) -> Says:
        """Ask now, and wait."""


@dataclass(frozen=True, slots=True)
class Nobody:
    """There is nobody to ask."""

    client: str = ""
    can_be_asked: bool = False
    asked_by_second_call: bool = False
    question_token: str | None = None
    said: Says = "nothing"

    async def says(self, question: str) -> Says:
        """See Person."""
        del question
        return "nothing"


class AskedPerson:
    """The person behind the client of one tools/call request."""

    def __init__(self, context: ServerRequestContext[Any, Any], params: CallToolRequestParams) -> None:
        self._context = context
        self._params = params
        self.asked_by_second_call = is_version_at_least(context.protocol_version, _SECOND_CALL)

    @property
    def client(self) -> str:
        """See Person. Over HTTP, which knows no sessions here, whoever holds the same token."""
        scope = getattr(self._context.request, "scope", None) or {}
        return str(scope.get(CLIENT_OF_REQUEST, ""))

    @property
    def can_be_asked(self) -> bool:
        """A bare `elicitation: {}` means forms: they were the only kind at first."""
        capabilities = self._context.session.client_capabilities
        elicitation = capabilities.elicitation if capabilities else None
        if elicitation is None or (elicitation.form is None and elicitation.url is not None):
            return False
        return self.asked_by_second_call or self._context.session.can_send_request

    @property
    def question_token(self) -> str | None:
        """See Person. Other protocol versions know no such thing: there it is ignored."""
        return self._params.request_state if self.asked_by_second_call else None

    @property
    def said(self) -> Says:
        """See Person."""
        answer = (self._params.input_responses or {}).get(_KEY)
        return _meaning(answer) if isinstance(answer, ElicitResult) else "nothing"

    async def says(self, question: str) -> Says:
        """See Person. A client that fails to ask has said nothing."""
        try:
            async with asyncio.timeout(ANSWER_SECONDS):
                answer = await self._context.session.elicit_form(question, _SCHEMA, related_request_id=self._context.request_id)
        except (MCPError, ValidationError, TimeoutError) as error:
            log.info("a question to the person behind the client was not answered (%s)", type(error).__name__)
            return "nothing"
        return _meaning(answer)


def question_result(question: str, token: str) -> InputRequiredResult:
    """The answer to a call that needs another one."""
    asked = ElicitRequest(params=ElicitRequestFormParams(message=question, requested_schema=_SCHEMA))
    return InputRequiredResult(input_requests={_KEY: asked}, request_state=token)


def _meaning(answer: ElicitResult) -> Says:
    """Yes is only what says so twice: by accepting the form, and in its field."""
    if answer.action == "accept":
        return "yes" if (answer.content or {}).get(_FIELD) is True else "no"
    return "no" if answer.action == "decline" else "nothing"
