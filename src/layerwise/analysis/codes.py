"""The layers of a model, and what each makes of rows."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from torch import Tensor, nn

from ..nn.cutting import cut
from ..nn.layers import Layer
from ..nn.modes import evaluation
from ..stack import Stack, prepare

Model = Stack | nn.Module | Sequence[Layer]


def layers_of(model: Model) -> list[Layer]:
    """Return the layers of a stack, of a network (`layerwise.nn.cutting.cut`), or those given; no output head.

    Examples
    --------
    >>> [layer.name for layer in layers_of(nn.Sequential(nn.Linear(4, 3), nn.ReLU(), nn.Linear(3, 2)))]
    ['0']
    """
    if isinstance(model, Stack):
        return list(model.layers)
    return cut(model) if isinstance(model, nn.Module) else list(model)


def codes_by_layer(layers: Sequence[Layer], rows: Tensor) -> Iterator[tuple[Layer, Tensor, Tensor]]:
    """Yield each layer, its codes of rows (rows, units ...), and what it hands on, in evaluation mode.

    The codes of a convolution are those before pooling. A layer whose inputs are captured takes the network's own rows,
    and what it hands on is its codes.

    Examples
    --------
    >>> import torch
    >>> network = nn.Sequential(nn.Conv1d(1, 2, 3), nn.MaxPool1d(2), nn.ReLU(), nn.Flatten(), nn.Linear(4, 2))
    >>> [(codes.shape[1:], handed.shape[1:]) for _, codes, handed in codes_by_layer(cut(network), torch.rand(5, 1, 6))]
    [(torch.Size([2, 4]), torch.Size([4]))]
    """
    handed = rows
    for layer in layers:
        weight = layer.module.weight
        fed = rows if layer.captured else handed
        with evaluation(layer):
            codes = layer(prepare(layer, fed.to(weight.device, weight.dtype)))
            handed = layer.onward(codes)
        yield layer, codes, handed
