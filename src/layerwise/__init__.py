"""Greedy layer-wise pre-training of deep networks, and an honest measure of whether it helps.

>>> import layerwise as lw
>>> from torch import nn
>>> network = nn.Sequential(nn.Linear(64, 32), nn.Sigmoid(), nn.Linear(32, 10))

`pretrain` trains the network's layers one after the other on rows without labels, `finetune` then trains all of it on
the rows that have one, and `compare` measures whether the first was worth it.
"""

from importlib.metadata import version

from .comparison.compare import Comparison, compare
from .data.mnist import load_mnist
from .data.source import open_source
from .errors import LayerwiseError
from .finetuning import FinetuneResult, finetune
from .nn.corruption import GaussianNoise, Masking, SaltAndPepper
from .objectives import Autoencoder, DenoisingAutoencoder
from .plan import EarlyStopping, InverseTime, Linear
from .pretraining import PretrainResult, pretrain
from .stack import Stack

__version__ = version("layerwise")
__all__ = [
    "Autoencoder",
    "Comparison",
    "DenoisingAutoencoder",
    "EarlyStopping",
    "FinetuneResult",
    "GaussianNoise",
    "InverseTime",
    "LayerwiseError",
    "Linear",
    "Masking",
    "PretrainResult",
    "SaltAndPepper",
    "Stack",
    "__version__",
    "compare",
    "finetune",
    "load_mnist",
    "open_source",
    "pretrain",
]
