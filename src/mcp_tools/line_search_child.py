"""Started by line_search.py as a process of its own: searches lines with a regular expression, under hard limits.

Reads JSON `{"pattern": str, "lines": [str]}` from stdin, writes `{"matches": [index]}` or `{"error": str}` to stdout.
Imports nothing but the standard library: it runs isolated (`python -I -S`) and should start in milliseconds.
"""

import json
import re
import resource
import sys

CPU_SECONDS = 2
MEMORY_BYTES = 512 * 1024 * 1024


def main() -> None:
    """Search, within the limits. Past them the kernel ends this process; nobody else notices."""
    resource.setrlimit(resource.RLIMIT_CPU, (CPU_SECONDS, CPU_SECONDS))
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY_BYTES, MEMORY_BYTES))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    question = json.load(sys.stdin)
    try:
        pattern = re.compile(question["pattern"])
    except (re.error, OverflowError, RecursionError) as error:
        answer: dict[str, object] = {"error": str(error)}
    else:
        answer = {"matches": [index for index, line in enumerate(question["lines"]) if pattern.search(line)]}
    json.dump(answer, sys.stdout)


if __name__ == "__main__":
    main()
