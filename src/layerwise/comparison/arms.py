"""The arms of a comparison: networks that start alike, one of them pre-trained."""

from __future__ import annotations

import copy
from dataclasses import dataclass

import numpy as np
from torch import Tensor, nn

from ..finetuning import finetune_network, predict_outputs
from ..nn.initialization import initialize_output_bias
from ..nn.layers import build_network, dense_modules
from ..plan import FinetunePlan, NetworkPlan, Plan
from ..pretraining import PretrainResult, log_origins, origins, pretrain_layers
from ..randomness import Randomness
from ..training.loop import Surroundings
from .convergence import Curve
from .rows import Rows

MODERN_NETWORK = {"activation": "relu", "batch_norm": True, "initializer": "auto"}
MODERN_FINETUNE = {"optimizer": "adam", "momentum": 0.0, "l2": 0.0, "schedule": None, "bias_rate": 1.0, "freeze": ()}
MODERN_LEARNING_RATES = (0.0003, 0.001, 0.003)
CURVE_POINTS = 40  # validations of a final fit, unless the plan says how often


@dataclass(frozen=True)
class Starts:
    """Where the arms of one seed start: the networks before any label is seen.

    The random arm's weights *are* the weights that the pre-trained arm had before pre-training.
    """

    pretrained: nn.Sequential
    random: nn.Sequential
    modern: nn.Sequential
    pretraining: PretrainResult | None

    def parameters(self) -> dict[str, dict[str, str]]:
        """Return and log, for each parameter of both arms, whether it is pre-trained or initialised."""
        found = {"random": origins(self.random), "pretrained": origins(self.pretrained)}
        if self.pretraining is not None:
            found["pretrained"] = self.pretraining.parameters
        for arm, network in (("pretrained", self.pretrained), ("random", self.random)):
            log_origins(network, found[arm], f"{arm} arm")
        return found

    def network(self, arm: str, codes: Tensor) -> nn.Sequential:
        """Return a copy of an arm's network, its output bias set from the labels it will be trained on."""
        own = {"pretrained": self.pretrained, "random": self.random, "modern": self.modern}
        network: nn.Sequential = copy.deepcopy(own[arm])
        initialize_output_bias(dense_modules(network)[-1], codes)
        return network


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


def starts(plan: Plan, rows: Rows, around: Surroundings, device: str) -> Starts:
    """Draw a seed's initial weights and pre-train one copy of them.

    Without an objective both arms are random and drawn apart: the A/A control, which should find no gain.
    """
    features, outputs = rows.inputs.shape[1], len(rows.classes)
    randomness = around.randomness.child("network")
    random = _build(plan.network, features, outputs, randomness)
    modern_plan = plan.network.model_copy(update=MODERN_NETWORK)
    modern = _build(modern_plan, features, outputs, randomness.child("modern"))
    if plan.pretrain.objective is None:
        control = _build(plan.network, features, outputs, randomness.child("control"))
        return Starts(control, random, modern, None)
    network = copy.deepcopy(random)
    result = pretrain_layers(network, rows.inputs, plan.pretrain, around.child("pretrain"), device)
    return Starts(network, random, modern, result)


def finetune_plan(plan: FinetunePlan, arm: str) -> FinetunePlan:
    """Return how an arm is fine-tuned: the modern network has its own optimiser, all else is alike."""
    return plan.model_copy(update=MODERN_FINETUNE) if arm == "modern" else plan


def run_arm(
    arm: str,
    start: Starts,
    inputs: Tensor,
    codes: Tensor,
    plan: FinetunePlan,
    around: Surroundings,
    device: str,
    monitor: tuple[Tensor, Tensor],
    test: tuple[Tensor, Tensor],
) -> Outcome:
    """Fine-tune an arm on a whole budget, then test it once.

    The monitor rows give the curve; like the test rows, they choose nothing.
    """
    network = start.network(arm, codes)
    updates = plan.epochs * -(-len(inputs) // plan.batch_size)
    if plan.validate_every is None:
        every = max(1, updates // CURVE_POINTS)
        plan = plan.model_copy(update={"validate_every": every, "summary_every": plan.summary_every or every})
    fitted = finetune_network(network, inputs, codes, plan, around.child(arm, "arm"), device, monitor)
    points = [record for record in fitted.records if "validation_error" in record]
    curve = Curve(*([record[key] for record in points] for key in ("update", "seconds", "validation_error")))
    wrong = (predict_outputs(network, test[0]).argmax(1).cpu() != test[1]).numpy()
    return Outcome(wrong, curve, fitted.seconds)


def _build(plan: NetworkPlan, features: int, outputs: int, randomness: Randomness) -> nn.Sequential:
    return build_network(features, outputs=outputs, randomness=randomness, **dict(plan))
