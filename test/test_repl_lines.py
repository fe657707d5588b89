"""What is typed: slash lines as kubectl would read them, the commands they mean, and completion."""

from __future__ import annotations

from types import SimpleNamespace

import pytest
from prompt_toolkit.completion import CompleteEvent
from prompt_toolkit.document import Document

from agent.repl.all_commands import slash_commands
from agent.repl.cache_names import CacheNames
from agent.repl.completion import SlashCompleter
from agent.repl.list_commands import list_call
from agent.repl.slash_command import SlashCommand, declared_in, find_command, slash_command
from agent.repl.slash_line import LIMIT, NAMESPACE, OUTPUT, SELECTOR, SlashLine, is_slash_line, parse, split_command
from agent.repl.turn import as_slash_line
from configuration.errors import ConfigurationError, UnknownKind
from kinds.registry import KINDS, find_kind

OPTIONS = (NAMESPACE, SELECTOR, OUTPUT, LIMIT)


@pytest.mark.parametrize(
    "spelling", ["-n shop", "-nshop", "-n=shop", "--namespace shop", "--namespace=shop"]
)  # fmt: skip
def test_an_option_is_read_in_every_spelling_that_kubectl_takes(spelling: str) -> None:
    assert parse("pods", spelling, OPTIONS).option(NAMESPACE) == "shop"


def test_arguments_and_options_may_stand_in_any_order() -> None:
    line = parse("pods", "web-1 -l 'app in (a, b)' -o wide status=Running", OPTIONS)
    assert line.arguments == ("web-1", "status=Running")
    assert line.options == {"selector": "app in (a, b)", "output": "wide"}


@pytest.mark.parametrize(
    ("rest", "says"),
    [
        ("--namespce shop", "did you mean --namespace"),
        ("-x", "it takes -n NS"),
        ("-n", "-n NS needs a value"),
        ("-o yml", "--output is one of wide, json"),
        ("-l 'app=web", "close the quotation"),
    ],
)
def test_a_line_that_cannot_be_read_says_what_it_accepts(rest: str, says: str) -> None:
    with pytest.raises(ConfigurationError, match=says):
        parse("pods", rest, OPTIONS)


def test_the_slash_of_a_chinese_input_method_is_a_slash() -> None:
    assert is_slash_line("／pods -A")
    assert split_command("／pods -A") == ("pods", "-A")


@pytest.mark.parametrize(
    ("typed", "meant"),
    [("exit", "/exit"), ("QUIT", "/exit"), ("kubectl get pods -A", "/get pods -A"), ("k logs api-0 -p", "/logs api-0 -p"),
     ("why is api-0 failing?", "why is api-0 failing?"), ("kubectl explain pods", "kubectl explain pods")],
)  # fmt: skip
def test_habits_of_other_tools_are_understood(typed: str, meant: str) -> None:
    assert as_slash_line(typed) == meant


def test_every_promised_command_exists_and_says_what_it_does() -> None:
    commands = slash_commands()
    promised = "help status pods nodes services events sql tools model clear exit deployments logs get context namespace"
    assert set(promised.split()) <= set(commands)
    assert all(command.help and command.usage.startswith(f"/{name}") for name, command in commands.items())


def test_aliases_of_kubectl_find_their_command_and_a_near_miss_is_named() -> None:
    commands = slash_commands()
    assert find_command(commands, "po").name == "pods"
    assert find_command(commands, "svc").name == "services"
    with pytest.raises(ConfigurationError, match="did you mean /pods"):
        find_command(commands, "pds")


def test_one_declared_function_is_all_that_a_new_command_takes() -> None:
    @slash_command("hello", "greets")
    async def hello(_: object, __: SlashLine) -> None: ...

    module = SimpleNamespace(hello=hello, other=3)
    assert list(declared_in([module])) == ["hello"]  # type: ignore[list-item]


@pytest.mark.parametrize(
    ("kind", "rest", "call"),
    [
        ("pods", "", ("k8s_list_pods", {"limit": 50, "namespace": "shop"})),
        ("pods", "-A -l app=web --limit 5", ("k8s_list_pods", {"limit": 5, "label_selector": "app=web"})),
        ("pods", "healthy=false -n db", ("k8s_list_pods", {"limit": 50, "namespace": "db", "healthy": False})),
        ("nodes", "", ("k8s_list_nodes", {"limit": 50})),
        ("events", "type=Warning", ("k8s_list_resources",
                                    {"limit": 50, "kind": "events", "namespace": "shop", "filters": {"type": "Warning"}})),
    ],
)  # fmt: skip
def test_a_list_line_means_one_tool_call(kind: str, rest: str, call: tuple[str, dict[str, object]]) -> None:
    command = slash_commands()[kind]
    assert list_call(find_kind(kind), parse(kind, rest, command.options), "shop") == call


@pytest.mark.parametrize(
    ("rest", "says"),
    [
        ("colour=red", "filters: status"),
        ("healthy=maybe", "true or false"),
        ("--limit 0", "from 1 to 1000"),
        ("--limit x", "from 1 to 1000"),
    ],
)
def test_a_filter_or_limit_that_cannot_be_is_refused_before_any_call(rest: str, says: str) -> None:
    with pytest.raises(ConfigurationError, match=says):
        list_call(KINDS["pods"], parse("pods", rest, slash_commands()["pods"].options), "shop")


class CannedNames:
    """Objects by namespace, as the cache would give them."""

    def names(self, table: str, prefix: str, namespace: str = "") -> list[str]:
        known = {("namespaces", ""): ["payments", "shop"], ("pods", "shop"): ["web-1", "web-2"], ("pods", "payments"): ["api-0"]}
        every = [name for (kind, _), names in known.items() if kind == table for name in names]
        return [name for name in (known.get((table, namespace)) or every) if name.startswith(prefix)]

    def values(self, table: str, column: str, prefix: str) -> list[str]:  # noqa: ARG002 (the protocol's)
        return [value for value in ("CrashLoopBackOff", "Running") if value.startswith(prefix)]


@pytest.mark.parametrize(
    ("typed", "offered"),
    [
        ("/po", ["/pods"]),
        ("/pods -n ", ["payments", "shop"]),
        ("/pods -n p", ["payments"]),
        ("/pods w", ["web-1", "web-2"]),
        ("/pods -n payments a", ["api-0"]),
        ("/po w", ["web-1", "web-2"]),
        ("/logs web-", ["web-1", "web-2"]),
        ("/pods --sel", ["--selector"]),
        ("/pods -o ", ["wide", "json", "yaml"]),
        ("/pods st", ["status="]),
        ("/pods status=C", ["status=CrashLoopBackOff"]),
        ("/pods healthy=", ["healthy=true", "healthy=false"]),
        ("/get depl", ["deployments"]),
        ("/get po -n payments ", ["api-0"]),
        ("/context k", ["kind-prod"]),
        ("/help eve", ["events"]),
        ("why is /pods", []),
    ],
)
def test_completion_offers_what_can_follow(typed: str, offered: list[str]) -> None:
    completer = SlashCompleter(slash_commands(), CannedNames(), "shop", ("kind-prod",))
    assert [c.text for c in completer.get_completions(Document(typed), CompleteEvent())] == offered


def test_completion_never_puts_what_was_typed_into_sql(tmp_path: object) -> None:
    class Recorded(CacheNames):
        queries: list[str]

        def _cached(self, sql: str) -> list[str]:
            self.queries.append(sql)
            return []

    names = Recorded(tmp_path, lambda: "c")  # type: ignore[arg-type]
    names.queries = []
    assert names.names("pods", "x' OR 1=1 --") == []
    assert names.names("pods", "x", "a' OR '1'='1") == []
    assert names.queries == []
    names.names("pods", "web-1", "shop")
    assert len(names.queries) == 1


def test_get_without_or_with_an_unknown_kind_names_the_kinds() -> None:
    assert isinstance(slash_commands()["get"], SlashCommand)
    with pytest.raises(UnknownKind, match="known kinds: namespaces"):
        find_kind("widgets")
