"""The directories that a process may use, found without importing anything heavy."""

from __future__ import annotations

import os
from pathlib import Path

APPLICATION = "k8s-mcp"


def project_root() -> Path | None:
    """The checkout that this code runs from; None when it is installed."""
    root = Path(__file__).resolve().parents[2]
    return root if (root / "pyproject.toml").is_file() and (root / "src" / "configuration").is_dir() else None


def user_configuration_directory() -> Path:
    """`$XDG_CONFIG_HOME/k8s-mcp`, by default `~/.config/k8s-mcp`."""
    return _xdg("XDG_CONFIG_HOME", ".config")


def state_directory() -> Path:
    """Where an installed program keeps its database, keys and history: `$XDG_STATE_HOME/k8s-mcp`."""
    return _xdg("XDG_STATE_HOME", ".local/state")


def default_directory() -> Path:
    """Where default paths are anchored: the project root in a checkout, else the state directory."""
    return project_root() or state_directory()


def _xdg(variable: str, fallback: str) -> Path:
    value = os.environ.get(variable, "")
    base = Path(value) if value.startswith("/") else Path.home() / fallback
    return base / APPLICATION
