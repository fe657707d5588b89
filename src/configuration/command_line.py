"""How every command reports failure: one line on stderr, an exit code from the exception tree, a traceback with `--debug`."""

from __future__ import annotations

import sys
from typing import Any

import typer
from typer.core import TyperGroup

from configuration.errors import K8sMcpError

INTERRUPTED = 130
"""128 + SIGINT, as shells report it."""


class ReportingGroup(TyperGroup):
    """A command group whose commands may raise anything of the exception tree."""

    def invoke(self, ctx: Any) -> Any:
        try:
            return super().invoke(ctx)
        except K8sMcpError as error:
            if "--debug" in sys.argv:
                raise
            _report_error(one_line(error))
            raise typer.Exit(error.exit_code) from None
        except KeyboardInterrupt:
            print("interrupted", file=sys.stderr)
            raise typer.Exit(INTERRUPTED) from None
        except BrokenPipeError:
            sys.stderr.close()
            raise typer.Exit(0) from None
        except (typer.Exit, typer.Abort):
            raise
        except Exception as error:
            if "--debug" in sys.argv or _is_usage_error(error):
                raise
            # Not its message: a defect's message is not ours, and may quote what was being read.
            _report_error(f"unexpected {type(error).__name__}, a defect of this program; --debug shows where")
            raise typer.Exit(K8sMcpError.exit_code) from None


def _report_error(message: str) -> None:
    from configuration.logs import report_error  # not before it is needed: --help is to be quick

    report_error(message)


def _is_usage_error(error: Exception) -> bool:
    """typer's own errors about arguments, which it prints itself and ends with exit code 2."""
    return hasattr(error, "exit_code") and hasattr(error, "show")


def one_line(error: BaseException) -> str:
    """The message for a log line or a terminal: without line breaks, and without what would steer the terminal.

    It may quote an API server or a webhook, whose text is data.
    """
    text = " ".join(str(error).split())
    return "".join(char for char in text if char.isprintable()) or type(error).__name__


def application(help_text: str, *, no_args_is_help: bool = False) -> typer.Typer:
    """A typer application with this project's manners: plain help, no completion installer, no locals in tracebacks."""
    return typer.Typer(
        cls=ReportingGroup,
        help=help_text,
        no_args_is_help=no_args_is_help,
        add_completion=False,
        rich_markup_mode=None,
        pretty_exceptions_enable=False,
        context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110},
    )
