"""Accuracy under noise: how a classifier's error grows as rows are corrupted more and more."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from torch import Tensor, nn

from ..errors import DataError
from ..finetuning import predict_outputs
from ..nn.corruption import GaussianNoise, Masking, SaltAndPepper
from ..randomness import Randomness

Predictor = nn.Module | Callable[[Tensor], Tensor]


def error_percent(predict: Predictor, inputs: Tensor, targets: Tensor) -> float:
    """Return the percentage of rows whose class a network (by its largest output) or a function of rows gets wrong.

    Examples
    --------
    >>> import torch
    >>> error_percent(lambda rows: (rows[:, 0] > 0.5).long(), torch.tensor([[0.2], [0.9]]), torch.tensor([1, 1]))
    50.0
    """
    if len(inputs) != len(targets) or not len(inputs):
        raise DataError(f"there are {len(inputs)} rows and {len(targets)} targets", "give one target for each row")
    found = predict_outputs(predict, inputs).argmax(1) if isinstance(predict, nn.Module) else predict(inputs)
    return 100 * float((found.cpu() != targets.cpu()).double().mean())


def errors_under_noise(
    predict: Predictor,
    inputs: Tensor,
    targets: Tensor,
    corruptions: Sequence[Masking | GaussianNoise | SaltAndPepper],
    random_state: int = 0,
) -> list[float]:
    r"""Return the error in percent on rows with each of some kinds and strengths of noise.

    .. math:: 100 \cdot P\big(\hat y(\tilde x) \ne y\big), \qquad \tilde x \sim q(\tilde x \mid x)

    Parameters
    ----------
    predict : nn.Module or callable
        A network with one output per class, run in evaluation mode, or a function from rows to classes such as a
        `LinearProbe`.
    inputs, targets : Tensor, shapes (rows, ...) and (rows,)
        Rows that nothing was chosen by, and the class of each.
    corruptions : sequence of Masking, GaussianNoise or SaltAndPepper
        ``[Masking(rate) for rate in (0.0, 0.2, 0.4)]``.
    random_state : int
        The same number gives the same noise: two predictors are then compared on the same corrupted rows.

    Examples
    --------
    >>> import torch
    >>> network = nn.Linear(1, 2)
    >>> _ = network.weight.data.copy_(torch.tensor([[-1.0], [1.0]])), network.bias.data.zero_()
    >>> errors_under_noise(network, torch.ones(10, 1), torch.ones(10, dtype=torch.int64), [Masking(0.0), Masking(1.0)])
    [0.0, 100.0]
    """
    randomness = Randomness(random_state, "noise")
    return [
        # of one seed for all, so that more noise of a kind is added to the same draws
        error_percent(predict, corruption(inputs, randomness.generator(corruption.kind)), targets)
        for corruption in corruptions
    ]
