"""`main ask` and the approval dialogue: a scripted model behind the real litellm path, the simulated cluster as the API."""

from __future__ import annotations

import base64
import json
import ssl
import subprocess
import sys
import urllib.request
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
import yaml

from agent.commands.demo_cluster import DemoCluster, demo_cluster
from model_fixtures import KEY, ScriptedModel
from shop_cache_fixtures import FillCache
from terminal_fixtures import SOURCE, StartOnTerminal

Ask = Callable[..., "subprocess.CompletedProcess[str]"]
CREATE = ("k8s_create_deployment", {"name": "canary", "image": "nginx:1.29", "namespace": "shop"})


def with_model(environment: Mapping[str, str], model: ScriptedModel) -> dict[str, str]:
    return {
        **environment, "LLM_PROVIDER": "openai", "LLM_MODEL": "scripted", "LLM_API_KEY": KEY, "LLM_API_BASE": model.url,
        "PATH": "/usr/bin:/bin",
    }  # fmt: skip


@pytest.fixture
def ask(tmp_path: Path) -> Ask:
    """Run `main ask`; no `.env` is read, nobody is at a terminal."""
    empty = tmp_path / "empty.env"
    empty.write_text("")

    def run(*arguments: str, environment: Mapping[str, str], stdin: str = "") -> subprocess.CompletedProcess[str]:
        command = [sys.executable, str(SOURCE / "main.py"), "--env-file", str(empty), "ask", *arguments]
        return subprocess.run(
            command, env=dict(environment), input=stdin, capture_output=True, text=True, timeout=90, check=False
        )

    return run


@pytest.fixture(scope="module")
def live_cluster() -> Iterator[DemoCluster]:
    with demo_cluster(seed=7, port=0) as cluster:
        yield cluster


def deployments(cluster: DemoCluster) -> set[str]:
    """Names of the deployments in shop, asked of the API server past every layer of ours."""
    document = yaml.safe_load(Path(cluster.environment["KUBECONFIG"]).read_text())
    about, user = document["clusters"][0]["cluster"], document["users"][0]["user"]
    trusted = ssl.create_default_context(cadata=base64.b64decode(about["certificate-authority-data"]).decode())
    headers = {"Authorization": f"Bearer {user['token']}"}
    request = urllib.request.Request(f"{about['server']}/apis/apps/v1/namespaces/shop/deployments", headers=headers)
    with urllib.request.urlopen(request, context=trusted, timeout=60) as answer:
        return {item["metadata"]["name"] for item in json.load(answer)["items"]}


def test_the_answer_goes_to_stdout_and_its_sources_to_stderr(
    ask: Ask, shop_cache: FillCache, scripted_model: ScriptedModel
) -> None:
    scripted_model.calls(("k8s_list_pods", {"namespace": "payments"})).says("api-0 处于 CrashLoopBackOff。")
    done = ask("-", environment=with_model(shop_cache().environment, scripted_model), stdin="哪些 Pod 不健康?\n")
    assert done.returncode == 0, done.stderr
    assert done.stdout == "api-0 处于 CrashLoopBackOff。\n"
    assert "✓ k8s_list_pods (cache)" in done.stderr
    assert "— cache · shop-cluster · pods" in done.stderr
    assert "tokens" in done.stderr
    assert KEY not in done.stdout + done.stderr


def test_in_a_pipe_what_was_said_before_a_tool_call_is_a_line_of_its_own(
    ask: Ask, shop_cache: FillCache, scripted_model: ScriptedModel
) -> None:
    scripted_model.calls(("k8s_list_pods", {}), text="Let me look.").says("Four pods.")
    done = ask("how many pods?", environment=with_model(shop_cache().environment, scripted_model))
    assert done.stdout == "Let me look.\nFour pods.\n"


def test_json_is_one_document_with_answer_sources_and_usage(
    ask: Ask, shop_cache: FillCache, scripted_model: ScriptedModel
) -> None:
    scripted_model.calls(("k8s_list_pods", {})).says("Three pods.")
    done = ask("how many pods?", "-o", "json", environment=with_model(shop_cache().environment, scripted_model))
    answer: dict[str, Any] = json.loads(done.stdout)
    assert answer["answer"] == "Three pods."
    assert answer["steps"] == 1
    assert answer["stopped_reason"] == "answered"
    assert answer["usage"]["prompt_tokens"] == 200
    assert answer["sources"][0]["source"] == "cache"
    assert answer["sources"][0]["what"].startswith("pods")
    assert done.stderr == ""


@pytest.mark.parametrize(
    ("script", "says"),
    [
        (lambda model: model.fails(401, "no such key"), "LLM_API_KEY"),
        (lambda model: model.fails(404, "no such model"), "LLM_MODEL"),
    ],
    ids=["key", "model"],
)
def test_a_model_that_refuses_is_one_line_and_exit_1(
    ask: Ask, shop_cache: FillCache, scripted_model: ScriptedModel, script: Callable[[ScriptedModel], object], says: str
) -> None:
    script(scripted_model)
    done = ask("hello", environment=with_model(shop_cache().environment, scripted_model))
    assert done.returncode == 1
    (line,) = done.stderr.strip().splitlines()
    assert line.startswith("error: ")
    assert says in line
    assert KEY not in done.stderr


def test_a_change_without_a_terminal_ends_with_5_and_changes_nothing(
    ask: Ask, live_cluster: DemoCluster, scripted_model: ScriptedModel
) -> None:
    scripted_model.calls(CREATE).says("Created.")
    done = ask("create canary", environment=with_model(live_cluster.environment, scripted_model))
    assert done.returncode == 5, done.stderr
    assert "--approve" in done.stderr
    assert "canary" not in deployments(live_cluster)


def test_a_policy_allows_exactly_what_it_says(ask: Ask, live_cluster: DemoCluster, scripted_model: ScriptedModel) -> None:
    scripted_model.calls(CREATE).says("Created.")
    environment = with_model(live_cluster.environment, scripted_model)
    done = ask("create canary", "--approve", "create-deployment:namespace=payments", environment=environment)
    assert done.returncode == 5
    scripted_model.turns.clear()
    scripted_model.calls((CREATE[0], CREATE[1] | {"name": "allowed"})).says("Created.")
    done = ask("create it", "--approve", "create-deployment:namespace=shop", "-o", "json", environment=environment)
    assert done.returncode == 0, done.stdout + done.stderr
    assert deployments(live_cluster) & {"canary", "allowed"} == {"allowed"}


def test_a_policy_that_cannot_be_read_is_refused_before_the_model_is_asked(
    ask: Ask, live_cluster: DemoCluster, scripted_model: ScriptedModel
) -> None:
    done = ask("x", "--approve", "everything", environment=with_model(live_cluster.environment, scripted_model))
    assert done.returncode == 2
    assert scripted_model.requests == []


@pytest.mark.parametrize(("typed", "created"), [("\r", False), ("\x03", False), ("y\r", True)])
def test_at_the_terminal_only_a_typed_yes_changes_the_cluster(
    main_on_terminal: StartOnTerminal, live_cluster: DemoCluster, scripted_model: ScriptedModel, typed: str, created: bool
) -> None:
    name = "t" + "".join(f"{ord(c):x}" for c in typed)
    scripted_model.calls((CREATE[0], CREATE[1] | {"name": name})).says("That was it.")
    terminal = main_on_terminal(environment=with_model(live_cluster.environment, scripted_model))
    terminal.expect("demo/shop ❯")
    terminal.line("create it")
    asked = terminal.expect(r"Apply this change\? \[y/N\]", seconds=60)
    assert name in asked
    assert "nginx:1.29" in asked
    terminal.type(typed)
    terminal.expect("approved by" if created else "refused by")
    terminal.expect("That was it")
    assert (name in deployments(live_cluster)) is created


@pytest.mark.parametrize(("then", "created"), [("\r", False), ("y\r", True)])
def test_a_yes_to_a_part_of_a_change_shows_the_rest_and_asks_again(
    main_on_terminal: StartOnTerminal, live_cluster: DemoCluster, scripted_model: ScriptedModel, then: str, created: bool
) -> None:
    name = f"long-{created}".lower()
    labels = {f"label-{number:02}": "x" for number in range(40)}
    env = {"DB_PASSWORD": "cnry-said-by-the-model"}
    scripted_model.calls((CREATE[0], CREATE[1] | {"name": name, "labels": labels, "env": env})).says("That was it.")
    terminal = main_on_terminal(environment=with_model(live_cluster.environment, scripted_model))
    terminal.expect("demo/shop ❯")
    terminal.line("create it")
    part = terminal.expect(r"This is not all of it\.", seconds=60)
    assert "changed fields shown" in part
    assert "metadata.labels.label-39" not in part
    terminal.type("y\r")
    whole = terminal.expect(r"Apply this change\? \[y/N\]")
    assert "metadata.labels.label-39" in whole
    assert "cnry-said-by-the-model" in whole, "nobody agrees to a mark"
    assert name not in deployments(live_cluster), "the first yes was to a part"
    terminal.type(then)
    terminal.expect("approved by" if created else "refused by")
    terminal.expect("That was it")
    assert (name in deployments(live_cluster)) is created


def test_a_yes_that_was_typed_before_the_question_does_not_count(
    main_on_terminal: StartOnTerminal, live_cluster: DemoCluster, scripted_model: ScriptedModel
) -> None:
    scripted_model.calls((CREATE[0], CREATE[1] | {"name": "ahead"})).says("That was it.")
    terminal = main_on_terminal(environment=with_model(live_cluster.environment, scripted_model))
    terminal.expect("demo/shop ❯")
    terminal.type("create it\ry\ry\r")
    terminal.expect(r"Apply this change\? \[y/N\]", seconds=60)
    terminal.type("\r")
    terminal.expect("refused by")
    assert "ahead" not in deployments(live_cluster)


def test_doctor_finds_everything_in_order_on_a_scanned_cluster(live_cluster: DemoCluster, scripted_model: ScriptedModel) -> None:
    subprocess.run(
        live_cluster.scanner(["scan"]), env=dict(live_cluster.environment), check=True, capture_output=True, timeout=120
    )
    scripted_model.says("ready")
    command = [sys.executable, str(SOURCE / "main.py"), "doctor", "-o", "json"]
    environment = with_model(live_cluster.environment, scripted_model)
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=90, check=False)
    checks = {check["part"]: check for check in json.loads(done.stdout)["checks"]}
    assert done.returncode == 0, done.stdout
    assert {part for part, check in checks.items() if check["state"] == "ok"} == set(checks) - {"scanner"}
    assert "may list all" in checks["permissions"]["finding"]
    assert KEY not in done.stdout
