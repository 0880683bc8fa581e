"""A plan into a model: pre-train on all rows, choose on held-out labelled ones, fine-tune on all that have a label."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from dataclasses import replace
from functools import cached_property
from pathlib import Path
from typing import Any

import torch
from torch import nn

from ..checks import check_pretraining
from ..comparison.arms import Arm, arms_of, started
from ..comparison.budgets import class_counts, validation_folds
from ..comparison.estimate import Estimate, at_full_weight, layer_seconds, update_seconds
from ..comparison.tuning import Fold, Labelled, limited, tune_arm
from ..data.features import Features
from ..data.rowset import RowSet
from ..data.spill import Store
from ..errors import DataError, PlanError
from ..finetuning import check_finetuning, finetune_network, learning
from ..nn.cutting import cut
from ..nn.networks import build_network
from ..origins import log_origins
from ..plan import FinetunePlan, Plan
from ..pretraining import PretrainResult, pretrain_layers
from ..randomness import Randomness
from ..recipe import to_toml
from ..runs.folder import RunFolder, environment, identity_of
from ..stack import described
from ..training.device import exact_float32, matmul_route, pick_device, processor
from ..training.loop import Callback, Fitted, Surroundings
from ..write import write_text
from .estimator import check_skops
from .facts import Facts, FinetuneFacts, StageFacts, ValidationFacts
from .folder import WHOLE, describe_network, write_model
from .model import Model, Quantity
from .rows import gather_training, standardised


class Training:
    """A plan and its rows, checked; `run` makes the model.

    Parameters
    ----------
    plan : Plan
        Its tables [data], [network], [pretrain] and [finetune]; of [compare] how fine-tuning is tuned (``tune``,
        ``learning_rates``, ``max_updates``) and ``random_state``. Where the loss of fine-tuning is "squared", the
        target is a quantity.
    device : str
        Where to train.

    Raises
    ------
    DataError, PlanError, NetworkError
        When the plan cannot be carried out; nothing was trained or written.
    """

    def __init__(self, plan: Plan, device: str = "auto") -> None:
        self.plan, self.device = plan, device
        self.randomness = Randomness(plan.compare.random_state).child("train")
        self.store = Store(plan.pretrain.memory_limit)
        _refuse(plan)
        self.quantities = plan.finetune.loss == "squared"
        self.rows = gather_training(plan.data, self.quantities)
        self.arm: Arm = arms_of(plan)[0]
        self.inputs, self.targets = self.rows.read_labelled()
        self.quantity: Quantity | None = None
        if self.quantities:
            self.targets, mean, spread = standardised(self.targets)
            self.quantity = Quantity(mean=mean, spread=spread)
        self._check()

    @property
    def outputs(self) -> int:
        """Number of the network's outputs."""
        return len(self.rows.classes) or 1

    @cached_property
    def pretraining_rows(self) -> RowSet:
        """What is pre-trained on; labels only where an objective needs them."""
        targets = self.rows.targets if self.arm.needs_targets else None
        source = self.rows.source if self.rows.pretrain is None else self.rows.pretrain
        return RowSet(self.store.open(source, torch.float32), targets)

    @cached_property
    def unlabelled(self) -> Features | None:
        """The rows without a label, where fine-tuning finds pseudo-labels for them."""
        if self.plan.finetune.pseudo_labels is None:
            return None
        others = torch.ones(self.rows.source.shape[0], dtype=torch.bool)
        others[self.rows.labelled] = False
        return self.store.open(self.rows.source, torch.float32).select(others.nonzero().squeeze(1))

    @cached_property
    def folds(self) -> list[Fold]:
        """Which labelled rows validate; none where nothing can be held out and nothing is to be chosen."""
        codes = torch.zeros(len(self.targets), dtype=torch.int64) if self.quantities else self.targets
        try:
            return validation_folds(codes, self.randomness)
        except DataError as error:
            if not self.plan.compare.tune:
                return []
            raise DataError(
                error.message, "label more rows, or choose nothing on held-out rows: --set compare.tune=false"
            ) from error

    @property
    def finetune_plan(self) -> FinetunePlan:
        """How the network is fine-tuned, before its learning rate and epochs are chosen."""
        others = self.rows.source.shape[0] - len(self.inputs)
        return limited(self.plan.finetune, len(self.inputs), others, self.plan.compare.max_updates)

    @property
    def learning_rates(self) -> tuple[float, ...]:
        """The learning rates that are tried."""
        return self.arm.learning_rates if self.plan.compare.tune else (self.plan.finetune.learning_rate,)

    def draw(self) -> nn.Sequential:
        """Return the network with its initial weights."""
        settings = {key: value for key, value in dict(self.plan.network).items() if key != "factory"}
        return build_network(
            self.rows.width, outputs=self.outputs, image_shape=self.rows.image_shape,
            randomness=self.randomness.child("network"), **settings,
        )  # fmt: skip

    def _check(self) -> None:
        network = self.draw()
        describe_network(network)
        if self.rows.preparation is not None:
            check_skops()
        if self.arm.pretrain is not None:
            if self.arm.needs_targets and (self.quantities or self.rows.pretrain is not None):
                raise PlanError(
                    "the objective learns from classes, but "
                    + ("the target is a quantity" if self.quantities else "pretrain_inputs are rows without labels"),
                    "take another objective" if self.quantities else "leave pretrain_inputs out",
                )
            check_pretraining(network, self.arm.pretrain, self.pretraining_rows, None)
            for layer in cut(network, self.arm.pretrain.layers, self.arm.pretrain.activation):
                described(layer)
        check_finetuning(network, self.inputs, self.targets, self.plan.finetune, None, self.unlabelled)
        _ = self.folds

    def estimate(self) -> Estimate:
        """Measure a few updates of each kind on a copy, and multiply by the plan."""
        randomness, pretrain = Randomness(0, "estimate"), self.arm.pretrain
        network = self.draw().to(pick_device(self.device))
        rows = self.inputs[: self.plan.finetune.batch_size].to(next(network.parameters()).device)
        targets, fully = self.targets[: len(rows)].to(rows.device), at_full_weight(self.plan.finetune)
        with exact_float32():
            layers: tuple[float, ...] = ()
            if pretrain is not None:
                layers = layer_seconds(network, self.pretraining_rows, pretrain, self.outputs, randomness)
            each = update_seconds(*learning(network, rows, targets, fully, randomness, self.unlabelled), fully)
        plan, others = self.finetune_plan, 0 if self.unlabelled is None else self.unlabelled.shape[0]
        stages = 0
        if pretrain is not None:
            labels_only = self.arm.needs_targets
            count = len(self.inputs) if labels_only else len(self.pretraining_rows)
            stages = pretrain.epochs * -(-count // pretrain.batch_size)
        tuned = sum(plan.epochs * plan.updates_per_epoch(len(training), others) for training, _ in self.folds)
        return Estimate(
            pretraining=stages * sum(layers),
            tuning=len(self.learning_rates) * tuned * each,
            finetuning=plan.epochs * plan.updates_per_epoch(len(self.inputs), others) * each,
            pretrain_update=layers,
            finetune_update=each,
        )

    def open(self, folder: str | Path, resume: bool = False) -> RunFolder:
        """Start the model's folder, or continue one whose training has not ended.

        Raises
        ------
        RunError
            When it is not empty and ``resume`` is false, or holds other work.
        """
        seed = self.plan.compare.random_state
        others = self.unlabelled if self.arm.pretrain is None else self.pretraining_rows.inputs
        opened = RunFolder.open(folder, resume, identity_of(self.plan, seed, self.inputs, self.targets, others))
        opened.write_environment(matmul_route(), processor()[1])
        write_text(opened.path / "recipe.toml", to_toml(self.plan))
        return opened

    def run(self, folder: RunFolder, callbacks: Sequence[Callback] = ()) -> Model:
        """Train, and leave the model in its folder; what a resumed folder holds is not repeated."""
        around = Surroundings("train", self.randomness, folder, callbacks)
        network, result = self.draw(), None
        if self.arm.pretrain is not None:
            result = pretrain_layers(
                network, self.pretraining_rows, self.arm.pretrain, around.child("pretrain"), self.device
            )
            log_origins(network, result.parameters)
        settings, validation = self._choose(network, around)
        plan = self.finetune_plan.model_copy(update=settings)
        final = started(network, self.inputs, self.targets)  # a copy: the stack keeps its layers as they are
        assert isinstance(final, nn.Sequential)
        fitted = finetune_network(
            final, self.inputs, self.targets, plan, around.child("finetune"), self.device, None, self.unlabelled
        )
        model = Model(
            final.eval(), self.rows.classes, None if result is None else result.stack, self.rows.inputs,
            self.rows.preparation, self.rows.target,
            self.plan.finetune.loss == "cross_entropy", self.quantity, self._facts(result, plan, fitted, validation),
        )  # fmt: skip
        write_model(model, folder.path)
        shutil.rmtree(folder.path / "checkpoints")  # a model needs no state of its training
        return model

    def _choose(self, network: nn.Module, around: Surroundings) -> tuple[dict[str, Any], ValidationFacts | None]:
        """Fine-tune copies on parts of the labelled rows, and return the settings that did best on the others."""
        plan, folds = self.finetune_plan, self.folds
        if not folds:
            return {}, None
        folder = around.folder
        assert folder is not None
        kept = folder.finished("train/tune")
        if kept is None:
            arm = replace(self.arm, learning_rates=self.learning_rates)
            labelled = Labelled(self.inputs, self.targets, folds, self.unlabelled)
            choice = tune_arm(arm, network, labelled, plan, replace(around, saved=False), self.device)
            (chosen,) = (row for row in choice.rows if row["chosen"])
            kept = {"settings": choice.settings, "error": chosen["validation_error"]}
            if not self.plan.compare.tune:
                kept = {"settings": {}, "error": self._last_error(folder, arm, plan)}
            folder.finish("train/tune", kept)
        error, spread = kept["error"], None
        if self.quantity is not None:
            spread = self.quantity.spread
            error = (2 * error) ** 0.5 * spread  # the loss is half the squared error of the standardised quantity
        return kept["settings"], ValidationFacts(
            error=error, spread=spread, rows=sum(len(held) for _, held in folds), folds=len(folds),
            tried=len(self.learning_rates) if self.plan.compare.tune else 1, trained_rows=len(folds[0][0]),
            labels_seen=self.arm.needs_targets,
        )  # fmt: skip

    def _last_error(self, folder: RunFolder, arm: Arm, plan: FinetunePlan) -> float:
        """Return the error after the last epoch, which nothing chose."""
        word = "validation_loss" if self.quantities else "validation_error"
        total = 0.0
        for number, (_, held) in enumerate(self.folds):
            records = folder.history.of(f"train/tune/{arm.name}/lr-{plan.learning_rate:g}/fold-{number}")
            total += len(held) * [record[word] for record in records if word in record][-1]
        return total / sum(len(held) for _, held in self.folds)

    def _facts(
        self, result: PretrainResult | None, plan: FinetunePlan, fitted: Fitted, validation: ValidationFacts | None
    ) -> Facts:
        pretrain = self.arm.pretrain
        stages = [] if result is None or pretrain is None else result.history
        counts = [] if self.quantities else class_counts(self.rows.targets, len(self.rows.classes)).tolist()
        return Facts(
            name=self.plan.name, data=self.rows.name, rows=self.rows.source.shape[0], labelled=len(self.inputs),
            pretraining_rows=len(self.pretraining_rows) if stages else 0,
            label_counts=dict(zip(map(str, self.rows.classes), counts, strict=True)),
            pretraining=tuple(
                StageFacts(epochs=pretrain.epochs if pretrain else 0, **{key: getattr(stage, key) for key in STAGE})
                for stage in stages
            ),
            finetuning=FinetuneFacts(
                rows=len(self.inputs), epochs=plan.epochs, learning_rate=plan.learning_rate,
                batch_size=plan.batch_size, optimizer=plan.optimizer, updates=fitted.updates, seconds=fitted.seconds,
                pseudo_labelled=0 if self.unlabelled is None else self.unlabelled.shape[0],
            ),
            validation=validation, random_state=self.plan.compare.random_state,
            environment=environment(matmul_route(), processor()[1]),
        )  # fmt: skip


STAGE = (
    "layer", "objective", "units", "learning_rate", "updates", "seconds", "loss_name", "loss", "mean_predictor_loss",
)  # fmt: skip


def is_whole(folder: str | Path) -> bool:
    """Say whether a folder holds a model whose training has ended."""
    return (Path(folder) / WHOLE).exists()


def _refuse(plan: Plan) -> None:
    """Refuse settings that are sound elsewhere and have no meaning here."""
    for name, table in (("pretrain", plan.pretrain), ("finetune", plan.finetune)):
        if table.needs_validation:
            raise PlanError(
                f"{name}.{table.needs_validation} is set, but a model is trained on all rows, its epochs chosen "
                "on held-out ones beforehand",
                f"leave {table.needs_validation} out; {name}.epochs is the most that is tried",
            )
    if plan.network.factory is not None:
        raise PlanError(
            f"the recipe's network was made in Python, by {plan.network.factory}, which a recipe cannot hold",
            "train it in Python with layerwise.pretrain and layerwise.finetune, and keep it with layerwise.Model",
        )
