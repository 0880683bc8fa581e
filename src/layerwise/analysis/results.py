"""What many runs came to, as plain values: the files that the page and the pictures are made from."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
from scipy import stats

from ..errors import DataError
from ..intervals import mean_interval
from .embedding import embed
from .function_space import Regions, regions
from .matched_loss import equal_loss
from .recording import function_points
from .run import Run
from .spread_over_seeds import SpreadTest, equal_spreads, spread

ARMS = ("pretrained", "random")
ALPHA = 0.05
DIGITS = 4


def trajectory_results(runs: Sequence[Run], random_state: int = 0) -> dict[str, Any]:
    """Return the trajectories of both arms in function space: embedded, and as distances.

    Parameters
    ----------
    runs : sequence of Run
        Both arms, "pretrained" and "random", of the same seeds, with the same checkpoints and watched rows.
    random_state : int
        Of t-SNE and of the permutation test.

    Returns
    -------
    dict
        ``updates``, ``epochs``; ``runs``, each with its ``arm``, ``seed`` and the places of its checkpoints in either
        embedding; ``regions``, one for each checkpoint; ``end``, that of the last; ``sentence``.
    """
    chosen = _paired(runs)
    together = [run for arm in ARMS for run in chosen[arm]]
    points = np.stack([function_points(run.outputs) for run in together])  # (runs, checkpoints, features)
    flat = points.reshape(-1, points.shape[-1])
    placed = {name: embed(flat, name, random_state).reshape(*points.shape[:2], 2) for name in ("isomap", "tsne")}
    arms = [run.arm for run in together]
    at = [regions(points[:, place], arms) for place in range(points.shape[1])]
    end = regions(points[:, -1], arms, random_state, paired=True)
    return {
        "updates": together[0].updates,
        "epochs": together[0].epochs,
        "watched": together[0].outputs.shape[1],
        "runs": [
            {"arm": run.arm, "seed": run.seed, **{name: _rounded(place[number]) for name, place in placed.items()}}
            for number, run in enumerate(together)
        ],
        "regions": [asdict(found) for found in at],
        "end": asdict(end),
        "sentence": _where(end),
    }


def _where(end: Regions) -> str:
    here, there = (end.within[arm] for arm in ARMS)
    apart = "The two regions do not overlap" if end.purity == 1.0 else "The two regions overlap"
    closer = "closer together" if here < there else "further from each other"
    p = "" if end.p_value is None else f" (p = {end.p_value:.2g}, swapping arms within seeds)"
    sure = "" if end.p_value is None or end.p_value < ALPHA else ", which chance could do as well"
    return (
        f"{apart}: the nearest other network is of the same arm for {100 * end.purity:.0f} % of the networks "
        f"({100 * end.chance:.0f} % if the arms did not matter), silhouette {end.silhouette:.2f}. Two pre-trained "
        f"networks end {here:.3f} apart on average, two random ones {there:.3f}, one of each {end.between:.3f}: the "
        f"pre-trained ones end {closer}{p}{sure}."
    )


def equal_loss_results(runs: Sequence[Run]) -> dict[str, Any]:
    """Return both arms' test loss at equal training loss, and each run's curve.

    Parameters
    ----------
    runs : sequence of Run
        Both arms, "pretrained" and "random", of the same seeds.

    Returns
    -------
    dict
        The fields of `EqualLoss`, ``sentence``, and ``curves``, one a run.
    """
    chosen = _paired(runs)
    found = equal_loss([run.curve for run in chosen["pretrained"]], [run.curve for run in chosen["random"]])
    curves = [
        {"arm": run.arm, "seed": run.seed, "training": _rounded(run.training_loss), "test": _rounded(run.test_loss)}
        for arm in ARMS
        for run in chosen[arm]
    ]
    return {**asdict(found), "sentence": found.sentence, "curves": curves}


def depth_results(runs: Mapping[int, Sequence[Run]]) -> dict[str, Any]:
    """Return the test error of both arms at each depth: its distribution over seeds, and what it shows.

    Parameters
    ----------
    runs : mapping of int to sequence of Run
        By the number of hidden layers: both arms, "pretrained" and "random", of the same seeds.

    Returns
    -------
    dict
        ``depths``, each with the errors of both arms, their `Spread`, the `SpreadTest` of random against pre-trained
        and the paired ``gain`` (random minus pre-trained, points); ``growth`` of each arm's mean error from the
        shallowest to the deepest (Welch's interval); ``sentence``.
    """
    depths = []
    for depth in sorted(runs):
        chosen = _paired(runs[depth])
        errors = {arm: [float(run.test_error[-1]) for run in chosen[arm]] for arm in ARMS}
        depths.append(
            {
                "depth": depth,
                "errors": errors,
                "spread": {arm: asdict(spread(values)) for arm, values in errors.items()},
                "equal_spreads": asdict(equal_spreads(errors["pretrained"], errors["random"])),
                "gain": asdict(mean_interval(np.subtract(errors["random"], errors["pretrained"]))),
            }
        )
    growth = {arm: _growth(depths[0]["errors"][arm], depths[-1]["errors"][arm]) for arm in ARMS}  # type: ignore[index]
    return {"depths": depths, "growth": growth, "sentence": _pattern(depths, growth)}


def _growth(shallow: Sequence[float], deep: Sequence[float]) -> dict[str, float]:
    if np.ptp(shallow) == 0 and np.ptp(deep) == 0:
        difference = deep[0] - shallow[0]
        return {"mean": difference, "low": difference, "high": difference}
    ends = stats.ttest_ind(deep, shallow, equal_var=False).confidence_interval()
    return {"mean": float(np.mean(deep) - np.mean(shallow)), "low": float(ends.low), "high": float(ends.high)}


def _pattern(depths: Sequence[Mapping[str, Any]], growth: Mapping[str, Mapping[str, float]]) -> str:
    first, last = depths[0]["depth"], depths[-1]["depth"]
    wider = [
        str(row["depth"])
        for row in depths
        if row["spread"]["random"]["std"] > row["spread"]["pretrained"]["std"]
        and SpreadTest(**row["equal_spreads"]).p_value < ALPHA / len(depths)
    ]
    grown = growth["random"]["low"] > max(0.0, growth["pretrained"]["high"])
    random, pretrained = (
        f"{growth[arm]['mean']:+.2f} points (95 % interval {growth[arm]['low']:.2f} to {growth[arm]['high']:.2f})"
        for arm in ("random", "pretrained")
    )
    means = (
        f"From {first} to {last} hidden layers the mean test error of the random arm changes by {random}, that of the "
        f"pre-trained arm by {pretrained}"
    )
    spreads = (
        f"random errors spread wider over the seeds at {', '.join(wider)} hidden layers" if wider
        else "at no depth do random errors clearly spread wider over the seeds"
    )  # fmt: skip
    shown = {2: "The published pattern shows", 1: "The published pattern shows in part", 0: "It does not show"}
    level = f"Brown and Forsythe's test, p < {ALPHA:g}/{len(depths)}"
    return f"{shown[int(grown) + bool(wider)]}. {means}; {spreads} ({level})."


def layer_results(runs: Sequence[Run], arms: Sequence[str]) -> dict[str, Any]:
    """Return the test error of arms that differ in which layers were pre-trained.

    Parameters
    ----------
    runs : sequence of Run
        All of them of the same seeds; "random" is one of the arms.
    arms : sequence of str
        Their names, in the order to be shown.

    Returns
    -------
    dict
        ``arms``, each with its ``name``, its ``errors``, the `Interval` of the mean and that of the paired ``gain``
        over the random arm, in points.
    """
    chosen = _by_seed(runs, arms)
    errors = {arm: np.array([run.test_error[-1] for run in chosen[arm]]) for arm in arms}
    rows = [
        {"name": arm, "errors": errors[arm], "error": asdict(mean_interval(errors[arm])),
         "gain": None if arm == "random" else asdict(mean_interval(errors["random"] - errors[arm]))}
        for arm in arms
    ]  # fmt: skip
    return {"arms": rows}


def write_page(folder: str | Path, page: str | Path | None = None) -> Path:
    """Make one HTML page, which needs no network, from the result files in a folder.

    Parameters
    ----------
    folder : path
        With any of ``trajectories.json``, ``equal-loss.json``, ``depth.json`` and ``layers.json``: what the functions
        of this module return, written as JSON.
    page : path, optional
        Where it goes; ``report.html`` in the folder when left out.

    Raises
    ------
    RunError
        When the folder has none of them, one is damaged, or the page cannot be written.
    """
    from ..report.many_runs import write_many_runs  # plotly takes a second to import, and only the report needs it

    return write_many_runs(folder, page)


def _paired(runs: Sequence[Run]) -> dict[str, list[Run]]:
    return _by_seed(runs, ARMS)


def _by_seed(runs: Sequence[Run], arms: Sequence[str]) -> dict[str, list[Run]]:
    """Return each arm's runs by seed; every arm must have the same seeds and checkpoints."""
    found = {arm: sorted((run for run in runs if run.arm == arm), key=lambda run: run.seed) for arm in arms}
    seeds = {arm: [run.seed for run in of] for arm, of in found.items()}
    alike = len({tuple(numbers) for numbers in seeds.values()}) == 1 and len(seeds[arms[0]]) > 1
    if not alike:
        raise DataError(f"the arms have the seeds {seeds}, expected the same two or more", "finish the missing runs")
    if len({tuple(run.updates) for of in found.values() for run in of}) > 1:
        raise DataError("the runs were looked at after different updates", "give runs of one plan")
    return found


def _rounded(values: np.ndarray) -> list[Any]:
    """Round to some significant digits, so that the files stay small."""
    return [float(f"{x:.{DIGITS}g}") if np.ndim(x) == 0 else _rounded(x) for x in values]
