"""The one-shot commands, run as a person runs them: `python src/main.py …` in a process of its own."""

from __future__ import annotations

import csv
import io
import json
import re
import subprocess
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest

from shop_cache_fixtures import CLUSTER, FillCache, bare_environment

SOURCE = Path(__file__).resolve().parents[1] / "src"
HEAVY = {"litellm", "kubernetes", "sqlalchemy", "mcp", "prompt_toolkit", "rich", "pydantic_settings", "yaml", "openai"}
COMMANDS = ["ask", "query", "tools", "doctor", "demo"]
Run = Callable[..., "subprocess.CompletedProcess[str]"]


@pytest.fixture
def run(tmp_path: Path) -> Run:
    """Run `main` with arguments and an environment; no `.env` is read."""
    empty = tmp_path / "empty.env"
    empty.write_text("")

    def start(*arguments: str, environment: Mapping[str, str], stdin: str = "") -> subprocess.CompletedProcess[str]:
        command = [sys.executable, str(SOURCE / "main.py"), "--env-file", str(empty), *arguments]
        return subprocess.run(
            command, env=dict(environment), input=stdin, capture_output=True, text=True, timeout=60, cwd=tmp_path, check=False
        )  # fmt: skip

    return start


@pytest.mark.parametrize("arguments", [["--help"], *([command, "--help"] for command in COMMANDS)])
def test_help_imports_nothing_heavy_and_ends_in_an_example(arguments: list[str]) -> None:
    code = f"""
import sys
sys.path.insert(0, {str(SOURCE)!r})
from main import app
try:
    app({arguments!r}, prog_name="main")
except SystemExit:
    pass
print(sorted({HEAVY!r} & {{name.split(".")[0] for name in sys.modules}}))
"""
    done = subprocess.run([sys.executable, "-P", "-c", code], capture_output=True, text=True, timeout=60, check=True)
    *help_text, loaded = done.stdout.strip().splitlines()
    assert loaded == "[]"
    tail = "\n".join(help_text[-3:])
    assert "Example: main" in tail
    assert all(command in done.stdout for command in COMMANDS) or arguments != ["--help"]


def test_both_ways_in_are_the_same_program() -> None:
    import main
    from agent.commands.demo_cluster import SOURCE_ROOT

    assert Path(main.__file__).resolve() == SOURCE / "main.py"
    assert SOURCE_ROOT == SOURCE


def test_query_prints_a_table_and_says_on_stderr_how_old_it_is(run: Run, shop_cache: FillCache) -> None:
    cache = shop_cache(age=42)
    done = run("query", "SELECT namespace, count(*) AS pods FROM pods GROUP BY namespace", environment=cache.environment)
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines() == ["namespace  pods", "payments      1", "shop          3"]
    assert f"cache · {CLUSTER} · pods 4" in done.stderr
    assert "(fresh)" in done.stderr


def test_query_json_carries_rows_and_the_freshness_of_every_table(run: Run, shop_cache: FillCache) -> None:
    cache = shop_cache(age=10_000)
    sql = "SELECT p.name, n.name AS node FROM pods p JOIN nodes n ON n.name = p.node WHERE NOT p.healthy"
    done = run("query", "-", "-o", "json", environment=cache.environment, stdin=sql)
    answer = json.loads(done.stdout)
    assert set(answer) == {"columns", "rows", "freshness", "truncated"}
    assert answer["rows"] == [["api-0", "worker-1"]]
    assert {(e["kind"], e["fresh"], e["cluster"]) for e in answer["freshness"]} == {
        ("pods", False, CLUSTER),
        ("nodes", False, CLUSTER),
    }
    assert done.stderr == ""


def test_query_csv_reads_back_as_it_was(run: Run, shop_cache: FillCache) -> None:
    done = run("query", "SELECT message, reason FROM events", "-o", "csv", environment=shop_cache().environment)
    rows = list(csv.reader(io.StringIO(done.stdout)))
    assert rows[0] == ["message", "reason"]
    assert rows[1][1] == "BackOff"


def test_query_of_a_cache_of_ten_thousand_says_that_it_was_cut(run: Run, shop_cache: FillCache) -> None:
    done = run("query", "SELECT name FROM pods", "-o", "json", environment=shop_cache(pods=1500).environment)
    answer = json.loads(done.stdout)
    assert answer["truncated"] is True
    assert len(answer["rows"]) == 1000


@pytest.mark.parametrize(
    ("sql", "code", "says"),
    [
        ("SELECT * FROM podz", 1, "pods"),
        ("SELECT nme FROM pods", 1, "name"),
        ("SELECT count(*) FROM services", 1, "never scanned"),
        ("DELETE FROM pods", 1, "SELECT"),
        ("  ", 2, "empty"),
    ],
)
def test_a_query_that_cannot_be_answered_is_one_line_with_what_to_do(
    run: Run, shop_cache: FillCache, sql: str, code: int, says: str
) -> None:
    done = run("query", sql, environment=shop_cache().environment)
    assert done.returncode == code
    assert done.stdout == ""
    (line,) = done.stderr.strip().splitlines()
    assert line.startswith("error: ")
    assert says in line


def test_without_a_database_the_query_says_how_to_get_one_and_writes_nothing(run: Run, tmp_path: Path) -> None:
    environment = bare_environment(tmp_path)
    before = sorted(tmp_path.iterdir())
    done = run("query", "SELECT * FROM pods", environment=environment)
    assert done.returncode == 1
    assert "scanner scan" in done.stderr
    assert sorted(tmp_path.iterdir()) == before


@pytest.mark.parametrize(
    ("arguments", "changes", "says"),
    [
        (["query", "SELECT 1"], {"AGENT_CACHE_QUERY_TIMEOUT": "soon"}, "AGENT_CACHE_QUERY_TIMEOUT"),
        (["query", "SELECT 1"], {"CACHE_DYNAMIC_TTL": "-5"}, "CACHE_DYNAMIC_TTL"),
        (["--env-file", "/no/such/file", "tools"], {}, "no such file"),
        (["ask", "hello"], {}, "LLM_API_KEY"),
        (["ask", "-"], {}, "the question is empty"),
        ([], {}, "needs a terminal"),
        (["demo"], {}, "needs a terminal"),
        (["demo", "-o", "json"], {}, "--once"),
        (["--context", "nowhere", "query", "SELECT 1"], {}, "nowhere"),
    ],
)
def test_what_is_wrong_before_anything_starts_is_one_line_and_exit_2(
    run: Run, tmp_path: Path, arguments: list[str], changes: dict[str, str], says: str
) -> None:
    done = run(*arguments, environment=bare_environment(tmp_path) | changes)
    assert done.returncode == 2
    assert done.stdout == ""
    (line,) = done.stderr.strip().splitlines()
    assert line.startswith("error: ")
    assert says in line


def test_the_key_never_appears_when_settings_are_wrong(run: Run, tmp_path: Path) -> None:
    environment = bare_environment(tmp_path) | {"LLM_API_KEY": "sk-canary-4711", "LLM_TIMEOUT": "x"}
    for arguments in (["ask", "hello"], ["--debug", "ask", "hello"], ["doctor"]):
        done = run(*arguments, environment=environment)
        assert "sk-canary-4711" not in done.stdout + done.stderr


def test_tools_marks_what_reads_and_what_changes_and_counts_the_tokens(run: Run, tmp_path: Path) -> None:
    done = run("tools", "-o", "json", environment=bare_environment(tmp_path))
    assert done.returncode == 0, done.stderr
    answer: dict[str, Any] = json.loads(done.stdout)
    tools = {tool["name"]: tool for tool in answer["tools"]}
    assert tools["k8s_list_pods"]["read_only"] is True
    assert tools["k8s_delete_resource"]["read_only"] is False
    assert tools["k8s_delete_resource"]["destructive"] is True
    assert "k8s_export_page" not in tools
    assert 500 < answer["tokens"] < 10_000
    text = run("tools", environment=bare_environment(tmp_path))
    assert re.search(r"^k8s_delete_resource +changes ", text.stdout, re.MULTILINE)
    assert "tokens" in text.stderr


def test_doctor_names_each_part_when_everything_is_broken(run: Run, tmp_path: Path) -> None:
    environment = bare_environment(tmp_path)
    (tmp_path / "cache.db").write_bytes(b"this is no database" * 100)
    done = run("doctor", environment=environment)
    assert done.returncode == 1
    parts = {line[6:20].strip(): line for line in done.stdout.splitlines()}
    assert list(parts) == ["settings", "kubeconfig", "MCP server", "API server", "database", "scanner", "model"]
    assert parts["API server"].startswith("FAIL")
    assert parts["database"].startswith("FAIL")
    assert parts["scanner"].startswith("warn")
    assert "LLM_API_KEY" in parts["model"]
    assert "Traceback" not in done.stderr


def test_doctor_without_a_kubeconfig_says_so_and_goes_on(run: Run, tmp_path: Path) -> None:
    environment = bare_environment(tmp_path)
    (tmp_path / "kubeconfig.json").write_text("")
    done = run("doctor", "-o", "json", environment=environment)
    assert done.returncode == 1
    answer = json.loads(done.stdout)
    checks = {check["part"]: check for check in answer["checks"]}
    assert answer["ok"] is False
    assert checks["kubeconfig"]["state"] == "fail"
    assert checks["MCP server"]["state"] == "ok"
    assert checks["database"]["state"] == "warn"
    assert "scanner scan" in checks["database"]["advice"]


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


@pytest.mark.parametrize(("out", "expected"), [(Terminal(), "name\n[2Jx\n"), (io.StringIO(), "name\n\x1b[2Jx\n")])
def test_csv_gives_a_file_what_is_stored_and_a_terminal_no_escape_sequence(out: io.StringIO, expected: str) -> None:
    from agent.commands.query import _print_csv
    from cache.sql_guard import QueryResult

    _print_csv(QueryResult(("name",), (("\x1b[2Jx",),), (), False, 0.0), out)
    assert out.getvalue().replace("[2J", "") == expected.replace("[2J", "")
    assert ("\x1b" in out.getvalue()) == ("\x1b" in expected)
