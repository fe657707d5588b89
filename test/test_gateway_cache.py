"""The gateway between cache and cluster, with a database in a file and our own MCP server; the cluster does not answer."""

from __future__ import annotations

import sqlite3
import sys
import time
from collections.abc import Callable
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import pytest

from agent.approval_request import ApprovalRequest
from agent.approvals import TerminalApprover
from agent.operations import Operations
from agent.settings import AgentSettings
from agent_fixtures import KUBECONFIG, OpenGateway, fill
from cache.cache_manager import CacheManager, ClusterIdentity
from cache.refresh_requests import request_refresh
from cache_fixtures import CLUSTER, START, Clock, api_object, pods, scan, staged
from configuration.errors import (
    ApprovalNeeded,
    CacheBusy,
    CacheMissing,
    ConfigurationError,
    InvalidArguments,
    NeverScanned,
    NotFound,
    QueryRefused,
    ToolError,
    UnknownTool,
    Unreachable,
)  # fmt: skip
from configuration.sources import load
from kinds.registry import KINDS
from mcp_tools.server_address import ASKS_ITSELF
from mcp_tools.tool_loader import ToolLoader

NO_API = "the API server does not answer"


async def test_a_fresh_list_comes_from_the_cache_and_starts_no_server(
    open_gateway: OpenGateway, manager: CacheManager, clock: Clock
) -> None:
    fill(manager)
    clock.now += 42
    gateway = await open_gateway()
    answer = await gateway.call("k8s_list_pods", {"namespace": "team-a"})
    assert (answer.source, answer.note, [row["name"] for row in answer.rows]) == ("cache", "", ["web-0", "web-1", "web-2"])
    assert answer.envelope is not None
    assert (answer.envelope.age_seconds, answer.envelope.fresh, answer.envelope.total) == (42, True, 3)
    assert gateway.server_pid is None
    assert gateway.ledger.take().text() == f"cache · {CLUSTER} · pods 42 s old (fresh)"


async def test_one_object_comes_from_the_cache_with_its_manifest(open_gateway: OpenGateway, manager: CacheManager) -> None:
    fill(manager)
    gateway = await open_gateway()
    answer = await gateway.call("k8s_get_resource", {"kind": "deploy", "name": "web"})  # namespace: the kubeconfig's
    assert answer.structured is not None
    assert answer.structured["manifest"]["spec"] == {"replicas": 3}
    assert gateway.ledger.take().uses[0].what == "Deployment team-a/web"
    assert gateway.server_pid is None


async def test_pages_of_the_cache_follow_each_other(open_gateway: OpenGateway, manager: CacheManager) -> None:
    scan(manager, "pods", pods(25))
    gateway = await open_gateway()
    names: list[str] = []
    token = ""
    for _ in range(3):
        answer = await gateway.call("k8s_list_pods", {"limit": 10, "continue_token": token})
        names += [row["name"] for row in answer.rows]
        token = answer.continue_token
    assert len(set(names)) == 25
    assert token == ""


async def test_a_page_goes_on_from_the_cache_even_when_it_has_become_stale_meanwhile(
    open_gateway: OpenGateway, manager: CacheManager, clock: Clock
) -> None:
    scan(manager, "pods", pods(25))
    gateway = await open_gateway()
    first = await gateway.call("k8s_list_pods", {"limit": 10})
    clock.now += 10_000
    second = await gateway.call("k8s_list_pods", {"limit": 10, "continue_token": first.continue_token})
    assert second.source == "cache"
    assert second.envelope is not None
    assert not second.envelope.fresh
    with pytest.raises(InvalidArguments, match="belongs to a list from the cache"):
        await gateway.call("k8s_list_pods", {"limit": 10, "continue_token": first.continue_token}, live=True)


async def test_stale_and_no_api_server_is_answered_from_the_cache_with_its_age(
    open_gateway: OpenGateway, manager: CacheManager, clock: Clock
) -> None:
    fill(manager)
    clock.now += 1800
    gateway = await open_gateway()
    answer = await gateway.call("k8s_list_pods", {})
    assert (answer.source, len(answer.rows)) == ("cache", 3)
    assert answer.note == f"{NO_API}; this is from the cache, 30 min old"
    signed = gateway.ledger.take().uses[0]
    assert (signed.fresh, signed.note) == (False, answer.note)


async def test_asked_for_now_and_no_api_server_says_so_beside_the_cached_rows(
    open_gateway: OpenGateway, manager: CacheManager, clock: Clock
) -> None:
    fill(manager)
    clock.now += 5
    answer = await (await open_gateway()).call("k8s_list_pods", {}, live=True)
    assert (answer.source, answer.note) == ("cache", f"{NO_API}; this is from the cache, 5 s old")


async def test_the_cache_of_another_cluster_under_the_same_name_does_not_pass_for_this_one(
    open_gateway: OpenGateway, manager: CacheManager
) -> None:
    old = "https://127.0.0.1:2"
    manager.register_cluster(ClusterIdentity(cluster=CLUSTER, uid="u", server_version="v1.36.0", api_server=old))
    fill(manager)
    gateway = await open_gateway()
    answer = await gateway.call("k8s_list_pods", {})
    assert gateway.server_pid is not None  # it tried to ask the cluster that is there now
    assert f"was scanned at {old}, and is at https://127.0.0.1:1 now" in answer.note
    assert not gateway.ledger.take().uses[0].fresh
    result = await gateway.query("SELECT count(*) FROM pods")
    assert not result.freshness[0].fresh
    assert old in gateway.ledger.take().uses[0].note


async def test_never_scanned_and_no_api_server_is_an_error_not_an_empty_list(
    open_gateway: OpenGateway, manager: CacheManager
) -> None:
    fill(manager)
    with pytest.raises(Unreachable):
        await (await open_gateway()).call("k8s_list_services", {})


async def test_without_a_database_it_goes_live(open_gateway: OpenGateway) -> None:
    gateway = await open_gateway()
    with pytest.raises(Unreachable):  # which proves that it asked the cluster
        await gateway.call("k8s_list_pods", {})
    assert gateway.server_pid is not None


def _damage(database: Path, damage: str) -> None:
    if damage == "newer":
        with closing(sqlite3.connect(database)) as connection:
            connection.execute("PRAGMA user_version=9999")
        return
    database.write_bytes(b"" if damage == "empty" else b"this is no database" * 1000)
    for extra in database.parent.glob("cache.db-*"):
        extra.unlink()


@pytest.mark.parametrize("damage", ["corrupt", "newer", "empty"])
async def test_an_unusable_database_costs_only_itself(
    open_gateway: OpenGateway, manager: CacheManager, database: Path, damage: str
) -> None:
    fill(manager)
    manager.close()
    _damage(database, damage)
    with pytest.raises(Unreachable):
        await (await open_gateway()).call("k8s_list_pods", {})


async def test_when_nothing_may_go_live_stale_is_answered_as_such(
    open_gateway: OpenGateway, manager: CacheManager, clock: Clock
) -> None:
    fill(manager)
    clock.now += 1800
    gateway = await open_gateway(agent_fallback_to_direct_mcp=False)
    answer = await gateway.call("k8s_list_pods", {})
    assert answer.source == "cache"
    assert answer.note == (
        f"pods of {CLUSTER} are 30 min old in the cache; live access is switched off (AGENT_FALLBACK_TO_DIRECT_MCP=false)"
    )
    with pytest.raises(NeverScanned, match=r"services of kind-test were never scanned.*switched off"):
        await gateway.call("k8s_list_services", {})
    with pytest.raises(NotFound, match="Pod team-a/gone did not exist in cluster kind-test 30 min ago"):
        await gateway.call("k8s_get_resource", {"kind": "pods", "name": "gone", "namespace": "team-a"})
    for tool, arguments in (("k8s_get_pod_logs", {"name": "web-0"}), ("k8s_get_cluster_info", {})):
        with pytest.raises(ToolError, match="needs the cluster itself, and live access is switched off"):
            await gateway.call(tool, arguments)
    assert gateway.server_pid is None


async def test_when_nothing_may_go_live_a_missing_database_is_said(open_gateway: OpenGateway) -> None:
    gateway = await open_gateway(agent_fallback_to_direct_mcp=False)
    with pytest.raises(CacheMissing, match="switched off"):
        await gateway.call("k8s_list_pods", {})


async def test_with_the_cache_switched_off_every_read_is_live(open_gateway: OpenGateway, manager: CacheManager) -> None:
    fill(manager)
    gateway = await open_gateway(agent_enable_cache_query=False)
    with pytest.raises(Unreachable):  # although the cache is fresh
        await gateway.call("k8s_list_pods", {})
    with pytest.raises(ToolError, match="AGENT_ENABLE_CACHE_QUERY=false"):
        await gateway.query("SELECT count(*) FROM pods")


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("llm_max_tokens", "many"), ("llm_max_tokens", 0), ("llm_timeout", -1), ("llm_model", " "), ("agent_max_steps", 0),
        ("agent_context_window", 10), ("agent_cache_query_timeout", 0), ("agent_mcp_call_timeout", -5),
        ("agent_enable_cache_query", "perhaps"),
    ],
)  # fmt: skip
def test_a_setting_out_of_bounds_is_one_line_that_names_it(name: str, value: object) -> None:
    with pytest.raises(ConfigurationError) as caught:
        load(AgentSettings, **{name: value})
    assert name.upper() in str(caught.value)
    assert "\n" not in str(caught.value)


def test_the_key_is_in_no_form_of_the_settings() -> None:
    settings = load(AgentSettings, llm_api_key="sk-canary-4711")
    assert "4711" not in repr(settings) + str(settings) + settings.model_dump_json()


def test_switching_off_both_sources_is_refused() -> None:
    with pytest.raises(ConfigurationError, match="leave nothing to read from"):
        load(AgentSettings, agent_enable_cache_query=False, agent_fallback_to_direct_mcp=False)


async def test_a_changed_scope_is_stale_until_a_later_scan(
    open_gateway: OpenGateway, manager: CacheManager, clock: Clock
) -> None:
    """Read your writes, across processes: the change itself may have been made by another one."""
    fill(manager)
    clock.now += 2
    request_refresh(manager.path, cluster=CLUSTER, kind="pods", reason="k8s_delete_resource", clock=clock)
    gateway = await open_gateway(agent_fallback_to_direct_mcp=False)
    answer = await gateway.call("k8s_list_pods", {})
    assert answer.note.startswith(f"pods of {CLUSTER} changed since the last scan")
    result = await gateway.query("SELECT count(*) FROM pods")
    assert [(e.fresh, e.note) for e in result.freshness] == [(False, "changed since the last scan")]
    assert (await gateway.call("k8s_list_nodes", {})).note == ""
    clock.now += 1
    scan(manager, "pods", [])
    assert (await gateway.call("k8s_list_pods", {})).note == ""
    assert (await gateway.query("SELECT count(*) FROM pods")).freshness[0].fresh


async def test_a_change_without_approval_is_refused_before_any_server_starts(
    open_gateway: OpenGateway, manager: CacheManager
) -> None:
    fill(manager)
    gateway = await open_gateway()
    for dry_run in ({}, {"dry_run": False}):
        with pytest.raises(ApprovalNeeded, match="nothing was done"):
            await gateway.call("k8s_delete_resource", {"kind": "pods", "name": "web-0", "namespace": "team-a", **dry_run})
    assert gateway.server_pid is None


FOREIGN_SERVER = """#!{python}
from mcp.server.mcpserver import MCPServer
from mcp_types import ToolAnnotations

server = MCPServer("foreign")

@server.tool(annotations=ToolAnnotations(read_only_hint=True, destructive_hint=False))
def k8s_list_pods(namespace: str = "", dry_run: bool = False) -> str:
    open({mark!r}, "a").write("called ")
    return "done"

server.run("stdio")
"""


async def test_what_another_server_calls_read_only_or_a_dry_run_needs_approval_all_the_same(
    open_gateway: OpenGateway, manager: CacheManager, tmp_path: Path
) -> None:
    """Its hints are its own words: it gets neither trust nor the cache's answers under one of our names."""
    fill(manager)
    mark, program = tmp_path / "called", tmp_path / "foreign-server"
    program.write_text(FOREIGN_SERVER.format(python=sys.executable, mark=str(mark)))
    program.chmod(0o755)
    gateway = await open_gateway(mcp_server_url=f"stdio://{program}", mcp_server_name="foreign")
    for arguments in ({}, {"dry_run": True}):
        with pytest.raises(ApprovalNeeded):
            await gateway.call("k8s_list_pods", arguments)
    assert not mark.exists()
    asked: list[ApprovalRequest] = []

    async def yes(request: ApprovalRequest) -> str:
        asked.append(request)
        return "yes"

    operations = Operations(gateway, TerminalApprover(yes))
    answer = await operations.perform("k8s_list_pods", {"dry_run": True}, on_event=lambda _: None)
    assert answer.text == "done"
    assert mark.read_text() == "called "
    assert "foreign offers no dry run" in asked[0].describe()


async def test_wrong_calls_cost_no_server(open_gateway: OpenGateway) -> None:
    gateway = await open_gateway()
    with pytest.raises(UnknownTool, match="did you mean k8s_list_pods"):
        await gateway.call("k8s_list_pod", {})
    with pytest.raises(InvalidArguments, match="unknown argument 'namspace': did you mean 'namespace'"):
        await gateway.call("k8s_list_pods", {"namspace": "x"})
    with pytest.raises(InvalidArguments, match="at most 1000"):
        await gateway.call("k8s_list_pods", {"limit": 5000})
    assert gateway.server_pid is None


async def test_the_offered_tools_are_those_of_the_server_without_the_bulk_ones(open_gateway: OpenGateway) -> None:
    gateway = await open_gateway()
    offered = await gateway.tools()
    assert gateway.server_pid is None
    environment = {"PATH": "/usr/bin:/bin"}
    async with ToolLoader(gateway.settings, environment=environment, own_flags=ASKS_ITSELF) as loader:
        listed = await loader.connect()
    heard = {name: replace(spec, input_schema=gateway.catalog.shown_schema(spec)) for name, spec in offered.items()}
    assert heard == {name: spec for name, spec in listed.items() if not spec.bulk}
    assert "k8s_export_page" in listed
    assert "k8s_export_page" not in offered


async def test_sql_is_signed_with_every_table_it_read(open_gateway: OpenGateway, manager: CacheManager, clock: Clock) -> None:
    fill(manager)
    clock.now += 400
    gateway = await open_gateway()
    result = await gateway.query("SELECT count(*) FROM pods, namespaces")
    assert result.rows == [(6,)]
    uses = {use.what: use for use in gateway.ledger.take().uses}
    assert (uses["pods"].fresh, uses["namespaces"].fresh) == (False, True)
    with pytest.raises(QueryRefused):
        await gateway.query("DELETE FROM pods")
    assert gateway.server_pid is None


async def test_the_query_timeout_bounds_sql(open_gateway: OpenGateway, manager: CacheManager) -> None:
    fill(manager)
    endless = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) SELECT count(*) FROM n, pods"
    with pytest.raises(QueryRefused, match=r"0\.2"):
        await (await open_gateway(agent_cache_query_timeout=0.2)).query(endless)


async def test_without_a_kubeconfig_the_cluster_of_the_cache_is_meant(
    open_gateway: OpenGateway, manager: CacheManager, clock: Clock, tmp_path: Path
) -> None:
    fill(manager)
    gateway = await open_gateway(kubeconfig=tmp_path / "missing")
    assert (gateway.cluster, gateway.namespace) == (CLUSTER, "default")
    assert "no kubeconfig" in gateway.cluster_problem
    assert len((await gateway.call("k8s_list_pods", {})).rows) == 3
    clock.now += 1000
    stale = await gateway.call("k8s_list_pods", {})
    assert stale.source == "cache"
    assert "the cluster cannot be asked (there is no kubeconfig" in stale.note


async def test_of_several_cached_clusters_the_one_scanned_last_is_meant(
    open_gateway: OpenGateway, manager: CacheManager, clock: Clock, tmp_path: Path
) -> None:
    fill(manager)
    clock.now += 10
    manager.register_cluster(ClusterIdentity(cluster="newer", uid="other"))
    assert (await open_gateway(kubeconfig=tmp_path / "missing")).cluster == "newer"


async def test_a_context_that_nobody_knows_is_a_configuration_error(open_gateway: OpenGateway, manager: CacheManager) -> None:
    fill(manager)
    with pytest.raises(ConfigurationError, match=r"context 'typo' does not exist.*known: kind-test"):
        await open_gateway(context="typo")


@pytest.mark.parametrize(
    ("contexts", "chosen"), [("", "first"), ("second", "second"), ("second,first", "second"), ("*", "first")]
)
async def test_the_cluster_is_chosen_as_the_server_chooses(
    open_gateway: OpenGateway, tmp_path: Path, contexts: str, chosen: str
) -> None:
    """Several files in KUBECONFIG: the first one's current context counts."""
    files = []
    for name in ("first", "second"):
        files.append(tmp_path / name)
        files[-1].write_text(KUBECONFIG.format(context=name))
    gateway = await open_gateway(kubeconfig=":".join(map(str, files)), k8s_contexts=contexts)
    assert gateway.cluster == chosen


async def test_the_namespace_of_the_person_goes_before_that_of_the_kubeconfig(open_gateway: OpenGateway) -> None:
    assert (await open_gateway()).namespace == "team-a"
    gateway = await open_gateway(namespace="team-b")
    assert gateway.namespace == "team-b"
    gateway.use_namespace("")
    assert gateway.namespace == "team-a"


async def test_a_database_that_appears_later_is_used_without_a_restart(
    open_gateway: OpenGateway, open_manager: Callable[..., CacheManager]
) -> None:
    gateway = await open_gateway()
    with pytest.raises(Unreachable):
        await gateway.call("k8s_list_pods", {})
    fill(open_manager())
    assert (await gateway.call("k8s_list_pods", {})).source == "cache"


async def test_rows_of_a_half_filled_cache_are_not_taken_for_all(
    open_gateway: OpenGateway, manager: CacheManager, clock: Clock
) -> None:
    """Only one namespace may be listed: the cluster is asked, and what is there is labelled when it does not answer."""
    manager.record_failure(CLUSTER, KINDS["pods"], "forbidden", permitted=False)
    scan(manager, "pods", staged("pods", api_object("pods", "web-0", "team-a")), scope="team-a")
    gateway = await open_gateway()
    everywhere = await gateway.call("k8s_list_pods", {})
    assert everywhere.note.startswith(NO_API)
    assert everywhere.envelope is not None
    assert not everywhere.envelope.complete
    assert (await gateway.call("k8s_list_pods", {"namespace": "team-a"})).note == ""
    assert clock.now == START


async def test_what_the_cache_does_not_have_is_signed_with_its_age_when_nothing_may_go_live(
    open_gateway: OpenGateway, manager: CacheManager, clock: Clock
) -> None:
    fill(manager)
    clock.now += 42
    gateway = await open_gateway(agent_fallback_to_direct_mcp=False)
    with pytest.raises(NotFound):
        await gateway.call("k8s_get_resource", {"kind": "pods", "name": "none", "namespace": "team-a"})
    (use,) = gateway.ledger.take().uses
    assert (use.source, use.what, use.age_seconds) == ("cache", "Pod team-a/none", 42)


async def test_a_locked_database_holds_up_sql_no_longer_than_the_limit_and_only_once(
    open_gateway: OpenGateway, manager: CacheManager, database: Path
) -> None:
    fill(manager)
    manager.close()
    gateway = await open_gateway(agent_cache_query_timeout=0.3)
    with closing(sqlite3.connect(database, isolation_level=None)) as holder:
        holder.execute("PRAGMA journal_mode=DELETE")
        holder.execute("BEGIN EXCLUSIVE")
        began = time.monotonic()
        for _ in range(3):
            with pytest.raises(CacheBusy):
                await gateway.query("SELECT count(*) FROM pods")
        assert time.monotonic() - began < 5
        holder.execute("ROLLBACK")
