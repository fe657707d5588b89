"""Whatever stands in a cluster is looked through in time that grows with its length, not with the square of it."""

from __future__ import annotations

import importlib
import inspect
import re
import time
from collections.abc import Callable, Iterator
from types import ModuleType
from typing import Any

import pytest

from mcp_tools.log_folding import pattern_of
from mcp_tools.log_levels import level_of
from mcp_tools.plain_text import plain_text
from mcp_tools.redaction import Redactor
from mcp_tools.secret_shapes import Shape

SIZE = 8_000
WORST_GROWTH = 8.0
"""Of the time, when the text is four times as long. Linear is 4, quadratic 16."""
FLOOR_SECONDS, MOST_SECONDS = 0.05, 0.5
"""CPU seconds for 2 * SIZE characters: below the first no growth is measured, above the second nothing is fine."""
MODULES = tuple(
    importlib.import_module(f"mcp_tools.{name}")
    for name in (
        "secret_commands", "secret_text", "secret_pairs", "secret_blocks", "secret_phrases", "secret_dumps",
        "secret_shapes", "secret_names",
        "harmless_values", "redaction", "redaction_marks", "log_folding", "log_levels", "plain_text",
    )
)  # fmt: skip
UNITS = (
    "a", "A", "1", "_", "a.", "a-", "A1", "a:", "a=", "a ", "a@", "a:b@", "0:", "1.", "-", "- ", "- a\n", " ", "  ", "\t",
    "\n", " \n", "a\n", " a:\n", "a: b\n", "\\", '\\\\"', "\\n", "'", '"', "`", "''", '"""', "%", "%41", "://", "://a",
    "://a:", "a:b@h:", "/a", "=", ":", "(", '("a",', "[", "[a", "{", "{a:", "a:{", "<a>", "<a>b", "</", "<", "$", "$2a$",
    "{SHA", "|", ">", "#", "htpasswd -b ", "htpasswd -b a ", "-b ", "x:y | chpasswd\n", "chpasswd:", "chpasswd:\n",
    " chpasswd:\n", "chpasswd:\n a:\n", "?key=a", "?code=a", "?sig=", "?signature=", "jdbc:oracle:a:", "jdbc:oracle:a:b/",
    "mysql ", "mysql-", "mysql -", "-p ", "curl -u ", "curl a -u a", "login ", "login a\n", "login=", "ldapa -w", "mongo ",
    "redis-cli -a ", "sshpass -p ", "rabbitmqctl add_user ", "mc alias set a ", "vault login ", "--from-literal=",
    "--password ", "-u ", "user a on ", "password for ", "set password for a", "identified with ", "PSK ", "stats auth ",
    "Credentials(", '"",', "/bot1", 'variable "a" { default ', "ENV a ", "set a ", "SetEnv a ", "secrets:{", "secrets: {a",
    "credentials:\n", "  credentials:\n", "[tokens]\n", "[[a]]\n", "name: ", "name: a value", "key: a\\", "password",
    "password ", "password=", "password: ", "password is ", "password: |\n", "password:\n  ", "password:\n- a\n",
    'password: "', 'password: \\"', "password: '", "password: [", "cookie: {", "cookie: [", "cookie=", 'authorization: "',
    "api key ", "with token ", "bearer ", "Basic a", "eyJ", "-eyJaaaaaaaa", "eyJaaaaaaaa.", "LS0tLS1CRUdJTi/",
    "LS0tLS1CRUdJTiaaaaaaaaaaaaaaaa\n", "-----BEGIN PRIVATE KEY-----", "AAAAAAAAAAAAAAAA\n", "AAAAAAAAAAAAAAAA ",
    "AAAAAAAAAAAAAAAA\\n", "0123456789abcdef", "H4sI", "kind: Secret\n", "data:\n  a: b\n", "hooks.slack.com/", "SCRAM-SHA-1",
    "a:b@tcp", "SG.aaaaaaaaaaaaaaaa", ".keytab", "a-aaaa", "deadbeef-", "0x", "\x1b[", "\x1b]", "\x9d", "‹redacted:", "‹",
    '{"level" ', "level=", "[ error ", "a.A", "redacted:", "< ", "spec.password: Invalid value: ", 'Name:"A", Value:"',
    '"name":"A","value":"', "EnvVar{", '\\"name\\":\\"A\\",\\"value\\":',
)  # fmt: skip
HEADS = (
    "",
    "password: ",
    'key=\\"a',
    "credentials:\n  a: b\n",
    "secret { a }\n",
    "chpasswd mysql -p | curl > ' @ % </ Secret kind login\n",
)
"""What a text may begin with, so that the rules behind it apply at all."""


def patterns() -> Iterator[tuple[str, re.Pattern[str], bool]]:
    """(name, pattern, whether it is searched for anywhere rather than tried at one place)."""
    for module in MODULES:
        for name, value in vars(module).items():
            for number, pattern in enumerate(within(value)):
                yield f"{module.__name__}.{name}[{number}]", pattern, is_searched(module, name)


def within(value: object) -> Iterator[re.Pattern[str]]:
    if isinstance(value, re.Pattern) and isinstance(value.pattern, str):
        yield value
    elif isinstance(value, Shape):
        yield value.pattern
    elif isinstance(value, tuple):
        for part in value:
            yield from within(part)


def is_searched(module: ModuleType, name: str) -> bool:
    if name in ("_BOOLEAN", "_NUMBER", "_MEASURE", "_LOG_LEVEL", "_REFERENCE"):  # a table of rules for whole values
        return False
    source = inspect.getsource(module)
    tried = re.search(rf"\b{name}\.(?:match|fullmatch)\(", source)
    return not tried or re.search(rf"\b{name}\.(?:search|sub|finditer|findall|split)\(|[(, ]{name}[,)]", source) is not None


def seconds(work: Callable[[str], Any], text: str) -> float:
    start = time.process_time()
    work(text)
    return time.process_time() - start


def slowness(work: Callable[[str], Any], head: str, unit: str) -> str:
    """In words; "" when it is fine. Small texts first: what is cubic must not cost minutes before it is found."""

    def measured(size: int) -> float:
        return min(seconds(work, head + unit * (size // len(unit))) for _ in range(repeats))

    repeats = 1
    for size in (SIZE // 32, SIZE // 8, 2 * SIZE):
        if (took := measured(size)) > MOST_SECONDS:
            return f"{head!r} and {size} characters of {unit!r}: {took:.2f} s"
    if took > FLOOR_SECONDS:
        repeats = 3  # a busy machine makes one measurement lie
        growth = min(measured(4 * SIZE) / max(measured(SIZE), 0.001) for _ in range(2))
        if growth > WORST_GROWTH:
            return f"{head!r} and {unit!r}: {took:.2f} s, {growth:.1f} times as long for four times the text"
    return ""


@pytest.mark.parametrize(("pattern", "searched"), [pytest.param(*rest, id=name) for name, *rest in patterns()])
def test_no_pattern_takes_more_than_linear_time(pattern: re.Pattern[str], searched: bool) -> None:
    def work(text: str) -> None:
        for _ in pattern.finditer(text) if searched else (pattern.match(text), pattern.fullmatch(text[:300])):
            pass

    own = [word for word in re.findall(r"[A-Za-z_-]{3,}[=:]?", pattern.pattern) if len(word) < 20][:3]
    assert [slow for unit in (*UNITS, *own) if (slow := slowness(work, "", unit))] == []


def of_an_object(text: str) -> None:
    Redactor(b"k" * 32).redact_object({"kind": "ConfigMap", "data": {"app.conf": text, text: "x"}})


WHOLE: dict[str, Callable[[str], Any]] = {
    "text": lambda text: Redactor(b"k" * 32).redact_text(text),
    "folding": pattern_of,
    "levels": level_of,
    "plain text": plain_text,
}


@pytest.mark.parametrize("head", HEADS, ids=range(len(HEADS)))
@pytest.mark.parametrize("work", WHOLE.values(), ids=WHOLE)
def test_no_text_takes_more_than_linear_time(work: Callable[[str], Any], head: str) -> None:
    assert [slow for unit in UNITS if (slow := slowness(work, head, unit))] == []


@pytest.mark.parametrize("head", ["", "password: "], ids=["bare", "named"])
def test_no_object_takes_more_than_linear_time(head: str) -> None:
    assert [
        slow for unit in (*UNITS[::4], "secrets:{", "?key=a", "htpasswd -b ") if (slow := slowness(of_an_object, head, unit))
    ] == []
