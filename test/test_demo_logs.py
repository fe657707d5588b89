"""pods/log of the simulated cluster."""

from __future__ import annotations

import asyncio

import pytest

from demo_fixtures import TOKEN, Demo

SHOP = "/api/v1/namespaces/shop/pods"


async def log_of(demo: Demo, app: str, index: int = 0, namespace: str = "shop") -> str:
    path = f"/api/v1/namespaces/{namespace}/pods"
    return f"{path}/{(await demo.names(path, labelSelector=f'app.kubernetes.io/name={app}'))[index]}/log"


async def lines(demo: Demo, path: str, **query: object) -> list[str]:
    status, text = await demo.text(path, **query)
    assert status == 200, text
    return text.splitlines()


async def test_the_last_run_of_a_crash_says_why(demo: Demo) -> None:
    path = await log_of(demo, "checkout")
    previous = await lines(demo, path, previous="true")
    assert "DB_PORT=5433" in previous[1]
    assert "connection refused" in previous[2]
    assert '"level":"fatal"' in previous[-1]
    assert "5432 by default" in previous[-1]
    assert await lines(demo, path) == previous, "between two runs the log is that of the last one"


async def test_tail_timestamps_and_since_choose_lines(demo: Demo) -> None:
    path = await log_of(demo, "storefront")
    everything = await lines(demo, path)
    assert len(everything) > 100
    assert await lines(demo, path, tailLines=3) == everything[-3:]
    assert await lines(demo, path, tailLines=0) == []
    stamped = await lines(demo, path, timestamps="true")
    assert [line.split(" ", 1)[1] for line in stamped] == everything
    times = [line.split(" ", 1)[0] for line in stamped]
    assert times == sorted(times)
    assert await lines(demo, path, sinceTime=times[-5]) == everything[-5:]
    recent = await lines(demo, path, sinceSeconds=60)
    assert 10 <= len(recent) <= 20
    assert recent == everything[-len(recent) :]
    status, text = await demo.text(path, limitBytes=10)
    assert (status, len(text)) == (200, 10)


async def test_a_log_grows_with_the_clock_and_keeps_what_it_said(demo: Demo) -> None:
    path = await log_of(demo, "cart")
    before = await lines(demo, path, tailLines=5, container="cart")
    demo.clock.advance(seconds=60)
    after = await lines(demo, path, tailLines=50, container="cart")
    assert [line for line in before if line in after] == before
    assert after.index(before[-1]) < len(after) - 3


async def test_following_brings_new_lines_until_the_container_ends(demo: Demo) -> None:
    path = await log_of(demo, "sales-report", namespace="ci")
    headers = {"Authorization": f"Bearer {TOKEN}"}
    async with (
        asyncio.timeout(20),
        demo.client.get(path, headers=headers, params={"follow": "true", "tailLines": "1"}) as response,
    ):
        first = await response.content.readline()
        demo.ticks(80)
        rest = (await response.content.read()).decode().splitlines()
    assert first
    assert "report written" in rest[-1]


async def test_chinese_text_survives(demo: Demo) -> None:
    text = "\n".join(await lines(demo, await log_of(demo, "parcel-tracker", namespace="logistics"), tailLines=50))
    assert "包裹已到达" in text


@pytest.mark.parametrize(
    ("app", "namespace", "query", "message"),
    [
        ("storefront", "shop", {"previous": "true"}, "previous terminated container"),
        ("catalog", "shop", {}, "is waiting to start: trying and failing to pull image"),
        ("fraud-scorer", "payments", {}, "no node assigned"),
        ("storefront", "shop", {"container": "nobody"}, "container nobody is not valid for pod"),
        ("storefront", "shop", {"tailLines": "x"}, "invalid syntax"),
        ("storefront", "shop", {"sinceTime": "yesterday"}, "sinceTime"),
    ],
)  # fmt: skip
async def test_what_cannot_be_shown_is_explained(
    demo: Demo, app: str, namespace: str, query: dict[str, str], message: str
) -> None:
    index = -1 if app == "catalog" else 0
    status, body = await demo.call("GET", await log_of(demo, app, index, namespace), **query)
    assert (status, body["reason"]) == (400, "BadRequest")
    assert message in body["message"]


@pytest.mark.parametrize("query", [{"tailLines": "-1"}, {"sinceSeconds": "0"}])
async def test_numbers_out_of_bounds_are_422(demo: Demo, query: dict[str, str]) -> None:
    status, _ = await demo.call("GET", await log_of(demo, "storefront"), **query)
    assert status == 422


async def test_the_container_has_to_be_named_where_there_are_several(demo: Demo) -> None:
    container = {"image": "nginx:1.29"}
    spec = {"containers": [{"name": "a", **container}, {"name": "b", **container}]}
    body = {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "two"}, "spec": spec}
    await demo.call("POST", SHOP, body)
    demo.ticks(5)
    status, refused = await demo.call("GET", f"{SHOP}/two/log")
    assert status == 400
    assert "a container name must be specified for pod two, choose one of: [a b]" in refused["message"]
    assert await lines(demo, f"{SHOP}/two/log", container="b")
