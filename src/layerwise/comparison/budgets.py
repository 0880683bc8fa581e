"""Which labelled rows an arm may see: label budgets, test rows and validation rows, all stratified by class.

Targets arrive as codes: 0 .. classes-1, and -1 for a row without a label.
"""

from __future__ import annotations

from collections.abc import Sequence
from numbers import Integral

import numpy as np
import torch
from sklearn.model_selection import StratifiedKFold, StratifiedShuffleSplit
from torch import Tensor

from ..errors import DataError
from ..randomness import Randomness

ONE_HOLD_OUT_FROM = 500  # from here on a quarter of the budget is enough rows to choose by
HOLD_OUT = 0.25
FOLDS = 5


def auto_budgets(n_labelled: int, n_classes: int) -> tuple[int, ...]:
    """Return the label budgets for data of this size: 10 and 100 rows per class, capped by what there is.

    The smaller budget is dropped when the larger is not at least twice its size: the two would ask the same
    question.

    Examples
    --------
    >>> auto_budgets(60_000, 10)
    (100, 1000)
    >>> auto_budgets(500, 10)
    (100, 500)
    >>> auto_budgets(120, 10)
    (120,)
    """
    few, many = 10 * n_classes, min(100 * n_classes, n_labelled)
    return (few, many) if 2 * few <= many else (many,)


def check_budgets(budgets: Sequence[int], codes: Tensor, classes: Sequence[object]) -> tuple[int, ...]:
    """Return the budgets in rising order, or say everything that is wrong with them at once.

    Parameters
    ----------
    budgets : sequence of int
        Labelled rows per budget.
    codes : Tensor of int64, shape (rows,)
        Class of every row that a budget may draw, -1 where there is no label.
    classes : sequence
        The names of the classes, by code.

    Raises
    ------
    DataError
        Fewer than two classes; a class with fewer than two labelled rows; a budget that is not a positive
        whole number, is named twice, exceeds the labelled rows or is smaller than the number of classes.

    Examples
    --------
    >>> check_budgets([4, 2], torch.tensor([0, 1, 0, 1, -1]), ["no", "yes"])
    (2, 4)
    """
    counts = class_counts(codes, len(classes))
    faults, hints = _class_faults(counts, classes)
    labelled = int(counts.sum())
    if not len(budgets):
        faults.append("no label budget is given")
        hints.append("name at least one, for example budgets=[1000]")
    for position, budget in enumerate(budgets):
        fault = _budget_fault(budget, labelled, len(classes))
        if fault is None and budget in budgets[:position]:
            fault = f"the label budget {budget} is named twice"
        if fault is not None:
            faults.append(fault)
            hints.append(f"choose different label budgets between {len(classes)} and {labelled}")
    if faults:
        raise DataError("; ".join(faults), "; ".join(dict.fromkeys(hints)))
    return tuple(sorted(int(budget) for budget in budgets))


def nested_budgets(codes: Tensor, budgets: Sequence[int], randomness: Randomness) -> dict[int, Tensor]:
    """Draw the rows of each budget, every budget's rows being contained in the next larger one's.

    Each class is shuffled once and a budget takes its first rows. How many follows the class proportions by
    largest remainder, with at least two rows of each class where the budget allows it, else at least one.

    Parameters
    ----------
    codes : Tensor of int64, shape (rows,)
        Class of every row, -1 where there is no label.
    budgets : sequence of int
        As `check_budgets` returns them.
    randomness : Randomness
        That of one seed; another seed draws other rows.

    Returns
    -------
    dict of int to Tensor of int64
        Budget -> its row numbers in rising order, in the order of rising budgets.

    Examples
    --------
    >>> rows = nested_budgets(torch.tensor([0, 1, 0, 1, -1, 0]), [2, 5], Randomness(0))
    >>> len(rows[2]), rows[5].tolist()
    (2, [0, 1, 2, 3, 5])
    """
    counts = class_counts(codes)
    shuffled = [_shuffled(codes, code, randomness.child("budgets")) for code in range(len(counts))]
    drawn: dict[int, Tensor] = {}
    taken = np.zeros_like(counts)
    for budget in sorted(budgets):
        # At least what the smaller budget has: largest remainder alone can shrink a class (Alabama paradox).
        one, two = (np.maximum(taken, np.minimum(counts, n)) for n in (1, 2))
        taken = proportional(counts, budget, two if two.sum() <= budget else one)
        rows = [own[:n] for own, n in zip(shuffled, taken.tolist(), strict=True)]
        drawn[int(budget)] = torch.cat(rows).sort().values
    return drawn


def split_test(codes: Tensor, fraction: float, randomness: Randomness) -> tuple[Tensor, Tensor]:
    """Split rows into training and test rows, stratified by class.

    Rows without a label all go to training, and so do at least two labelled rows of each class.

    Returns
    -------
    training, test : Tensor of int64
        Row numbers in rising order.

    Raises
    ------
    DataError
        When the fraction is not between 0 and 1, or leaves no test row.

    Examples
    --------
    >>> training, test = split_test(torch.tensor([0, 1] * 10 + [-1]), 0.2, Randomness(0))
    >>> len(training), len(test)
    (17, 4)
    """
    if not 0 < fraction < 1:
        raise DataError(
            f"the fraction of test rows is {fraction}, expected more than 0 and less than 1",
            "give for example 0.2",
        )
    counts = class_counts(codes)
    spare = np.maximum(counts - 2, 0)
    wanted = min(round(fraction * int(counts.sum())), int(spare.sum()))
    if wanted == 0:
        raise DataError(
            f"a fraction of {fraction} of {int(counts.sum())} labelled rows leaves no test row "
            "(two rows of each class stay in training)",
            "raise the fraction, give more labelled rows, or give test rows of their own",
        )
    sizes = proportional(counts, wanted, np.zeros_like(counts), spare)
    source = randomness.child("test")
    chosen = [_shuffled(codes, code, source)[:n] for code, n in enumerate(sizes.tolist())]
    test = torch.cat(chosen).sort().values
    training = torch.ones(len(codes), dtype=torch.bool)
    training[test] = False
    return training.nonzero().flatten(), test


def validation_folds(codes: Tensor, randomness: Randomness) -> list[tuple[Tensor, Tensor]]:
    """Split a budget into training and validation rows, stratified by class.

    One quarter is held out when the budget has 500 rows or more. A smaller one is cross-validated in five
    folds, or as many as its rarest class has rows. A class with a single row keeps that row in training.

    Parameters
    ----------
    codes : Tensor of int64, shape (budget,)
        Classes of the budget's rows; all have one.
    randomness : Randomness
        That of one seed and budget.

    Returns
    -------
    list of (Tensor, Tensor)
        Per fold the positions *within the budget* of its training and its validation rows.

    Raises
    ------
    DataError
        When no class has two rows, so that nothing can be held out.

    Examples
    --------
    >>> folds = validation_folds(torch.arange(20) % 4, Randomness(0))
    >>> len(folds), [len(rows) for rows in folds[0]]
    (5, [16, 4])
    """
    labels = np.asarray(codes)
    counts = np.bincount(labels)
    single = np.isin(labels, np.flatnonzero(counts == 1))
    alone, several = np.flatnonzero(single), np.flatnonzero(~single)
    if not len(several):
        raise DataError(
            f"a label budget of {len(labels)} has one row of each class: none can be held out for validation",
            f"raise the budget to at least {2 * len(labels)}, or set tune=False and baselines=[]",
        )
    seed = randomness.seed("folds") % 2**32  # scikit-learn takes 32 bits
    kinds = int((counts > 1).sum())
    splitter: StratifiedShuffleSplit | StratifiedKFold
    if len(labels) >= ONE_HOLD_OUT_FROM and len(several) * HOLD_OUT >= kinds:
        splitter = StratifiedShuffleSplit(n_splits=1, test_size=HOLD_OUT, random_state=seed)
    else:
        folds = min(FOLDS, int(counts[counts > 1].min()))
        splitter = StratifiedKFold(n_splits=folds, shuffle=True, random_state=seed)
    return [
        (
            torch.from_numpy(np.sort(np.concatenate([several[training], alone]))),
            torch.from_numpy(np.sort(several[held_out])),
        )
        for training, held_out in splitter.split(several, labels[several])
    ]


def class_counts(codes: Tensor, n_classes: int = 0) -> np.ndarray:
    """Return the number of labelled rows of each class, shape (classes,).

    Examples
    --------
    >>> class_counts(torch.tensor([0, -1, 2, 2])).tolist()
    [1, 0, 2]
    """
    counts: np.ndarray = np.bincount(codes[codes >= 0].numpy(), minlength=n_classes)
    return counts


def proportional(counts: np.ndarray, total: int, least: np.ndarray, most: np.ndarray | None = None) -> np.ndarray:
    """Share a total among classes in proportion to their counts, by largest remainder within bounds.

    Parameters
    ----------
    counts : array of int, shape (classes,)
        Rows of each class.
    total : int
        Rows to share; between the sums of the bounds.
    least, most : array of int, shape (classes,)
        Bounds of each class's share; `most` is `counts` when not given.

    Examples
    --------
    >>> proportional(np.array([70, 20, 10]), 15, np.array([0, 0, 2])).tolist()
    [10, 3, 2]
    """
    most = counts if most is None else most
    if not least.sum() <= total <= most.sum():
        raise ValueError(f"cannot share {total} rows: the bounds allow {least.sum()} to {most.sum()}")
    quota = total * counts / counts.sum()
    share: np.ndarray = np.clip(np.floor(quota).astype(np.int64), least, most)
    while (missing := total - int(share.sum())) != 0:
        if missing > 0:
            share[np.argmax(np.where(share < most, quota - share, -np.inf))] += 1
        else:
            share[np.argmax(np.where(share > least, share - quota, -np.inf))] -= 1
    return share


def _shuffled(codes: Tensor, code: int, randomness: Randomness) -> Tensor:
    rows = (codes == code).nonzero().flatten()
    return rows[torch.randperm(len(rows), generator=randomness.generator(code))]


def _class_faults(counts: np.ndarray, classes: Sequence[object]) -> tuple[list[str], list[str]]:
    faults, hints = [], []
    if len(classes) < 2:
        faults.append(f"the labels have {len(classes)} class(es), a comparison needs at least 2")
        hints.append("check which column or data set holds the labels")
    for name, count in zip(classes, counts.tolist(), strict=True):
        if count < 2:
            rows = "1 labelled row" if count == 1 else "no labelled row"
            faults.append(f"class {name!r} has {rows}, expected at least 2")
            hints.append("label more rows of the class, merge it with another, or remove its label")
    return faults, hints


def _budget_fault(budget: object, labelled: int, n_classes: int) -> str | None:
    if isinstance(budget, bool) or not isinstance(budget, Integral) or int(budget) < 1:
        return f"the label budget {budget!r} is not a positive whole number"
    if int(budget) > labelled:
        return f"the label budget {budget} exceeds the {labelled} labelled rows there are"
    if int(budget) < n_classes:
        return f"the label budget {budget} is smaller than the number of classes, {n_classes}"
    return None
