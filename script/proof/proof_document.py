"""docs/proofs.md: a section for each proof, written by the proof itself."""

from __future__ import annotations

import os
import platform
import re
import subprocess
from datetime import UTC, datetime
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
DOCUMENT = ROOT / "docs" / "proofs.md"
HEAD = """# Proofs

What `script/proof` found when it was last run, written by itself. What runs in CI is the same on a smaller scale
(`test/test_proof_*.py`).
"""


def record(title: str, lines: list[str], *, write: bool) -> None:
    """Prints the section, and puts it in the place of the one with the same title."""
    body = "\n".join([f"## {title}", "", _when(), "", *lines, ""])
    print(body)
    if not write:
        return
    text = DOCUMENT.read_text() if DOCUMENT.exists() else HEAD
    pattern = re.compile(rf"^## {re.escape(title)}\n.*?(?=^## |\Z)", re.MULTILINE | re.DOTALL)
    text = pattern.sub(lambda _: body + "\n", text) if pattern.search(text) else text.rstrip() + "\n\n" + body
    DOCUMENT.write_text(text.rstrip() + "\n")


def _when() -> str:
    done = subprocess.run(["git", "rev-parse", "--short", "HEAD"], cwd=ROOT, capture_output=True, text=True, check=False)
    commit = done.stdout.strip() or "unknown"
    machine = f"{os.cpu_count()} CPUs, Python {platform.python_version()}"
    return f"{datetime.now(UTC):%Y-%m-%d}, commit {commit}, {machine}."
