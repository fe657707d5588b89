"""A scripted OpenAI-compatible endpoint on loopback, spoken to through the real litellm path.

A test writes down what the model will say, in order; each request takes the next entry. What was sent is kept in
`requests`, so that a test can read what the model would have seen.
"""

from __future__ import annotations

import json
import socket
import subprocess
import sys
import threading
from collections.abc import AsyncIterator, Callable, Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest
import pytest_asyncio

from agent.llm_config import ModelClient
from agent.settings import AgentSettings

KEY = "sk-test-THIS-KEY-MUST-NOT-APPEAR-4711"
Turn = Callable[["_Handler"], None]
ModelFactory = Callable[..., ModelClient]


@dataclass
class ScriptedModel:
    """`says`, `calls`, `fails` … append a turn each and return self, so that a script reads as one sentence."""

    url: str = ""
    requests: list[dict[str, Any]] = field(default_factory=list)
    keys: list[str] = field(default_factory=list)
    turns: list[Turn] = field(default_factory=list)
    released: threading.Event = field(default_factory=threading.Event)
    reached: threading.Event = field(default_factory=threading.Event)
    lock: threading.Lock = field(default_factory=threading.Lock)

    def says(self, text: str, *, finish: str = "stop") -> ScriptedModel:
        return self._add(lambda handler: handler.stream(_text_chunks(text), finish=finish))

    def calls(self, *calls: tuple[str, dict[str, Any] | str], text: str = "", ids: tuple[str, ...] = ()) -> ScriptedModel:
        """Parallel tool calls; arguments as a string are sent as they are, valid JSON or not. `ids` replaces the calls' own."""
        chunks = [*_text_chunks(text), *_call_chunks(calls, ids)]
        return self._add(lambda handler: handler.stream(chunks, finish="tool_calls"))

    def fails(self, status: int, message: str = "scripted failure", *, code: str = "", **headers: str) -> ScriptedModel:
        return self._add(
            lambda handler: handler.fail(status, message, code, {k.replace("_", "-"): v for k, v in headers.items()})
        )

    def breaks_off(self, text: str) -> ScriptedModel:
        """Sends `text`, then closes the connection without a finish reason."""
        return self._add(lambda handler: handler.stream(_text_chunks(text), finish=None))

    def hangs(self, text: str = "") -> ScriptedModel:
        """Sends `text` and then nothing, until the test ends; `reached` is set once it does."""
        return self._add(lambda handler: handler.hang(_text_chunks(text)))

    def _add(self, turn: Turn) -> ScriptedModel:
        self.turns.append(turn)
        return self

    def next_turn(self) -> Turn:
        with self.lock:
            if not self.turns:
                return lambda handler: handler.fail(500, "the script has no further turn", "", {})
            return self.turns.pop(0)

    @property
    def last_messages(self) -> list[dict[str, Any]]:
        return list(self.requests[-1]["messages"])


def _text_chunks(text: str) -> list[dict[str, Any]]:
    return [{"content": text[at : at + 8]} for at in range(0, len(text), 8)]


def _call_chunks(calls: tuple[tuple[str, dict[str, Any] | str], ...], ids: tuple[str, ...] = ()) -> list[dict[str, Any]]:
    """As real endpoints do: the head of each call first, then its arguments in pieces."""
    chunks: list[dict[str, Any]] = []
    for index, (name, arguments) in enumerate(calls):
        text = arguments if isinstance(arguments, str) else json.dumps(arguments)
        call_id = ids[index] if ids else f"call_{name}_{index}"
        head = {"index": index, "id": call_id, "type": "function", "function": {"name": name, "arguments": ""}}
        chunks.append({"tool_calls": [head]})
        chunks += [
            {"tool_calls": [{"index": index, "function": {"arguments": text[at : at + 11]}}]} for at in range(0, len(text), 11)
        ]
    return chunks


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    script: ScriptedModel


class _Handler(BaseHTTPRequestHandler):
    server: _Server

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        self.server.script.requests.append(body)
        self.server.script.keys.append(self.headers.get("Authorization", ""))
        self.server.script.next_turn()(self)

    def log_message(self, *_: Any) -> None:
        """Quiet: the test's own output is enough."""

    def stream(self, deltas: list[dict[str, Any]], *, finish: str | None) -> None:
        self._start()
        for delta in deltas:
            self._send({"delta": delta, "finish_reason": None})
        if finish is not None:
            self._send({"delta": {}, "finish_reason": finish})
            self._event({"choices": [], "usage": {"prompt_tokens": 100, "completion_tokens": 20, "total_tokens": 120}})
            self.wfile.write(b"data: [DONE]\n\n")
        self.close_connection = True

    def hang(self, deltas: list[dict[str, Any]]) -> None:
        self._start()
        for delta in deltas:
            self._send({"delta": delta, "finish_reason": None})
        self.server.script.reached.set()
        self.server.script.released.wait(30)
        self.close_connection = True

    def fail(self, status: int, message: str, code: str, headers: dict[str, str]) -> None:
        body = json.dumps({"error": {"message": message, "type": "scripted", "code": code}}).encode()
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def _start(self) -> None:
        self.send_response(200)
        self.send_header("Content-Type", "text/event-stream")
        self.end_headers()
        self._send({"delta": {"role": "assistant", "content": ""}, "finish_reason": None})

    def _send(self, choice: dict[str, Any]) -> None:
        self._event({"choices": [{"index": 0, **choice}]})

    def _event(self, part: dict[str, Any]) -> None:
        head = {"id": "chatcmpl-scripted", "object": "chat.completion.chunk", "created": 1, "model": "scripted"}
        self.wfile.write(b"data: " + json.dumps({**head, **part}).encode() + b"\n\n")
        self.wfile.flush()


@pytest.fixture
def scripted_model() -> Iterator[ScriptedModel]:
    """An endpoint without turns yet; its `url` is what LLM_API_BASE would be."""
    server = _Server(("127.0.0.1", 0), _Handler)
    server.script = ScriptedModel(url=f"http://127.0.0.1:{server.server_address[1]}/v1")
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
    thread.start()
    yield server.script
    server.script.released.set()
    server.shutdown()
    server.server_close()
    thread.join(5)


@pytest.fixture
def refusing_url() -> str:
    """A base URL on a loopback port that nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return f"http://127.0.0.1:{probe.getsockname()[1]}/v1"


@pytest_asyncio.fixture
async def model_client(scripted_model: ScriptedModel) -> AsyncIterator[ModelFactory]:
    """Makes clients of the scripted endpoint; keywords are settings, `waits` collects the waits instead of waiting."""
    made: list[ModelClient] = []

    def make(*, waits: list[float] | None = None, **settings: Any) -> ModelClient:
        async def sleep(seconds: float) -> None:
            if waits is not None:
                waits.append(seconds)

        values = {"llm_provider": "openai", "llm_model": "scripted", "llm_api_key": KEY, "llm_api_base": scripted_model.url}
        made.append(ModelClient(AgentSettings(**(values | settings)), sleep=sleep))
        return made[-1]

    yield make
    for client in made:
        await client.aclose()


@pytest.fixture
def fresh_python() -> Callable[[str], str]:
    """Runs a line of Python in an interpreter of its own and gives what it printed."""

    def run(code: str) -> str:
        done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60)
        return done.stdout.strip()

    return run
