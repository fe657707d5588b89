"""The path to the language model: real litellm against a scripted endpoint on loopback."""

from __future__ import annotations

import logging
from typing import Any

import pytest

from agent.llm_config import RetryPolicy
from agent.model_errors import BrokenReply, ContextFull, diagnose, redacted
from agent.model_usage import Usage, usage_of
from configuration.errors import ConfigurationError, ModelError
from model_fixtures import KEY, ModelFactory, ScriptedModel

HELLO = [{"role": "user", "content": "hello"}]


async def test_text_is_streamed_in_pieces_and_put_together(model_client: ModelFactory, scripted_model: ScriptedModel) -> None:
    scripted_model.says("three pods are running in dev")
    heard: list[str] = []
    reply = await model_client().reply(HELLO, on_text=heard.append)
    assert reply.text == "three pods are running in dev"
    assert len(heard) > 1
    assert "".join(heard) == reply.text


async def test_parallel_tool_calls_arrive_whole(model_client: ModelFactory, scripted_model: ScriptedModel) -> None:
    scripted_model.calls(("first", {"a": 1}), ("second", {"b": "x" * 40}))
    reply = await model_client().reply(HELLO)
    assert [(call.name, call.arguments) for call in reply.tool_calls] == [
        ("first", '{"a": 1}'),
        ("second", '{"b": "' + "x" * 40 + '"}'),
    ]
    assert len({call.id for call in reply.tool_calls}) == 2


@pytest.mark.parametrize("ids", [("same", "same", "same"), ("call_1", "call_1", "call_1")])
async def test_every_call_of_a_reply_has_an_id_of_its_own(
    model_client: ModelFactory, scripted_model: ScriptedModel, ids: tuple[str, ...]
) -> None:
    scripted_model.calls(("a", {}), ("b", {}), ("c", {}), ids=ids)
    reply = await model_client().reply([{"role": "user", "content": "?"}])
    assert [call.name for call in reply.tool_calls] == ["a", "b", "c"]
    assert len({call.id for call in reply.tool_calls}) == 3


async def test_what_is_no_reply_at_all_names_the_setting_to_check(
    model_client: ModelFactory, scripted_model: ScriptedModel
) -> None:
    for _ in range(4):
        scripted_model.breaks_off("")
    with pytest.raises(ModelError, match="LLM_API_BASE"):
        await model_client(waits=[]).reply([{"role": "user", "content": "?"}])


async def test_what_is_sent_follows_the_settings(model_client: ModelFactory, scripted_model: ScriptedModel) -> None:
    scripted_model.says("ok")
    await model_client(llm_max_tokens=321, llm_model="team/tiny").reply(HELLO)
    request = scripted_model.requests[0]
    assert (request["model"], request["max_tokens"], request["stream"]) == ("team/tiny", 321, True)
    assert scripted_model.keys == [f"Bearer {KEY}"]


async def test_a_rate_limit_is_waited_out_as_the_endpoint_asks(model_client: ModelFactory, scripted_model: ScriptedModel) -> None:
    scripted_model.fails(429, retry_after="7").says("now it works")
    waits: list[float] = []
    notices: list[str] = []
    reply = await model_client(waits=waits).reply(HELLO, on_notice=notices.append)
    assert reply.text == "now it works"
    assert waits == [7.0]
    assert "rate-limited; trying again in 7 s (2 of 4)" in notices[0]


async def test_a_retry_after_beyond_the_bound_is_told_and_not_waited_for(
    model_client: ModelFactory, scripted_model: ScriptedModel
) -> None:
    scripted_model.fails(429, retry_after="3600")
    waits: list[float] = []
    with pytest.raises(ModelError, match="rate-limited; wait 3600 s or choose another LLM_MODEL"):
        await model_client(waits=waits).reply(HELLO)
    assert waits == []


async def test_server_errors_are_retried_with_growing_waits_and_then_told(
    model_client: ModelFactory, scripted_model: ScriptedModel
) -> None:
    scripted_model.fails(500).fails(502).fails(503).fails(500, "still broken")
    waits: list[float] = []
    with pytest.raises(ModelError, match=r"still broken \(tried 4 times\)"):
        await model_client(waits=waits).reply(HELLO)
    assert waits == [1.0, 2.0, 4.0]
    assert len(scripted_model.requests) == 4


@pytest.mark.parametrize("status", [401, 403])
async def test_wrong_credentials_are_never_retried(
    model_client: ModelFactory, scripted_model: ScriptedModel, status: int
) -> None:
    scripted_model.fails(status, f"Incorrect API key provided: {KEY}")
    with pytest.raises(ModelError, match=f"refused the credentials .HTTP {status}.: check LLM_API_KEY and LLM_PROVIDER"):
        await model_client().reply(HELLO)
    assert len(scripted_model.requests) == 1


@pytest.mark.parametrize("provider", ["openai", "openrouter"])
@pytest.mark.parametrize("status", [400, 401, 404, 429, 500])
async def test_the_key_is_in_no_message_whatever_the_endpoint_echoes(
    model_client: ModelFactory, scripted_model: ScriptedModel, caplog: pytest.LogCaptureFixture, provider: str, status: int
) -> None:
    for _ in range(4):
        scripted_model.fails(status, f"you sent {KEY} and Authorization: Bearer {KEY}")
    said: list[str] = []
    with caplog.at_level(logging.DEBUG), pytest.raises(ModelError) as caught:
        await model_client(llm_provider=provider).reply(HELLO, on_notice=said.append)
    assert caught.value.__cause__ is None
    assert caught.value.__suppress_context__  # --debug prints a traceback
    assert KEY not in "".join([str(caught.value), repr(caught.value), *said])
    assert KEY not in caplog.text


def test_the_key_is_taken_out_of_text_in_every_form() -> None:
    key = "a/secret+key="
    text = redacted(f"url?key=a%2Fsecret%2Bkey%3D header {key} other sk-live-abcdefghijklmnop", key)
    assert "secret" not in text
    assert "abcdefghijklmnop" not in text


async def test_a_stream_that_breaks_off_is_an_error_with_what_was_heard(
    model_client: ModelFactory, scripted_model: ScriptedModel
) -> None:
    scripted_model.breaks_off("the pod api-0 crashes bec")
    with pytest.raises(BrokenReply, match="broke off after 25 characters; ask again") as caught:
        await model_client().reply(HELLO)
    assert caught.value.partial == "the pod api-0 crashes bec"
    assert len(scripted_model.requests) == 1  # trying again would print the beginning twice


async def test_a_stream_that_breaks_off_before_any_text_is_tried_again(
    model_client: ModelFactory, scripted_model: ScriptedModel
) -> None:
    scripted_model.breaks_off("").says("second try")
    assert (await model_client().reply(HELLO)).text == "second try"


async def test_a_full_context_is_recognised_with_every_provider(
    model_client: ModelFactory, scripted_model: ScriptedModel
) -> None:
    for provider in ("openai", "openrouter"):
        scripted_model.fails(400, "This model's maximum context length is 4096 tokens", code="context_length_exceeded")
        with pytest.raises(ContextFull, match="no longer fits"):
            await model_client(llm_provider=provider).reply(HELLO)


async def test_a_refused_connection_is_retried_and_told(model_client: ModelFactory, refusing_url: str) -> None:
    waits: list[float] = []
    with pytest.raises(ModelError, match=r"no connection to the model .* check LLM_API_BASE.*tried 4 times"):
        await model_client(waits=waits, llm_api_base=refusing_url).reply(HELLO)
    assert len(waits) == 3


async def test_the_timeout_bounds_each_try(model_client: ModelFactory, scripted_model: ScriptedModel) -> None:
    for _ in range(4):
        scripted_model.hangs()
    with pytest.raises(ModelError, match=r"did not answer within 0.3 s; raise LLM_TIMEOUT"):
        await model_client(llm_timeout=0.3).reply(HELLO)
    assert len(scripted_model.requests) == 4


async def test_an_unknown_model_is_told_with_the_settings_to_check(
    model_client: ModelFactory, scripted_model: ScriptedModel
) -> None:
    scripted_model.fails(404, "no such model")
    with pytest.raises(ModelError, match="HTTP 404.: check LLM_MODEL and LLM_API_BASE: no such model"):
        await model_client().reply(HELLO)


async def test_without_a_key_it_says_how_to_set_one_and_what_works(model_client: ModelFactory) -> None:
    client = model_client(llm_api_key="", llm_api_base="", llm_provider="openrouter")
    assert "LLM_API_KEY=" in client.problem
    assert "slash commands" in client.problem
    with pytest.raises(ConfigurationError, match="no key for openrouter/"):
        await client.reply(HELLO)


@pytest.mark.parametrize(
    "settings", [{"llm_provider": "ollama"}, {"llm_provider": "openai", "llm_api_base": "http://127.0.0.1:1/v1"}]
)
def test_local_endpoints_need_no_key(model_client: ModelFactory, settings: dict[str, Any]) -> None:
    assert model_client(**({"llm_api_base": ""} | settings), llm_api_key="").problem == ""


async def test_an_endpoint_of_ones_own_never_gets_another_providers_key(
    model_client: ModelFactory, scripted_model: ScriptedModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "sk-from-the-environment-0815")
    scripted_model.says("ok")
    await model_client(llm_api_key="").reply(HELLO)
    assert "0815" not in scripted_model.keys[0]


async def test_an_unknown_provider_is_a_configuration_error(model_client: ModelFactory) -> None:
    with pytest.raises(ConfigurationError, match="LLM_PROVIDER='opnai' is no provider"):
        await model_client(llm_provider="opnai").reply(HELLO)


@pytest.mark.parametrize(
    ("provider", "model", "name"),
    [
        ("openrouter", "google/gemini-2.0-flash-exp", "openrouter/google/gemini-2.0-flash-exp"),
        ("openrouter", "openrouter/auto", "openrouter/auto"),
        ("OpenAI", "gpt-x", "openai/gpt-x"),
        ("ollama", "qwen3:8b", "ollama/qwen3:8b"),
    ],
)
def test_provider_and_model_make_the_name(model_client: ModelFactory, provider: str, model: str, name: str) -> None:
    assert model_client(llm_provider=provider, llm_model=model).name == name


async def test_usage_is_counted_and_an_unknown_cost_is_unknown(model_client: ModelFactory, scripted_model: ScriptedModel) -> None:
    scripted_model.says("ok")
    usage = (await model_client().reply(HELLO)).usage
    assert (usage.prompt_tokens, usage.completion_tokens, usage.calls) == (100, 20, 1)
    assert usage.cost_usd is None
    assert usage.text() == "100 + 20 tokens · cost unknown"
    assert usage.as_json()["cost_usd"] == "unknown"


def test_costs_add_up_only_while_all_are_known() -> None:
    known, unknown = Usage(10, 5, 0.25, 1), Usage(1, 1, None, 1)
    assert (known + known).cost_usd == 0.5
    assert (known + unknown).cost_usd is None
    assert (known + unknown).prompt_tokens == 11
    assert usage_of(None, None).cost_usd is None


async def test_check_names_the_model_that_answered(model_client: ModelFactory, scripted_model: ScriptedModel) -> None:
    scripted_model.says("ready")
    assert (await model_client().check()).startswith("openai/scripted answers (")


def test_a_retry_after_date_is_understood() -> None:
    class Limited(Exception):
        status_code = 429

    error = Limited("x")
    error.litellm_response_headers = {"Retry-After": "Wed, 21 Oct 2015 07:28:00 GMT"}  # type: ignore[attr-defined]
    assert diagnose(error, key="").retry_after_seconds == 0


def test_making_a_client_imports_no_model_library(fresh_python: Any) -> None:
    loaded = fresh_python(
        "import sys; from agent.agent_core import AgentCore; from agent.cache_first_gateway import CacheFirstGateway;"
        "print([m for m in ('litellm', 'mcp', 'kubernetes', 'sqlalchemy', 'openai') if m in sys.modules])"
    )
    assert loaded == "[]"


def test_the_policy_gives_up_after_its_attempts() -> None:
    policy = RetryPolicy(attempts=2)
    busy = diagnose(ConnectionError("connection refused"), key="")
    assert policy.wait_before(2, busy) == 1.0
    assert policy.wait_before(3, busy) is None
