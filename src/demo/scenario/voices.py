"""What each program writes to its log: start-up lines, a line now and then, and last words."""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime

import orjson

from demo.timestamps import rfc3339

Speech = Callable[[random.Random, datetime, int], str]


@dataclass(frozen=True, slots=True)
class Voice:
    """`opening` and `last_words` may hold {at}; `line` makes the n-th line in between, every `cadence` seconds."""

    opening: tuple[str, ...]
    cadence: float
    line: Speech
    last_words: tuple[str, ...] = ()


def _structured(at: datetime, level: str, message: str, **fields: object) -> str:
    return orjson.dumps({"ts": rfc3339(at), "level": level, "msg": message, **fields}).decode()


def _opening(*messages: str) -> tuple[str, ...]:
    return tuple('{"ts":"{at}","level":"info","msg":"' + message + '"}' for message in messages)


def _request(paths: tuple[str, ...], slow: float = 0.0) -> Speech:
    def line(chance: random.Random, at: datetime, _number: int) -> str:
        took = chance.randint(3, 90) + (chance.randint(900, 2400) if chance.random() < slow else 0)
        level, status = ("warn", 503) if took > 2000 else ("info", 200)
        request = f"{chance.getrandbits(48):012x}"
        return _structured(at, level, "request", method="GET", path=chance.choice(paths), status=status, ms=took, request=request)

    return line


def _access_log(chance: random.Random, at: datetime, _number: int) -> str:
    path = chance.choice(("/", "/api/cart", "/assets/app.js", "/product/1042", "/api/inventory"))
    status = 503 if path == "/api/inventory" else 200
    client, size = f"198.51.100.{chance.randint(2, 250)}", chance.randint(190, 9000)
    return f'{client} - - [{at:%d/%b/%Y:%H:%M:%S +0000}] "GET {path} HTTP/2.0" {status} {size} "-" "Mozilla/5.0"'


def _klog(chance: random.Random, at: datetime, _number: int) -> str:
    text = chance.choice(
        ('"Syncing iptables rules" ipFamily="IPv4"', '"Reconciled" duration="2.1ms"', '"Watch closed, reopening"')
    )
    return f"I{at:%m%d %H:%M:%S}.{at.microsecond:06d}       1 server.go:{chance.randint(80, 900)}] {text}"


def _plain(chance: random.Random, at: datetime, number: int) -> str:
    return f"{rfc3339(at)} INFO worker={number % 4} processed={chance.randint(20, 400)} queue={chance.randint(0, 12)}"


def _checkpoint(chance: random.Random, at: datetime, _number: int) -> str:
    stamp = f"{at:%Y-%m-%d %H:%M:%S}.{at.microsecond // 1000:03d} UTC"
    return f"{stamp} [27] LOG:  checkpoint complete: wrote {chance.randint(12, 900)} buffers; sync={chance.random():.3f} s"


def _parcel(chance: random.Random, at: datetime, _number: int) -> str:
    carrier, city = chance.choice(("顺丰", "中通", "圆通")), chance.choice(("杭州", "深圳", "成都", "上海"))
    parcel = f"SF{chance.randint(10**9, 10**10 - 1)}"
    if chance.random() < 0.1:
        return _structured(at, "warn", f"{carrier}接口超时，稍后重试", parcel=parcel)
    return _structured(at, "info", f"包裹已到达{city}转运中心", carrier=carrier, parcel=parcel)


def _refusal(_chance: random.Random, at: datetime, number: int) -> str:
    error = "dial tcp 10.96.38.99:5433: connect: connection refused"
    return _structured(at, "warn", "database connection failed, retrying", attempt=number + 1, error=error)


def _loading(_chance: random.Random, at: datetime, number: int) -> str:
    size = min(40 + 2 * number, 127)
    return _structured(at, "info", "loading model shard", shard=number, resident_mb=size, cache_mb=180)


_CRASH = (
    "cannot connect to postgres.data.svc.cluster.local:5433 after 5 attempts: connection refused "
    "(DB_PORT from configmap checkout-config; PostgreSQL listens on 5432 by default)"
)

DEFAULT = Voice(("{at} INFO starting", "{at} INFO ready"), 15.0, _plain)
SYSTEM = Voice(('I server.go:120] "Starting"', 'I server.go:188] "Caches are synced"'), 60.0, _klog)
VOICES: dict[str, Voice] = {
    "storefront": Voice(
        _opening("storefront 4.12.1 listening on :8080"), 4.0, _request(("/", "/product/1042", "/cart", "/search?q=tea"))
    ),
    "cart": Voice(_opening("cart 2.3.0 listening on :8080"), 9.0, _request(("/api/cart", "/api/cart/items"))),
    "catalog": Voice(_opening("catalog 2.7.4 listening on :8080"), 7.0, _request(("/api/products", "/api/products/1042"), 0.02)),
    "inventory": Voice(_opening("inventory 1.18.3 listening on :8080", "no requests yet"), 60.0, _plain),
    "payments-api": Voice(
        _opening("payments-api 5.1.0 listening on :8443"), 11.0, _request(("/v1/charges", "/v1/refunds"), 0.01)
    ),
    "checkout": Voice(
        _opening(
            "checkout 3.9.2 starting",
            "configuration read from configmap checkout-config: DB_HOST=postgres.data.svc.cluster.local DB_PORT=5433",
        ),
        1.6,
        _refusal,
        ('{"ts":"{at}","level":"fatal","msg":"' + _CRASH + '","exit_code":1}',),
    ),
    "recommender": Voice(_opening("recommender 1.4.0 starting", "model cache is 180 MB"), 12.0, _loading),
    "ingress-nginx": Voice(("NGINX Ingress controller v1.13.2",), 3.0, _access_log),
    "postgres": Voice(("PostgreSQL 17.6 starting", "database system is ready to accept connections"), 300.0, _checkpoint),
    "parcel-tracker": Voice(_opening("包裹追踪服务 1.6.0 启动"), 8.0, _parcel),
    "db-backup": Voice(("backing up orders, ledger",), 30.0, _plain, ("{at} INFO backup complete: 4.1 GiB in 183 s",)),
    "catalog-migrate": Voice(
        ("migrating catalog to 2.8.0",),
        2.0,
        _plain,
        (
            '{at} ERROR migration 0042_add_gtin failed: column "gtin" of relation "products" already exists',
            "{at} INFO rolled back, exit 2",
        ),
    ),
    "sales-report": Voice(("collecting orders",), 5.0, _plain, ("{at} INFO report written: 18,204 orders",)),
}
HEALTHY_CHECKOUT = Voice(
    _opening("checkout 3.9.2 starting", "connected to postgres.data.svc.cluster.local:5432"), 6.0, _request(("/api/checkout",))
)
