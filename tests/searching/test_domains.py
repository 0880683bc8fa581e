"""Domains: drawn evenly, in the logarithm where asked; laid out on a grid exactly; an edge and its cure."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
from scipy import stats

from layerwise.errors import PlanError
from layerwise.plan import Plan
from layerwise.randomness import Randomness
from layerwise.recipe import misfit, read_recipe, shipped
from layerwise.searching.domains import (
    DEFAULT_DOMAINS,
    EDGE,
    Choices,
    Domain,
    Span,
    default_domains,
    domains_of,
    edges,
    grid_points,
)
from layerwise.searching.methods import drawn, grid_values

# Each of these tests has a false-alarm rate of 0.1 %; the seed is fixed, so that it alarms always or never.
RARE = 0.001
DRAWS = 2000


def draws(domain: Domain) -> list[float]:
    return [drawn({"x": domain}, Randomness(0), number)["x"] for number in range(DRAWS)]


def test_a_logarithmic_range_is_drawn_evenly_in_its_logarithm() -> None:
    found = draws(Span(0.001, 0.5, log=True))
    expected = stats.loguniform(0.001, 0.5)
    assert stats.kstest(found, expected.cdf).pvalue > RARE
    assert stats.kstest(found, stats.uniform(0.001, 0.499).cdf).pvalue < RARE


def test_a_range_is_drawn_evenly() -> None:
    assert stats.kstest(draws(Span(-1.0, 3.0)), stats.uniform(-1.0, 4.0).cdf).pvalue > RARE


def test_whole_numbers_are_equally_likely_at_the_ends_too() -> None:
    found = draws(Span(2, 6, whole=True))
    assert set(found) == {2, 3, 4, 5, 6} and all(isinstance(value, int) for value in found)
    assert stats.chisquare(np.bincount(found)[2:]).pvalue > RARE


def test_whole_numbers_of_a_logarithmic_range_are_as_likely_as_their_ratios() -> None:
    found = draws(Span(1, 8, log=True, whole=True))
    ends = np.log(np.arange(1, 10) - 0.5)
    assert stats.chisquare(np.bincount(found)[1:], DRAWS * np.diff(ends) / (ends[-1] - ends[0])).pvalue > RARE


def test_choices_are_equally_likely() -> None:
    counts = [draws(Choices(("a", "b", "c"))).count(choice) for choice in ("a", "b", "c")]  # type: ignore[arg-type]
    assert sum(counts) == DRAWS and stats.chisquare(counts).pvalue > RARE


def test_settings_are_drawn_independently() -> None:
    domains: dict[str, Domain] = {"a": Span(0.0, 1.0), "b": Span(0.0, 1.0)}
    found = [drawn(domains, Randomness(0), number) for number in range(DRAWS)]
    assert stats.pearsonr([one["a"] for one in found], [one["b"] for one in found]).pvalue > RARE


def test_the_ends_of_a_span_are_its_first_and_last_point() -> None:
    assert Span(0.001, 0.5, log=True).points(3)[::2] == [0.001, 0.5]
    assert Span(0.001, 0.1, log=True).points(1) == [0.01]
    assert Span(0.0, 4.0).points(2) == [1.0, 3.0] and Span(1, 10000, log=True, whole=True).points(2) == [10, 1000]
    assert Span(0.0, 0.6).points(4) == [0.0, 0.2, 0.4, 0.6]
    assert Span(2, 30, log=True, whole=True).points(3) == [2, 8, 30]


@pytest.mark.parametrize("trials", [1, 2, 7, 36, 60])
def test_a_grid_is_the_product_of_its_points_and_no_larger_than_the_trials(trials: int) -> None:
    domains: dict[str, Domain] = {"a": Span(0.0, 1.0), "b": Span(1.0, 100.0, log=True), "c": Span(1, 2, whole=True)}
    points = grid_points(domains, trials)
    assert all(len(set(values)) == len(values) for values in points.values())
    assert math.prod(map(len, points.values())) <= trials
    for name in ("a", "b"):  # no range could have one point more
        assert math.prod(len(v) + (key == name) for key, v in points.items()) > trials
    values = grid_values(domains, trials, Randomness(0))
    listed = sorted(tuple(one[name] for name in domains) for one in values)
    assert listed == sorted(itertools.product(*(points[name] for name in domains)))


def test_a_grid_has_every_choice_or_is_refused() -> None:
    domains: dict[str, Domain] = {"a": Choices(tuple("abc")), "b": Choices((1, 2, 3)), "c": Span(0.0, 1.0)}
    assert grid_points(domains, 9) == {"a": ["a", "b", "c"], "b": [1, 2, 3], "c": [0.5]}
    with pytest.raises(PlanError, match="9 combinations, more than 8 trials"):
        grid_points(domains, 8)


def test_the_settings_say_which_ranges_are_whole() -> None:
    plan = Plan(search={"pretrain.epochs": {"low": 1, "high": 9}, "finetune.learning_rate": {"low": 1, "high": 2}})
    assert domains_of(plan) == {
        "pretrain.epochs": Span(1, 9, whole=True), "finetune.learning_rate": Span(1, 2),
    }  # fmt: skip


@pytest.mark.parametrize("name", sorted(shipped()))
def test_the_default_domains_fit_every_shipped_recipe(name: str) -> None:
    plan = read_recipe(name)
    found = default_domains(plan)
    assert set(found) <= set(DEFAULT_DOMAINS) and "finetune.learning_rate" in found
    assert all(misfit(plan, setting, value) is None for setting, domain in domains_of(plan).items()
               for value in domain.points(2))  # fmt: skip
    assert ("pretrain.objective.corruption.rate" in found) == ("masking" in str(plan.pretrain.objective))


def test_the_default_recipe_is_searched_everywhere() -> None:
    assert set(default_domains(Plan())) == set(DEFAULT_DOMAINS)


RATE = Span(0.01, 1.0, log=True)


@pytest.mark.parametrize(
    "value, end",
    [(0.01, "low"), (0.012, "low"), (0.013, None), (0.1, None), (0.79, None), (0.8, "high"), (1.0, "high")],
)
def test_the_edge_is_a_share_of_the_logarithm(value: float, end: str | None) -> None:
    assert abs(RATE.place(0.0126) - EDGE) < 0.001
    found = edges(Plan(), {"finetune.learning_rate": RATE}, {"finetune.learning_rate": value})
    assert [edge.end for edge in found] == ([end] if end else [])


def test_an_edge_names_the_setting_and_a_range_that_is_wider_on_that_side() -> None:
    (edge,) = edges(Plan(), {"finetune.learning_rate": RATE}, {"finetune.learning_rate": 0.97})
    assert (edge.wider.low, edge.wider.high, edge.wider.log) == (0.01, 10.0, True)
    assert "finetune.learning_rate, 0.97, lies within 5% of its high end" in str(edge)
    assert 'search "finetune.learning_rate" = { low = 0.01, high = 10, log = true }' in str(edge)


def test_where_a_setting_goes_no_further_there_is_no_edge() -> None:
    domains: dict[str, Domain] = {"network.dropout": Span(0.0, 0.5), "pretrain.epochs": Span(1, 9, whole=True)}
    assert edges(Plan(), domains, {"network.dropout": 0.0, "pretrain.epochs": 1}) == []
    high = edges(Plan(), domains, {"network.dropout": 0.499, "pretrain.epochs": 9})
    assert [(edge.wider.low, edge.wider.high) for edge in high] == [(0.0, 0.8), (1, 13)]


def test_the_edge_of_one_layers_range_is_that_of_its_setting() -> None:
    name = "layer 2: pretrain.learning_rate"
    (edge,) = edges(Plan(), {name: RATE}, {name: 0.01})
    assert edge.end == "low" and edge.wider.low == 0.001
