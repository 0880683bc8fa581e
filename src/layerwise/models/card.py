"""The model card: a page that says what a model was made of, and what was not measured."""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING

from jinja2 import Environment, PackageLoader, StrictUndefined, Template

if TYPE_CHECKING:
    from .model import Model


def card_of(model: Model) -> str:
    """Return a model's card as Markdown.

    Examples
    --------
    >>> from torch import nn
    >>> from layerwise.models.model import Model
    >>> print(card_of(Model(nn.Sequential(nn.Linear(3, 2)), classes=["no", "yes"])).splitlines()[0])
    # A model of 2 classes
    """
    facts = model.facts
    shape = model.inputs.shape
    return _template().render(
        model=model,
        facts=facts,
        title=f"`{model.target}`" if model.target else "a quantity" if model.quantity else f"{model.width} classes",
        features=" x ".join(map(str, shape)) if shape else None,
        parameters=sum(parameter.numel() for parameter in model.network.parameters()),
        modules=[str(module) for module in model.network],
        version=facts.environment.get("layerwise"),
    )


@cache
def _template() -> Template:
    environment = Environment(
        loader=PackageLoader("layerwise.models", "."), undefined=StrictUndefined, trim_blocks=True,
        lstrip_blocks=True, keep_trailing_newline=True, autoescape=False,
    )  # fmt: skip
    return environment.get_template("card.md.j2")
