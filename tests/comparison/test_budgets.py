"""Budgets are nested, stratified and repeatable, and impossible ones are refused together."""

from __future__ import annotations

import itertools

import pytest
import torch

from layerwise.comparison.budgets import (
    auto_budgets,
    check_budgets,
    class_counts,
    nested_budgets,
    split_test,
    validation_folds,
)
from layerwise.errors import DataError
from layerwise.randomness import Randomness


def uneven_codes() -> torch.Tensor:
    """1,000 rows: 600, 250, 90, 40 and 20 of five classes, and 300 without a label, in no order."""
    codes = torch.cat([torch.full((n,), c) for c, n in ((0, 600), (1, 250), (2, 90), (3, 40), (4, 20), (-1, 300))])
    return codes[torch.randperm(len(codes), generator=torch.Generator().manual_seed(0))]


@pytest.mark.parametrize(
    ("labelled", "classes", "expected"),
    [
        (60_000, 10, (100, 1000)),
        (1000, 10, (100, 1000)),
        (200, 10, (100, 200)),
        (199, 10, (199,)),
        (8, 2, (8,)),
    ],
)
def test_auto_budgets_follow_the_classes_and_what_there_is(
    labelled: int, classes: int, expected: tuple[int, ...]
) -> None:
    assert auto_budgets(labelled, classes) == expected


def test_budgets_are_nested_and_hold_labelled_rows_once() -> None:
    codes = uneven_codes()
    budgets = [5, 7, 10, 11, 50, 51, 52, 53, 400, 1000]
    drawn = nested_budgets(codes, budgets, Randomness(3))
    assert list(drawn) == budgets
    for budget, rows in drawn.items():
        assert rows.dtype == torch.int64 and len(rows.unique()) == budget == len(rows)
        assert (codes[rows] >= 0).all()
    for small, large in itertools.pairwise(budgets):
        assert set(drawn[small].tolist()) <= set(drawn[large].tolist())


def test_nesting_survives_a_share_that_largest_remainder_would_shrink() -> None:
    """Of 30, 30 and 8 rows, 21 give the small class three and 22 only two: the Alabama paradox."""
    codes = torch.tensor([0] * 30 + [1] * 30 + [2] * 8)
    alone = [nested_budgets(codes, [budget], Randomness(0))[budget] for budget in (21, 22)]
    assert [class_counts(codes[rows]).tolist() for rows in alone] == [[9, 9, 3], [10, 10, 2]]
    drawn = nested_budgets(codes, [21, 22], Randomness(0))
    assert class_counts(codes[drawn[22]]).tolist() == [10, 9, 3]
    assert set(drawn[21].tolist()) <= set(drawn[22].tolist())


def test_class_proportions_are_kept_and_no_class_is_left_out() -> None:
    codes = uneven_codes()
    drawn = nested_budgets(codes, [5, 12, 100, 1000], Randomness(0))
    assert class_counts(codes[drawn[5]], 5).tolist() == [1, 1, 1, 1, 1]
    assert class_counts(codes[drawn[12]], 5).min() == 2
    assert class_counts(codes[drawn[100]], 5).tolist() == [60, 25, 9, 4, 2]
    assert class_counts(codes[drawn[1000]], 5).tolist() == [600, 250, 90, 40, 20]


def test_a_seed_gives_the_same_rows_again_and_another_seed_other_rows() -> None:
    """False alarm: two seeds draw the same 100 of 1,000 rows with probability below 1e-100."""
    codes = uneven_codes()
    first, again, other = (nested_budgets(codes, [100], Randomness(s))[100] for s in (0, 0, 1))
    assert torch.equal(first, again) and not torch.equal(first, other)
    assert torch.equal(first, nested_budgets(codes, [100, 1000], Randomness(0))[100])


def test_check_budgets_sorts() -> None:
    assert check_budgets([1000, 10], uneven_codes(), "abcde") == (10, 1000)


@pytest.mark.parametrize(
    ("budgets", "message"),
    [
        ([0], "budget 0 is not a positive whole number"),
        ([-5], "budget -5 is not a positive whole number"),
        ([2.5], r"budget 2\.5 is not a positive whole number"),
        ([True], "budget True is not a positive whole number"),
        ([1001], "budget 1001 exceeds the 1000 labelled rows there are"),
        ([4], "budget 4 is smaller than the number of classes, 5"),
        ([50, 50], "budget 50 is named twice"),
        ([], "no label budget is given"),
    ],
)
def test_impossible_budgets_are_refused(budgets: list[int], message: str) -> None:
    with pytest.raises(DataError, match=message) as caught:
        check_budgets(budgets, uneven_codes(), "abcde")
    assert caught.value.hint


def test_all_faults_are_reported_together_with_the_class_and_its_rows() -> None:
    codes = torch.tensor([0, 0, 0, 1, -1, -1])
    with pytest.raises(DataError) as caught:
        check_budgets([0, 99], codes, ["cat", "dog", "owl"])
    for part in (
        "'dog' has 1 labelled row",
        "'owl' has no labelled row",
        "budget 0 is not",
        "budget 99 exceeds",
    ):
        assert part in caught.value.message
    assert "label more rows of the class" in caught.value.hint


def test_one_class_is_refused() -> None:
    with pytest.raises(DataError, match="at least 2"):
        check_budgets([2], torch.zeros(5, dtype=torch.int64), ["only"])


def test_test_rows_are_stratified_labelled_and_apart_from_training() -> None:
    codes = uneven_codes()
    training, test = split_test(codes, 0.2, Randomness(0))
    assert class_counts(codes[test], 5).tolist() == [120, 50, 18, 8, 4]
    assert (codes[training] == -1).sum() == 300
    assert sorted(training.tolist() + test.tolist()) == list(range(1300))
    assert torch.equal(test, split_test(codes, 0.2, Randomness(0))[1])
    assert not torch.equal(test, split_test(codes, 0.2, Randomness(1))[1])


def test_a_rare_class_keeps_two_training_rows() -> None:
    codes = torch.tensor([0] * 50 + [1] * 3 + [2] * 2)
    training, _ = split_test(codes, 0.9, Randomness(0))
    assert class_counts(codes[training]).tolist() == [2, 2, 2]


@pytest.mark.parametrize("fraction", [0.0, 1.0, -0.1, 7.0, float("nan")])
def test_a_fraction_must_lie_between_0_and_1(fraction: float) -> None:
    with pytest.raises(DataError, match="more than 0 and less than 1"):
        split_test(uneven_codes(), fraction, Randomness(0))


def test_a_split_without_test_rows_is_refused() -> None:
    with pytest.raises(DataError, match="leaves no test row"):
        split_test(torch.tensor([0, 0, 1, 1]), 0.5, Randomness(0))


def test_a_large_budget_holds_out_a_quarter_of_each_class() -> None:
    codes = torch.arange(1000) % 10
    [(training, held_out)] = validation_folds(codes, Randomness(0))
    assert class_counts(codes[held_out]).tolist() == [25] * 10
    assert sorted(training.tolist() + held_out.tolist()) == list(range(1000))


def test_a_small_budget_is_cross_validated_and_validates_each_row_once() -> None:
    codes = torch.arange(499) % 10
    folds = validation_folds(codes, Randomness(0))
    assert len(folds) == 5
    assert sorted(torch.cat([held_out for _, held_out in folds]).tolist()) == list(range(499))
    for training, held_out in folds:
        assert sorted(training.tolist() + held_out.tolist()) == list(range(499))
        counts = class_counts(codes[held_out], 10)
        assert counts.min() >= 9 and counts.max() <= 10
    assert torch.equal(folds[0][1], validation_folds(codes, Randomness(0))[0][1])


def test_the_rarest_class_limits_the_folds() -> None:
    assert len(validation_folds(torch.tensor([0] * 20 + [1] * 3), Randomness(0))) == 3


@pytest.mark.parametrize("others", [20, 600])
def test_a_single_row_of_a_class_stays_in_training(others: int) -> None:
    codes = torch.tensor([0, 1] * (others // 2) + [2])
    for training, held_out in validation_folds(codes, Randomness(0)):
        assert others in training.tolist() and others not in held_out.tolist()


def test_many_classes_of_few_rows_are_cross_validated_whatever_the_budget() -> None:
    codes = torch.arange(600) % 300
    assert len(validation_folds(codes, Randomness(0))) == 2


def test_one_row_of_each_class_leaves_nothing_to_validate_on() -> None:
    with pytest.raises(DataError, match="none can be held out"):
        validation_folds(torch.arange(5), Randomness(0))
