"""The verbs as one application, and what each of them does with errors and signals."""

from __future__ import annotations

import signal
import sys
from types import FrameType
from typing import Annotated, Any

import typer

from ..errors import LayerwiseError
from .compare import compare
from .encode import encode
from .export import export
from .predict import predict
from .recipes import recipes
from .report import report
from .sample import sample
from .search import search
from .train import train

app = typer.Typer(
    name="layerwise",
    help="Greedy layer-wise pre-training, and an honest measure of whether it helps on your data.",
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode=None,
)
app.command()(compare)
app.command()(train)
app.command()(predict)
app.command()(encode)
app.command()(export)
app.command()(sample)
app.command()(search)
app.command()(report)
app.command()(recipes)


class Terminated(BaseException):
    """The process was asked to end."""


def _version(wanted: bool) -> None:
    if wanted:
        from .. import __version__

        typer.echo(f"layerwise {__version__}")
        raise typer.Exit


Version = Annotated[bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version.")]


@app.callback()
def _options(version: Version = False) -> None:
    """Greedy layer-wise pre-training, and an honest measure of whether it helps on your data."""


def run(arguments: list[str]) -> int:
    """Run the command with these arguments and return its exit status: 0, 2 on bad input, 130 and 143 on signals."""
    before = signal.signal(signal.SIGTERM, _terminate)
    try:
        status = int(app(arguments, standalone_mode=False) or 0)
        if status == 130:  # typer has caught the interrupt itself
            raise KeyboardInterrupt
        return status
    except LayerwiseError as error:
        _complain(error.message, error.hint)
        return 2
    except (KeyboardInterrupt, typer.Abort):
        _complain("stopped by an interrupt", _going_on(arguments))
        return 130
    except Terminated:
        _complain("stopped by a signal to terminate", _going_on(arguments))
        return 143
    except Exception as error:
        if not hasattr(error, "format_message"):
            raise
        # a usage error: typer has vendored click since 0.20, so there is no one class to name
        _complain(*_usage(error, arguments))
        return 2
    finally:
        signal.signal(signal.SIGTERM, before)


def _usage(error: Any, arguments: list[str]) -> tuple[str, str]:
    """Return what is wrong with an option, argument or verb, and the option that is meant or where to read of all."""
    verbs = {command.callback.__name__ for command in app.registered_commands if command.callback}
    verb = f" {arguments[0]}" if arguments and arguments[0] in verbs else ""
    listed = f"layerwise{verb} --help lists what there is"
    near = getattr(error, "possibilities", None)
    if near:
        return error.message, f"did you mean {' or '.join(near)}? {listed}"
    return error.format_message().rstrip("."), listed


def _going_on(arguments: list[str]) -> str:
    """Return what to do after a stop: what leaves a run folder goes on in it, the rest has written nothing."""
    resumed = "compare", "search", "train"
    again = "repeat the command"
    return f"{again} with --resume to go on" if set(arguments[:1]) & set(resumed) else again


def _terminate(number: int, frame: FrameType | None) -> None:
    raise Terminated


def _complain(message: str, hint: str) -> None:
    print(f"error: {message}", file=sys.stderr)
    if hint:
        print(f"hint: {hint}", file=sys.stderr)
