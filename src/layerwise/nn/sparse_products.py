"""Products of sparse rows with a weight: what is gathered of it is the columns that the rows touch.

They are fast where a column is one piece of memory, the weight's transpose being contiguous. PyTorch's bags of
embeddings make them: of the CPU's ways, products with CSR tensors and `torch.sparse.sampled_addmm` among them, they
take the least time.
"""

from __future__ import annotations

import torch
from torch import Tensor


def gathered(rows: Tensor, weight: Tensor) -> Tensor:
    """Return sparse rows (B, d) times the transpose of a weight (H, d).

    Examples
    --------
    >>> gathered(torch.tensor([[0.0, 2.0], [0.0, 0.0]]).to_sparse_csr(), torch.tensor([[5.0, 7.0]])).tolist()
    [[14.0], [0.0]]
    """
    return torch.nn.functional.embedding_bag(
        rows.col_indices(), weight.t(), rows.crow_indices(), mode="sum", per_sample_weights=rows.values(),
        include_last_offset=True,
    )  # fmt: skip


def dots(codes: Tensor, weight: Tensor, pointers: Tensor, rows: Tensor, columns: Tensor) -> Tensor:
    """Return elements of codes (B, H) times a weight (H, d), row after row.

    Parameters
    ----------
    codes, weight : Tensor
        The factors.
    pointers : Tensor of int64, shape (B + 1,)
        Where each row's elements begin and end.
    rows, columns : Tensor of int64, shape (n,)
        Row and column of each.

    Examples
    --------
    >>> codes, weight = torch.tensor([[1.0, 1.0], [2.0, 0.0]]), torch.tensor([[1.0, 2.0, 3.0], [10.0, 20.0, 30.0]])
    >>> dots(codes, weight, torch.tensor([0, 2, 3]), torch.tensor([0, 0, 1]), torch.tensor([0, 2, 1])).tolist()
    [11.0, 33.0, 4.0]
    """
    # the gradient of a bag's sum by the factor of each of its members is just this
    return torch.ops.aten._embedding_bag_per_sample_weights_backward(codes, weight.t(), columns, pointers[:-1], rows, 0)  # type: ignore[no-any-return]
