"""Kubernetes quantities (`250m`, `1Gi`, `1e3`) to millicores and bytes.

Grammar and rounding: k8s.io/apimachinery pkg/api/resource/quantity.go. Fractions round up, as Quantity.MilliValue and
Quantity.Value do; results are capped at 2^63 - 1, the largest that it holds (and that SQLite stores).
"""

from __future__ import annotations

import re
from decimal import ROUND_CEILING, Decimal
from functools import lru_cache

_QUANTITY = re.compile(r"^([+-]?(?:[0-9]+\.?[0-9]*|\.[0-9]+))([eE][+-]?[0-9]{1,2}|[numkMGTPE]|[KMGTPE]i)?$")
_LARGEST = Decimal(2**63 - 1)
_FACTOR = {
    "": Decimal(1),
    "n": Decimal("1e-9"),
    "u": Decimal("1e-6"),
    "m": Decimal("1e-3"),
    **{suffix: Decimal(10) ** (3 * power) for power, suffix in enumerate("kMGTPE", 1)},
    **{suffix + "i": Decimal(1024) ** power for power, suffix in enumerate("KMGTPE", 1)},
}


def _parse(text: str) -> Decimal:
    match = _QUANTITY.match(text)
    if match is None:
        raise ValueError(f"not a Kubernetes quantity: {text[:40]!r}")
    number, suffix = match.group(1), match.group(2) or ""
    if suffix[1:].lstrip("+-").isdigit():
        return Decimal(number + suffix)
    return Decimal(number) * _FACTOR[suffix]


def millicores(quantity: str | int | float | None) -> int | None:
    """CPU in thousandths of a core: `250m` -> 250, `2` -> 2000, None -> None."""
    return None if quantity is None else _rounded_up(str(quantity), 1000)


def whole(quantity: str | int | float | None) -> int | None:
    """Bytes for memory and storage, a count for pods: `1Ki` -> 1024, None -> None."""
    return None if quantity is None else _rounded_up(str(quantity), 1)


def same_quantity(one: str | int | float, other: str | int | float) -> bool:
    """`1024Mi` and `1Gi`, 0.5 and `500m`; False for what is no quantity."""
    try:
        return _parse(str(one)) == _parse(str(other))
    except ValueError:
        return False


@lru_cache(maxsize=8192)
def _rounded_up(text: str, factor: int) -> int:
    """Kept: thousands of containers ask for the same few amounts."""
    return int(min(_parse(text) * factor, _LARGEST).to_integral_value(ROUND_CEILING))
