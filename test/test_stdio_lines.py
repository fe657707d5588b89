"""What a client sends over stdio that is no message: answered, never repeated, and the server goes on."""

from __future__ import annotations

import json
import os
import selectors
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from mcp_tools.http_service import MAX_BODY_BYTES
from mcp_tools.stdio_lines import MAX_LINE_BYTES

INITIALIZE = {
    "jsonrpc": "2.0",
    "id": 1,
    "method": "initialize",
    "params": {"protocolVersion": "2025-06-18", "capabilities": {}, "clientInfo": {"name": "test", "version": "0"}},
}
SECRET = "hunter2swordfish"
DEADLINE = 30


@dataclass
class Spoken:
    """A server's process, spoken to in lines."""

    child: subprocess.Popen[bytes]

    def say(self, line: bytes) -> None:
        assert self.child.stdin is not None
        self.child.stdin.write(line + b"\n")
        self.child.stdin.flush()

    def hear(self) -> dict[str, Any]:
        assert self.child.stdout is not None
        with selectors.DefaultSelector() as ready:
            ready.register(self.child.stdout, selectors.EVENT_READ)
            assert ready.select(DEADLINE), "the line was not answered"
        answer: dict[str, Any] = json.loads(self.child.stdout.readline())
        return answer

    def call(self, number: int) -> dict[str, Any]:
        params = {"name": "k8s_list_contexts", "arguments": {}}
        self.say(json.dumps({"jsonrpc": "2.0", "id": number, "method": "tools/call", "params": params}).encode())
        return self.hear()


@pytest.fixture(scope="module")
def log_of_server(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("stdio") / "log"


@pytest.fixture(scope="module")
def server(log_of_server: Path) -> Iterator[Spoken]:
    folder = log_of_server.parent
    config = folder / "config"
    config.write_text(
        json.dumps(
            {
                "current-context": "nowhere",
                "contexts": [{"name": "nowhere", "context": {"cluster": "c"}}],
                "clusters": [{"name": "c", "cluster": {"server": "http://127.0.0.1:1"}}],
            }
        )
    )
    own = {"REDACTION_KEY_FILE": str(folder / "key"), "XDG_STATE_HOME": str(folder), "KUBECONFIG": str(config)}
    environment = {name: value for name, value in os.environ.items() if name in ("PATH", "HOME")} | own
    command = [sys.executable, "-m", "mcp_tools"]
    pipe = subprocess.PIPE
    with (
        log_of_server.open("wb") as log,
        subprocess.Popen(command, stdin=pipe, stdout=pipe, stderr=log, env=environment, bufsize=0) as child,
    ):
        spoken = Spoken(child)
        spoken.say(json.dumps(INITIALIZE).encode())
        assert spoken.hear()["result"]["serverInfo"]["name"] == "k8s-mcp"
        spoken.say(b'{"jsonrpc":"2.0","method":"notifications/initialized"}')
        yield spoken
        assert child.stdin is not None
        child.stdin.close()
        assert child.wait(timeout=10) == 0


def request(arguments: str, number: str = "7") -> bytes:
    return (
        f'{{"jsonrpc":"2.0","id":{number},"method":"tools/call","params":{{"name":"k8s_list_contexts","arguments":{arguments}}}}}'
    ).encode()


def nested(levels: int) -> str:
    return '{"a":' * levels + f'"{SECRET}"' + "}" * levels


PARSE, REQUEST = -32700, -32600


@pytest.mark.parametrize(
    ("line", "code", "number"),
    [
        (request(nested(300)), REQUEST, 7),
        (request(nested(300), f'"{"i" * 8}"'), REQUEST, "i" * 8),
        (request(nested(5000)), PARSE, None),
        (request(f'{{"{SECRET}":"\\ud800"}}'), REQUEST, 7),
        (request(f'{{"{SECRET}":{"9" * 5000}}}'), REQUEST, 7),
        (request(f'{{"{SECRET}":1}}').replace(SECRET.encode(), SECRET.encode() + b"\xff"), PARSE, None),
        (request(f'{{"{SECRET}":"{"x" * MAX_LINE_BYTES}"}}'), PARSE, None),
        (request(f'{{"{SECRET}":"{"x" * 5 * MAX_LINE_BYTES}"}}'), PARSE, None),
        (SECRET.encode(), PARSE, None),
        (f'["{SECRET}"]'.encode(), REQUEST, None),
        (request(f'{{"{SECRET}":"\\ud800"}}', "9" * 5000), REQUEST, None),
        (request(f'{{"{SECRET}":"\\ud800"}}', '"\\ud800"'), REQUEST, None),
        (f'{{"jsonrpc":"2.0","id":7,"result":{nested(300)}}}'.encode(), REQUEST, None),
        (request("{}").replace(b'"2.0"', f'"{SECRET}"'.encode()), REQUEST, 7),
    ],
    ids=[
        "nested 300 deep", "an id of letters", "nested 5,000 deep", "half a surrogate", "a number of 5,000 digits", "no UTF-8",
        "too long", "much too long", "no JSON", "a list", "an id of 5,000 digits", "an id of half a surrogate", "a response",
        "another version",
    ],
)  # fmt: skip
def test_a_line_that_is_no_message_is_answered_and_the_server_goes_on(
    server: Spoken, log_of_server: Path, line: bytes, code: int, number: int | str | None
) -> None:
    server.say(line)
    answer = server.hear()
    assert (answer["error"]["code"], answer["id"]) == (code, number)
    assert SECRET not in json.dumps(answer)
    after = server.call(99)
    assert (after["id"], after["result"]["structuredContent"]["contexts"][0]["name"]) == (99, "nowhere")
    assert SECRET.encode() not in log_of_server.read_bytes()


def test_blank_lines_are_nothing_to_answer(server: Spoken) -> None:
    server.say(b"")
    server.say(b"  \r")
    assert server.call(5)["id"] == 5


def test_the_longest_message_is_read_and_one_byte_more_is_not(server: Spoken) -> None:
    empty = len(request('{"x":""}'))
    server.say(request(f'{{"x":"{"y" * (MAX_LINE_BYTES - empty)}"}}'))
    assert server.hear()["id"] == 7
    server.say(request(f'{{"x":"{"y" * (MAX_LINE_BYTES - empty + 1)}"}}'))
    assert "too long" in server.hear()["error"]["message"]


def test_a_message_has_the_same_bound_over_stdio_and_http() -> None:
    assert MAX_LINE_BYTES == MAX_BODY_BYTES
