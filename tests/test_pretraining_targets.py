"""Objectives that learn from labels: which rows they see, mixed with others, and growing until it no longer helps."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

import layerwise as lw
from layerwise import SupervisedLayer
from layerwise.data.batches import hold_out
from layerwise.objectives.supervised import SupervisedLearner
from layerwise.randomness import Randomness
from small_network import build, inputs, same, weights

SUPERVISED: dict[str, Any] = {
    "objective": "supervised", "epochs": 3, "batch_size": 16, "learning_rate": 0.2, "random_state": 0
}  # fmt: skip


def labels(rows: Tensor) -> Tensor:
    """Two classes that the rows tell apart."""
    return (rows[:, 0] > rows[:, 0].median()).long()


def deep(depth: int = 4) -> nn.Sequential:
    with torch.random.fork_rng():
        torch.manual_seed(2)
        modules: list[nn.Module] = []
        for number in range(depth):
            modules += [nn.Linear(9 if number else 12, 9), nn.Sigmoid()]
        return nn.Sequential(*modules, nn.Linear(9, 2))


@pytest.mark.parametrize("unlabelled", [-1, None, float("nan")])
def test_unlabelled_rows_are_skipped_exactly(unlabelled: Any) -> None:
    """The weights are those of training on the labelled rows alone, whatever the other rows hold."""
    rows = inputs()
    targets = labels(rows)
    with_label = torch.arange(50) % 3 != 0
    given = [int(target) if own else unlabelled for target, own in zip(targets, with_label, strict=True)]
    wild = torch.where(with_label[:, None], rows, 1000 * rows)
    networks = [build() for _ in range(4)]
    lw.pretrain(networks[0], rows[with_label], targets[with_label], **SUPERVISED)
    lw.pretrain(networks[1], rows, np.array(given, dtype=object if unlabelled is None else float), **SUPERVISED)
    lw.pretrain(networks[2], wild, np.array(given, dtype=object if unlabelled is None else float), **SUPERVISED)
    lw.pretrain(networks[3], rows, targets, **SUPERVISED)
    expected = weights(networks[0])
    for network in networks[1:3]:
        for name in ("0.weight", "0.bias"):
            assert torch.equal(network.state_dict()[name], expected[name])
        for name in ("2.weight", "2.bias"):  # codes of a block of another size may differ in the last bit
            torch.testing.assert_close(network.state_dict()[name], expected[name], rtol=1e-5, atol=1e-6)
    assert not torch.equal(networks[3][0].weight, networks[0][0].weight)


def test_objectives_without_labels_see_every_row_and_those_with_only_the_labelled(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Denoising, then supervised: 50 rows an epoch, then 33; the temporary head is thrown away."""
    seen: dict[str, list[tuple[int, bool]]] = {}
    genuine = lw.training.stage.fit_with_fallbacks

    def watched(learner: Any, batches: Any, *rest: Any) -> Any:
        seen[learner.layer.name] = (batches.rows, batches.targets is not None)
        return genuine(learner, batches, *rest)

    monkeypatch.setattr("layerwise.training.stage.fit_with_fallbacks", watched)
    rows, network = inputs(), build()
    targets = torch.where(torch.arange(50) % 3 != 0, labels(rows), -1)
    before = weights(network)
    result = lw.pretrain(network, rows, targets, **SUPERVISED | {"objective": ["denoising", "supervised"]})
    assert seen == {"0": (50, False), "2": (33, True)}
    assert [stage.objective for stage in result.history] == ["denoising", "supervised"]
    assert [stage.loss_name for stage in result.history] == ["cross_entropy", "classification"]
    assert [stage.updates for stage in result.history] == [12, 6]  # the row left over joins the last batch
    assert result.stack.decoders[0] is not None and result.stack.decoders[1] is None
    assert network.state_dict().keys() == before.keys()
    changed = [name for name, value in network.state_dict().items() if not torch.equal(value, before[name])]
    assert changed == ["0.weight", "0.bias", "2.weight", "2.bias"]
    with pytest.raises(lw.errors.NetworkError, match="its objective has no decoder"):
        result.stack.decode(torch.zeros(1, 6))
    other = build()
    lw.pretrain(other, rows, targets, **SUPERVISED | {"layers": ["0"], "objective": "denoising"})
    assert same(weights(other[0]), weights(network[0]))


def test_a_supervised_layer_learns_its_classes() -> None:
    rows = inputs(300)
    result = lw.pretrain(build(), rows, labels(rows), objective="supervised", epochs=40, batch_size=20, random_state=0)
    first = result.history[0]
    assert first.mean_predictor_loss == pytest.approx(np.log(2), rel=1e-3)
    assert all(stage.loss < 0.8 * stage.mean_predictor_loss for stage in result.history)


def test_validation_rows_with_labels_are_judged_on_and_not_trained_on() -> None:
    rows = inputs(80)
    targets = labels(rows)
    targets[::7] = -1
    kept, held = hold_out(80, 0.25, Randomness(0).child("validation"))
    networks = [build(), build()]
    by_fraction = lw.pretrain(networks[0], rows, targets, validation=0.25, **SUPERVISED)
    given = lw.pretrain(networks[1], rows[kept], targets[kept], validation=(rows[held], targets[held]), **SUPERVISED)
    assert same(weights(networks[0]), weights(networks[1]))
    assert [stage.loss for stage in by_fraction.history] == [stage.loss for stage in given.history]
    own = held[targets[held] >= 0]
    ones = float((targets[own] == 1).double().mean())
    entropy = -ones * np.log(ones) - (1 - ones) * np.log(1 - ones)
    assert given.history[0].mean_predictor_loss == pytest.approx(entropy, rel=1e-5)
    assert given.history[0].records[-1]["validation_loss"] == pytest.approx(given.history[0].loss, rel=1e-6)


def test_a_class_whose_only_row_is_held_out_still_has_an_output() -> None:
    rows, held = inputs(40), hold_out(40, 0.25, Randomness(0).child("validation"))[1]
    targets = labels(rows)
    targets[held[0]] = 2
    result = lw.pretrain(build(), rows, targets, validation=0.25, **SUPERVISED)
    assert np.isfinite([stage.loss for stage in result.history]).all()


def heads(monkeypatch: pytest.MonkeyPatch, losses: list[float]) -> None:
    """Let the layers, in order, have these validation losses."""
    order: list[int] = []

    def clean_loss(self: SupervisedLearner, batch: Any) -> Tensor:
        if id(self) not in order:
            order.append(id(self))
            kept.append(self)
        return torch.tensor(losses[order.index(id(self))])

    kept: list[Any] = []  # no id is given twice while its owner lives
    plain = torch.nn.functional.cross_entropy
    monkeypatch.setattr(
        SupervisedLearner, "loss",
        lambda self, batch, generator: plain(self.head(self.layer(batch.inputs).flatten(1)), batch.targets),
    )  # fmt: skip
    monkeypatch.setattr(SupervisedLearner, "clean_loss", clean_loss)


@pytest.mark.parametrize(
    "losses, wanted, depth",
    [
        ([1.0, 0.8, 0.79, 0.1], 0.1, 2),  # 0.79 is more than nine tenths of 0.8
        ([1.0, 0.8, 0.71, 0.1], 0.1, 4),  # and 0.71 is less
        ([1.0, 1.1, 0.1, 0.1], 0.0, 1),
        ([1.0, 1.0, 0.9, 0.8], 0.0, 4),  # as good is good enough for 0
    ],
)
def test_growing_stops_at_the_first_layer_that_brings_too_little(
    losses: list[float], wanted: float, depth: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    heads(monkeypatch, losses)
    rows, network = inputs(60), deep()
    before = weights(network)
    settings = SUPERVISED | {"objective": SupervisedLayer(grow_until=wanted)}
    result = lw.pretrain(network, rows, labels(rows), validation=0.25, **settings)
    assert [stage.loss for stage in result.history] == pytest.approx(losses[:depth])
    assert result.stack.depth == depth and len(result.stack.decoders) == depth
    changed = [name for name, value in network.state_dict().items() if not torch.equal(value, before[name])]
    kept = [f"{2 * number}.{part}" for number in range(depth) for part in ("weight", "bias")]
    assert changed == kept
    assert [name for name, origin in result.parameters.items() if origin == "pre-trained"] == kept
    assert result.stack.encode(rows).shape == (60, 9)


def test_growing_compares_losses_of_one_kind(monkeypatch: pytest.MonkeyPatch) -> None:
    """A reconstruction's loss is no yardstick of a classification's: the first supervised layer is kept."""
    heads(monkeypatch, [5.0, 4.0, 3.9])
    rows = inputs(60) / 10
    grow = SupervisedLayer(grow_until=0.1)
    objective = [lw.Autoencoder(loss="squared"), grow, grow, grow]
    settings = SUPERVISED | {"objective": objective}
    result = lw.pretrain(deep(), rows, labels(rows), validation=0.25, **settings)
    assert result.history[0].loss < 1.0
    assert [stage.objective for stage in result.history] == ["autoencoder", "supervised", "supervised"]


def test_growing_really_stops_and_a_resumed_run_stops_alike(tmp_path: Path) -> None:
    """With rates that give the first layer all there is to learn, the second brings less than nine tenths."""
    rows = inputs(200)
    settings = SUPERVISED | {
        "objective": SupervisedLayer(grow_until=0.9), "epochs": 10, "learning_rate": 0.5, "validation": 0.25
    }  # fmt: skip
    whole, network, again = deep(), deep(), deep(4)
    expected = lw.pretrain(whole, rows, labels(rows), **settings)
    assert len(expected.history) == 1
    assert torch.equal(whole[2].weight, deep()[2].weight) and not torch.equal(whole[0].weight, deep()[0].weight)

    def stop(progress: Any) -> None:
        if progress.fit == "pretrain/2" and progress.update >= 45:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        lw.pretrain(network, rows, labels(rows), run_dir=tmp_path, checkpoint_every=7, callbacks=[stop], **settings)
    with torch.no_grad():
        again[2].weight.zero_()  # a resumed run goes on from the weights that the first began with
    for _ in range(2):  # then once more, when all is finished
        resumed = lw.pretrain(again, rows, labels(rows), run_dir=tmp_path, checkpoint_every=7, resume=True, **settings)
        assert same(weights(again), weights(whole))
        assert resumed.stack.depth == 1
        assert [stage.loss for stage in resumed.history] == [stage.loss for stage in expected.history]
