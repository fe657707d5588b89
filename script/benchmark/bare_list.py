"""A baseline: a paged LIST of all pods, decoded with orjson, the cyclic collector off, and nothing else.

python bare_list.py SERVER CA_FILE      (the bearer token comes on standard input)
"""

from __future__ import annotations

import gc
import sys

import orjson
import urllib3

PAGE = 500


def main() -> int:
    server, ca_file = sys.argv[1:3]
    headers = {"Authorization": f"Bearer {sys.stdin.readline().strip()}", "Accept-Encoding": "gzip"}
    http = urllib3.PoolManager(ca_certs=ca_file)
    count, token = 0, ""
    while True:
        fields = {"limit": str(PAGE)} | ({"continue": token} if token else {})
        body = http.request("GET", f"{server}/api/v1/pods", fields=fields, headers=headers).data
        gc.disable()
        page = orjson.loads(body)
        count += len(page["items"])
        token = page["metadata"].get("continue", "")
        del page
        gc.enable()
        if not token:
            print(count)
            return 0


if __name__ == "__main__":
    sys.exit(main())
