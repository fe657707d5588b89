"""What an answer says about namespaces that the policy leaves out of it: else it would read as all there is."""

from __future__ import annotations

from collections.abc import Sequence

from kinds.counted import first_few
from kinds.kind import Kind
from mcp_tools.k8s_api import ClusterApi

_SHOWN = 20


def left_out_note(api: ClusterApi, kind: Kind, namespace: str | None) -> str:
    """One sentence for the note of a list over all namespaces; "" where nothing is left out."""
    names = () if namespace else api.left_out(kind.group, kind.resource)
    return _sentence(names, "left out") if names else ""


def uncounted_note(api: ClusterApi, kinds: Sequence[Kind]) -> str:
    """The same about counts of several kinds, which rules may tell apart."""
    kinds_without: dict[tuple[str, ...], list[str]] = {}
    for kind in kinds:
        if names := api.left_out(kind.group, kind.resource):
            kinds_without.setdefault(names, []).append(kind.name)
    return "; ".join(_sentence(names, f"left out of the number of {' and '.join(told)}") for names, told in kinds_without.items())


def _sentence(names: Sequence[str], done: str) -> str:
    one = len(names) == 1
    what = f"namespace{'' if one else 's'} {first_few(names, _SHOWN)} {'is' if one else 'are'} {done}"
    return f"{what}: this server's policy denies {'it' if one else 'them'}"
