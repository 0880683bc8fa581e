"""Greedy layer-wise pre-training of deep networks, and an honest measure of whether it helps.

>>> import layerwise as lw
>>> from torch import nn
>>> network = nn.Sequential(nn.Linear(64, 32), nn.Sigmoid(), nn.Linear(32, 10))

`pretrain` trains the network's layers one after the other on rows without labels, `finetune` then trains all of it on
the rows that have one, and `compare` measures whether the first was worth it. Why it is, `layerwise.analysis` asks.

Names are imported when they are first used: importing torch takes seconds, and ``layerwise --help`` needs none of it.
"""

from importlib import import_module
from importlib.metadata import version
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .analysis.gradient_check import check_gradients
    from .analysis.picture import draw_graph
    from .comparison.compare import Comparison, compare
    from .data.mnist import load_mnist
    from .data.source import open_source
    from .density.anomaly import AnomalyDetector
    from .density.projection import project
    from .density.score import score
    from .errors import LayerwiseError
    from .estimators import LayerwiseClassifier, LayerwiseEncoder, LayerwiseRegressor
    from .finetuning import FinetuneResult, finetune
    from .nn.corruption import GaussianNoise, Masking, SaltAndPepper, SwapNoise
    from .nn.lista import LISTA
    from .nn.networks import Convolution
    from .objectives import (
        RBM,
        Autoencoder,
        ContractiveAutoencoder,
        DenoisingAutoencoder,
        PredictiveSparseDecomposition,
        RankingLayer,
        SparseAutoencoder,
        SupervisedLayer,
    )
    from .objectives.penalties import Contraction, KLSparsity, L1Sparsity
    from .objectives.ranking import RankingLoss
    from .preparation.preparation import Preparation
    from .pretraining import PretrainResult, pretrain
    from .sampling.interpolation import interpolate
    from .sampling.sample import Samples, sample
    from .searching.search import Search, search
    from .settings import EarlyStopping, Exponential, Inverse, InverseTime, Linear, OnValidation, Staged, Step
    from .stack import Stack

__version__ = version("layerwise")
__all__ = [
    "LISTA",
    "RBM",
    "AnomalyDetector",
    "Autoencoder",
    "Comparison",
    "Contraction",
    "ContractiveAutoencoder",
    "Convolution",
    "DenoisingAutoencoder",
    "EarlyStopping",
    "Exponential",
    "FinetuneResult",
    "GaussianNoise",
    "Inverse",
    "InverseTime",
    "KLSparsity",
    "L1Sparsity",
    "LayerwiseClassifier",
    "LayerwiseEncoder",
    "LayerwiseError",
    "LayerwiseRegressor",
    "Linear",
    "Masking",
    "OnValidation",
    "PredictiveSparseDecomposition",
    "Preparation",
    "PretrainResult",
    "RankingLayer",
    "RankingLoss",
    "SaltAndPepper",
    "Samples",
    "Search",
    "SparseAutoencoder",
    "Stack",
    "Staged",
    "Step",
    "SupervisedLayer",
    "SwapNoise",
    "__version__",
    "check_gradients",
    "compare",
    "draw_graph",
    "finetune",
    "interpolate",
    "load_mnist",
    "open_source",
    "pretrain",
    "project",
    "sample",
    "score",
    "search",
]
_HOMES = {
    "analysis.gradient_check": ("check_gradients",),
    "analysis.picture": ("draw_graph",),
    "comparison.compare": ("Comparison", "compare"),
    "data.mnist": ("load_mnist",),
    "data.source": ("open_source",),
    "density.anomaly": ("AnomalyDetector",),
    "density.projection": ("project",),
    "density.score": ("score",),
    "errors": ("LayerwiseError",),
    "estimators": ("LayerwiseClassifier", "LayerwiseEncoder", "LayerwiseRegressor"),
    "finetuning": ("FinetuneResult", "finetune"),
    "nn.corruption": (
        "GaussianNoise",
        "Masking",
        "SaltAndPepper",
        "SwapNoise",
    ),
    "nn.lista": ("LISTA",),
    "nn.networks": ("Convolution",),
    "objectives": (
        "RBM",
        "Autoencoder",
        "ContractiveAutoencoder",
        "DenoisingAutoencoder",
        "PredictiveSparseDecomposition",
        "RankingLayer",
        "SparseAutoencoder",
        "SupervisedLayer",
    ),
    "objectives.penalties": (
        "Contraction",
        "KLSparsity",
        "L1Sparsity",
    ),
    "objectives.ranking": ("RankingLoss",),
    "searching.search": ("Search", "search"),
    "settings": ("EarlyStopping", "Exponential", "Inverse", "InverseTime", "Linear", "OnValidation", "Staged", "Step"),
    "preparation.preparation": ("Preparation",),
    "pretraining": ("PretrainResult", "pretrain"),
    "sampling.interpolation": ("interpolate",),
    "sampling.sample": ("Samples", "sample"),
    "stack": ("Stack",),
}
_ROOMS = ("analysis",)  # reached as lw.analysis


def __getattr__(name: str) -> Any:
    if name in _ROOMS:
        return import_module(f".{name}", __name__)
    for home, names in _HOMES.items():
        if name in names:
            return getattr(import_module(f".{home}", __name__), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted(__all__)
