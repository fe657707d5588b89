"""The question before a change: what the dry run foresees, then y/N, and No unless somebody types yes.

What is long is shown in part first. A yes to a part is none: it shows the rest, and asks again.
"""

from __future__ import annotations

from prompt_toolkit import PromptSession
from prompt_toolkit.input import Input
from prompt_toolkit.input.typeahead import clear_typeahead
from prompt_toolkit.output import Output

from agent.approval_request import ApprovalRequest
from agent.terminal.answer_view import AnswerView
from agent.terminal.screen import Screen

QUESTION = "Apply this change? [y/N] "
QUESTION_OF_A_PART = "This is not all of it. Show the rest, and then decide? [a/N] "
_GO_ON = ("a", "all", "y", "yes")


class ApprovalDialogue:
    """Asks at the terminal. `view` is the answer on the screen meanwhile: it holds still while the person reads."""

    def __init__(self, screen: Screen, *, keyboard: Input | None = None, output: Output | None = None) -> None:
        self.view: AnswerView | None = None
        self._screen = screen
        self._keyboard = keyboard
        self._output = output

    async def ask(self, request: ApprovalRequest) -> str:
        """What was typed; "" for Enter, Ctrl-C and Ctrl-D."""
        if self.view is not None:
            self.view.pause()
        part, whole = request.question(), request.question(whole=True)
        self._screen.warning(part)
        try:
            if part != whole:
                typed = await self._answer(QUESTION_OF_A_PART)
                if typed.strip().lower() not in _GO_ON:
                    return typed
                self._screen.warning(whole)
            return await self._answer(QUESTION)
        finally:
            if self.view is not None:
                self.view.resume()

    async def _answer(self, question: str) -> str:
        session: PromptSession[str] = PromptSession(input=self._keyboard, output=self._output)
        clear_typeahead(session.input)  # keys typed before the question was on the screen do not answer it
        try:
            return await session.prompt_async(question)
        except (KeyboardInterrupt, EOFError):
            return ""
