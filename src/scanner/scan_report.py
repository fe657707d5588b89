"""What a scan did: per cluster and kind, and what that means for an exit code."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import asdict, dataclass, fields, replace
from typing import Any, Literal

from configuration.errors import ConfigurationError, K8sMcpError, NotPermitted, Partial
from configuration.logs import FIELDS
from kinds.counted import counted

Outcome = Literal["scanned", "failed", "not_permitted", "not_served"]
Strategy = Literal["list", "catch-up", "check", "follow"]
"""How a kind was looked at: as a whole, by its changes since, or by a count when there were none."""


@dataclass(frozen=True, slots=True, kw_only=True)
class KindReport:
    """One scan of one (cluster, kind). Counts are 0 unless it was `scanned`; `error` is "" unless it was not."""

    cluster: str
    kind: str
    outcome: Outcome
    strategy: Strategy = "list"
    objects: int = 0
    added: int = 0
    changed: int = 0
    removed: int = 0
    malformed: int = 0
    """Objects that could not be read: kept in part when possible, else set aside."""
    malformed_examples: tuple[str, ...] = ()
    """`namespace/name: why`, the first few."""
    pages: int = 0
    duration_seconds: float = 0.0
    parse_seconds: float = 0.0
    """Part of the duration that was spent in reading objects into records, summed over the pages."""
    error: str = ""
    namespaces: tuple[str, ...] = ()
    """All that may be listed, where the cluster as a whole may not."""

    def log_fields(self) -> dict[str, Any]:
        """What its log line carries by `extra=`, for a log of JSON lines (`configuration.logs.FIELDS`)."""
        told = [field.name for field in fields(self) if field.name in FIELDS and (field.name != "error" or self.error)]
        return _rounded({name: getattr(self, name) for name in told})

    def line(self) -> str:
        """The one log line of a scan."""
        subject = f"{self.cluster} {self.kind}"
        if self.outcome == "not_permitted":
            return f"{subject}: not permitted: {self.error}"
        if self.outcome == "not_served":
            return f"{subject}: not served by this cluster"
        if self.outcome == "failed":
            return f"{subject}: failed after {self.duration_seconds:.1f} s, what is cached stays: {self.error}"
        aside = f", {self.malformed} malformed" if self.malformed else ""
        where = f" in namespaces {', '.join(self.namespaces)}" if self.namespaces else ""
        how = counted(self.pages, "page") if self.strategy == "list" else self.strategy
        return (
            f"{subject}: {counted(self.objects, 'object')}{where} (+{self.added} ~{self.changed} -{self.removed}){aside}, "
            f"{how} in {self.duration_seconds:.2f} s"
        )


def merged(reports: Sequence[KindReport]) -> KindReport:
    """One report of a kind, from those of its namespaces."""
    first = reports[0]
    if len(reports) == 1:
        return first
    return replace(
        first,
        objects=sum(report.objects for report in reports),
        added=sum(report.added for report in reports),
        changed=sum(report.changed for report in reports),
        removed=sum(report.removed for report in reports),
        malformed=sum(report.malformed for report in reports),
        malformed_examples=tuple(one for report in reports for one in report.malformed_examples)[:5],
        pages=sum(report.pages for report in reports),
        duration_seconds=sum(report.duration_seconds for report in reports),
        parse_seconds=sum(report.parse_seconds for report in reports),
        namespaces=tuple(name for report in reports for name in report.namespaces),
    )


@dataclass(frozen=True, slots=True)
class ScanReport:
    """A whole run of `scanner scan`."""

    kinds: tuple[KindReport, ...]
    duration_seconds: float

    def failures(self, asked_by_name: Collection[str] = ()) -> list[KindReport]:
        """What counts as failed: a kind that may not be read, or is not served, does so only if it was asked for by name."""
        return [
            report
            for report in self.kinds
            if report.outcome == "failed" or (report.outcome in ("not_permitted", "not_served") and report.kind in asked_by_name)
        ]

    def problem(self, asked_by_name: Collection[str] = ()) -> K8sMcpError | None:
        """None when all went well; Partial when some of it did; else the plain failure, each with what failed."""
        failures = self.failures(asked_by_name)
        if any(report.outcome in ("scanned", "not_served") for report in self.kinds):
            return Partial(f"{len(failures)} of {len(self.kinds)} scans failed: {_named(failures)}") if failures else None
        if not self.kinds:
            return ConfigurationError("nothing to scan: no kind is both selected and known")
        if failures:
            return K8sMcpError(f"nothing could be scanned: {_named(failures)}")
        return NotPermitted(f"nothing could be scanned, none of the kinds may be read: {_named(self.kinds)}")

    def as_json(self) -> dict[str, Any]:
        """The machine-readable report."""
        return {
            "duration_seconds": round(self.duration_seconds, 3),
            "objects": sum(report.objects for report in self.kinds),
            "kinds": [_rounded(asdict(report)) for report in self.kinds],
        }


def _named(reports: Collection[KindReport]) -> str:
    """Each failed kind and cluster by name; the same error of a whole cluster is told once."""
    by_error: dict[tuple[str, str], list[str]] = {}
    for report in reports:
        by_error.setdefault((report.cluster, report.error), []).append(report.kind)
    return "; ".join(f"{cluster} {', '.join(kinds)}: {error}" for (cluster, error), kinds in by_error.items())


def _rounded(data: dict[str, Any]) -> dict[str, Any]:
    return {key: round(value, 3) if isinstance(value, float) else value for key, value in data.items()}
