"""Quantities of named resources (`requests.cpu`, `limits.memory`, `count/pods`) as whole numbers of one unit."""

from __future__ import annotations

from typing import Literal

from kinds.quantity import millicores, whole

Unit = Literal["millicores", "bytes", "count"]

_BYTES = frozenset({"memory", "storage", "ephemeral-storage"})


def unit_of(resource: str) -> Unit:
    """CPU counts in thousandths of a core, memory and storage in bytes, everything else in pieces.

    Prefixes of quotas (`requests.`, `limits.`, `gold.storageclass.storage.k8s.io/requests.`) do not change the unit.
    Source: kubernetes pkg/apis/core/types.go, ResourceName; a name with a slash is an extended resource, counted.
    """
    prefixed = resource.rpartition("/")[2]
    owned = "/" in resource and not prefixed.startswith("requests.")
    base = prefixed.removeprefix("requests.").removeprefix("limits.")
    if base == "cpu" and not owned:
        return "millicores"
    return "bytes" if (base in _BYTES and not owned) or base.startswith("hugepages-") else "count"


def normalised(resource: str, quantity: str | int | None) -> int | None:
    """`("requests.cpu", "1")` -> 1000, `("memory", "1Ki")` -> 1024, `("pods", "3")` -> 3; None stays None."""
    return millicores(quantity) if unit_of(resource) == "millicores" else whole(quantity)
