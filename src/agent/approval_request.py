"""A change that somebody has to approve: what would be done, to which object, and what it touches."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

_SHOWN_CHANGES = 30
_SHOWN_OBJECTS = 20
_SHOWN_CHARACTERS = 2_000
"""Of a line."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ObjectRef:
    """The object that a change is about. `uid` is "" for one that does not exist yet; `generation` 0 when it has none."""

    kind: str
    name: str
    namespace: str | None = None
    uid: str = ""
    resource_version: str = ""
    generation: int = 0

    def __str__(self) -> str:
        return f"{self.kind} {self.namespace}/{self.name}" if self.namespace else f"{self.kind} {self.name}"

    def same_state(self, other: ObjectRef) -> bool:
        """Whether both are the same object with the same spec.

        `generation` counts changes of the spec; resourceVersion also moves with every status report, so it decides
        only for kinds that have no generation.
        """
        if (self.kind, self.namespace, self.name, self.uid) != (other.kind, other.namespace, other.name, other.uid):
            return False
        if self.generation or other.generation:
            return self.generation == other.generation
        return self.resource_version == other.resource_version


@dataclass(frozen=True, slots=True, kw_only=True)
class ApprovalRequest:
    """A change as the API server's dry run foresees it. Immutable: an approval holds for exactly this."""

    tool: str
    arguments: Mapping[str, Any]
    """Canonical: defaults filled in, without `dry_run`."""
    action: str
    """A verb for the person: create, delete."""
    cluster: str
    cluster_uid: str
    target: ObjectRef
    others: tuple[ObjectRef, ...] = ()
    """Further objects of the same change: documents of a manifest, pods of a drained node."""
    in_use: bool = False
    """Whether `cluster` is the one that the person works on, not another context that the model named."""
    changes: tuple[str, ...] = ()
    """One line per changed field: `spec.replicas: 2 → 3`."""
    blast_radius: tuple[str, ...] = ()
    """One line each: what else is touched, owned pods, replicas left."""
    said: tuple[str, ...] = ()
    """The arguments, where the lines above hide something of them: nobody agrees to a mark. For the person, not for errors."""
    warnings: tuple[str, ...] = ()
    irreversible: str = ""
    """What cannot be undone, in one sentence; "" when everything can."""

    @property
    def objects(self) -> tuple[ObjectRef, ...]:
        """All that are touched directly."""
        return (self.target, *self.others)

    @property
    def title(self) -> str:
        """`delete Deployment dev/web in cluster kind-dev`; without a cluster for a tool of another server."""
        more = f" and {len(self.others)} more" if self.others else ""
        return f"{self.action} {self.target}{more}" + (f" in cluster {self.cluster}" if self.cluster else "")

    def question(self, *, whole: bool = False) -> str:
        """For the person who is asked: what it would do, and what was said. Only `whole` may be approved."""
        return "\n".join([self.describe(whole=whole), *self._some([f"  said: {line}" for line in self.said], "arguments", whole)])

    def describe(self, *, whole: bool = False) -> str:
        """What would happen, several lines, plain text. What is left out is said, unless it is `whole`."""
        objects = [f"  object: {one}" for one in self.objects] if self.others else []
        lines = [
            self.title,
            *self._some(objects, "objects", whole, _SHOWN_OBJECTS),
            *self._some([f"  touches: {line}" for line in self.blast_radius], "consequences", whole),
            *self._some([f"  {line}" for line in self.changes], "changed fields", whole),
            *self._some([f"  warning: {line}" for line in self.warnings], "warnings", whole),
        ]
        if self.irreversible:
            lines.append(f"  cannot be undone: {self.irreversible}")
        return "\n".join(lines)

    @staticmethod
    def _some(lines: Sequence[str], what: str, whole: bool, most: int = _SHOWN_CHANGES) -> Sequence[str]:
        if whole:
            return lines
        cut = [
            line if len(line) <= _SHOWN_CHARACTERS else f"{line[:_SHOWN_CHARACTERS]}… ({len(line)} characters)"
            for line in lines[:most]
        ]
        return [*cut, f"  … {most} of {len(lines)} {what} shown"] if len(lines) > most else cut

    def same_change(self, other: ApprovalRequest) -> bool:
        """Whether an approval of this one holds for the other: same tool, arguments, cluster, object and spec."""
        return (
            (self.tool, self.action, self.cluster, self.cluster_uid)
            == (other.tool, other.action, other.cluster, other.cluster_uid)
            and dict(self.arguments) == dict(other.arguments)
            and len(self.others) == len(other.others)
            and all(one.same_state(the_other) for one, the_other in zip(self.objects, other.objects, strict=True))
        )
