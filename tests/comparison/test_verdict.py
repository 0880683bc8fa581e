"""The four answers at and beside their borders, what would settle an open one, and what the sentence says."""

from __future__ import annotations

import numpy as np
import pytest

from layerwise.comparison.statistics import half_width
from layerwise.comparison.verdict import Verdict, decide, what_settles
from layerwise.errors import PlanError


def judged(gain: float, half: float, seeds: int = 5, min_gain: float = 0.5, **more: object) -> Verdict:
    return decide(gain, gain - half, gain + half, seeds=seeds, min_gain=min_gain, **more)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("gain", "half", "min_gain", "verdict", "harmful"),
    [
        (2.0, 0.5, 0.5, "WORTH IT", False),
        (0.5, 0.25, 0.5, "WORTH IT", False),  # the gain is just what was asked for
        (0.5, 0.5, 0.5, "CANNOT TELL", False),  # the interval touches 0
        (0.4375, 0.25, 0.5, "CANNOT TELL", False),  # above 0, but is it worth having?
        (0.25, 0.125, 0.5, "DO NOT PRE-TRAIN", False),  # a sure gain, too small
        (0.25, 0.25, 0.5, "CANNOT TELL", False),  # the interval touches min_gain
        (0.0, 0.25, 0.5, "DO NOT PRE-TRAIN", False),
        (-1.0, 1.0, 0.5, "DO NOT PRE-TRAIN", False),  # the interval touches 0
        (-1.0, 0.5, 0.5, "DO NOT PRE-TRAIN", True),
        (-1.0, 2.0, 0.5, "CANNOT TELL", False),
        (3.0, 4.0, 0.5, "CANNOT TELL", False),
        (0.1, 0.05, 0.0, "WORTH IT", False),
        (0.0, 0.0, 0.0, "CANNOT TELL", False),
        (-0.1, 0.05, 0.0, "DO NOT PRE-TRAIN", True),
    ],
)
def test_borders(gain: float, half: float, min_gain: float, verdict: str, harmful: bool) -> None:
    found = judged(gain, half, min_gain=min_gain)
    assert (found.verdict, found.harmful) == (verdict, harmful)
    assert found.needed is None  # nothing is known of the two errors here


@pytest.mark.parametrize(("seeds", "preliminary"), [(3, True), (4, True), (5, False), (10, False)])
def test_few_seeds_are_preliminary(seeds: int, preliminary: bool) -> None:
    found = judged(2.0, 0.5, seeds=seeds)
    assert found.preliminary is preliminary
    assert ("preliminary" in found.explanation) is preliminary


@pytest.mark.parametrize("seeds", [1, 2])
def test_below_three_seeds_there_is_no_verdict(seeds: int) -> None:
    for bounds in ((None, None), (1.0, 3.0)):
        found = decide(2.0, *bounds, seeds=seeds, min_gain=0.5)
        assert (found.verdict, found.needed) == ("NO VERDICT", {"seeds": 3})
        assert not found.preliminary and "too few" in found.explanation


@pytest.mark.parametrize("control", [False, True])
@pytest.mark.parametrize("gain", [2.0, 0.8, 0.0, -2.0])
@pytest.mark.parametrize("seeds", [1, 3, 5])
def test_every_explanation_states_gain_seeds_and_scope(gain: float, seeds: int, control: bool) -> None:
    text = judged(gain, 1.0, seeds=seeds, labels=1000, control=control).explanation
    assert text.endswith("this data, network and settings only.") and text.startswith("With 1,000 labels, ")
    assert f"{abs(gain):.2f} points" in text and f"{seeds} seed" in text
    assert ("both arms were random" in text) is control
    assert ("pre-training" in text) is not control
    assert "\n" not in text and "-0.00" not in text
    if seeds >= 3:
        assert f"{gain - 1:.2f} to {gain + 1:.2f}" in text


def test_harm_and_the_way_out_are_said() -> None:
    assert (
        "raised the test error by 2.00 points (gain -2.00, 95 % interval -2.50 to -1.50" in judged(-2, 0.5).explanation
    )
    assert "it did harm" in judged(-2, 0.5).explanation
    found = judged(1.0, half_width(0.5, 0.1, 5), se_seeds=0.5, se_rows=0.1, test_rows=10_000)
    assert found.needed == {"seeds": 8} and "about 8 seeds would settle it" in found.explanation
    hopeless = judged(0.4999, 0.3, se_seeds=0.1, se_rows=0.05, test_rows=1000)
    assert hopeless.needed is None and "neither more seeds nor more test rows" in hopeless.explanation
    assert "leaves open" in hopeless.explanation


def test_a_control_that_finds_a_difference_says_false_alarm() -> None:
    for gain in (2.0, -2.0):
        text = judged(gain, 0.5, control=True).explanation
        assert "no true difference exists" in text and "a false alarm" in text and "harm" not in text
    assert "false alarm" not in judged(0.1, 0.5, control=True).explanation


def settled(gain: float, half: float, seeds: int) -> bool:
    return judged(gain, half, seeds).verdict in ("WORTH IT", "DO NOT PRE-TRAIN")


@pytest.mark.parametrize("gain", [-1.0, 0.2, 0.45, 0.5, 0.8, 2.0])
@pytest.mark.parametrize(
    ("se_seeds", "se_rows"), [(0.6, 0.1), (0.3, 0.04), (0.1, 0.6), (1.0, 1.0), (0.0, 0.7), (0.7, 0.0)]
)
def test_what_is_needed_settles_it_and_no_less_would(gain: float, se_seeds: float, se_rows: float) -> None:
    """Read back through `decide`, each standard error shrunk by the square root of what there is more of."""
    half = half_width(se_seeds, se_rows, 5)
    if settled(gain, half, 5):
        assert judged(gain, half, se_seeds=se_seeds, se_rows=se_rows, test_rows=1000).needed is None
        return
    needed = what_settles(gain, 5, 0.5, se_seeds, se_rows, test_rows=1000)
    by_seeds = [settled(gain, half_width(se_seeds * (5 / n) ** 0.5, se_rows, n), n) for n in range(5, 101)]
    by_rows = [
        settled(gain, half_width(se_seeds, se_rows * (1000 / n) ** 0.5, 5), 5) for n in range(1000, 100_001, 100)
    ]
    if needed is None:
        assert not any(by_seeds) and not any(by_rows)
    elif "seeds" in needed:
        assert by_seeds[needed["seeds"] - 5] and not by_seeds[needed["seeds"] - 6]
    else:
        rows = needed["test_rows"]
        assert settled(gain, half_width(se_seeds, se_rows * (1000 / rows) ** 0.5, 5), 5)
        assert not settled(gain, half_width(se_seeds, se_rows * (1000 / (0.9 * rows)) ** 0.5, 5), 5)


def test_the_larger_error_is_tried_first() -> None:
    assert what_settles(1.0, 5, 0.5, 0.35, 0.3, 1000) == {"seeds": 7}
    assert what_settles(1.0, 5, 0.5, 0.2, 0.45, 1000) == {"test_rows": 1200}


@pytest.mark.parametrize("min_gain", [-0.1, np.nan, np.inf])
def test_an_impossible_min_gain_is_refused(min_gain: float) -> None:
    with pytest.raises(PlanError, match="min_gain"):
        judged(1.0, 0.5, min_gain=min_gain)
