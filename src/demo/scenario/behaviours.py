"""What the broken workloads do while one watches, and what heals each: the faults are real within the simulation."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from demo.api_status import Json
from demo.scenario import texts
from demo.scheduling import quantity

Lookup = Callable[[str, str, str], Json | None]
"""(resource key, namespace, name) → the object, or None."""


@dataclass(frozen=True, slots=True)
class Fault:
    """A container that ends by itself: after how many ticks, how, how long it then waits; `healed` looks for the cure."""

    runs_ticks: int
    waits_ticks: int
    exit_code: int
    reason: str
    healed: Callable[[Json, Lookup], bool]


def _database_port_is_right(pod: Json, lookup: Lookup) -> bool:
    """The port in force: a literal env value wins over the ConfigMap, as it does for a kubelet."""
    for variable in pod["spec"]["containers"][0].get("env", ()):
        if variable["name"] == "DB_PORT":
            return str(variable.get("value")) == "5432"
    config = lookup("configmaps", pod["metadata"]["namespace"], "checkout-config")
    return config is not None and (config.get("data") or {}).get("DB_PORT") == "5432"


def _has_memory_for_its_model(pod: Json, _: Lookup) -> bool:
    container = pod["spec"]["containers"][0]
    limit = container.get("resources", {}).get("limits", {}).get("memory")
    cache = next((v.get("value") for v in container.get("env", ()) if v["name"] == "MODEL_CACHE_MB"), "180")
    needed = (float(cache) if str(cache).isdigit() else 180.0) * 2**20 + 40 * 2**20
    return limit is None or quantity(limit) >= needed


FAULTS: dict[tuple[str, str], Fault] = {
    ("shop", "checkout"): Fault(8, 40, texts.CRASH_EXIT_CODE, "Error", _database_port_is_right),
    ("shop", "recommender"): Fault(50, 2, texts.OOM_EXIT_CODE, "OOMKilled", _has_memory_for_its_model),
}
JOB_TICKS: dict[tuple[str, str], int] = {("ci", "sales-report"): 40, ("logistics", "parcel-sync"): 15}
DEFAULT_JOB_TICKS = 5
REPLACED_NOW_AND_THEN = ("shop", "storefront")
REPLACEMENT_TICKS = 45


def app_of(pod: Json) -> tuple[str, str]:
    """(namespace, app.kubernetes.io/name), by which the tables above know a pod."""
    return pod["metadata"]["namespace"], pod["metadata"].get("labels", {}).get("app.kubernetes.io/name", "")


def is_missing_image(image: str) -> bool:
    """Images that no registry of this world has."""
    tag = image.rpartition(":")[2]
    return "missing" in tag or "does-not-exist" in tag or image.endswith(f"catalog:{texts.MISSING_TAG}")
