"""What a fitted estimator computes of rows: outputs, codes, reconstructions.

In the type of the rows: training is in float32, but of float64 rows everything is computed in float64, so that what is
said of a row does not depend on the rows beside it.
"""

from __future__ import annotations

import copy
from typing import Any

import numpy as np
import scipy.sparse
import torch
from torch import nn

from ..data.source import as_tensor
from ..errors import NetworkError, PlanError
from ..finetuning import BLOCK, predict_outputs
from ..stack import Stack
from ..training.device import exact_float32, pick_device


def computed(network: nn.Module, rows: Any, device: Any) -> np.ndarray:
    """Return what a network gives for rows, dense or sparse, block by block.

    Examples
    --------
    >>> network = nn.Linear(2, 1)
    >>> computed(network, np.zeros((3, 2)), "cpu").shape, network.weight.dtype
    ((3, 1), torch.float32)
    """
    dtype = _dtype(rows)
    network = copy.deepcopy(network).to(_here(device), dtype)
    found = []
    with exact_float32():
        for start in range(0, rows.shape[0], BLOCK):
            block = rows[start : start + BLOCK]
            block = block.toarray() if scipy.sparse.issparse(block) else block
            found.append(predict_outputs(network, as_tensor(block, dtype)).cpu())
    outputs: np.ndarray = torch.cat(found).numpy()
    return outputs


def reconstructed(stack: Stack | None, rows: Any, device: Any) -> np.ndarray:
    """Return rows encoded by all layers and decoded again."""
    stack, dtype = _in_type(stack, rows, device)
    return _numpy(stack.reconstruct(rows if scipy.sparse.issparse(rows) else as_tensor(rows, dtype)))


def decoded(stack: Stack | None, codes: np.ndarray, device: Any) -> np.ndarray:
    """Return codes of all layers decoded to rows.

    Raises
    ------
    NetworkError
        When there is no way back: the objective has no decoder, or the network was not pre-trained.
    """
    stack, dtype = _in_type(stack, codes, device)
    return _numpy(stack.decode(as_tensor(codes, dtype)))


def _in_type(stack: Stack | None, rows: Any, device: Any) -> tuple[Stack, torch.dtype]:
    if stack is None:
        raise NetworkError("there is no way back: with objective=None nothing was pre-trained", "set an objective")
    stack, dtype = copy.deepcopy(stack), _dtype(rows)
    for module in (*stack.layers, *stack.decoders):
        if module is not None:
            module.to(_here(device), dtype)
    return stack, dtype


def _numpy(rows: torch.Tensor) -> np.ndarray:
    found: np.ndarray = rows.detach().flatten(1).cpu().numpy()
    return found


def _dtype(rows: Any) -> torch.dtype:
    return torch.float32 if rows.dtype == np.float32 else torch.float64


def _here(device: Any) -> torch.device:
    """Return a device; the CPU where it isn't there, so that what was trained on a GPU is of use elsewhere."""
    try:
        return pick_device(device)
    except PlanError:
        return torch.device("cpu")
