"""What a question costs that the cache can answer: time, and requests to the API server."""

from __future__ import annotations

import asyncio
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

from figures import Section, milliseconds

PAGE_SECONDS = 0.05
PAGES_READ = 30


def cached_read_figures(control_plane: Any, environment: dict[str, str], database: Path, *, pods: int) -> Section:
    """Needs a filled, fresh cache."""
    section = Section(
        "Answers from the cache",
        "The first page is 50 rows in name order with the total and the freshness, each read on a connection of its own. "
        "Requests are those in the API server's audit log while the questions were answered.",
    )
    times = asyncio.run(_first_page(control_plane.context, database, pods))
    fast = sorted(times)[len(times) // 2] <= PAGE_SECONDS
    section.add(f"first page of a list of {pods:,} pods", milliseconds(times), f"about {PAGE_SECONDS * 1000:.0f} ms", fast)
    mark = control_plane.audit.mark()
    sql = "SELECT status, count(*) FROM pods GROUP BY status"
    done = subprocess.run(
        [str(Path(sys.executable).with_name("main")), "query", sql], env=environment, capture_output=True, text=True, check=True
    )
    assert str(pods) in done.stdout, done.stdout
    asyncio.run(_ask_gateway(environment, database))
    requests = len(control_plane.audit.requests(mark))
    section.add("API requests for a query and a list that the cache answers", str(requests), "0", requests == 0)
    return section


async def _first_page(cluster: str, database: Path, pods: int) -> list[float]:
    from cache.cache_reader import CacheReader
    from kinds.list_query import ListQuery
    from kinds.registry import KINDS

    times = []
    with CacheReader(database) as reader:
        for _ in range(PAGES_READ):
            started = time.perf_counter()
            page = reader.list(cluster, ListQuery(KINDS["pods"], limit=50))
            times.append(time.perf_counter() - started)
            assert (page.envelope.total, page.envelope.fresh) == (pods, True)
    return times


async def _ask_gateway(environment: dict[str, str], database: Path) -> None:
    """The call that a model or a slash command makes."""
    from agent.cache_first_gateway import CacheFirstGateway
    from agent.settings import AgentSettings

    async with CacheFirstGateway(None, AgentSettings(cache_db_path=database), environment=environment) as gateway:
        answer = await gateway.call("k8s_list_pods", {"limit": 50})
        assert answer.source == "cache", answer
