"""How much of the differences between trials each setting explains, and how sure that is."""

from __future__ import annotations

import math
import warnings
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from ..randomness import Randomness
from .domains import Choices, Domain, written
from .journal import load_optuna, quiet

FEWEST = 10  # trials; below, no importance is computed
SURE_FROM = 10  # trials for each setting; below, an importance is called uncertain
RESAMPLES = 5
TREES = 24


def importances(
    domains: Mapping[str, Domain], trials: Sequence[tuple[Mapping[str, Any], float]], randomness: Randomness
) -> list[dict[str, Any]]:
    r"""Return the share of the validation errors' variance that each setting alone explains, by functional ANOVA.

    A random forest is fitted to the logarithm of the errors, and the variance of its predictions over the domain is
    taken apart by settings; what two or more explain together is left out, and the rest is scaled to a sum of 1. The
    interval is the range over some resamples of the trials: where it is wide, another search could rank otherwise.

    Parameters
    ----------
    domains : mapping
        By name.
    trials : sequence of (values, error)
        Those with a result.
    randomness : Randomness
        Of the resamples and the forests.

    Returns
    -------
    list of dict
        ``name``, ``importance``, ``low``, ``high``, the most important first; empty with too few trials or where
        nothing varies.

    References
    ----------
    Hutter, Hoos and Leyton-Brown (2014), An efficient approach for assessing hyperparameter importance.
    """
    names = [name for name in domains if all(name in values for values, _ in trials)]
    varied = [name for name in names if len({written(values[name]) for values, _ in trials}) > 1]
    if len(trials) < FEWEST or not varied or len({error for _, error in trials}) == 1:
        return []
    generator = randomness.numpy("resamples")
    samples = [list(range(len(trials)))]
    samples += [generator.integers(len(trials), size=len(trials)).tolist() for _ in range(RESAMPLES)]
    found = [
        _fanova(
            {name: domains[name] for name in varied}, [trials[i] for i in sample], randomness.seed("forest", number)
        )
        for number, sample in enumerate(samples)
    ]
    ranked = sorted(varied, key=lambda name: -found[0].get(name, 0.0))
    return [
        {
            "name": name,
            "importance": found[0].get(name, 0.0),
            "low": min(one.get(name, 0.0) for one in found),
            "high": max(one.get(name, 0.0) for one in found),
        }
        for name in ranked
    ]


def _fanova(
    domains: Mapping[str, Domain], trials: Sequence[tuple[Mapping[str, Any], float]], seed: int
) -> dict[str, float]:
    optuna = load_optuna()
    with quiet(), warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of a method that Optuna calls experimental
        study = optuna.create_study()
        distributions = {name: distribution(optuna, domain) for name, domain in domains.items()}
        for values, error in trials:
            params = {
                name: written(values[name]) if isinstance(domain, Choices) else values[name]
                for name, domain in domains.items()
            }
            study.add_trial(
                optuna.trial.create_trial(params=params, distributions=distributions, value=math.log(max(error, 1e-3)))
            )
        evaluator = optuna.importance.FanovaImportanceEvaluator(n_trees=TREES, seed=seed % 2**32)
        try:
            found: dict[str, float] = optuna.importance.get_param_importances(study, evaluator=evaluator)
        except RuntimeError:  # a resample in which no tree could be split
            return {}
    return {name: float(value) if np.isfinite(value) else 0.0 for name, value in found.items()}


def distribution(optuna: Any, domain: Domain) -> Any:
    """Return a domain as Optuna's."""
    if isinstance(domain, Choices):
        return optuna.distributions.CategoricalDistribution([written(value) for value in domain.values])
    kind = optuna.distributions.IntDistribution if domain.whole else optuna.distributions.FloatDistribution
    ends = (int(domain.low), int(domain.high)) if domain.whole else (domain.low, domain.high)
    return kind(*ends, log=domain.log)
