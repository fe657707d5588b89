"""Every setting does something: a table of the test that observes it, and those tests that are nowhere else."""

from __future__ import annotations

import ast
import asyncio
import json
import os
import sqlite3
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from agent.settings import AgentSettings
from cache.cache_manager import CacheManager
from cache.settings import CacheSettings
from cache.staging import Staging
from cache_fixtures import CLUSTER, Clock
from configuration.sources import load
from controlplane.users import rule
from kept_server import MakeScannerHere
from kinds.kind import Kind
from kinds.registry import KINDS
from mcp_tools.settings import McpSettings
from mcp_tools.tool_loader import ToolLoader
from scan_fixtures import ScannerProcess, ScriptedTools, pod, query
from scanner.assembly import ScannerParts, assembled
from scanner.settings import ScannerSettings
from scripted_api import ScriptedApi, scripted_api

MakeScanner = Callable[..., ScannerProcess]

HERE = "test_settings_effects"
SHOWN_BY = {
    "agent_cache_query_timeout": "test_gateway_cache::test_the_query_timeout_bounds_sql",
    "agent_context_window": "test_agent_core::test_the_context_window_bounds_what_is_sent",
    "agent_enable_cache_query": "test_gateway_cache::test_with_the_cache_switched_off_every_read_is_live",
    "agent_fallback_to_direct_mcp": "test_gateway_cache::test_when_nothing_may_go_live_stale_is_answered_as_such",
    "agent_max_steps": "test_agent_core::test_the_step_limit_ends_in_an_answer_without_tools",
    "agent_mcp_call_timeout": "test_gateway_cluster::test_the_call_timeout_bounds_a_cluster_that_hangs",
    "cache_cleanup_interval": f"{HERE}::test_history_past_its_retention_goes_at_the_cleanup_interval",
    "cache_db_path": f"{HERE}::test_the_database_is_where_the_settings_say",
    "cache_db_url": f"{HERE}::test_the_database_is_where_the_settings_say",
    "cache_dynamic_ttl": f"{HERE}::test_a_kind_is_listed_again_when_its_interval_or_ttl_says_so",
    "cache_history_max_mb": f"{HERE}::test_history_beyond_its_size_goes_oldest_first",
    "cache_history_retention": f"{HERE}::test_history_past_its_retention_goes_at_the_cleanup_interval",
    "cache_stale_grace": f"{HERE}::test_rows_past_ttl_and_grace_are_purged",
    "cache_static_ttl": f"{HERE}::test_a_kind_is_listed_again_when_its_interval_or_ttl_says_so",
    "k8s_contexts": "test_scanner_commands::test_which_contexts_are_scanned",
    "llm_api_base": "test_agent_model::test_a_refused_connection_is_retried_and_told",
    "llm_api_key": "test_agent_model::test_without_a_key_it_says_how_to_set_one_and_what_works",
    "llm_max_tokens": "test_agent_model::test_what_is_sent_follows_the_settings",
    "llm_model": "test_agent_model::test_what_is_sent_follows_the_settings",
    "llm_provider": "test_agent_model::test_an_unknown_provider_is_a_configuration_error",
    "llm_timeout": "test_agent_model::test_the_timeout_bounds_each_try",
    "mcp_allow": "test_server_policy::test_the_settings_and_flags_of_who_starts_our_server_reach_it",
    "mcp_deny": "test_server_policy::test_the_settings_and_flags_of_who_starts_our_server_reach_it",
    "mcp_profile": "test_tool_list::test_the_setting_chooses_the_profile_and_the_flag_wins",
    "mcp_server_ca_file": "test_http_clients::test_a_server_with_a_certificate_of_ones_own_ca_needs_that_ca",
    "mcp_server_name": f"{HERE}::test_another_server_is_used_under_the_name_that_it_was_given",
    "mcp_server_token": "test_http_clients::test_our_client_sends_its_token",
    "mcp_server_token_file": "test_http_clients::test_our_client_sends_its_token",
    "mcp_server_type": f"{HERE}::test_a_server_over_http_is_used_when_type_and_address_say_so",
    "mcp_server_url": f"{HERE}::test_another_server_is_used_under_the_name_that_it_was_given",
    "mcp_token": "test_http_process::test_the_settings_say_which_tokens_are_accepted",
    "mcp_token_file": "test_http_process::test_the_settings_say_which_tokens_are_accepted",
    "mcp_servers_file": "test_other_servers::test_every_tool_of_another_server_needs_approval_whatever_it_says",
    "redaction_key_file": f"{HERE}::test_the_key_file_decides_the_fingerprints",
    "scanner_batch_size": f"{HERE}::test_the_batch_size_bounds_what_one_statement_compares",
    "scanner_concurrent_limit": f"{HERE}::test_the_concurrent_limit_bounds_the_lists_under_way",
    "scanner_dynamic_interval": f"{HERE}::test_a_kind_is_listed_again_when_its_interval_or_ttl_says_so",
    "scanner_extra_kinds": f"{HERE}::test_further_kinds_are_scanned_because_they_are_named",
    "scanner_follow": f"{HERE}::test_watches_are_held_when_following_is_switched_on",
    "scanner_full_list_interval": f"{HERE}::test_a_kind_that_is_kept_up_is_listed_again_after_the_full_list_interval",
    "scanner_log_format": f"{HERE}::test_log_lines_are_json_when_asked_for",
    "scanner_metrics_port": "test_operation_metrics::test_the_daemon_serves_every_metric_that_is_documented_on_loopback_only",
    "scanner_namespaces": f"{HERE}::test_the_namespaces_to_try_are_those_that_are_named",
    "scanner_static_interval": f"{HERE}::test_a_kind_is_listed_again_when_its_interval_or_ttl_says_so",
    "scanner_timeout": "test_scanner_commands::test_the_timeout_gives_up_on_an_api_server_that_does_not_answer",
}
"""Setting -> the test that fails when it has no effect."""


def test_every_setting_is_shown_to_have_an_effect() -> None:
    classes = (McpSettings, CacheSettings, ScannerSettings, AgentSettings)
    declared = {name for settings in classes for name in settings.model_fields}
    assert declared - set(SHOWN_BY) == set(), "a new setting needs a test that observes what it does, and its line above"
    assert set(SHOWN_BY) - declared == set(), "these settings are gone"


@pytest.mark.parametrize("shown_by", sorted(set(SHOWN_BY.values())))
def test_the_test_that_shows_a_setting_exists_and_uses_it(shown_by: str) -> None:
    module, _, name = shown_by.partition("::")
    source = Path(__file__).with_name(f"{module}.py").read_text()
    functions = {
        node.name: node for node in ast.walk(ast.parse(source)) if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
    }
    assert name in functions
    text = (ast.get_source_segment(source, functions[name]) or "") + "".join(
        ast.get_source_segment(source, decorator) or "" for decorator in functions[name].decorator_list
    )
    for setting in (setting for setting, by in SHOWN_BY.items() if by == shown_by):
        assert setting in text.lower(), f"{shown_by} does not mention {setting}"


# --- the scanner's parts, as its command puts them together, on a scripted API

TWO_KINDS = {name: KINDS[name] for name in ("pods", "services")}  # one dynamic, one static


@asynccontextmanager
async def scanner_of(
    tools: ScriptedTools, clock: Clock, folder: Path, kinds: dict[str, Kind] = TWO_KINDS, **settings: Any
) -> AsyncIterator[ScannerParts]:
    values = {"cache_db_path": folder / "cache.db", "scanner_follow": False} | settings
    async with assembled(tools, ScannerSettings(**values), kinds, clock=clock) as parts:  # type: ignore[arg-type]
        yield parts


async def ticked(parts: ScannerParts, clock: Clock, seconds: float = 0) -> None:
    """One round, so many seconds later."""
    clock.now += seconds
    parts.coordinator.tick(clock.now)
    await parts.coordinator.settle()


@pytest.fixture
def tools() -> ScriptedTools:
    return ScriptedTools({(CLUSTER, "pods"): [pod(number) for number in range(7)], (CLUSTER, "services"): []})


def listed(tools: ScriptedTools) -> set[str]:
    """The kinds that were listed since the last look."""
    kinds = {kind for _, kind, _ in tools.calls}
    tools.calls.clear()
    return kinds


LONG = {"scanner_static_interval": 9000, "scanner_dynamic_interval": 9000, "cache_static_ttl": 9000, "cache_dynamic_ttl": 9000}


@pytest.mark.parametrize(
    ("setting", "kind"),
    [
        ("scanner_static_interval", "services"),
        ("scanner_dynamic_interval", "pods"),
        ("cache_static_ttl", "services"),
        ("cache_dynamic_ttl", "pods"),
    ],
)
async def test_a_kind_is_listed_again_when_its_interval_or_ttl_says_so(
    setting: str, kind: str, tools: ScriptedTools, clock: Clock, tmp_path: Path
) -> None:
    async with scanner_of(tools, clock, tmp_path, **(LONG | {setting: 1000})) as parts:
        await ticked(parts, clock)
        assert listed(tools) == set(TWO_KINDS)
        await ticked(parts, clock, 799)
        assert listed(tools) == set()
        await ticked(parts, clock, 2)
        assert listed(tools) == {kind}


@pytest.mark.parametrize("limit", [1, 2])
async def test_the_concurrent_limit_bounds_the_lists_under_way(
    limit: int, tools: ScriptedTools, clock: Clock, tmp_path: Path
) -> None:
    async with scanner_of(tools, clock, tmp_path, dict(list(KINDS.items())[:6]), scanner_concurrent_limit=limit) as parts:
        await ticked(parts, clock)
    assert tools.most_running == limit


@pytest.mark.parametrize("size", [2, 5])
async def test_the_batch_size_bounds_what_one_statement_compares(
    size: int, tools: ScriptedTools, clock: Clock, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pages: list[int] = []
    add_page = Staging._add_page

    def counted(staging: Staging, page: Any) -> None:
        pages.append(len(page))
        add_page(staging, page)

    monkeypatch.setattr(Staging, "_add_page", counted)
    async with scanner_of(tools, clock, tmp_path, scanner_batch_size=size) as parts:
        await ticked(parts, clock)
    assert max(pages) == size
    assert sum(pages) == 7


@pytest.mark.parametrize("setting", ["cache_db_path", "cache_db_url"])
async def test_the_database_is_where_the_settings_say(setting: str, tools: ScriptedTools, clock: Clock, tmp_path: Path) -> None:
    path = tmp_path / "elsewhere.db"
    async with scanner_of(
        tools, clock, tmp_path, **{setting: path if setting == "cache_db_path" else f"sqlite:///{path}"}
    ) as parts:
        await ticked(parts, clock)
    assert query(path, "SELECT count(*) FROM pods") == [(7,)]
    assert not (tmp_path / "cache.db").exists()


async def test_rows_past_ttl_and_grace_are_purged(tools: ScriptedTools, clock: Clock, tmp_path: Path) -> None:
    """Services are no longer scanned by the second scanner; pods keep the cluster reachable."""
    times = {"cache_stale_grace": 500, "cache_static_ttl": 100, "cache_cleanup_interval": 1, "scanner_static_interval": 100}
    async with scanner_of(tools, clock, tmp_path, **times) as parts:
        await ticked(parts, clock)
    async with scanner_of(tools, clock, tmp_path, {"pods": KINDS["pods"]}, **times) as parts:
        left = []
        for seconds in (0, 590, 20):
            await ticked(parts, clock, seconds)
            parts.cache.cleanup()
            left.append(query(tmp_path / "cache.db", "SELECT count(*) FROM cache_metadata WHERE kind = 'services'"))
    assert left == [[(1,)], [(1,)], [(0,)]]


async def test_history_past_its_retention_goes_at_the_cleanup_interval(
    tools: ScriptedTools, clock: Clock, tmp_path: Path
) -> None:
    count = "SELECT count(*) FROM deleted_objects"
    async with scanner_of(tools, clock, tmp_path, **LONG, cache_history_retention=1000, cache_cleanup_interval=3000) as parts:
        await ticked(parts, clock)
        tools.objects[CLUSTER, "pods"].pop()
        await parts.coordinator.scan_once([CLUSTER], [KINDS["pods"]], full=True)
        seen = []
        for seconds in (500, 1500, 1100):  # past neither, past the retention alone, past both
            await ticked(parts, clock, seconds)
            seen.append(query(tmp_path / "cache.db", count)[0][0])
    assert seen == [1, 1, 0]


def test_history_beyond_its_size_goes_oldest_first(tmp_path: Path, clock: Clock) -> None:
    settings = load(CacheSettings, cache_db_path=tmp_path / "cache.db", cache_history_max_mb=2)
    with CacheManager(settings.cache_db_path, policy=settings.ttl_policy(), clock=clock) as manager:
        with sqlite3.connect(settings.cache_db_path) as connection:
            connection.executemany(
                "INSERT INTO deleted_objects"
                " (cluster, kind, uid, name, resource_version, first_seen_at, deleted_at, row, manifest)"
                " VALUES ('c', 'pods', ?, ?, '1', 0, ?, '{}', zeroblob(700000))",
                [(f"u{number}", f"pod-{number}", clock.now - 100 + number) for number in range(6)],
            )
        connection.close()
        manager.cleanup()
    names = {name for (name,) in query(settings.cache_db_path, "SELECT name FROM deleted_objects")}
    assert "pod-5" in names
    assert "pod-0" not in names
    assert len(names) <= 2


# --- on an API server that tells what it was asked, through the real MCP server


@asynccontextmanager
async def real_scanner(api: ScriptedApi, clock: Clock, folder: Path, **settings: Any) -> AsyncIterator[ScannerParts]:
    environment = {"PATH": os.environ["PATH"], "HOME": str(folder), "KUBECONFIG": str(api.kubeconfig(folder))}
    values = {"cache_db_path": folder / "cache.db", "redaction_key_file": folder / "key"} | settings
    chosen = ScannerSettings(**values)
    async with ToolLoader(chosen, environment=environment) as loader, assembled(loader, chosen, TWO_KINDS, clock=clock) as parts:
        yield parts


def asked(api: ScriptedApi, path: str, parameter: str) -> list[str]:
    """That parameter of every request to that collection which has it."""
    return [parameters[parameter] for _, at, parameters in api.requests if at == path and parameter in parameters]


@pytest.mark.parametrize("follow", [True, False])
async def test_watches_are_held_when_following_is_switched_on(follow: bool, clock: Clock, tmp_path: Path) -> None:
    path = KINDS["pods"].api_path()
    clock.now = time.time()
    with scripted_api(items={path: [pod(1)]}) as api:
        async with real_scanner(api, clock, tmp_path, scanner_follow=follow) as parts:
            parts.coordinator.tick(clock.now)
            async with asyncio.timeout(40):
                while not query(tmp_path / "cache.db", "SELECT 1 FROM cache_metadata WHERE kind = 'pods' AND complete"):  # noqa: ASYNC110
                    await asyncio.sleep(0.05)
            deadline = time.monotonic() + (30 if follow else 3)
            while not asked(api, path, "watch") and time.monotonic() < deadline:
                parts.coordinator.tick(clock.now)
                await asyncio.sleep(0.2)
    assert bool(asked(api, path, "watch")) == follow


async def test_a_kind_that_is_kept_up_is_listed_again_after_the_full_list_interval(clock: Clock, tmp_path: Path) -> None:
    """Only a LIST asks for 500 objects; a catch-up watches, a count asks for one."""
    path = KINDS["pods"].api_path()
    with scripted_api(items={path: [pod(1)]}) as api:
        async with real_scanner(
            api, clock, tmp_path, scanner_follow=False, scanner_full_list_interval=2000, cache_dynamic_ttl=300
        ) as parts:
            lists = []
            for seconds in (0, 300, 300, 1500):
                await ticked(parts, clock, seconds)
                lists.append(asked(api, path, "limit").count("500"))
    assert lists == [1, 1, 1, 2]
    assert len(asked(api, path, "watch")) >= 2


# --- the command as a process, on a real API server


def test_further_kinds_are_scanned_because_they_are_named(control_plane: Any, scanner_here: MakeScannerHere) -> None:
    kind = "flowschemas.flowcontrol.apiserver.k8s.io"
    scanner = scanner_here(control_plane.kubeconfig, SCANNER_EXTRA_KINDS=kind)
    report = scanner.report()
    found = {row["kind"]: row for row in report["kinds"]}
    assert found[kind]["outcome"] == "scanned", report["stderr"]
    assert found[kind]["objects"] > 3
    assert query(scanner.database, f'SELECT count(*) FROM "{kind}"') == [(found[kind]["objects"],)]
    plain = scanner_here(control_plane.kubeconfig).report("--kind", "namespaces")
    assert kind not in {row["kind"] for row in plain["kinds"]}


def test_the_namespaces_to_try_are_those_that_are_named(
    control_plane: Any, fresh_namespace: str, scanner_process: MakeScanner
) -> None:
    """SCANNER_NAMESPACES; the user's context names its namespace, and without the setting that one is tried."""
    user = control_plane.users.create("default", "namespaced")
    rbac = f"/apis/rbac.authorization.k8s.io/v1/namespaces/{fresh_namespace}"
    control_plane.api.post(f"{rbac}/roles", {"metadata": {"name": "r"}, "rules": [rule("services")]})
    subject = {"kind": "ServiceAccount", "name": "namespaced", "namespace": "default"}
    role = {"apiGroup": "rbac.authorization.k8s.io", "kind": "Role", "name": "r"}
    control_plane.api.post(f"{rbac}/rolebindings", {"metadata": {"name": "r"}, "subjects": [subject], "roleRef": role})
    path = f"/api/v1/namespaces/{fresh_namespace}/services"
    control_plane.api.post(path, {"metadata": {"name": "mine"}, "spec": {"ports": [{"port": 80}]}})

    def outcome(**settings: str) -> str:
        scanner = scanner_process(user.kubeconfig, **settings)
        (row,) = scanner.report("--kind", "services")["kinds"]
        stored = query(scanner.database, "SELECT name FROM services") if row["outcome"] == "scanned" else []
        assert stored in ([], [("mine",)])
        return str(row["outcome"])

    assert outcome() == "not_permitted"
    assert outcome(SCANNER_NAMESPACES=f"{fresh_namespace},nowhere") == "scanned"


@pytest.mark.parametrize("form", ["text", "json"])
def test_log_lines_are_json_when_asked_for(control_plane: Any, scanner_process: MakeScanner, form: str) -> None:
    """SCANNER_LOG_FORMAT, of the daemon and of its MCP server's lines."""
    scanner = scanner_process(control_plane.kubeconfig, SCANNER_LOG_FORMAT=form)
    scanner.start()
    deadline = time.monotonic() + 60
    while len(lines := scanner.log.read_text().splitlines()[:-1]) < 5:
        assert time.monotonic() < deadline, lines
        time.sleep(0.1)
    assert [is_json_object(line) for line in lines] == [form == "json"] * len(lines), lines


def is_json_object(line: str) -> bool:
    try:
        return isinstance(json.loads(line), dict)
    except ValueError:
        return False


def test_the_key_file_decides_the_fingerprints(
    control_plane: Any, fresh_namespace: str, scanner_process: MakeScanner, tmp_path: Path
) -> None:
    """REDACTION_KEY_FILE: the same value, the same mark under one key, another under another."""
    path = f"/api/v1/namespaces/{fresh_namespace}/configmaps"
    control_plane.api.post(path, {"metadata": {"name": "secretive"}, "data": {"PASSWORD": "cnry-4711-value"}})

    def mark(key: str) -> str:
        scanner = scanner_process(control_plane.kubeconfig, REDACTION_KEY_FILE=str(tmp_path / key))
        assert scanner.report("--kind", "configmaps")["exit_code"] == 0
        ((id_,),) = query(scanner.database, "SELECT redaction FROM cache_metadata WHERE kind = 'configmaps'")
        assert (tmp_path / key).stat().st_mode & 0o777 == 0o600
        return str(id_)

    first, again, other = mark("one"), mark("one"), mark("two")
    assert first == again != other


# --- which MCP server

SERVER = """#!{python}
import sys
from mcp.server.mcpserver import MCPServer
server = MCPServer("other")

@server.tool()
async def who() -> str:
    return "another server"

server.run(*sys.argv[1:2] or ["stdio"], **({{"port": int(sys.argv[2]), "host": "127.0.0.1"}} if sys.argv[2:] else {{}}))
"""


@pytest.fixture
def other_server(tmp_path: Path) -> Path:
    program = tmp_path / "other-server"
    program.write_text(SERVER.format(python=sys.executable))
    program.chmod(0o755)
    return program


async def said_by(settings: McpSettings, **environment: str) -> tuple[str, str]:
    """(what the tool `who` says, how the server is called)."""
    async with ToolLoader(settings, environment={"PATH": os.environ["PATH"], **environment}) as loader:
        return (await loader.call("who", {})).text, str(loader._connection.address)


async def test_another_server_is_used_under_the_name_that_it_was_given(other_server: Path, tmp_path: Path) -> None:
    settings = McpSettings(
        mcp_server_url=f"stdio://{other_server}", mcp_server_name="neighbour", redaction_key_file=tmp_path / "key"
    )
    text, name = await said_by(settings)
    assert "another server" in text
    assert "neighbour" in name


async def test_a_server_over_http_is_used_when_type_and_address_say_so(other_server: Path, tmp_path: Path) -> None:
    import socket

    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    process = subprocess.Popen(  # noqa: ASYNC220  it starts at once
        [str(other_server), "streamable-http", str(port)], stderr=subprocess.DEVNULL
    )
    try:
        deadline = time.monotonic() + 30
        while True:
            try:
                socket.create_connection(("127.0.0.1", port), 1).close()
                break
            except OSError:
                assert time.monotonic() < deadline
                await asyncio.sleep(0.1)
        settings = McpSettings(
            mcp_server_type="streamable-http",
            mcp_server_url=f"http://127.0.0.1:{port}/mcp",
            redaction_key_file=tmp_path / "key",
        )
        assert "another server" in (await said_by(settings))[0]
    finally:
        process.kill()
        process.wait()
