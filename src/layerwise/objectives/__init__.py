"""How one layer is trained: one file per idea, each a frozen value that builds a learner around a layer."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from .autoencoder import Autoencoder
from .denoising import DenoisingAutoencoder

__all__ = ["BY_NAME", "AnyObjective", "Autoencoder", "DenoisingAutoencoder"]

AnyObjective = Annotated[Autoencoder | DenoisingAutoencoder, Field(discriminator="kind")]
BY_NAME: dict[str, type[Autoencoder] | type[DenoisingAutoencoder]] = {
    "autoencoder": Autoencoder,
    "denoising": DenoisingAutoencoder,
}
