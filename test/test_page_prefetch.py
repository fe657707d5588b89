"""The next page of an export, begun before it is asked for."""

from __future__ import annotations

import asyncio

import pytest

from configuration.errors import Expired
from mcp_tools.page_prefetch import PagePrefetch


async def test_a_page_that_was_begun_is_read_once() -> None:
    reads: list[str] = []

    async def read() -> str:
        reads.append("read")
        return "page"

    prefetch = PagePrefetch()
    prefetch.begin("key", read)
    prefetch.begin("key", read)
    assert await prefetch.get("key", read) == "page"
    assert reads == ["read"]
    assert await prefetch.get("key", read) == "page"
    assert reads == ["read", "read"], "a page is handed out once: what is asked for again is read again"


async def test_an_error_of_a_page_is_told_to_who_asks_for_it() -> None:
    async def read() -> str:
        raise Expired("the continue token is too old", status=410)

    prefetch = PagePrefetch()
    prefetch.begin("key", read)
    await asyncio.sleep(0)
    with pytest.raises(Expired):
        await prefetch.get("key", read)


async def test_a_page_that_nobody_asks_for_is_let_go() -> None:
    cancelled = asyncio.Event()

    async def read() -> str:
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            cancelled.set()
            raise
        return "page"

    prefetch = PagePrefetch(kept_seconds=0.01)
    prefetch.begin("key", read)
    await asyncio.wait_for(cancelled.wait(), 5)


async def test_only_so_many_pages_are_kept() -> None:
    reads: list[int] = []
    prefetch = PagePrefetch(most_pages=2)
    for number in range(5):

        async def read(number: int = number) -> int:
            reads.append(number)
            return number

        prefetch.begin(number, read)
    await asyncio.sleep(0)
    assert reads == [0, 1]


async def test_a_page_that_was_handed_out_is_held_no_longer() -> None:
    import gc
    import weakref

    class Page:
        pass

    async def read() -> Page:
        return Page()

    prefetch = PagePrefetch()
    prefetch.begin("key", read)
    held = weakref.ref(await prefetch.get("key", read))
    await asyncio.sleep(0)
    gc.collect()
    assert held() is None
