"""Real objects of every kind, damaged at random, on the way from the API server to the database.

The rule: an object whose name and uid can be read is kept with whatever else can be. Damage is drawn with a fixed seed;
a failure prints the kind, the seed and where the object was damaged.
"""

from __future__ import annotations

import copy
import json
import random
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import msgspec
import orjson
import pytest

from cache.cache_manager import CacheManager, Staged
from cache.cache_reader import CacheReader
from cache_fixtures import CLUSTER, scan
from controlplane.control_plane import ControlPlane
from every_kind_of_object import every_kind_of_object
from kinds.generic import generic_kind
from kinds.kind import Kind, row
from kinds.list_query import ListQuery
from kinds.registry import KINDS
from kinds.storable_check import StorableCheck
from mcp_tools.k8s_tools.bulk import exported
from mcp_tools.object_forms import form_of
from mcp_tools.redaction import Redactor
from scanner.resource_parser import Malformed, read_object
from server_fixtures import KEY

SEED = 20260314
DAMAGED = 25
"""Objects of each kind."""
ODD_VALUES: tuple[Any, ...] = (
    None, "", "text", "名前-имя-اسم-🙂", "x" * 20_000, "\x00\x1b[31m", 0, -5, 1.5, 2**31, 2**63, 2**64, -(2**70), 10**400,
    True, [], {}, [None], [[["x"]]], {"a": None}, {"": ""}, [{"name": None}, 7], "9999-13-45T99:99:99Z", "2999-01-01T00:00:00Z",
    "0000-00-00", "1e999", "12Qi", {"nested": {"nested": {"nested": [{}]}}},
)  # fmt: skip

Path = tuple[str | int, ...]


@dataclass(frozen=True)
class Odd:
    obj: dict[str, Any]
    told: str


@pytest.fixture(scope="module")
def samples(control_plane: ControlPlane) -> Iterator[dict[str, list[dict[str, Any]]]]:
    namespace = control_plane.create_namespace("survive-odd-objects")
    with every_kind_of_object(control_plane, namespace) as made:
        yield {kind: made.real(kind)[:12] for kind in KINDS}
    control_plane.delete_namespace(namespace)


def paths_of(value: Any, path: Path = ()) -> Iterator[Path]:
    members: Any = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, member in members:
        yield (*path, key)
        yield from paths_of(member, (*path, key))


def may_be_damaged(path: Path) -> bool:
    """All but what says which object it is."""
    return path != ("metadata",) and path[:2] not in (("metadata", "name"), ("metadata", "uid"), ("metadata", "namespace"))


def damaged(sample: dict[str, Any], name: str, random_: random.Random) -> Odd:
    """A copy under another name, with one to four places removed or replaced."""
    obj = copy.deepcopy(sample)
    obj["metadata"] |= {"name": name, "uid": f"uid-{name}"}
    told = []
    for _ in range(random_.randint(1, 4)):
        paths = [path for path in paths_of(obj) if may_be_damaged(path)]
        if not paths:
            break
        path = random_.choice(paths)
        holder: Any = obj
        for key in path[:-1]:
            holder = holder[key]
        if random_.random() < 0.4:
            del holder[path[-1]]
            told.append(f"{path} removed")
        else:
            value = random_.choice(ODD_VALUES)
            holder[path[-1]] = copy.deepcopy(value)
            told.append(f"{path} = {repr(value)[:40]}")
    return Odd(obj, "; ".join(told))


def sent(kind: Kind, obj: dict[str, Any]) -> bytes:
    """As the MCP server hands it out. (A table row of a Secret is not damaged: see test_object_forms.py.)"""
    if kind.name == "secrets":
        return orjson.dumps(Redactor(KEY).redact_object(json.loads(json.dumps(obj), parse_int=_bounded)))
    text, _ = exported(kind, form_of(kind), msgspec.Raw(json.dumps(obj).encode()), Redactor(KEY))
    return text


def _bounded(digits: str) -> int:
    return int(digits) if len(digits) < 19 else 0


def kept_of(kind: Kind, odd: Odd) -> Staged:
    found = read_object(msgspec.Raw(sent(kind, odd.obj)), kind, StorableCheck(kind))
    staged = found.staged if isinstance(found, Malformed) else found
    assert staged is not None, f"{kind.name} (seed {SEED}): set aside after {odd.told}: {found}"
    return staged


@pytest.mark.parametrize("name", [*KINDS, "things.odd.example.com"])
def test_an_object_with_a_name_and_a_uid_is_kept_and_stored_however_odd_the_rest_is(
    name: str, samples: dict[str, list[dict[str, Any]]], manager: CacheManager, reader: CacheReader
) -> None:
    random_ = random.Random(f"{SEED}-{name}")
    kind = KINDS.get(name)
    originals = samples[name] if kind else [one for found in samples.values() for one in found]
    kind = kind or generic_kind(name, "odd.example.com", "v1", "Thing", namespaced=True)
    odd = [damaged(random_.choice(originals), f"odd-{number:03}", random_) for number in range(DAMAGED)]
    page = [kept_of(kind, one) for one in odd]
    for staged, one in zip(page, odd, strict=True):
        assert (staged.record.name, staged.record.uid) == (one.obj["metadata"]["name"], one.obj["metadata"]["uid"]), one.told
        assert orjson.dumps(row(kind, staged.record, tuple(kind.columns_by_name))), one.told
    if name in KINDS:
        scan(manager, kind, page)
        assert len(reader.list(CLUSTER, ListQuery(kind, limit=1000)).rows) == DAMAGED


@pytest.mark.parametrize("kind", KINDS.values(), ids=lambda kind: kind.name)
@pytest.mark.parametrize("part", ["spec", "status", "data", "labels", "annotations", "managedFields", "ownerReferences"])
def test_whole_parts_may_be_missing_null_or_of_another_type(
    kind: Kind, part: str, samples: dict[str, list[dict[str, Any]]]
) -> None:
    for value in (..., None, "text", 7, [], {}, [None], {"x": [1]}):
        obj = copy.deepcopy(samples[kind.name][0])
        holder = obj if part in ("spec", "status", "data") else obj["metadata"]
        holder.pop(part, None)
        if value is not ...:
            holder[part] = value
        assert kept_of(kind, Odd(obj, f"{part} = {value}")).record.name == obj["metadata"]["name"]


@pytest.mark.parametrize("kind", KINDS.values(), ids=lambda kind: kind.name)
@pytest.mark.parametrize("metadata", [None, {}, {"name": "x"}, {"uid": "u"}, {"name": 7, "uid": "u"}, {"name": "x", "uid": None}])
def test_an_object_without_a_name_or_a_uid_is_set_aside(kind: Kind, metadata: object) -> None:
    found = read_object(msgspec.Raw(orjson.dumps({"kind": kind.kind, "metadata": metadata})), kind, StorableCheck(kind))
    assert isinstance(found, Malformed)
    assert found.staged is None


def test_one_wrong_leaf_costs_its_own_column_only(samples: dict[str, list[dict[str, Any]]]) -> None:
    pod = next(one for one in samples["pods"] if one["status"].get("containerStatuses"))
    whole: Any = kept_of(KINDS["pods"], Odd(pod, "")).record
    broken = copy.deepcopy(pod)
    broken["spec"]["containers"][0]["resources"] = {"requests": {"cpu": "a lot", "memory": "1Gi"}}
    broken["status"]["startTime"] = "yesterday"
    broken["metadata"]["creationTimestamp"] = "9999-99-99"
    kept: Any = kept_of(KINDS["pods"], Odd(broken, "")).record
    assert (kept.status, kept.ready, kept.node, kept.labels) == (whole.status, whole.ready, whole.node, whole.labels)
    assert (kept.started_at, kept.created_at) == (None, None)
    first = kept.containers[0]
    assert (first.cpu_request_millicores, first.memory_request_bytes) == (None, 1024**3)
