"""What the scanner costs the API servers: requests and bytes by hour."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from sqlalchemy import Connection, select, update
from sqlalchemy.dialects.sqlite import insert

from cache.tables import ApiUsage, ClusterModel

HOUR_SECONDS = 3600
KEPT_SECONDS = 7 * 86_400


@dataclass(frozen=True, slots=True)
class HourlyUsage:
    """The last 60 minutes of one cluster. `requests` is by verb; `bytes` as on the wire; `watches_held` null: not known.

    Stored are clock hours: of the one before the present hour, the part that lies within 60 minutes is taken to be
    even. A scanner that runs for less than an hour has cost no more than this.
    """

    requests: Mapping[str, int]
    bytes: int
    watches_held: int | None


def add_usage(
    connection: Connection, cluster: str, at: float, usage: Mapping[str, tuple[int, int]], watches_held: int | None
) -> None:
    """Add (requests, bytes) by verb to the hour of `at` (epoch seconds)."""
    hour = int(at) // HOUR_SECONDS * HOUR_SECONDS
    for verb, (requests, size) in usage.items():
        statement = insert(ApiUsage).values(cluster=cluster, hour=hour, verb=verb, requests=requests, bytes=size)
        summed = {
            "requests": ApiUsage.requests + statement.excluded.requests,
            "bytes": ApiUsage.bytes + statement.excluded.bytes,
        }
        connection.execute(statement.on_conflict_do_update(index_elements=["cluster", "hour", "verb"], set_=summed))
    connection.execute(update(ClusterModel).where(ClusterModel.name == cluster).values(watches_held=watches_held))


def read_usage(connection: Connection, now: float) -> dict[str, HourlyUsage]:
    """By cluster; clusters of which nothing is known for the last hour are left out."""
    hour = int(now) // HOUR_SECONDS * HOUR_SECONDS
    past = 1 - (now - hour) / HOUR_SECONDS
    shares = {hour: 1.0, hour - HOUR_SECONDS: past}
    held = {name: watches for name, watches in connection.execute(select(ClusterModel.name, ClusterModel.watches_held))}  # noqa: C416
    requests: dict[str, dict[str, float]] = {}
    sizes: dict[str, float] = {}
    statement = select(ApiUsage.cluster, ApiUsage.hour, ApiUsage.verb, ApiUsage.requests, ApiUsage.bytes)
    for cluster, at, verb, number, size in connection.execute(statement.where(ApiUsage.hour.in_(shares)).order_by(ApiUsage.verb)):
        by_verb = requests.setdefault(cluster, {})
        by_verb[verb] = by_verb.get(verb, 0.0) + number * shares[at]
        sizes[cluster] = sizes.get(cluster, 0.0) + size * shares[at]
    return {
        cluster: HourlyUsage(
            {verb: round(number) for verb, number in by_verb.items() if verb}, round(sizes[cluster]), held.get(cluster)
        )
        for cluster, by_verb in requests.items()
    }
