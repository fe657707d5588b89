"""Fixtures around a real control plane (test/controlplane).

Tests that need one ask for ``control_plane`` (shared by the session), ``control_plane_factory`` (a cluster of
their own, with their own flags) and ``fresh_namespace``. Where the binaries are missing and there is no Go to
build them, those tests are skipped and one line at the end says so; with CI=true they fail instead.
"""

from __future__ import annotations

import itertools
import os
import re
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from controlplane.binaries import Binaries, BuildError, cached_binaries, ensure_binaries, go_command
from controlplane.clusters import start_cluster
from controlplane.control_plane import ControlPlane
from controlplane.options import ClusterOptions

ControlPlaneFactory = Callable[..., ControlPlane]

NEEDS_CONTROL_PLANE = "control_plane_binaries"
SKIPPED = pytest.StashKey[int]()
REASON = "no control plane: its binaries are not built and there is no `go` on PATH (script/bootstrap-go installs it)"

_numbers = itertools.count()


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    concerned = [item for item in items if NEEDS_CONTROL_PLANE in getattr(item, "fixturenames", ())]
    if can_have_control_plane():
        return
    config.stash[SKIPPED] = len(concerned)
    for item in concerned:
        item.add_marker(pytest.mark.skip(reason=REASON))


def can_have_control_plane() -> bool:
    """With CI=true always: what is missing then has to fail."""
    return os.environ.get("CI") == "true" or cached_binaries() is not None or go_command() is not None


@pytest.hookimpl(tryfirst=True)
def pytest_runtestloop(session: pytest.Session) -> None:
    """Builds before the first test, outside of its time limit; a failure is the fixture's to report."""
    concerned = any(NEEDS_CONTROL_PLANE in getattr(item, "fixturenames", ()) for item in session.items)
    if session.config.option.collectonly or not concerned or cached_binaries() or go_command() is None:
        return
    capture = session.config.pluginmanager.getplugin("capturemanager")
    with capture.global_and_fixture_disabled():
        try:
            ensure_binaries()
        except BuildError as error:
            print(f"testcluster: {error}")


def pytest_terminal_summary(terminalreporter: Any, config: pytest.Config) -> None:
    if count := config.stash.get(SKIPPED, 0):
        terminalreporter.write_line(f"SKIPPED {count} tests of the real control plane — {REASON}", red=True, bold=True)


@pytest.fixture(scope="session")
def control_plane_binaries() -> Binaries:
    return ensure_binaries()


@pytest.fixture(scope="session")
def control_plane(control_plane_binaries: Binaries) -> Iterator[ControlPlane]:
    """The session's cluster: everything runs, two nodes. A test that takes something away brings it back."""
    control_plane = launch(control_plane_binaries)
    yield control_plane
    control_plane.stop()


@pytest.fixture
def control_plane_factory(control_plane_binaries: Binaries) -> Iterator[ControlPlaneFactory]:
    """Starts clusters that end with the test: ``control_plane_factory(nodes=1, watch_cache_sizes="pods#0")``.

    Takes ``nodes`` and the fields of ClusterOptions; ``controllers=False`` is up in two thirds of the time.
    """
    started: list[ControlPlane] = []

    def start(*, nodes: int = 0, **options: Any) -> ControlPlane:
        started.append(launch(control_plane_binaries, nodes=nodes, **options))
        return started[-1]

    yield start
    for control_plane in started:
        control_plane.stop()


@pytest.fixture
def fresh_namespace(control_plane: ControlPlane, request: pytest.FixtureRequest) -> Iterator[str]:
    """The name of a new namespace of the session's cluster, named after the test; deleted (not awaited) after it."""
    stem = re.sub("[^a-z0-9]+", "-", request.node.name.removeprefix("test_").lower())[:40].strip("-")
    name = control_plane.create_namespace(f"{stem}-{next(_numbers)}")
    yield name
    control_plane.delete_namespace(name)


def launch(binaries: Binaries, *, nodes: int = 2, name: str | None = None, **options: Any) -> ControlPlane:
    chosen = ClusterOptions(name=name or f"pytest-{os.getpid()}-{next(_numbers)}", **options)
    control_plane = ControlPlane(start_cluster(chosen, binaries, detached=False), binaries)
    try:
        control_plane.populate(nodes=nodes, pods=0)
    except BaseException:
        control_plane.stop()
        raise
    return control_plane
