"""The `scanner` command. Only typer is imported before a command is known."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from configuration.command_line import application

if TYPE_CHECKING:
    from scanner.settings import ScannerSettings

app = application(
    "Keep a local cache of Kubernetes clusters fresh. Without a command: scan until stopped (as `scanner run`).\n\n"
    "Example: scanner scan --context kind-dev --kind pods"
)

EnvFile = Annotated[Path | None, typer.Option("--env-file", metavar="FILE", help="Read settings from FILE instead of .env.")]
Debug = Annotated[bool, typer.Option("--debug", help="Log more, and show the traceback of an error.")]
Output = Annotated[Literal["table", "json"], typer.Option("--output", "-o", help="How to print to standard output.")]
Contexts = Annotated[
    list[str] | None,
    typer.Option("--context", metavar="C", help="Kubeconfig context; repeatable; `*` is all. Default: K8S_CONTEXTS."),
]


@app.callback(invoke_without_command=True)
def scanner(context: typer.Context, env_file: EnvFile = None, debug: Debug = False) -> None:
    if context.invoked_subcommand is None:
        run(env_file=env_file, debug=debug)


@app.command()
def run(contexts: Contexts = None, env_file: EnvFile = None, debug: Debug = False) -> None:
    """Scan in the foreground until SIGTERM or Ctrl-C: what is due, before it is stale.

    Example: K8S_CONTEXTS='*' scanner run
    """
    settings = _prepared(env_file, debug, contexts)
    from scanner.daemon import run as run_daemon

    run_daemon(settings)


@app.command()
def scan(
    static: Annotated[bool, typer.Option("--static", help="Only kinds that rarely change (services, namespaces, …).")] = False,
    dynamic: Annotated[bool, typer.Option("--dynamic", help="Only kinds that change often (pods, nodes, events, …).")] = False,
    contexts: Contexts = None,
    kinds: Annotated[
        list[str] | None, typer.Option("--kind", metavar="K", help="Kind to scan; repeatable. Default: all.")
    ] = None,
    full: Annotated[bool, typer.Option("--full", help="List everything anew, even where a catch-up would do.")] = False,
    output: Output = "table",
    env_file: EnvFile = None,
    debug: Debug = False,
) -> None:
    """Scan once and report, for people and for cron. What is cached already is caught up with and checked.

    Exit codes: 0 done, 1 failed, 2 usage or configuration, 3 some kinds or clusters failed, 4 another scanner is at work.

    Example: scanner scan --dynamic --context kind-dev -o json
    """
    if static and dynamic:
        raise typer.BadParameter("--static and --dynamic exclude each other; leave both out to scan everything")
    from scanner.scan_command import scan as scan_now
    from scanner.scan_command import selected_kinds

    settings = _prepared(env_file, debug, contexts, quiet=True)
    freshness_class: Literal["static", "dynamic"] | None = "static" if static else "dynamic" if dynamic else None
    chosen = selected_kinds(freshness_class, kinds or (), settings.extra_kinds)
    scan_now(settings, chosen, full=full, as_json=output == "json")


@app.command()
def status(
    contexts: Contexts = None,
    alive: Annotated[
        bool, typer.Option("--alive", help="Say nothing but by exit code whether a daemon is at work: for liveness probes.")
    ] = False,
    output: Output = "table",
    env_file: EnvFile = None,
    debug: Debug = False,
) -> None:
    """Show how fresh everything is and what that costs; exit code 1 when something is stale, failed or down.

    Example: scanner status -o json
    """
    settings = _prepared(env_file, debug, contexts)
    from scanner.status_command import print_status, require_alive

    if alive:
        require_alive(settings)
    else:
        print_status(settings, as_json=output == "json")


@app.command()
def cleanup(
    vacuum: Annotated[
        bool, typer.Option("--vacuum", help="Then rewrite the file without its gaps; needs as much free space again.")
    ] = False,
    forget: Annotated[
        list[str] | None,
        typer.Option(
            "--forget",
            metavar="CLUSTER",
            help="Also remove all that is stored of CLUSTER, which K8S_CONTEXTS no longer names, with its history; repeatable.",
        ),
    ] = None,
    output: Output = "table",
    env_file: EnvFile = None,
    debug: Debug = False,
) -> None:
    """Forget history older than CACHE_HISTORY_RETENTION and rows past their TTL and CACHE_STALE_GRACE, while no daemon runs.

    Rows of a cluster that has not answered a scan in the last minutes (twice CACHE_DYNAMIC_TTL) are kept, however old.

    Example: scanner cleanup --forget old-cluster --vacuum
    """
    settings = _prepared(env_file, debug, None)
    from scanner.cleanup_command import clean_up_now

    clean_up_now(settings, forget=forget or (), vacuum=vacuum, as_json=output == "json")


def _prepared(env_file: Path | None, debug: bool, contexts: list[str] | None, *, quiet: bool = False) -> ScannerSettings:
    """Read the settings and set up logging. `quiet`: the report says it all, the log only what is unexpected."""
    import logging

    from configuration.logs import configure_logging
    from configuration.sources import load
    from scanner.settings import ScannerSettings

    flags: dict[str, Any] = {"k8s_contexts": ",".join(contexts)} if contexts else {}
    settings = load(ScannerSettings, env_file=env_file, **flags)
    configure_logging(debug=debug, as_json=settings.scanner_log_format == "json")
    if quiet and not debug:
        logging.getLogger().setLevel(logging.ERROR)
    return settings


if __name__ == "__main__":
    app()
