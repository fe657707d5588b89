"""Whatever stands in a cluster is looked through in time that grows with its length, not with the square of it."""

from __future__ import annotations

import contextlib
import importlib
import inspect
import re
import signal
import time
from collections.abc import Callable, Iterable, Iterator
from types import ModuleType
from typing import Any

import pytest

from mcp_tools.log_folding import pattern_of
from mcp_tools.log_levels import level_of
from mcp_tools.plain_text import plain_text
from mcp_tools.redaction import Redactor
from mcp_tools.secret_shapes import Shape

OF_A_PATTERN, OF_ALL_RULES = 1_000, 4_000
"""Characters of the texts that are measured first."""
QUICK, QUICK_FOR_ALL = 0.5e-6, 2e-6
"""Seconds a character, for one pattern and for all rules together: a square of the shortest text is above, whatever it is
the square of."""
SUSPECT_GROWTH, WORST_GROWTH = 5.0, 8.0
"""Of the time, when the text is four times as long: linear is 4, quadratic 16. What is above the first is measured again, on
longer texts and by what the processor did, and must not be above the second."""
LONGEST = 8_000, 32_000
"""Longer than the longest bound of a repetition: up to it the time may well grow with the square."""
MOST_SECONDS = 10
"""Of the processor, after which a pattern on all its texts is stopped, and is too slow."""
TICKS = 0.05
"""Seconds that the clock of the processor needs to be worth a ratio."""
END = "\n\x01"
"""Behind a text that must not match to its end, for what tries all ways to divide it among its repetitions before it fails."""
MODULES = tuple(
    importlib.import_module(f"mcp_tools.{name}")
    for name in (
        "secret_commands", "secret_text", "secret_pairs", "secret_blocks", "secret_phrases", "secret_dumps",
        "secret_shapes", "secret_names", "secret_lines", "secret_elements", "secret_records",
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
    "password a1b2c3\n", "<match>\n", "  password a\n", "<name>password</name>", "<value>a</value>", '<entry key="token">',
    "name: password\n", "- value: a\n", 'value: "', '{"value":"a","name":"password"}', "path: /a/", "value: |\n", "<![CDATA[",
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
    seen: set[int] = set()
    for module in MODULES:
        for name, value in vars(module).items():
            for number, pattern in enumerate(within(value)):
                if id(pattern) in seen:  # imported from the module before
                    continue
                seen.add(id(pattern))
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


class TooLongError(Exception):
    """Raised inside whatever runs, a match of a pattern too."""


@contextlib.contextmanager
def at_most(cpu_seconds: float) -> Iterator[None]:
    def stop(_signal: int, _frame: object) -> None:
        raise TooLongError(f"stopped after {cpu_seconds} s")

    before = signal.signal(signal.SIGPROF, stop)
    signal.setitimer(signal.ITIMER_PROF, cpu_seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_PROF, 0)
        signal.signal(signal.SIGPROF, before)


def quick_look(work: Callable[[str], Any], text: str) -> float:
    """Seconds by the clock on the wall, which is fine but runs on while others work."""
    start = time.perf_counter()
    work(text)
    return time.perf_counter() - start


def cpu_seconds(work: Callable[[str], Any], text: str) -> float:
    """Of one run, from as many as it takes until the clock of the processor, which is coarse, has ticked some times."""
    runs, start = 0, time.process_time()
    while (took := time.process_time() - start) < TICKS:
        work(text)
        runs += 1
    return took / runs


def slowness(work: Callable[[str], Any], unit: str, size: int, head: str = "", tail: str = "", quick: float = 0) -> str:
    """In words; "" when it is fine."""

    def text(length: int) -> str:
        return head + unit * (length // len(unit)) + tail

    for _ in range(2):
        if (took := quick_look(work, text(size))) < quick * size:
            return ""
        if took < SUSPECT_GROWTH * quick_look(work, text(size // 4)):
            return ""
    short, long = LONGEST
    growth = cpu_seconds(work, text(long)) / cpu_seconds(work, text(short))
    return f"{head!r}, {unit!r}, {tail!r}: {growth:.1f} times as long for four times the text" if growth > WORST_GROWTH else ""


def first(slow: Iterable[str]) -> str:
    return next((words for words in slow if words), "")


def slowness_of_pattern(pattern: re.Pattern[str], searched: bool) -> str:
    def work(text: str) -> None:
        for _ in pattern.finditer(text) if searched else (pattern.match(text), pattern.fullmatch(text[:300])):
            pass

    own = [word for word in re.findall(r"[A-Za-z_-]{3,}[=:]?", pattern.pattern) if len(word) < 20][:3]
    return first(slowness(work, unit, OF_A_PATTERN, tail=tail, quick=QUICK) for unit in (*UNITS, *own) for tail in ("", END))


@pytest.mark.parametrize(("pattern", "searched"), [pytest.param(*rest, id=name) for name, *rest in patterns()])
def test_no_pattern_takes_more_than_linear_time(pattern: re.Pattern[str], searched: bool) -> None:
    with at_most(MOST_SECONDS):
        assert slowness_of_pattern(pattern, searched) == ""


UNBEARABLE = (
    r"\w+=", r"[ \t]*$", r"(?<!x)a[^\n]*;", r"\s+\Z", r"a[\s\S]*?b", r"\s*\n?\s*x", r"(a+)+$", r"(?:a|a)*b", r"(?:\w+\s?)+;",
)  # fmt: skip


@pytest.mark.parametrize("pattern", UNBEARABLE)
def test_a_pattern_that_takes_more_than_linear_time_is_found(pattern: str) -> None:
    assert verdict(pattern)


def test_a_pattern_that_takes_linear_time_is_not_found() -> None:
    assert verdict(r"(?<!\w)\w++=[^\s]++") == ""


def verdict(pattern: str) -> str:
    with contextlib.suppress(TooLongError), at_most(0.3):
        return slowness_of_pattern(re.compile(pattern), searched=True)
    return "stopped"


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
    assert first(slowness(work, unit, OF_ALL_RULES, head, quick=QUICK_FOR_ALL) for unit in UNITS) == ""


@pytest.mark.parametrize("head", ["", "password: "], ids=["bare", "named"])
def test_no_object_takes_more_than_linear_time(head: str) -> None:
    units = (*UNITS[::4], "secrets:{", "?key=a", "htpasswd -b ")
    assert first(slowness(of_an_object, unit, OF_ALL_RULES, head) for unit in units) == ""
