"""A full scan of a cluster of the size to which Kubernetes itself is tested: on the simulated API, its memory left out."""

from __future__ import annotations

from figures import Section, megabytes, seconds
from size_figures import scan_simulated

PODS = 150_000
PEAK_BYTES = 350_000_000


def huge_figures(*, pods: int = PODS) -> Section:
    section = Section(
        f"{pods:,} pods",
        f"A full scan of the simulated cluster (`python -m demo --pods {pods}`), into an empty database. Memory is that of the "
        "scanner and its MCP server, not the simulation's; the time is mostly the simulation's.",
    )
    done, objects = scan_simulated(pods)
    section.add("objects scanned", f"{objects:,}", f"≥ {pods:,}", objects >= pods)
    section.add("the whole process", seconds([done.seconds]))
    small = done.peak_bytes < PEAK_BYTES
    section.add("peak memory, scanner and MCP server", megabytes(done.peak_bytes), f"< {megabytes(PEAK_BYTES)}", small)
    return section
