"""An older way in, kept working: `python src/scanner/scanner_demo.py [arguments]` is `scanner scan [arguments]`."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path


def main(arguments: Sequence[str] | None = None) -> None:
    """Scan once, with the arguments of `scanner scan`."""
    from scanner.cli import app

    app(["scan", *(sys.argv[1:] if arguments is None else arguments)])


if __name__ == "__main__":
    here = str(Path(__file__).resolve().parent)
    sys.path[:] = [str(Path(here).parent), *(entry for entry in sys.path if entry != here)]
    main()
