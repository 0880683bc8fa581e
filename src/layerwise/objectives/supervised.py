"""The supervised layer: train a layer to classify, by a head that is thrown away after it."""

from __future__ import annotations

from typing import Annotated, ClassVar, Literal

import torch
from pydantic import ConfigDict, Field
from pydantic.dataclasses import dataclass
from torch import Generator, Tensor, nn

from ..data.batches import Batch
from ..errors import DataError
from ..nn.initialization import initialize
from ..nn.layers import Layer
from ..nn.modes import evaluation
from .objective import FeatureFacts


@dataclass(frozen=True, config=ConfigDict(extra="forbid"))
class SupervisedLayer:
    r"""Train a layer to predict the class through a temporary linear head.

    .. math:: \ell = -\log \mathrm{softmax}(V h + a)_y, \text{ averaged over rows}

    V and a live in the learner only: the head is thrown away before the next layer is trained. Rows without a label are
    skipped.

    Parameters
    ----------
    grow_until : float or None
        Where given, a further layer is kept only if it lowers the validation loss of the layer before it by more than
        this part of it (0.01: by 1 %); the procedure stops at the first layer that does not. None trains every layer.

    Raises
    ------
    DataError
        When there are fewer than two classes.

    References
    ----------
    Bengio et al. (2007), Greedy layer-wise training of deep networks (section 4: greedy supervised training).

    Examples
    --------
    >>> SupervisedLayer(grow_until=0.01).needs_targets
    True
    """

    needs_targets: ClassVar[bool] = True
    grow_until: Annotated[float, Field(ge=0.0, allow_inf_nan=False)] | None = None
    kind: Literal["supervised"] = "supervised"

    def build(self, layer: Layer, facts: FeatureFacts, generator: Generator) -> SupervisedLearner:
        """Build the learner of a layer; the head's weights are drawn from the generator, its bias is 0."""
        if facts.classes < 2:
            raise DataError(
                f"layer {layer.name!r}: the targets have {facts.classes} classes, supervision expects 2 or more",
                "give targets, one label a row, or choose an objective that needs none",
            )
        return SupervisedLearner(layer, temporary_head(layer, facts, facts.classes, generator))


class SupervisedLearner(nn.Module):
    """A layer and its temporary head, trained by the cross-entropy of the classes.

    Parameters
    ----------
    layer : Layer
        What is trained.
    head : nn.Linear
        One output per class, on the elements of a code.
    """

    loss_name = "classification"
    decoder = None

    def __init__(self, layer: Layer, head: nn.Linear) -> None:
        super().__init__()
        self.layer = layer
        self.head = head

    def loss(self, batch: Batch, generator: Generator) -> Tensor:
        """Return the mean cross-entropy of a batch; there is no noise."""
        return self.clean_loss(batch)

    def after_update(self) -> None:
        """Nothing to project."""

    def clean_loss(self, batch: Batch) -> Tensor:
        """Return the mean cross-entropy of a batch."""
        assert batch.targets is not None
        return nn.functional.cross_entropy(self.head(self.layer(batch.inputs).flatten(1)), batch.targets)

    def mean_predictor_loss(self, batch: Batch) -> Tensor:
        """Return the loss of predicting this batch's class frequencies for every row: their entropy."""
        assert batch.targets is not None
        counts = torch.bincount(batch.targets, minlength=self.head.out_features).to(self.head.weight)
        entropy: Tensor = torch.special.entr(counts / counts.sum()).sum()
        return entropy


def temporary_head(
    layer: Layer, facts: FeatureFacts, outputs: int, generator: Generator, bias: bool = True
) -> nn.Linear:
    """Return a linear map from the elements of a layer's code to outputs, its weights drawn by Glorot's rule.

    Parameters
    ----------
    layer : Layer
        Its code of one row may have any shape; ``.flatten(1)`` puts it before the head.
    facts : FeatureFacts
        Give the shape of one row of the layer's inputs.
    outputs : int
        Width of the head.
    generator : Generator
        Source of the weights.
    bias : bool
        Whether the head has a bias, which starts at 0.

    Examples
    --------
    >>> layer = Layer("0", [], nn.Conv1d(1, 4, 3), [nn.ReLU()])
    >>> temporary_head(layer, FeatureFacts.of(torch.rand(5, 1, 8)), 2, torch.Generator())
    Linear(in_features=24, out_features=2, bias=True)
    """
    weight: Tensor = layer.module.weight
    with evaluation(layer):  # so that batch normalisation does not count the row of zeros
        width = layer(weight.new_zeros(1, *facts.shape)).numel()
    head: nn.Linear = nn.utils.skip_init(nn.Linear, width, outputs, bias=bias, device=weight.device, dtype=weight.dtype)
    initialize(head, "glorot", generator)
    return head
