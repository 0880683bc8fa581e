"""What a trial measures: the pre-trained arm of a comparison, tuned as a comparison tunes it, with one set of settings.

Pre-train on all training rows, fine-tune on the labels of one budget, and read the smallest validation error off the
curve, on rows that are held out of those labels. No test row is given to anything here. All trials share the split, the
initial weights and the order of batches: they are those of a comparison's first seed.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

from ..comparison.arms import Arm, arms_of, draw_network, pretrain_arm, unlabelled_rows
from ..comparison.budgets import nested_budgets, validation_folds
from ..comparison.experiment import Experiment
from ..comparison.rows import Rows
from ..comparison.tuning import Labelled, tune_arm
from ..plan import Plan
from ..randomness import Randomness
from ..runs.checkpoint import Place
from ..runs.history import History
from ..training.loop import Callback, Progress, Surroundings

Halve = Callable[[int, float], None]  # told of an epoch and its validation error; raises `GivenUp`


class GivenUp(Exception):
    """A trial that its own validation error ended early."""


class RowCount:
    """Counts the rows that weights are trained on, over all fits it is told of; a fit that starts afresh counts again.

    A pre-trained layer that another trial had left finished adds nothing.
    """

    def __init__(self) -> None:
        self.rows = 0
        self._seen: dict[str, int] = {}

    def __call__(self, told: Progress) -> None:
        """Take what a callback is told."""
        before = self._seen.get(told.fit, 0)
        self.rows += told.rows - (before if told.rows >= before else 0)
        self._seen[told.fit] = told.rows


class Measurement:
    """The rows that every trial of a search learns from and is judged on.

    Parameters
    ----------
    plan : Plan
        The recipe as it is; its random state draws rows, weights and batches.
    rows : Rows
        Of a comparison; its test rows stay untouched.
    labels : int
        The label budget.
    device : str
        Where to train.
    """

    def __init__(self, plan: Plan, rows: Rows, labels: int, device: str = "auto") -> None:
        self.rows, self.labels, self.device = rows, labels, device
        self.randomness = Randomness(plan.compare.random_state).child("seed-0")
        self.chosen = nested_budgets(rows.codes, [labels], self.randomness)[labels]
        self.codes = rows.codes[self.chosen]
        folds = validation_folds(self.codes, self.randomness.child(f"labels-{labels}"))
        # an objective that learns from labels must not see those held out: one fold, and one pre-training for it
        self.folds = folds[:1] if _arm(plan).needs_targets else folds

    @property
    def validation_rows(self) -> int:
        """How many rows a validation error is taken over, all folds together."""
        return sum(len(held_out) for _, held_out in self.folds)

    def check(self, plan: Plan) -> Experiment:
        """Find what would stop a trial of a plan half-way, and return the experiment that it is a part of."""
        compare = plan.compare.model_copy(
            update={"budgets": (self.labels,), "headline": self.labels, "baselines": (), "tune": True, "seeds": 1}
        )
        return Experiment(plan.model_copy(update={"compare": compare}), self.rows, self.device, arms=[_arm(plan)])

    def run(
        self,
        plan: Plan,
        name: str,
        callbacks: Sequence[Callback] = (),
        halve: Halve | None = None,
        shared: Callable[[str, History], Place | None] | None = None,
    ) -> tuple[float, int]:
        """Return the smallest validation error of one set of settings, in percent, and the epochs that it takes.

        Raises
        ------
        DivergenceError
            When a loss is not finite.
        GivenUp
            When ``halve`` says so.
        """
        experiment = self.check(plan)
        watched: list[Callback] = [*([_Halving(halve)] if halve else []), *callbacks]
        around = Surroundings(name, self.randomness, None, watched, shared=shared)
        arm = _arm(plan)
        network = draw_network(arm, self.rows, self.randomness.child("network"))
        if arm.pretrain is not None:
            seen = self.chosen[self.folds[0][0]] if arm.needs_targets else None
            pretrain_arm(arm, network, self.rows, around, self.device, seen)
        others = unlabelled_rows(plan.finetune, self.rows, self.chosen)
        labelled = Labelled(self.rows.inputs[self.chosen], self.codes, self.folds, others)
        finetune = experiment.finetune_plan(arm, self.labels)
        own = replace(around.child(f"labels-{self.labels}"), shared=None)
        choice = tune_arm(arm, network, labelled, finetune, own, self.device)
        (row,) = choice.rows
        return float(row["validation_error"]), int(row["settings"]["epochs"])


def _arm(plan: Plan) -> Arm:
    """Return the pre-trained arm, which has the plan's one learning rate of fine-tuning."""
    return replace(arms_of(plan)[0], learning_rates=(plan.finetune.learning_rate,))


class _Halving:
    """Tells of each epoch's validation error in the first fold."""

    def __init__(self, halve: Halve) -> None:
        self.halve = halve

    def __call__(self, told: Progress) -> None:
        if told.record is not None and told.fit.endswith("/fold-0") and told.update > 0:
            self.halve(round(told.record["epoch"]), told.record["validation_error"])
