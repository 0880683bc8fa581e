"""``layerwise recipes``: the plans that come with the package."""

from __future__ import annotations

import re
import textwrap
from typing import Annotated

import typer

from ..errors import PlanError, nearest

Name = Annotated[str | None, typer.Argument(help="Recipe to print as TOML.")]


def recipes(name: Name = None) -> None:
    """List the shipped recipes, or print one as TOML, to be changed and given as --recipe FILE."""
    # imported here, because it brings torch: the help should not wait for it
    from ..recipe import shipped

    found = shipped()
    if name is not None:
        if name not in found:
            near = nearest(name, found)
            raise PlanError(
                f"there is no recipe {name!r}; there are {', '.join(sorted(found))}",
                f"did you mean {near!r}?" if near else "give one of these",
            )
        typer.echo(found[name].read_text(encoding="utf-8"), nl=False)
        return
    width = max(map(len, found))
    for each, path in sorted(found.items()):
        said = textwrap.shorten(summary(path.read_text(encoding="utf-8")), 100, placeholder=" ...")
        typer.echo(f"{each.ljust(width)}  {said}")


def summary(text: str) -> str:
    """Return the first sentence of a recipe's opening comment.

    Examples
    --------
    >>> summary("# Contractive (Rifai et al. 2011). Chosen on rows.")
    'Contractive (Rifai et al. 2011).'
    """
    lines = []
    for line in text.splitlines():
        if not line.startswith("#"):
            break
        lines.append(line.removeprefix("#").strip())
    return re.split(r"(?<!al\.)(?<=[.?]) ", " ".join(lines))[0]
