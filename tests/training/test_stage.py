"""A stage: what a layer is trained on, and by which rows it is measured."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from layerwise import Autoencoder, DenoisingAutoencoder, Masking, RankingLayer, SupervisedLayer
from layerwise.data.features import Dense
from layerwise.data.rowset import RowSet
from layerwise.nn.layers import Layer
from layerwise.objectives.objective import FeatureFacts, Objective
from layerwise.plan import PretrainPlan
from layerwise.randomness import Randomness
from layerwise.training import stage as module
from layerwise.training.loop import Surroundings
from layerwise.training.stage import Stage, train_stage


def rows(count: int, seed: int = 0) -> RowSet:
    generator = torch.Generator().manual_seed(seed)
    inputs = torch.rand(count, 8, generator=generator)
    return RowSet(Dense(inputs), (inputs[:, 0] > 0.5).long())


def learner(objective: Objective, given: RowSet) -> Any:
    with torch.random.fork_rng():
        torch.manual_seed(0)
        layer = Layer("hidden", [], nn.Linear(8, 5), [nn.Sigmoid()])
    return objective.build(layer, FeatureFacts.of(given.inputs, 2), torch.Generator().manual_seed(0))


def train(trained: Any, given: list[RowSet], rate: float | str = 0.1, **settings: Any) -> Stage:
    plan = PretrainPlan(epochs=2, batch_size=10, **settings)
    return train_stage(trained, given, "the kind", rate, plan, 3, Surroundings("work", Randomness(1)))


def loss_of(trained: Any, given: Tensor) -> float:
    """Half the squared error of reconstructing, summed over features and averaged over rows."""
    with torch.no_grad():
        return float(0.5 * (trained.reconstruct(given) - given).double().square().sum(1).mean())


def test_a_stage_says_what_was_done() -> None:
    given = rows(35)
    trained = learner(Autoencoder(loss="squared"), given)
    found = train(trained, [given])
    assert (found.number, found.layer, found.objective, found.loss_name) == (3, "hidden", "the kind", "squared")
    assert (found.units, found.learning_rate, found.updates) == (5, 0.1, 8)
    assert [record["fit"] for record in found.records] == ["work/3"] * 3
    assert found.loss == pytest.approx(loss_of(trained, given.inputs.rows), rel=1e-5)
    mean = 0.5 * (given.inputs.rows.mean(0) - given.inputs.rows).square().sum(1).mean()
    assert found.mean_predictor_loss == pytest.approx(float(mean), rel=1e-5)
    assert not trained.training


def test_held_out_rows_judge_and_are_not_trained_on() -> None:
    given, held, other = rows(40), rows(17, 5), rows(17, 6)
    trained, twin = (learner(Autoencoder(loss="squared"), given) for _ in range(2))
    found = train(trained, [given, held])
    assert found.loss == pytest.approx(loss_of(trained, held.inputs.rows), rel=1e-5)
    assert found.records[-1]["validation_loss"] == pytest.approx(found.loss, rel=1e-5)
    mean = 0.5 * (given.inputs.rows.mean(0) - held.inputs.rows).square().sum(1).mean()
    assert found.mean_predictor_loss == pytest.approx(float(mean), rel=1e-5), "the training rows' mean"
    train(twin, [given, other])
    assert torch.equal(trained.layer.module.weight, twin.layer.module.weight)


def test_blocks_are_averaged_by_their_rows(monkeypatch: pytest.MonkeyPatch) -> None:
    """17 rows in blocks of 7, 7 and 3: every row counts the same."""
    given, held = rows(40), rows(17, 5)
    monkeypatch.setattr(module, "BLOCK", 7)
    trained = learner(Autoencoder(loss="squared"), given)
    assert train(trained, [given, held]).loss == pytest.approx(loss_of(trained, held.inputs.rows), rel=1e-5)


def test_no_more_rows_are_judged_than_are_needed(monkeypatch: pytest.MonkeyPatch) -> None:
    given = rows(40)
    monkeypatch.setattr(module, "JUDGED_ROWS", 12)
    trained = learner(Autoencoder(loss="squared"), given)
    assert train(trained, [given]).loss == pytest.approx(loss_of(trained, given.inputs.rows[:12]), rel=1e-5)


def test_classes_go_with_their_rows() -> None:
    """Cross-entropy of the very rows' classes, through the temporary head."""
    given, held = rows(40), rows(19, 5)
    trained = learner(SupervisedLayer(), given)
    found = train(trained, [given, held])
    with torch.no_grad():
        logits = trained.head(trained.layer(held.inputs.rows))
        own = (logits.logsumexp(1) - logits.gather(1, held.targets[:, None]).squeeze(1)).mean()  # type: ignore[index]
    assert found.loss_name == "classification" and found.loss == pytest.approx(float(own), rel=1e-5)


def test_the_networks_own_rows_come_with_each_batch() -> None:
    """A function of them is what the encoder is fed, for the automatic rate too."""
    given = replace(
        rows(40), raw=Dense(torch.arange(40.0)[:, None].expand(40, 8))
    )  # as many draws as rows of inputs take
    trained = learner(DenoisingAutoencoder(Masking(0.0)), given)
    fed: list[Tensor] = []

    def below(raw: Tensor) -> Tensor:
        numbers = raw[:, 0].long()
        fed.append(numbers)
        return given.inputs.rows[numbers]

    trained.below = below
    plain = learner(DenoisingAutoencoder(Masking(0.0)), given)
    found, expected = train(trained, [given], "auto"), train(plain, [replace(given, raw=None)], "auto")
    # without noise both are the plain auto-encoder: the right rows came
    assert torch.equal(trained.layer.module.weight, plain.layer.module.weight)
    assert found.learning_rate == expected.learning_rate and found.loss == expected.loss
    assert sorted(torch.cat(fed[-4:]).tolist()) == list(range(40))


def test_a_loss_without_a_decoder_has_its_own_yardstick() -> None:
    given = rows(60)
    found = train(learner(RankingLayer(), given), [given], 0.5)
    assert found.loss_name == "ranking" and found.mean_predictor_loss == 1.0
