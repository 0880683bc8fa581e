"""The six methods of scripts/tables.py, each with as many candidate settings as the others.

A method is handed all training rows, the classes of the labelled ones and nothing else; which of its candidates is
used, `tables.tune` chooses. All networks have the same hidden layers, batch size and epochs of supervised training.
"""

from __future__ import annotations

import copy
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from sklearn.ensemble import HistGradientBoostingClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.neural_network import MLPClassifier
from sklearn.semi_supervised import LabelSpreading

import layerwise as lw
from layerwise.estimators.settings import settings_of
from layerwise.estimators.training import Started, start
from layerwise.nn.initialization import initialize_output_bias
from layerwise.randomness import Randomness

SIZES, EPOCHS, PRETRAIN_EPOCHS = (256, 256), 30, 10
RATES = (0.01, 0.03, 0.1)
ROUNDS = 60  # of boosting, as in layerwise.compare
SPREAD_ROWS = 5000  # unlabelled rows that label spreading is given: its graph is of all pairs of rows
Candidate = dict[str, Any]
Predict = Callable[[np.ndarray], np.ndarray]


@dataclass(frozen=True)
class Known:
    """What a method may see.

    Attributes
    ----------
    inputs : ndarray of float32, shape (rows, features)
        All training rows.
    labelled : ndarray of int, shape (labels,)
        Positions of the labelled ones among them.
    codes : ndarray of int, shape (labels,)
        Their classes.
    classes : int
        How many classes there are.
    seed : int
        Of everything that is drawn.
    """

    inputs: np.ndarray
    labelled: np.ndarray
    codes: np.ndarray
    classes: int
    seed: int

    def part(self, chosen: np.ndarray) -> Known:
        """Return the same rows of which fewer are labelled: those at these positions among the labelled."""
        return Known(self.inputs, self.labelled[chosen], self.codes[chosen], self.classes, self.seed)


@dataclass(frozen=True)
class Method:
    """Settings to choose from, of equals the first; and how a candidate is fitted."""

    candidates: tuple[Candidate, ...]
    fit: Callable[[Known, Candidate], Predict]


class Layerwise:
    """What `LayerwiseClassifier.fit` does, but that one pre-training serves all that is fine-tuned from it.

    The random arm is the same without an objective, and starts from the same weights.
    """

    def __init__(self) -> None:
        self.started: dict[Any, Started] = {}

    def fit(self, known: Known, candidate: Candidate) -> Predict:
        """Fine-tune a copy of the network that was pre-trained on all rows, now or before."""
        estimator = classifier(candidate, known.seed)
        settings = settings_of(estimator)
        randomness = Randomness(known.seed, "estimator", 0)  # the estimator's own at its first fit
        # the rate of fine-tuning plays no part before it
        key = known.seed, id(known.inputs), settings.model_copy(update={"learning_rate": 0.0}).model_dump_json()
        if key not in self.started:
            self.started[key] = start(estimator, settings, known.inputs, None, known.classes, randomness)
        network = copy.deepcopy(self.started[key].network)
        initialize_output_bias(network[-1], torch.from_numpy(known.codes))
        lw.finetune(
            network, known.inputs[known.labelled], known.codes, classes=range(known.classes),
            random_state=randomness.seed("finetune"), **settings.finetuning(len(known.codes), 0, validated=False),
        )  # fmt: skip
        network.eval()

        def predict(rows: np.ndarray) -> np.ndarray:
            with torch.inference_mode():
                return network(torch.from_numpy(rows)).argmax(1).numpy()

        return predict


def classifier(candidate: Candidate, seed: int) -> lw.LayerwiseClassifier:
    """Return the estimator with a candidate's settings."""
    return lw.LayerwiseClassifier(
        SIZES, activation="relu", pretrain_epochs=PRETRAIN_EPOCHS, epochs=EPOCHS, early_stopping=False,
        random_state=seed, **candidate,
    )  # fmt: skip


def of_scikit_learn(build: Callable[[Candidate, Known], Any]) -> Callable[[Known, Candidate], Predict]:
    """Return a fit on the labelled rows alone."""

    def fit(known: Known, candidate: Candidate) -> Predict:
        return build(candidate, known).fit(known.inputs[known.labelled], known.codes).predict

    return fit


def spread(known: Known, candidate: Candidate) -> Predict:
    """Fit label spreading on the labelled rows and some of the others; a row that no label reaches is of the commonest.

    The others are the first of one order of all rows, whatever is labelled.
    """
    others = Randomness(known.seed).numpy("spreading").permutation(len(known.inputs))
    others = others[~np.isin(others, known.labelled)][:SPREAD_ROWS]
    codes = np.concatenate([known.codes, np.full(len(others), -1)])
    rows = known.inputs[np.concatenate([known.labelled, others])]
    model = LabelSpreading(kernel="knn", **candidate).fit(rows, codes)

    def predict(new: np.ndarray) -> np.ndarray:
        with np.errstate(invalid="ignore"):  # 0 of 0, where no label has come
            shares = model.predict_proba(new)
        reached = ~np.isnan(shares).any(1)
        return np.where(reached, model.classes_[shares.argmax(1)], np.bincount(known.codes).argmax())

    return predict


def perceptron(candidate: Candidate, known: Known) -> MLPClassifier:
    """Return scikit-learn's network, as large as ours and with as many updates, by Adam."""
    batch = settings_of(classifier({}, 0)).finetuning(len(known.codes), 0, validated=False)["batch_size"]
    return MLPClassifier(
        SIZES, batch_size=min(batch, len(known.codes)), max_iter=EPOCHS, n_iter_no_change=EPOCHS,
        random_state=known.seed, **candidate,
    )  # fmt: skip


def methods() -> dict[str, Method]:
    """Return the methods of one seed of one table, those of ours sharing what was pre-trained.

    Ours are regularised by noise in both arms: the pre-trained one in pre-training, the random one by dropout.
    """
    noises = (lw.DenoisingAutoencoder(lw.SwapNoise(0.15)), lw.DenoisingAutoencoder(lw.Masking(0.25)))
    ours = Layerwise()
    return {
        "pre-trained": Method(
            tuple({"objective": noise, "learning_rate": rate} for noise in noises for rate in RATES), ours.fit
        ),
        "random": Method(
            tuple({"objective": None, "dropout": drop, "learning_rate": rate} for drop in (0.0, 0.3) for rate in RATES),
            ours.fit,
        ),
        "logistic regression": Method(
            tuple({"C": c} for c in (0.001, 0.01, 0.1, 1.0, 10.0, 100.0)),
            of_scikit_learn(lambda candidate, _: LogisticRegression(max_iter=500, **candidate)),
        ),
        "gradient boosting": Method(
            tuple(
                {"max_leaf_nodes": leaves, "min_samples_leaf": least} for leaves in (4, 16) for least in (20, 10, 3)
            ),
            of_scikit_learn(
                lambda candidate, known: HistGradientBoostingClassifier(
                    max_iter=ROUNDS, early_stopping=False, random_state=known.seed, **candidate
                )
            ),
        ),
        "MLP": Method(
            tuple({"alpha": alpha, "learning_rate_init": rate} for alpha in (1.0, 1e-4) for rate in (3e-4, 1e-3, 3e-3)),
            of_scikit_learn(perceptron),
        ),
        "label spreading": Method(
            tuple({"n_neighbors": near, "alpha": alpha} for near in (15, 7, 3) for alpha in (0.2, 0.8)), spread
        ),
    }  # fmt: skip
