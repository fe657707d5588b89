"""What a scan did: per cluster and kind, and what that means for an exit code."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import asdict, dataclass
from typing import Any, Literal

from configuration.errors import ConfigurationError, K8sMcpError, NotPermitted, Partial
from configuration.logs import FIELDS

Outcome = Literal["scanned", "failed", "not_permitted"]


@dataclass(frozen=True, slots=True, kw_only=True)
class KindReport:
    """One scan of one (cluster, kind). Counts are 0 unless it was `scanned`; `error` is "" unless it was not."""

    cluster: str
    kind: str
    outcome: Outcome
    objects: int = 0
    added: int = 0
    changed: int = 0
    removed: int = 0
    malformed: int = 0
    malformed_examples: tuple[str, ...] = ()
    """`namespace/name: why`, the first few."""
    pages: int = 0
    duration_seconds: float = 0.0
    parse_seconds: float = 0.0
    """Part of the duration that was spent in reading objects into records, summed over the pages."""
    error: str = ""

    def log_fields(self) -> dict[str, Any]:
        """What its log line carries by `extra=`, for a log of JSON lines (`configuration.logs.FIELDS`)."""
        fields = _rounded({name: value for name, value in asdict(self).items() if name in FIELDS})
        return fields if self.error else {name: value for name, value in fields.items() if name != "error"}

    def line(self) -> str:
        """The one log line of a scan."""
        subject = f"{self.cluster} {self.kind}"
        if self.outcome == "not_permitted":
            return f"{subject}: not permitted: {self.error}"
        if self.outcome == "failed":
            return f"{subject}: failed after {self.duration_seconds:.1f} s, what is cached stays: {self.error}"
        aside = f", {self.malformed} malformed set aside" if self.malformed else ""
        return (
            f"{subject}: {self.objects} objects (+{self.added} ~{self.changed} -{self.removed}){aside}, "
            f"{self.pages} pages in {self.duration_seconds:.2f} s"
        )


@dataclass(frozen=True, slots=True)
class ScanReport:
    """A whole run of `scanner scan`."""

    kinds: tuple[KindReport, ...]
    duration_seconds: float

    def failures(self, asked_by_name: Collection[str] = ()) -> list[KindReport]:
        """What counts as failed: a kind that may not be read does so only if it was asked for by name."""
        return [
            report
            for report in self.kinds
            if report.outcome == "failed" or (report.outcome == "not_permitted" and report.kind in asked_by_name)
        ]

    def problem(self, asked_by_name: Collection[str] = ()) -> K8sMcpError | None:
        """None when all went well; Partial when some of it did; else the plain failure, each with what failed."""
        failures = self.failures(asked_by_name)
        if any(report.outcome == "scanned" for report in self.kinds):
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
