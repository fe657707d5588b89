"""Proofs that take longer than CI: random sequences, kill -9, a soak. Each writes its result into docs/proofs.md.

uv run python script/proof sequences --count 1000 --seed 1       about 100 minutes; --jobs 2 halves that
uv run python script/proof sequences --seed 4711 --count 1       plays one sequence again, and says what it does
uv run python script/proof kill --count 100                      about six minutes
uv run python script/proof soak --minutes 30
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
sys.path[:0] = [str(ROOT / "src"), str(ROOT / "test")]

from kills import prove_kills  # noqa: E402
from many_sequences import prove_sequences  # noqa: E402
from soak import prove_soak  # noqa: E402


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    commands = parser.add_subparsers(required=True, metavar="sequences | kill | soak")
    sequences = commands.add_parser("sequences", help="random sequences against a real API server")
    sequences.add_argument("--count", type=int, default=1000, help="how many")
    sequences.add_argument("--seed", type=int, default=1, help="of the first one; the others follow")
    sequences.add_argument("--jobs", type=int, default=1, help="API servers, and processes, at the same time")
    sequences.add_argument("--minutes", type=float, default=180, help="begin none after so many minutes")
    sequences.add_argument("--follow", choices=("on", "off"), help="only with or without watches; default: by the seed")
    sequences.add_argument("--shrink", action="store_true", help="look for a smaller sequence that fails, too")
    sequences.set_defaults(prove=prove_sequences)
    kill = commands.add_parser("kill", help="kill -9 of the scanner at random instants")
    kill.add_argument("--count", type=int, default=100)
    kill.add_argument("--seed", type=int, default=1)
    kill.set_defaults(prove=prove_kills)
    soak = commands.add_parser("soak", help="churn for a while: memory, size, lag, requests")
    soak.add_argument("--minutes", type=float, default=30)
    soak.add_argument("--pods", type=int, default=2000)
    soak.add_argument("--changes-per-second", type=float, default=20)
    soak.set_defaults(prove=prove_soak)
    for command in (sequences, kill, soak):
        command.add_argument("--no-write", action="store_true", help="leave docs/proofs.md as it is")
    arguments = parser.parse_args()
    return int(arguments.prove(arguments))


if __name__ == "__main__":
    sys.exit(main())
