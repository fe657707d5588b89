"""Names, uids and addresses that look random and follow from the seed."""

from __future__ import annotations

import hashlib
import random
import uuid

_NAME_ALPHABET = "bcdfghjklmnpqrstvwxz2456789"  # the one that API servers make names from


class Identifiers:
    """A seeded source: the same calls in the same order give the same identifiers."""

    def __init__(self, seed: int) -> None:
        self.seed = seed
        self._random = random.Random(f"k8s-mcp demo {seed}")  # noqa: S311 - the story has to repeat
        self._pod_addresses: dict[str, int] = {}
        self._service_address = 0

    def uid(self) -> str:
        return str(uuid.UUID(int=self._random.getrandbits(128), version=4))

    def suffix(self, length: int = 5) -> str:
        return "".join(self._random.choice(_NAME_ALPHABET) for _ in range(length))

    def container_id(self) -> str:
        return "containerd://" + self._random.randbytes(32).hex()

    def number(self, low: int, high: int) -> int:
        return self._random.randint(low, high)

    def choice(self, items: list[str]) -> str:
        return self._random.choice(items)

    def pod_address(self, node_index: int) -> str:
        """The next free address in the node's pod network, 10.244.<node>.0/24."""
        taken = self._pod_addresses.setdefault(str(node_index), 1)
        self._pod_addresses[str(node_index)] = taken + 1
        return f"10.244.{node_index}.{taken % 253 + 1}"

    def service_address(self) -> str:
        """The next address of 10.96.0.0/16, scattered as an allocator would."""
        self._service_address += 1
        low = (self._service_address * 97) % 251 + 2
        return f"10.96.{(self._service_address * 37) % 250 + 1}.{low}"


def digest(text: str) -> str:
    """A stable sha256 in hex: image digests and template hashes."""
    return hashlib.sha256(text.encode()).hexdigest()


def template_hash(text: str) -> str:
    """Nine or ten characters as in a pod-template-hash."""
    number = int(digest(text)[:16], 16)
    return "".join(_NAME_ALPHABET[number >> (5 * i) & 0x1F if number >> (5 * i) & 0x1F < 27 else i] for i in range(9))
