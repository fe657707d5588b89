#!/usr/bin/env python3
"""An older way in, kept working: one scan of the current kubeconfig context, as `scanner scan`.

uv run python script/run-scanner-demo.py --kind pods
"""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "src"))

from scanner.scanner_demo import main

if __name__ == "__main__":
    main()
