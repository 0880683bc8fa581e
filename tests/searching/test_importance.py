"""Importances: the setting that decides is found, one that does nothing is not, and few trials say nothing."""

from __future__ import annotations

from layerwise.randomness import Randomness
from layerwise.searching.domains import Choices, Domain, Span
from layerwise.searching.importance import FEWEST, importances
from layerwise.searching.methods import drawn

DOMAINS: dict[str, Domain] = {
    "decides": Span(0.001, 1.0, log=True),
    "helps": Choices(((16,), (32,))),
    "nothing": Span(1, 9, whole=True),
}


def trials(count: int) -> list[tuple[dict[str, object], float]]:
    values = [drawn(DOMAINS, Randomness(0), number) for number in range(count)]
    return [(one, 5.0 + 20 * abs(DOMAINS["decides"].place(one["decides"]) - 0.5) + (one["helps"] == (16,)))  # type: ignore[union-attr]
            for one in values]  # fmt: skip


def test_the_setting_that_decides_is_first_and_one_that_does_nothing_is_near_0() -> None:
    found = importances(DOMAINS, trials(40), Randomness(0))
    assert found[0]["name"] == "decides" and found[0]["importance"] > 0.7
    assert next(one["importance"] for one in found if one["name"] == "nothing") < 0.1
    assert abs(sum(one["importance"] for one in found) - 1) < 1e-6
    assert all(one["low"] <= one["importance"] <= one["high"] for one in found)


def test_the_same_trials_say_the_same() -> None:
    assert importances(DOMAINS, trials(15), Randomness(0)) == importances(DOMAINS, trials(15), Randomness(0))


def test_too_few_trials_or_none_that_differ_say_nothing() -> None:
    assert importances(DOMAINS, trials(FEWEST - 1), Randomness(0)) == []
    assert importances(DOMAINS, [(values, 5.0) for values, _ in trials(20)], Randomness(0)) == []
    assert (
        importances({"helps": Choices(((16,),))}, [({"helps": (16,)}, float(n)) for n in range(20)], Randomness(0))
        == []
    )
