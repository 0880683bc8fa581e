"""How one layer is trained: one file per idea, each a frozen value that builds a learner around a layer."""

from __future__ import annotations

from typing import Annotated, get_args

from pydantic import Field

from .autoencoder import Autoencoder
from .contractive import ContractiveAutoencoder
from .denoising import DenoisingAutoencoder
from .objective import Objective
from .psd import PredictiveSparseDecomposition
from .ranking import RankingLayer
from .rbm import RBM
from .sparse import SparseAutoencoder
from .supervised import SupervisedLayer

__all__ = [
    "BY_NAME",
    "RBM",
    "AnyObjective",
    "Autoencoder",
    "ContractiveAutoencoder",
    "DenoisingAutoencoder",
    "PredictiveSparseDecomposition",
    "RankingLayer",
    "SparseAutoencoder",
    "SupervisedLayer",
]

_Any = (
    Autoencoder
    | DenoisingAutoencoder
    | ContractiveAutoencoder
    | SparseAutoencoder
    | RBM
    | PredictiveSparseDecomposition
    | SupervisedLayer
    | RankingLayer
)
AnyObjective = Annotated[_Any, Field(discriminator="kind")]
BY_NAME: dict[str, type[Objective]] = {kind.kind: kind for kind in get_args(_Any)}
