"""The learner around a whole network that gives one output per class: cross-entropy, or ranking by sampled labels."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Generator, Tensor, nn

from ..data.batches import Batch
from ..data.weights import weighted_mean
from ..errors import NetworkError
from ..nn.chain import backward, chain_of, forward, takes
from ..nn.modes import evaluation
from ..nn.networks import dense_modules
from .objective import Factors
from .ranking import OutputLoss, RankingLoss, margin_losses, rank_weights


class Classifier(nn.Module):
    r"""The learner of fine-tuning: a network and the loss of its outputs.

    .. math:: \ell = -\log \mathrm{softmax}(f(x))_y \text{ or } \texttt{RankingLoss}

    averaged over rows, each times its weight.

    Parameters
    ----------
    network : nn.Module
        Maps rows to one output per class. For a `RankingLoss` it ends in a dense module, its head
        (`check_ends_in_head`): the forward pass stops before the head, and only the rows of its weight that belong to
        sampled labels are used.
    loss : "cross_entropy" or RankingLoss
        Of the outputs.

    Examples
    --------
    >>> learner = Classifier(nn.Linear(3, 1000), RankingLoss(negatives=5))
    >>> batch = Batch(torch.rand(4, 3), torch.tensor([0, 999, 5, 5]))
    >>> learner.loss(batch, torch.Generator().manual_seed(0)).shape
    torch.Size([])
    """

    def __init__(self, network: nn.Module, loss: OutputLoss = "cross_entropy") -> None:
        super().__init__()
        self.network = network
        self._chain = chain_of(network)
        self.ranking = loss if isinstance(loss, RankingLoss) else None
        self.weights: Tensor | None
        self.register_buffer("weights", None, persistent=False)
        if self.ranking is not None:
            head = head_of(network)
            self._head = (head,)  # in a tuple, so that nn.Module does not register it a second time
            if self.ranking.weighting == "wsabie":
                self.weights = rank_weights(head.out_features - 1, self.ranking.negatives).to(head.weight)

    def loss(self, batch: Batch, generator: Generator) -> Tensor:
        """Return the mean loss of a batch; noise is the network's dropout, and the draw of labels."""
        assert batch.targets is not None
        if self.ranking is None:
            return cross_entropy(self.network(batch.inputs), batch.targets, batch.weights)
        (head,) = self._head
        codes = input_of(head, self.network, batch.inputs)
        negatives = other_labels(batch.targets, head.out_features, self.ranking.negatives, generator)
        labels = torch.cat([batch.targets[:, None], negatives], 1)
        scores = torch.bmm(nn.functional.embedding(labels, head.weight), codes[:, :, None]).squeeze(2)
        if head.bias is not None:
            scores = scores + head.bias[labels]
        losses = margin_losses(scores[:, 0], scores[:, 1:], self.ranking.margin, self.weights)
        return weighted_mean(losses, batch.weights)

    def factored(self, shape: Sequence[int]) -> bool:
        """Say whether `factors` holds: cross-entropy of a multi-layer perceptron."""
        return self.ranking is None and self._chain is not None and takes(self._chain, shape)

    def factors(self, batch: Batch, generator: Generator) -> Factors:
        """Return the loss and the factors of its gradient by every weight and bias that is trained."""
        assert self._chain is not None and batch.targets is not None
        outputs, kept = forward(self._chain, batch.inputs)
        log_probability = outputs.log_softmax(1)
        reduction = "mean" if batch.weights is None else "none"
        loss = nn.functional.nll_loss(log_probability, batch.targets, reduction=reduction)
        by_output = log_probability.exp_()
        by_output[torch.arange(len(by_output), device=by_output.device), batch.targets] -= 1.0
        if batch.weights is not None:
            loss = weighted_mean(loss, batch.weights)
            by_output.mul_(batch.weights[:, None])
        return Factors(loss, backward(self._chain, kept, by_output), 1 / len(by_output))

    def after_update(self) -> None:
        """Nothing to project."""


def cross_entropy(outputs: Tensor, targets: Tensor, weights: Tensor | None = None) -> Tensor:
    """Return the cross-entropy of outputs (rows, classes), averaged over rows, each times its weight.

    Examples
    --------
    >>> cross_entropy(torch.zeros(3, 4), torch.tensor([0, 1, 3])).exp()
    tensor(4.)
    """
    if weights is None:
        return nn.functional.cross_entropy(outputs, targets)
    return weighted_mean(nn.functional.cross_entropy(outputs, targets, reduction="none"), weights)


def other_labels(labels: Tensor, classes: int, count: int, generator: Generator) -> Tensor:
    """Draw labels (rows, count), each uniform among the classes that are not the row's.

    Examples
    --------
    >>> other_labels(torch.tensor([0, 1]), 2, 3, torch.Generator())
    tensor([[1, 1, 1],
            [0, 0, 0]])
    """
    shape = (len(labels), count)
    draws = torch.randint(classes - 1, shape, generator=generator, device=generator.device).to(labels.device)
    return draws + (draws >= labels[:, None])  # the labels above the row's own are one further


def head_of(network: nn.Module) -> nn.Linear:
    """Return the output head, a network's last dense module.

    Raises
    ------
    NetworkError
        When there is none, or it has a single output.
    """
    dense = dense_modules(network)
    outputs = dense[-1].out_features if dense else 0
    if outputs < 2:
        raise NetworkError(
            f"ranking expects a network that ends in a dense module with 2 outputs or more, found {outputs}",
            'end the network in an nn.Linear with one output per class, or set loss to "cross_entropy"',
        )
    return dense[-1]


class _Reached(BaseException):
    """Carries the head's input out of the forward pass; no Exception, so that no network catches it on the way."""

    def __init__(self, codes: Tensor) -> None:
        super().__init__()
        self.codes = codes


def input_of(head: nn.Linear, network: nn.Module, inputs: Tensor) -> Tensor:
    """Run a network up to its head and return what the head would be given.

    Raises
    ------
    NetworkError
        When the forward pass never comes to the head.

    Examples
    --------
    >>> network = nn.Sequential(nn.Linear(4, 3), nn.ReLU(), nn.Linear(3, 2))
    >>> input_of(network[2], network, torch.rand(5, 4)).shape
    torch.Size([5, 3])
    """

    def stop(module: nn.Module, given: tuple[Any, ...], by_name: dict[str, Any]) -> None:
        raise _Reached(given[0] if given else by_name["input"])

    handle = head.register_forward_pre_hook(stop, with_kwargs=True)
    try:
        network(inputs)
    except _Reached as reached:
        return reached.codes
    finally:
        handle.remove()
    raise _misplaced(head, network, "the forward pass does not use it")


def check_ends_in_head(network: nn.Module, inputs: Tensor) -> None:
    """Check on some rows that what a network gives is what its last dense module gives, untouched.

    Raises
    ------
    NetworkError
        When it is not: ranking computes the outputs of sampled labels from that module alone.

    Examples
    --------
    >>> check_ends_in_head(nn.Sequential(nn.Flatten(), nn.Linear(4, 2)), torch.rand(3, 2, 2))
    """
    head = head_of(network)
    given: list[tuple[Tensor, int]] = []

    def keep(module: nn.Module, inputs: Any, outputs: Tensor) -> None:
        given.append((outputs, outputs._version))

    handle = head.register_forward_hook(keep)
    try:
        with evaluation(network):
            outputs = network(inputs)
    finally:
        handle.remove()
    if len(given) != 1:
        raise _misplaced(head, network, f"the forward pass uses it {len(given)} times")
    last, version = given[0]
    # the version tells a change in place, as by nn.ReLU(inplace=True)
    if outputs is not last or last._version != version:
        raise _misplaced(head, network, "the forward pass goes on after it")


def _misplaced(head: nn.Linear, network: nn.Module, found: str) -> NetworkError:
    name = next(name for name, module in network.named_modules() if module is head)
    return NetworkError(
        f"ranking expects the network's forward pass to end in its last dense module {name!r}, but {found}",
        'let the head be the last module that is defined and the last that is called, or set loss to "cross_entropy"',
    )
