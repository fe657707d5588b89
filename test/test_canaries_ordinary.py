"""What is redacted although it is no secret, counted in ordinary manifests and in the objects of a control plane."""

from __future__ import annotations

import copy
import runpy
from pathlib import Path
from typing import Any

import pytest

from controlplane.control_plane import ControlPlane
from mcp_tools.redaction import Redactor

ROOT = Path(__file__).resolve().parents[1]
SCRIPT = runpy.run_path(str(ROOT / "script/redaction-corpus"))
AT_MOST = {"web.yaml": 1, "platform.yaml": 2, "variables.yaml": 9}
"""Strings of each file. Literal values of variables are redacted by a rule of their own (docs/redaction.md)."""


@pytest.fixture(scope="module")
def counts() -> dict[str, Any]:
    return {one.file: one for one in SCRIPT["measured"]()}


@pytest.mark.parametrize(("file", "at_most"), AT_MOST.items())
def test_next_to_nothing_of_an_ordinary_manifest_is_redacted(counts: dict[str, Any], file: str, at_most: int) -> None:
    assert len(counts[file].redacted) <= at_most, counts[file].redacted


def test_the_corpus_is_large_enough_to_count_in(counts: dict[str, Any]) -> None:
    assert set(counts) == set(AT_MOST)
    assert sum(one.strings for one in counts.values()) > 500


def test_the_documented_counts_are_those_of_now(counts: dict[str, Any]) -> None:
    text = SCRIPT["DOCS"].read_text()
    assert SCRIPT["written"](text, list(counts.values())) == text, "run: uv run script/redaction-corpus"


OWN = (
    "/api/v1/namespaces/kube-system/configmaps",
    "/api/v1/namespaces/default/services",
    "/apis/rbac.authorization.k8s.io/v1/clusterroles",
    "/apis/rbac.authorization.k8s.io/v1/clusterrolebindings",
    "/apis/rbac.authorization.k8s.io/v1/namespaces/kube-system/roles",
    "/apis/flowcontrol.apiserver.k8s.io/v1/flowschemas",
    "/apis/flowcontrol.apiserver.k8s.io/v1/prioritylevelconfigurations",
    "/apis/apiregistration.k8s.io/v1/apiservices",
    "/apis/scheduling.k8s.io/v1/priorityclasses",
    "/api/v1/namespaces/kube-system/serviceaccounts",
)


@pytest.mark.parametrize("path", OWN)
def test_nothing_of_the_control_planes_own_objects_is_redacted(control_plane: ControlPlane, path: str) -> None:
    found = control_plane.api.get(path)
    assert found["items"]
    redacted = Redactor(SCRIPT["KEY"]).redact_object(copy.deepcopy(found))
    assert [pair for pair in zip(SCRIPT["strings"](found), SCRIPT["strings"](redacted), strict=True) if pair[0] != pair[1]] == []


def test_the_schemas_of_custom_resources_stay_readable(control_plane: ControlPlane) -> None:
    """KWOK's own definitions are the longest ordinary texts in the cluster."""
    found = control_plane.api.get("/apis/apiextensions.k8s.io/v1/customresourcedefinitions/logs.kwok.x-k8s.io")
    assert Redactor(SCRIPT["KEY"]).redact_object(copy.deepcopy(found)) == found
