"""`python -m demo`: run the simulated cluster until stdin closes or a signal comes."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

app = typer.Typer(add_completion=False, rich_markup_mode=None)


@app.command(
    epilog="Example: python -m demo --kubeconfig /tmp/demo.yaml --keep, then: kubectl --kubeconfig /tmp/demo.yaml get pods -A"
)
def main(
    port: Annotated[int, typer.Option(min=0, max=65535, help="Port on 127.0.0.1; 0 takes a free one.")] = 0,
    seed: Annotated[int, typer.Option(min=0, help="The same seed tells the same story.")] = 7,
    kubeconfig: Annotated[
        Path | None, typer.Option(help="Where to write the kubeconfig (0600); by default a temporary folder.")
    ] = None,
    pods: Annotated[int, typer.Option(min=0, max=200_000, help="Plain pods to add, for scale trials.")] = 0,
    speed: Annotated[float, typer.Option(min=0.0, max=100.0, help="Ticks a second; 0 freezes the cluster.")] = 1.0,
    keep: Annotated[bool, typer.Option("--keep", help="Go on when stdin closes.")] = False,
) -> None:
    """A simulated Kubernetes cluster on loopback; stops at SIGTERM, SIGINT or when stdin closes."""
    import asyncio
    import tempfile

    from demo.server import ServerOptions, serve

    try:
        with tempfile.TemporaryDirectory(prefix="k8s-mcp-demo-") as folder:
            path = (kubeconfig or Path(folder, "kubeconfig")).absolute()
            asyncio.run(serve(ServerOptions(port, seed, path, pods, speed, watch_stdin=not keep)))
    except OSError as failure:
        typer.echo(
            f"demo: cannot serve on 127.0.0.1:{port} with kubeconfig {kubeconfig or 'in a temporary folder'}: {failure}", err=True
        )
        raise typer.Exit(1) from failure


if __name__ == "__main__":
    app(prog_name="python -m demo")
