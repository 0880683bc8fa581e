"""The score: in which direction, and how steeply, a row becomes more likely."""

from __future__ import annotations

import torch
from torch import Tensor

from ..stack import Stack
from .energy import energy_model, prepared


def score(stack: Stack, inputs: Tensor, *, layer: int = 1) -> Tensor:
    r"""Return the score of each row, :math:`\partial \log p(x) / \partial x`, under one layer's model of its input.

    It exists for two kinds of layer, and both have it as a scaled residual of their reconstruction r:

    .. math::
        \frac{\partial \log p(x)}{\partial x} = -\frac{\partial F(x)}{\partial x} = \frac{r(x) - x}{\sigma^2},
        \qquad r(x) = b + W^\top s(W x + c)

    * A denoising auto-encoder with Gaussian noise of standard deviation :math:`\sigma`, the squared loss, a linear
      decoder and tied weights. p is then an estimate of the *smoothed* density, that of the noisy rows
      :math:`x + \sigma\varepsilon`: the r of least loss gives its score exactly, for any :math:`\sigma`. r(x) - x is
      the gradient of an energy whatever the weights are, so p exists; how near it is to the rows' own density is up to
      the training. One weight sets both how far a unit moves r and how steeply, so that little noise is learned badly:
      scale the rows so that :math:`\sigma` is 1 or more in their unit.
    * An RBM with Gaussian visible units: r is the mean of :math:`v` given the mean of the hidden units,
      :math:`\sigma` is 1, and p is the RBM's own density, exactly.

    Refused, because there the residual need not be the gradient of any density: untied weights, a sigmoid decoder,
    other noise than Gaussian or none, penalties, several activations, the other objectives. An RBM of binary units has
    no density: `layerwise.density.energy.free_energy` ranks its rows by probability.

    Parameters
    ----------
    stack : Stack
        What `pretrain` returned (with noise on each layer's own input, its default), or `Stack.load`.
    inputs : Tensor, shape (rows, ...)
        As the layer takes them: for the first those of the network, for layer k ``stack.encode(inputs, k - 1)``.
    layer : int
        Which layer's model, from 1.

    Returns
    -------
    Tensor, shape of the rows
        In 1 / (unit of the rows).

    Raises
    ------
    PlanError, NetworkError
        When there is no score, naming the layer, why, and what would do.
    DataError
        When the rows do not fit the layer.

    References
    ----------
    Vincent (2011), A connection between score matching and denoising autoencoders, Neural Computation 23. Alain &
    Bengio (2014), What regularized auto-encoders learn from the data-generating distribution, JMLR 15. Hyvärinen
    (2005), Estimation of non-normalized statistical models by score matching, JMLR 6.

    Examples
    --------
    >>> from torch import nn
    >>> from layerwise import DenoisingAutoencoder, GaussianNoise, pretrain
    >>> rows = torch.randn(200, 5, generator=torch.Generator().manual_seed(0))
    >>> network = nn.Sequential(nn.Linear(5, 8), nn.Sigmoid(), nn.Linear(8, 2))
    >>> objective = DenoisingAutoencoder(GaussianNoise(0.5), decoder="linear")
    >>> stack = pretrain(network, rows, objective=objective, epochs=2, random_state=0).stack
    >>> score(stack, rows).shape
    torch.Size([200, 5])
    """
    model = energy_model(stack, layer, density=True)
    return torch.cat([model.score(block).reshape(shape) for block, shape in prepared(model, inputs)])
