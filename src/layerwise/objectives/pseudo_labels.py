"""Pseudo-labels: a classifier is trained on unlabelled rows too, by the class that it finds likeliest for each."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import KW_ONLY
from typing import Annotated

import torch
from pydantic import ConfigDict, Field, field_validator
from pydantic.dataclasses import dataclass
from torch import Generator, Tensor, nn

from ..data.batches import Batch
from ..nn.chain import backward, chain_of, forward, takes
from ..nn.modes import evaluation
from ..nn.products import mixed_precision
from .objective import Factors

Count = Annotated[int, Field(ge=1)]
Update = Annotated[int, Field(ge=0)]


@dataclass(frozen=True, config=ConfigDict(extra="forbid"))
class PseudoLabels:
    r"""Fine-tune on unlabelled rows as well, each labelled by the network's own likeliest class.

    .. math::
        \ell = \frac1n \sum_{i=1}^{n} -\log f_{y_i}(\tilde x_i)
               + \alpha(t) \frac1{n'} \sum_{j=1}^{n'} [\, p_j \ge \tau \,] \, (-\log f_{y'_j}(\tilde x'_j)), \qquad
        y'_j = \arg\max_k f_k(x'_j), \quad p_j = f_{y'_j}(x'_j)

    .. math::
        \alpha(t) = 0 \; (t < T_1), \qquad \alpha_f \frac{t - T_1}{T_2 - T_1} \; (T_1 \le t < T_2), \qquad
        \alpha_f \; (T_2 \le t)

    f are the network's probabilities, n labelled and n' unlabelled rows are in an update, t counts updates. The
    pseudo-labels are found anew in every update, by the network as it predicts: without dropout, batch normalisation by
    its running means. The rows are trained on with both (:math:`\tilde x`). A row whose likeliest class has a
    probability below the threshold costs nothing in that update.

    Parameters
    ----------
    batch_size : int
        n', unlabelled rows in an update, beside the ``batch_size`` labelled ones of `layerwise.finetune`.
    weight : float
        :math:`\alpha_f`, above 0.
    ramp : (int, int)
        :math:`T_1` and :math:`T_2`, in updates.
    threshold : float
        :math:`\tau`, from 0 to below 1; 0 takes every row.

    References
    ----------
    Lee (2013), Pseudo-label: the simple and efficient semi-supervised learning method for deep neural networks; there
    :math:`\alpha_f` is 3, :math:`T_1` 100, :math:`T_2` 600, without a threshold.

    Examples
    --------
    >>> settings = PseudoLabels(weight=3.0, ramp=(100, 600))
    >>> [settings.weight_at(update) for update in (99, 100, 350, 600)]
    [0.0, 0.0, 1.5, 3.0]
    """

    batch_size: Count = 200
    _: KW_ONLY
    weight: Annotated[float, Field(gt=0.0, allow_inf_nan=False)] = 1.0
    ramp: tuple[Update, Update] = (100, 600)
    threshold: Annotated[float, Field(ge=0.0, lt=1.0)] = 0.0

    @field_validator("ramp")
    @classmethod
    def _rises(cls, ramp: tuple[int, int]) -> tuple[int, int]:
        if ramp[0] > ramp[1]:
            raise ValueError(f"the ramp should not end, at {ramp[1]}, before it begins, at {ramp[0]}")
        return ramp

    def weight_at(self, update: int) -> float:
        r"""Return :math:`\alpha(t)`, the weight of the unlabelled rows after so many updates."""
        start, full = self.ramp
        if update < start:
            return 0.0
        return self.weight * ((update - start) / (full - start) if update < full else 1.0)


class PseudoLabelLearner(nn.Module):
    """A network that learns from labelled rows and from its own predictions of unlabelled ones.

    Parameters
    ----------
    network : nn.Module
        Maps rows to one output per class.
    settings : PseudoLabels
        Weight, ramp and threshold.

    Examples
    --------
    >>> learner = PseudoLabelLearner(nn.Linear(3, 2), PseudoLabels(ramp=(0, 0)))
    >>> batch = Batch(torch.rand(4, 3), torch.tensor([0, 1, -1, -1]))
    >>> learner.loss(batch, torch.Generator()).shape
    torch.Size([])
    """

    updates: Tensor

    def __init__(self, network: nn.Module, settings: PseudoLabels) -> None:
        super().__init__()
        self.network, self.settings = network, settings
        self._chain = chain_of(network)
        self.register_buffer("updates", torch.zeros((), dtype=torch.int64))  # a buffer, so that checkpoints hold it

    def loss(self, batch: Batch, generator: Generator) -> Tensor:
        """Return the loss of a batch whose unlabelled rows have the target -1; noise is the network's own."""
        inputs, codes, weights = self._weighted(batch)
        costs: Tensor = nn.functional.cross_entropy(self.network(inputs), codes, reduction="none")
        return (costs * weights).sum()

    def factored(self, shape: Sequence[int]) -> bool:
        """Say whether `factors` holds: the network is a multi-layer perceptron."""
        return self._chain is not None and takes(self._chain, shape)

    def factors(self, batch: Batch, generator: Generator) -> Factors:
        """Return the loss and the factors of its gradient by every weight and bias that is trained."""
        assert self._chain is not None
        inputs, codes, weights = self._weighted(batch)
        outputs, kept = forward(self._chain, inputs)
        log_probability = outputs.log_softmax(1)
        loss = (nn.functional.nll_loss(log_probability, codes, reduction="none") * weights).sum()
        by_output = log_probability.exp_()
        by_output[torch.arange(len(by_output), device=by_output.device), codes] -= 1.0
        return Factors(loss, backward(self._chain, kept, by_output.mul_(weights[:, None])), 1.0)

    def after_update(self) -> None:
        """Count the update: the weight of the unlabelled rows depends on how many there were."""
        self.updates += 1

    @torch.no_grad()
    def _weighted(self, batch: Batch) -> tuple[Tensor, Tensor, Tensor]:
        """Return the rows that cost something, the class of each, and its weight in the loss."""
        assert batch.targets is not None
        labelled = batch.targets >= 0
        count = int(labelled.sum())
        weight = self.settings.weight_at(int(self.updates))
        weights = batch.inputs.new_full((len(labelled),), 1 / count)
        if batch.weights is not None:
            weights *= batch.weights
        if weight == 0.0 or count == len(labelled):
            return batch.inputs[labelled], batch.targets[labelled], weights[labelled]
        codes = batch.targets.clone()
        codes[~labelled], confidence = pseudo_labels(self.network, batch.inputs[~labelled])
        sure = (confidence >= self.settings.threshold).to(weights.dtype)
        weights[~labelled] = sure * weight / len(sure)
        return batch.inputs, codes, weights


def pseudo_labels(network: nn.Module, rows: Tensor) -> tuple[Tensor, Tensor]:
    """Return the likeliest class of each row and its probability, by the network as it predicts.

    Examples
    --------
    >>> network = nn.Linear(1, 2, bias=False)
    >>> _ = network.weight.data.copy_(torch.tensor([[0.0], [1.0]]))
    >>> codes, confidence = pseudo_labels(network, torch.tensor([[0.0], [3.0]]))
    >>> codes.tolist(), [round(value, 3) for value in confidence.tolist()]
    ([0, 1], [0.5, 0.953])
    """
    with evaluation(network), mixed_precision(rows.device):
        probabilities = network(rows).to(rows.dtype).softmax(1)
    confidence, codes = probabilities.max(1)
    return codes, confidence
