"""The arms of a comparison, and the rival networks beside them: where each starts and how it is trained."""

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from ..data.features import Features, as_features
from ..data.rowset import RowSet
from ..errors import NetworkError, PlanError
from ..finetuning import finetune_network, predict_outputs
from ..nn.initialization import initialize_output_bias
from ..nn.networks import build_network, dense_modules
from ..objectives.classification import check_ends_in_head
from ..plan import FinetunePlan, NetworkPlan, Plan, PretrainPlan
from ..pretraining import PretrainResult, pretrain_layers
from ..randomness import Randomness
from ..training.loop import Surroundings
from .convergence import Curve
from .rows import Rows

ARMS = ("pretrained", "random")
CURVE_POINTS = 40  # validations of a final fit, unless the plan says how often
# What every rival does without: it is trained by its own optimiser from random weights.
_PLAIN = {
    "momentum": 0.0, "momentum_schedule": None, "schedule": None, "l1": 0.0, "l2": 0.0, "max_norm": None,
    "clip_norm": None, "fan_in_scaling": False, "bias_rate": 1.0, "freeze": (),
}  # fmt: skip
Factory = Callable[[], nn.Module]
Judge = Callable[[nn.Module, nn.Module], None]  # is handed a network before and after fine-tuning


@dataclass(frozen=True)
class Rival:
    """A random network trained in another way, tuned like the arms: what pre-training is up against."""

    arm: str
    learning_rates: tuple[float, ...]
    finetune: Mapping[str, Any]
    network: Mapping[str, Any]


RIVALS = {
    "modern network": Rival(
        "modern", (0.0003, 0.001, 0.003), {**_PLAIN, "optimizer": "adam"},
        {"activation": "relu", "batch_norm": True, "initializer": "auto"},
    ),
    "momentum": Rival("momentum", (0.01, 0.03, 0.1), {**_PLAIN, "optimizer": "sgd", "momentum": 0.9}, {}),
    "adagrad": Rival("adagrad", (0.003, 0.01, 0.03), {**_PLAIN, "optimizer": "adagrad"}, {}),
    "rmsprop": Rival("rmsprop", (0.0001, 0.0003, 0.001), {**_PLAIN, "optimizer": "rmsprop"}, {}),
    "adam": Rival("adam", (0.0003, 0.001, 0.003), {**_PLAIN, "optimizer": "adam"}, {}),
}  # fmt: skip


@dataclass(frozen=True)
class Arm:
    """One network of a comparison.

    Attributes
    ----------
    name : str
        In files and reports.
    start : str
        Arms of one start have the same initial weights.
    pretrain : PretrainPlan or None
        How it is pre-trained; None: not at all.
    network, finetune, learning_rates
        What it is, how it is fine-tuned, and the grid it is tuned on.
    """

    name: str
    start: str
    pretrain: PretrainPlan | None
    network: NetworkPlan
    finetune: FinetunePlan
    learning_rates: tuple[float, ...]

    @property
    def needs_targets(self) -> bool:
        """Whether its pre-training learns from labels, and so has to be done for each budget."""
        given = self.pretrain.objective if self.pretrain else ()
        return any(one.needs_targets for one in (given if isinstance(given, tuple) else (given,)))  # type: ignore[union-attr]


def arms_of(plan: Plan, rivals: Sequence[str] = ()) -> tuple[Arm, ...]:
    """Return the two arms of a plan and the named rivals.

    Without an objective both arms are random and drawn apart: the A/A control, which should find no gain.

    Examples
    --------
    >>> [(arm.name, arm.start) for arm in arms_of(Plan(), ["modern network", "adagrad"])]
    [('pretrained', 'network'), ('random', 'network'), ('modern', 'modern'), ('adagrad', 'network')]
    """
    control = plan.pretrain.objective is None
    rates = plan.compare.learning_rates
    arms = [
        Arm("pretrained", "control" if control else "network", None if control else plan.pretrain, plan.network,
            plan.finetune, rates),
        Arm("random", "network", None, plan.network, plan.finetune, rates),
    ]  # fmt: skip
    for name in rivals:
        rival = RIVALS[name]
        network = plan.network.model_copy(update=rival.network)
        start = "network" if network == plan.network else rival.arm
        finetune = plan.finetune.model_copy(update=rival.finetune)
        arms.append(Arm(rival.arm, start, None, network, finetune, rival.learning_rates))
    return tuple(arms)


def draw_network(arm: Arm, rows: Rows, randomness: Randomness, factory: Factory | None = None) -> nn.Module:
    """Draw the initial weights of an arm's start; a factory draws its own from torch's generator, seeded here."""
    own = randomness if arm.start == "network" else randomness.child(arm.start)
    if factory is None:
        if arm.network.factory is not None:
            raise PlanError(
                f"the recipe's network was made in Python, by {arm.network.factory}, which a recipe cannot hold",
                "call layerwise.compare with it again",
            )
        settings = {key: value for key, value in dict(arm.network).items() if key != "factory"}
        return build_network(
            rows.width, outputs=len(rows.classes), image_shape=rows.image_shape, randomness=own, **settings
        )
    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(own.seed("factory"))
        made: Any = factory()
    if not isinstance(made, nn.Module):
        raise NetworkError(
            f"network makes a {type(made).__name__}, expected an nn.Module",
            "give a class or a function that returns the module",
        )
    return made


def pretrain_arm(
    arm: Arm, start: nn.Module, rows: Rows, around: Surroundings, device: str, seen: Tensor | None = None
) -> PretrainResult:
    """Pre-train a network in place on all rows; where labels are needed, on those of the rows ``seen`` alone."""
    assert arm.pretrain is not None
    name = "pretrain" if arm.name == "pretrained" else f"pretrain-{arm.name}"
    return pretrain_layers(start, pretraining_rows(arm, rows, seen), arm.pretrain, around.child(name), device)


def pretraining_rows(arm: Arm, rows: Rows, seen: Tensor | None = None) -> RowSet:
    """Return what an arm is pre-trained on: labels only where it needs them, and only those of ``seen`` rows."""
    if not arm.needs_targets:
        return RowSet(as_features(rows.inputs if rows.pretrain_inputs is None else rows.pretrain_inputs))
    codes = torch.full_like(rows.codes, -1)
    codes[seen] = rows.codes[seen]
    return RowSet(as_features(rows.inputs), codes)


def unlabelled_rows(plan: FinetunePlan, rows: Rows, seen: Tensor) -> Features | None:
    """Return the training rows whose labels an arm may not see, where its fine-tuning is to learn from them."""
    if plan.pseudo_labels is None:
        return None
    others = torch.ones(len(rows.inputs), dtype=torch.bool)
    others[seen] = False
    return as_features(rows.inputs).select(others.nonzero().flatten())


@dataclass(frozen=True)
class Outcome:
    """What one arm reached at one budget and seed."""

    wrong: np.ndarray
    curve: Curve
    seconds: float

    @property
    def error(self) -> float:
        """Test error in percent."""
        return float(100 * self.wrong.mean())


@dataclass(frozen=True)
class Budget:
    """The rows of one label budget and seed, and those that measure what they led to.

    The monitor rows give the curve; like the test rows, they choose nothing. The unlabelled rows are those that
    pseudo-labels are found for, None without them.
    """

    inputs: Tensor
    codes: Tensor
    monitor: tuple[Tensor, Tensor]
    test: tuple[Tensor, Tensor]
    unlabelled: Features | None = None


def started(network: nn.Module, rows: Tensor, codes: Tensor) -> nn.Module:
    """Return a copy of a network, the bias of its output head set from the labels it will be trained on.

    The last dense module is the head only where its outputs are the network's: in a network made in Python it may be a
    hidden layer, whose bias stays as it is. Quantities set nothing.
    """
    copied = copy.deepcopy(network)
    if codes.is_floating_point():
        return copied
    try:
        check_ends_in_head(copied, rows[:2].to(next(copied.parameters())))
    except NetworkError:
        return copied
    head = dense_modules(copied)[-1]
    if head.bias is not None:
        initialize_output_bias(head, codes)
    return copied


def run_arm(
    arm: Arm,
    network: nn.Module,
    budget: Budget,
    plan: FinetunePlan,
    around: Surroundings,
    device: str,
    judge: Judge | None = None,
) -> Outcome:
    """Fine-tune a copy of an arm's network on a whole budget, then test it once; show both states to a judge."""
    network = started(network, budget.inputs, budget.codes)
    before = None if judge is None else copy.deepcopy(network)
    others = 0 if budget.unlabelled is None else budget.unlabelled.shape[0]
    updates = plan.epochs * plan.updates_per_epoch(len(budget.inputs), others)
    if plan.validate_every is None:
        every = max(1, updates // CURVE_POINTS)
        plan = plan.model_copy(update={"validate_every": every, "summary_every": plan.summary_every or every})
    own = around.child(arm.name, "arm")
    fitted = finetune_network(
        network, budget.inputs, budget.codes, plan, own, device, budget.monitor, budget.unlabelled
    )
    points = [record for record in fitted.records if "validation_error" in record]
    curve = Curve(*([record[key] for record in points] for key in ("update", "seconds", "validation_error")))
    wrong = (predict_outputs(network, budget.test[0]).argmax(1).cpu() != budget.test[1]).numpy()
    if judge is not None and before is not None:
        judge(before, network)
    return Outcome(wrong, curve, fitted.seconds)
