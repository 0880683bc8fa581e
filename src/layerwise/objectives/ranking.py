"""Ranking: a score that is higher for what is true than for sampled negatives, by a margin.

As a layer's objective the negatives are corrupted rows; as the loss of a network's outputs they are other labels.
"""

from __future__ import annotations

from dataclasses import KW_ONLY
from typing import Annotated, ClassVar, Literal

import torch
from pydantic import ConfigDict, Field, Tag
from pydantic.dataclasses import dataclass
from torch import Generator, Tensor, nn

from ..data.batches import Batch
from ..errors import DataError
from ..nn.layers import Layer
from .objective import FeatureFacts
from .supervised import temporary_head

VALUE = ConfigDict(extra="forbid")
Count = Annotated[int, Field(ge=1)]
Margin = Annotated[float, Field(gt=0.0, allow_inf_nan=False)]
Weighting = Literal["none", "wsabie"]
EULER = 0.5772156649015329  # the harmonic number of r is digamma(r + 1) + this
CLEAN_SEED = 20_080_705


@dataclass(frozen=True, config=VALUE)
class RankingLayer:
    r"""Train a layer to score a row above copies of it in which one element is replaced.

    .. math::
        s(x) = u^\top h(x), \qquad
        \ell = \frac1N \sum_{n=1}^N \max(0, m - s(x) + s(\tilde x^{(n)})), \text{ averaged over rows}

    :math:`\tilde x` is x with one element replaced by the value that another row of the batch has there: the other row
    is drawn uniformly, then the element uniformly among those in which the two rows differ. (Drawn among all elements,
    most negatives of sparse rows would equal x: they cost the margin and teach nothing.) Where the two rows are equal,
    the negative is x itself and costs the margin. The scorer u lives in the learner only; a bias of it would cancel.

    Losses are averaged over negatives, so that the learning rate does not depend on their number.

    Parameters
    ----------
    negatives : int
        N, corrupted copies of each row in an update: its cost grows with 1 + N.
    margin : float
        m, above 0.
    weighting : {"none", "wsabie"}
        "wsabie": the negatives are tried in order; the first, n-th, one that violates the margin is the row's whole
        loss, times :math:`L(\lfloor N / n \rfloor)`, :math:`L(r) = \sum_{i=1}^r 1/i`: an early violation means that
        many negatives rank above the row. With one negative it is the same as "none".

    Raises
    ------
    DataError
        When there is no other row to take values from.

    References
    ----------
    Collobert & Weston (2008), A unified architecture for natural language processing. Weston, Bengio & Usunier (2011),
    WSABIE: scaling up to large vocabulary image annotation.

    Examples
    --------
    >>> RankingLayer(10, weighting="wsabie").margin
    1.0
    """

    needs_targets: ClassVar[bool] = False
    negatives: Count = 1
    _: KW_ONLY
    margin: Margin = 1.0
    weighting: Weighting = "none"
    kind: Literal["ranking"] = "ranking"

    def build(self, layer: Layer, facts: FeatureFacts, generator: Generator) -> RankingLearner:
        """Build the learner of a layer; the scorer's weights are drawn from the generator."""
        if facts.rows < 2:
            raise DataError(
                f"layer {layer.name!r}: {facts.rows} row, ranking expects another one to take values from",
                "give two rows or more",
            )
        return RankingLearner(self, layer, temporary_head(layer, facts, 1, generator, bias=False))


@dataclass(frozen=True, config=VALUE)
class RankingLoss:
    r"""Fine-tune so that the score of the true label is above those of sampled other labels.

    .. math::
        \ell = \frac1N \sum_{n=1}^N \max(0, m - s_y(x) + s_{\tilde y_n}(x)), \qquad
        \tilde y_n \text{ uniform among the labels} \ne y, \text{ averaged over rows}

    Only the scores of the sampled labels are computed, from their rows of the head's weights. With Y labels,
    :math:`(Y - 1)\,\ell` has the sum over all other labels as its mean.

    Parameters
    ----------
    negatives : int
        N, drawn with replacement.
    margin : float
        m, above 0.
    weighting : {"none", "wsabie"}
        "wsabie": the negatives are tried in order; the first, n-th, one that violates the margin is the row's whole
        loss, times :math:`L(\lfloor (Y - 1) / n \rfloor)`, :math:`L(r) = \sum_{i=1}^r 1/i`, with at least L(1).

    References
    ----------
    Weston, Bengio & Usunier (2011), WSABIE: scaling up to large vocabulary image annotation.

    Examples
    --------
    >>> RankingLoss(negatives=20).weighting
    'none'
    """

    negatives: Count = 10
    _: KW_ONLY
    margin: Margin = 1.0
    weighting: Weighting = "none"
    kind: Literal["ranking-loss"] = "ranking-loss"


# the tag is what a fault in a recipe is looked up by
OutputLoss = Literal["cross_entropy", "squared"] | Annotated[RankingLoss, Tag("ranking-loss")]


class RankingLearner(nn.Module):
    """A layer and its temporary scorer, trained to rank rows above their corrupted copies.

    Parameters
    ----------
    settings : RankingLayer
        Number of negatives, margin and weighting.
    layer : Layer
        What is trained.
    scorer : nn.Linear
        One output, on the elements of a code.
    """

    loss_name = "ranking"
    decoder = None

    def __init__(self, settings: RankingLayer, layer: Layer, scorer: nn.Linear) -> None:
        super().__init__()
        self.settings, self.layer, self.scorer = settings, layer, scorer
        self.weights: Tensor | None
        weights = rank_weights(settings.negatives, settings.negatives) if settings.weighting == "wsabie" else None
        self.register_buffer("weights", None if weights is None else weights.to(scorer.weight), persistent=False)

    def scores(self, inputs: Tensor) -> Tensor:
        """Return the score of each row."""
        scores: Tensor = self.scorer(self.layer(inputs).flatten(1)).squeeze(1)
        return scores

    def loss(self, batch: Batch, generator: Generator) -> Tensor:
        """Return the ranking loss of a batch against copies of its rows corrupted by draws of the generator."""
        rows, count = batch.inputs, self.settings.negatives
        negatives = [replace_one(rows, generator) for _ in range(count)]
        # in one pass, so that batch normalisation takes true and corrupted rows alike
        scores = self.scores(torch.cat([rows, *negatives])).view(1 + count, len(rows))
        return margin_losses(scores[0], scores[1:].T, self.settings.margin, self.weights).mean()

    def after_update(self) -> None:
        """Nothing to project."""

    def clean_loss(self, batch: Batch) -> Tensor:
        """Return the ranking loss against the same corrupted copies at every call."""
        rows = batch.inputs
        generator = torch.Generator(rows.device).manual_seed(CLEAN_SEED)
        # one after the other: the codes of all copies of a large block of rows at once would fill the memory
        negative = [self.scores(replace_one(rows, generator)) for _ in range(self.settings.negatives)]
        return margin_losses(self.scores(rows), torch.stack(negative, 1), self.settings.margin, self.weights).mean()

    def mean_predictor_loss(self, batch: Batch) -> Tensor:
        """Return the loss of one score for all rows: every negative violates by exactly the margin."""
        same = batch.inputs.new_zeros(1)
        return margin_losses(same, same.expand(1, self.settings.negatives), self.settings.margin, self.weights).mean()


def replace_one(rows: Tensor, generator: Generator) -> Tensor:
    """Return a copy of rows (rows, ...) in which one element of each is another row's value of that element.

    The other row is uniform; the element is uniform among those in which the two differ. A row that equals the other
    one stays as it is.

    Examples
    --------
    >>> rows = torch.tensor([[0.0, 1.0, 2.0], [0.0, 5.0, 2.0]])
    >>> replace_one(rows, torch.Generator())
    tensor([[0., 5., 2.],
            [0., 1., 2.]])
    """
    count, flat = len(rows), rows.flatten(1)
    # float64: a float32 draw just below 1 times the count would round up to the count
    draws = torch.rand(2, count, generator=generator, dtype=torch.float64, device=generator.device).to(rows.device)
    numbers = torch.arange(count, device=rows.device)
    others = flat[(numbers + 1 + (draws[0] * (count - 1)).long()) % count]
    up_to = (flat != others).cumsum(1, dtype=torch.int32)
    wanted = 1 + (draws[1] * up_to[:, -1]).int()
    chosen = torch.searchsorted(up_to, wanted[:, None]).clamp(max=flat.shape[1] - 1)
    return flat.scatter(1, chosen, others.gather(1, chosen)).view_as(rows)


def margin_losses(true: Tensor, negative: Tensor, margin: float, weights: Tensor | None = None) -> Tensor:
    r"""Return the loss of each row from the scores of what is true and of its negatives.

    .. math::
        v_n = \max(0, m - s + s_n), \qquad
        \ell = \frac1N \sum_n v_n \;\text{ or }\; w_k v_k, \; k = \min\{n: v_n > 0\}

    Parameters
    ----------
    true : Tensor, shape (rows,)
        s.
    negative : Tensor, shape (rows, N)
        s_n, in the order in which they are tried.
    margin : float
        m.
    weights : Tensor, shape (N,), or None
        w, as `rank_weights` gives them; None takes the mean over negatives.

    Examples
    --------
    >>> true, negative = torch.tensor([2.0]), torch.tensor([[0.0, 1.5, 3.0]])
    >>> margin_losses(true, negative, 1.0), margin_losses(true, negative, 1.0, torch.tensor([3.0, 2.0, 1.0]))
    (tensor([0.8333]), tensor([1.]))
    """
    violations = (margin - true[:, None] + negative).clamp(min=0.0)
    if weights is None:
        return violations.mean(1)
    first = (violations > 0).int().argmax(1)  # 0 where none violates, whose violation is 0 too
    return weights[first] * violations.gather(1, first[:, None]).squeeze(1)


def rank_weights(candidates: int, negatives: int) -> Tensor:
    r"""Return the weight of a first violation at each trial: :math:`L(\max(1, \lfloor C / n \rfloor))`, n from 1.

    Parameters
    ----------
    candidates : int
        C, the number of things that could rank above what is true.
    negatives : int
        Number of trials.

    Returns
    -------
    Tensor of float64, shape (negatives,)
        :math:`L(r) = \sum_{i=1}^r 1/i`.

    Examples
    --------
    >>> rank_weights(4, 3)
    tensor([2.0833, 1.5000, 1.0000], dtype=torch.float64)
    """
    ranks = (candidates // torch.arange(1, negatives + 1)).clamp(min=1)
    return torch.digamma(ranks.double() + 1) + EULER
