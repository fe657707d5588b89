"""What an answer costs: the estimate against the real tokenizer, over answers of the real tools, and what is cut to fit."""

from __future__ import annotations

import base64
import json
import random
import uuid
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from agent.commands.tools import count_tokens
from configuration.errors import ToolError
from demo_fixtures import DemoServer
from mcp_tools.answer_budget import answer_tokens, estimate, estimate_json, fitting, within_budget
from mcp_tools.tool_declaration import MAX_TOKENS, ToolAnswer, ToolContext, ToolDeclaration, tool
from server_fixtures import ToolClient, text_of

WORTH_COUNTING = 60
"""Tokens. The ratio of a shorter text says little."""


@pytest.fixture
def answers(demo_server: DemoServer, tool_client: Callable[..., ToolClient]) -> dict[str, str]:
    """Text, and structured content as both compact and spaced JSON, of lists, manifests, logs and facts."""
    tools = tool_client(demo_server.kubeconfig)
    found: dict[str, str] = {}

    def ask(tool: str, /, **arguments: Any) -> dict[str, Any]:
        result = tools.result(tool, arguments)
        name = f"{tool} {' '.join(map(str, arguments.values()))}"
        found[f"{name} text"] = text_of(result)
        found[f"{name} compact"] = json.dumps(result.structured_content, ensure_ascii=False, separators=(",", ":"))
        found[f"{name} spaced"] = json.dumps(result.structured_content, ensure_ascii=False)
        return result.structured_content or {}

    ask("k8s_get_cluster_info", check_permissions=True)
    ask("k8s_list_api_resources")
    for kind in ("pods", "events", "deployments", "nodes", "configmaps", "clusterroles", "services"):
        rows = ask("k8s_list_resources", kind=kind, limit=40)["rows"]
        if "name" in rows[0]:
            ask("k8s_get_resource", kind=kind, name=rows[0]["name"], namespace=rows[0].get("namespace") or "")
    pods = tools("k8s_list_pods", limit=40)["rows"]
    for pod in pods[:12]:
        ask("k8s_get_pod_logs", name=pod["name"], namespace=pod["namespace"], tail_lines=100)
    return found


def test_over_answers_of_the_tools_the_estimate_is_never_too_low_and_seldom_much_too_high(answers: dict[str, str]) -> None:
    ratios = {name: estimate(text) / tokens for name, text in answers.items() if (tokens := count_tokens(text)) >= WORTH_COUNTING}
    assert len(ratios) > 40
    assert {name: ratio for name, ratio in ratios.items() if ratio < 1} == {}
    assert sum(ratios.values()) / len(ratios) <= 1.3
    assert max(ratios.values()) <= 1.6


def _odd_texts() -> Iterator[tuple[str, str]]:
    chance = random.Random(5)
    name = "bcdfghjklmnpqrstvwxz2456789"
    yield "base64", base64.b64encode(chance.randbytes(3000)).decode()
    yield "digests", "\n".join("sha256:" + chance.randbytes(32).hex() for _ in range(30))
    yield "uids", "\n".join(str(uuid.UUID(int=chance.getrandbits(128))) for _ in range(60))
    yield (
        "generated names",
        "\n".join("".join(chance.choices(name, k=10)) + "-" + "".join(chance.choices(name, k=5)) for _ in range(99)),
    )
    yield "marks", "\n".join(f"password: ‹redacted:{chance.randbytes(6).hex()}›" for _ in range(60))
    yield (
        "addresses",
        "\n".join(f"10.{chance.randrange(255)}.{chance.randrange(255)}.7:{chance.randrange(65535)}" for _ in range(60)),
    )
    yield "Chinese", "这个容器为什么一直重启，请检查日志并且告诉我原因。数据库连接失败：超时（30秒），正在重试第三次。" * 9
    yield (
        "Chinese log",
        "\n".join(f"2026-03-14T09:26:{i:02d}Z 错误 支付回调失败 订单号={chance.randrange(10**9)}" for i in range(60)),
    )
    yield "Java stack", "\n".join(f"\tat com.example.shop.PaymentService.handle(PaymentService.java:{i})" for i in range(60))
    yield "emoji", "🚀 deployed web ✅ 3/3 🔥 latency 42 ms ❌ checkout\n" * 20
    yield "drawn lines", "│ ├── web ✓ 3/3 → ready … • 42 %\n" * 40


@pytest.mark.parametrize(("name", "text"), list(_odd_texts()), ids=lambda value: value if len(value) < 20 else "")
def test_texts_that_a_cluster_may_hold_are_not_estimated_too_low(name: str, text: str) -> None:
    assert count_tokens(text) <= estimate(text) <= 1.7 * count_tokens(text)


def _numbered(items: Any) -> ToolAnswer:
    return ToolAnswer("\n".join(f"row {item}" for item in items), {"rows": list(items)})


@pytest.mark.parametrize("count", [0, 1, 5, 199, 200, 201, 5000])
@pytest.mark.parametrize("budget", [10, 200, 900, 4000])
def test_the_longest_beginning_that_fits_is_taken(count: int, budget: int) -> None:
    answer = fitting(range(count), _numbered, budget)
    shown = len(answer.structured["rows"])
    assert answer == _numbered(range(shown))
    assert answer_tokens(answer) <= budget or shown == 0
    assert shown == count or answer_tokens(_numbered(range(shown + 1))) > budget


def test_of_many_items_no_more_than_twice_what_fits_is_rendered() -> None:
    rendered: list[int] = []

    def render(items: Any) -> ToolAnswer:
        rendered.append(len(items))
        return _numbered(items)

    shown = len(fitting(range(100_000), render, 4000).structured["rows"])
    assert max(rendered) <= 2 * shown


def _declared(*, bulk: bool) -> ToolDeclaration:
    @tool("k8s_long", title="t", arguments={"max_tokens": MAX_TOKENS}, output=None, bulk=bulk)
    async def long(tools: ToolContext, *, max_tokens: int = 4000) -> ToolAnswer:
        """Long."""
        raise NotImplementedError

    return long


def test_an_answer_over_its_budget_is_refused_as_a_defect_unless_it_is_for_programs() -> None:
    answer = ToolAnswer("word " * 3000, {"rows": ["word"] * 3000})
    tokens = estimate(answer.text) + estimate_json(answer.structured)
    with pytest.raises(ToolError, match=f"about {tokens} tokens, more than max_tokens=4000"):
        within_budget(_declared(bulk=False), {"max_tokens": 4000}, answer)
    assert within_budget(_declared(bulk=False), {"max_tokens": tokens}, answer) is answer
    assert within_budget(_declared(bulk=True), {"max_tokens": 4000}, answer) is answer
    assert within_budget(_declared(bulk=False), {}, answer) is answer
