"""A streamed answer cut into Markdown blocks, so that each can be rendered as soon as it is complete."""

from __future__ import annotations


class MarkdownBlocks:
    """Feed pieces of text; a block is complete at an empty line or at the end of a fenced code block."""

    def __init__(self) -> None:
        self.pending = ""
        """What has arrived of the block that is not complete yet."""

    def feed(self, text: str) -> list[str]:
        """Add a piece; returns the blocks that it completed, in order."""
        self.pending += text
        complete: list[str] = []
        while (end := _end_of_block(self.pending)) is not None:
            block, self.pending = self.pending[:end], self.pending[end:]
            if block.strip():
                complete.append(block.strip("\n"))
        return complete

    def finish(self) -> list[str]:
        """The rest, as a block; [] when there is none."""
        rest, self.pending = self.pending.strip("\n"), ""
        return [rest] if rest.strip() else []


def _end_of_block(text: str) -> int | None:
    """Where the first block ends, counting only lines that are complete; None while it is open."""
    fence, position, started = "", 0, False
    for line in text.splitlines(keepends=True):
        if not line.endswith("\n"):
            return None
        position += len(line)
        bare = line.strip()
        if fence:
            if bare.startswith(fence) and not bare.strip(fence[0]):
                return position
        elif bare.startswith(("```", "~~~")):
            if started:
                return position - len(line)
            fence = bare[: len(bare) - len(bare.lstrip(bare[0]))]
        elif not bare:
            return position
        started = True
    return None
