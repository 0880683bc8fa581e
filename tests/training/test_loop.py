"""The training loop: its updates, its history, its checkpoints and what it leaves as found."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from layerwise.data.batches import Batches
from layerwise.errors import DivergenceError, PlanError
from layerwise.nn.corruption import Masking
from layerwise.nn.layers import Layer
from layerwise.objectives.denoising import DenoisingAutoencoder
from layerwise.objectives.objective import FeatureFacts
from layerwise.plan import TrainingPlan
from layerwise.randomness import Randomness
from layerwise.runs.checkpoint import Checkpoint
from layerwise.runs.folder import RunFolder
from layerwise.runs.history import History
from layerwise.settings import EarlyStopping, Exponential, Inverse, InverseTime, Linear, OnValidation, Staged, Step
from layerwise.training.loop import FIRST_ROWS, Fitting, Surroundings, fit
from layerwise.training.schedules import value_at

ROWS, FEATURES, CLASSES = 50, 6, 3


class Classifier(nn.Module):
    """A network with dropout and batch normalisation, so that hidden randomness and buffers count."""

    def __init__(self, dropout=0.5, batch_norm=True):
        super().__init__()
        norm = [nn.BatchNorm1d(8)] if batch_norm else []
        self.network = nn.Sequential(
            nn.Linear(FEATURES, 8), *norm, nn.Sigmoid(), nn.Dropout(dropout), nn.Linear(8, CLASSES)
        ).double()
        generator = torch.Generator().manual_seed(0)
        with torch.no_grad():
            for parameter in self.network.parameters():
                parameter.copy_(torch.randn(parameter.shape, generator=generator))

    def loss(self, batch, generator):
        return nn.functional.cross_entropy(self.network(batch.inputs), batch.targets)

    def after_update(self):
        pass


def data(rows=ROWS):
    generator = torch.Generator().manual_seed(1)
    inputs = torch.randn(rows, FEATURES, generator=generator, dtype=torch.float64)
    return inputs, inputs[:, :CLASSES].argmax(1)


def batches(rows=ROWS, batch_size=20):
    return Batches(*data(rows), batch_size, Randomness(0, "rows"))  # 3 updates an epoch: 20, 20, 10


def plan_of(**words):
    return TrainingPlan(**{"epochs": 4, "batch_size": 20, **words})


def fitting_of(**words):
    return Fitting(words.pop("name", "stage"), Randomness(0, "fit"), **words)


def run(learner=None, rate=0.3, **words):
    learner = learner or Classifier()
    plan = {key: words.pop(key) for key in list(words) if key in TrainingPlan.model_fields}
    fitted = fit(learner, batches(), plan_of(**plan), rate, fitting_of(**words))
    return learner, fitted


def same(one, other):
    pairs = zip(one.state_dict().items(), other.state_dict().items(), strict=True)
    return all(a == b and torch.equal(x, y) for (a, x), (b, y) in pairs)


class Stop(Exception):
    """What a user's callback may raise."""


def stopping_at(update):
    def callback(progress):
        if progress.update >= update:
            raise Stop

    return callback


FALLING = [InverseTime(tau=4), Linear(), Step(every=2, factor=0.5), Exponential(factor=0.9), Inverse(gamma=0.1)]
RISING = [None, Linear(end=0.95, updates=7), Staged(stages=((3, 0.5), (8, 0.9)))]


@pytest.mark.parametrize("schedule", [None, *FALLING, Staged(stages=((3, 0.1), (8, 0.2)))], ids=lambda s: s and s.kind)
@pytest.mark.parametrize("momentum_schedule", RISING, ids=lambda s: s and s.kind)
@pytest.mark.parametrize("momentum", [0.0, 0.9])
def test_updates_are_those_of_plain_pytorch(schedule, momentum_schedule, momentum):
    """Batch normalisation included: looking at the loss before training must not move its running means."""
    words = {"momentum": momentum, "schedule": schedule, "momentum_schedule": momentum_schedule}
    learner, fitted = run(Classifier(dropout=0.0), **words)
    plain = Classifier(dropout=0.0)
    # a momentum of exactly 0 leaves torch without a velocity for the updates after it
    optimizer = torch.optim.SGD(plain.parameters(), lr=0.3, momentum=momentum or 1e-300)
    update = 0
    for epoch in range(4):
        for batch in batches().epoch(epoch):
            optimizer.param_groups[0]["lr"] = value_at(schedule, 0.3, update, 12)
            optimizer.param_groups[0]["momentum"] = value_at(momentum_schedule, momentum, update, 12) or 1e-300
            optimizer.zero_grad()
            plain.loss(batch, None).backward()
            optimizer.step()
            update += 1
    assert same(learner, plain)
    assert [r["learning_rate"] for r in fitted.records] == [value_at(schedule, 0.3, 3 * e, 12) for e in range(5)]
    expected = [value_at(momentum_schedule, momentum, 3 * e, 12) for e in range(5)] if momentum_schedule else [None] * 5
    assert [r.get("momentum") for r in fitted.records] == expected


INTERRUPTED = {
    "dropout": {},
    "momentum": {"momentum": 0.9},
    "adam": {"optimizer": "adam"},
    "schedule": {"schedule": Linear(), "l2": 0.01, "bias_rate": 2.0},
    "early stopping": {"early_stopping": EarlyStopping(patience=4), "momentum": 0.9},
    "step": {"schedule": Step(every=2, factor=0.7)},
    "on validation": {"schedule": OnValidation(factor=0.5, patience=2), "validate_every": 1},
    "momentum on validation": {
        "schedule": OnValidation(factor=0.8, patience=3), "validate_every": 1, "momentum": 0.9,
        "momentum_schedule": OnValidation(factor=0.9, patience=2),
    },
    "rising momentum": {"momentum": 0.0, "momentum_schedule": Linear(end=0.95, updates=8)},
    "rmsprop": {"optimizer": "rmsprop", "momentum": 0.0, "momentum_schedule": Staged(stages=((3, 0.5), (7, 0.9)))},
    "l1, norms, fan-in": {
        "l1": 0.01, "max_norm": 2.0, "clip_norm": 0.5, "fan_in_scaling": True, "bias_rate": 2.0, "momentum": 0.9
    },
}  # fmt: skip


def validated(learner, frequency=9):
    """Return a validation that is a function of the weights, so that a resumed fit sees the same, better and worse."""

    def validate():
        return {"validation_loss": float(learner.network[0].weight.detach().square().sum().mul(frequency).sin().add(2))}

    return validate


@pytest.mark.parametrize("kind", INTERRUPTED)
@pytest.mark.parametrize("every", [1, 2, 4])
@pytest.mark.parametrize("stop", [5, 9])
def test_stopped_and_resumed_equals_uninterrupted(tmp_path, kind, every, stop):
    """The callback raises at an update of any place in an epoch; weights, buffers and records come out the same."""

    def go(history, checkpoint=None, callbacks=()):
        learner = Classifier()
        validate = validated(learner, frequency=3000 if "on validation" in kind else 9)
        words = {"history": history, "checkpoint": checkpoint, "callbacks": callbacks, "validate": validate}
        return run(learner, checkpoint_every=every, summary_every=1, **words, **INTERRUPTED[kind])

    whole, fitted = go(History())
    if "on validation" in kind:
        rates = [(record["learning_rate"], record.get("momentum")) for record in fitted.records]
        assert rates[0] != rates[(stop - 1) // every * every] != rates[12], (
            "there is something to remember, and more to come"
        )
    path = tmp_path / "history.jsonl"
    checkpoint = Checkpoint(tmp_path / "stage.safetensors", "me")
    with pytest.raises(Stop):
        go(History(path), checkpoint, [stopping_at(stop)])
    assert checkpoint.load().values["update"] == (stop - 1) // every * every
    resumed, again = go(History(path), checkpoint)
    assert same(whole, resumed)
    assert again.updates == fitted.updates
    assert again.best_update == fitted.best_update
    timeless = [{k: v for k, v in line.items() if k != "seconds"} for line in fitted.records]
    assert [{k: v for k, v in line.items() if k != "seconds"} for line in again.records] == timeless
    assert again.records == History(path).of("stage")


def test_on_validation_counts_from_update_0_on():
    """Results 5 4 4 4 4 at updates 0, 3, ..., patience 2: halved at update 9, for the updates after it."""
    results = iter([5.0, 4.0, 4.0, 4.0, 4.0])
    words = {"schedule": OnValidation(factor=0.5, patience=2), "validate": lambda: {"validation_loss": next(results)}}
    learner, fitted = run(Classifier(dropout=0.0), **words)
    assert [r["learning_rate"] for r in fitted.records] == [0.3, 0.3, 0.3, 0.15, 0.15]
    staged, _ = run(Classifier(dropout=0.0), schedule=Staged(stages=((9, 0.15),)))
    assert same(learner, staged)


def test_on_validation_looks_at_the_error_where_there_is_one():
    results = iter([5.0, 6.0, 7.0, 8.0, 9.0])
    schedule = OnValidation(factor=0.5)
    _, fitted = run(
        schedule=schedule, validate=lambda: {"validation_loss": 1.0, "validation_error": 10 - next(results)}
    )
    assert {r["learning_rate"] for r in fitted.records} == {0.3}


@pytest.mark.parametrize("name", ["schedule", "momentum_schedule", "early_stopping"])
def test_what_needs_rows_to_validate_on_is_refused_without_them(name):
    values = {"schedule": OnValidation(factor=0.5), "momentum_schedule": OnValidation(factor=0.5)}
    history = History()
    with pytest.raises(PlanError, match=f"{name} needs rows to validate on"):
        run(history=history, momentum=0.9, **{name: values.get(name, EarlyStopping())})
    assert history.of("stage") == []


def test_resumed_within_an_epoch_keeps_the_running_loss(tmp_path, monkeypatch):
    """A record after the stop is the mean over all rows since the last record, those before the stop included."""
    monkeypatch.setattr("layerwise.training.loop.PROGRESS_SECONDS", -1.0)  # callbacks are told of every update
    checkpoint = Checkpoint(tmp_path / "x.safetensors")
    words = {"checkpoint_every": 1, "summary_every": 3}
    with pytest.raises(Stop):
        run(checkpoint=checkpoint, callbacks=[stopping_at(6)], **words)
    assert checkpoint.load().values["loss_rows"] == 40
    _, resumed = run(checkpoint=checkpoint, **words)
    _, whole = run(summary_every=3)
    assert [r["training_loss"] for r in resumed.records] == [r["training_loss"] for r in whole.records][-3:]


@pytest.mark.parametrize("early_stopping", [None, EarlyStopping(patience=4)])
def test_a_finished_fit_is_not_repeated(tmp_path, early_stopping):
    checkpoint, path = Checkpoint(tmp_path / "x.safetensors"), tmp_path / "history.jsonl"

    def go(callbacks=()):
        learner = Classifier()
        words = {"history": History(path), "checkpoint": checkpoint, "validate": validated(learner)}
        return run(learner, early_stopping=early_stopping, callbacks=callbacks, **words)

    first, fitted = go()
    lines = path.read_text()

    def never(progress):
        raise AssertionError("an update was made again")

    second, again = go([never])
    assert same(first, second)
    assert again == fitted
    assert path.read_text() == lines
    assert first.training is second.training is False


def test_other_settings_are_another_fit(tmp_path):
    """The identity guards it: no silent continuation, and no silent fresh start."""
    from layerwise.errors import RunError

    run(checkpoint=Checkpoint(tmp_path / "x.safetensors", "one"))
    with pytest.raises(RunError, match="other settings"):
        run(checkpoint=Checkpoint(tmp_path / "x.safetensors", "two"))


def test_history_from_update_0_on_with_means_over_rows():
    """Batches of 20, 20 and 10 rows: the mean weighs rows, not batches, and covers the epoch, not one batch."""
    seen = []

    class Watched(Classifier):
        def loss(self, batch, generator):
            loss = super().loss(batch, generator)
            if torch.is_grad_enabled():
                seen.append((loss.item(), len(batch.inputs)))
            return loss

    _, fitted = run(Watched(), schedule=Linear())
    assert [(r["update"], r["epoch"]) for r in fitted.records] == [(0, 0), (3, 1), (6, 2), (9, 3), (12, 4)]
    assert [r["learning_rate"] for r in fitted.records] == pytest.approx([0.3, 0.225, 0.15, 0.075, 0])
    assert [rows for _, rows in seen] == [20, 20, 10] * 4
    for epoch, record in enumerate(fitted.records[1:]):
        part = seen[3 * epoch : 3 * epoch + 3]
        assert record["training_loss"] == pytest.approx(sum(a * b for a, b in part) / ROWS, rel=1e-12)
    assert all("validation_loss" not in record for record in fitted.records)
    assert fitted.records[0]["seconds"] == 0
    assert fitted.seconds >= fitted.records[-1]["seconds"] - 1e-4 > 0


def test_the_first_record_is_the_loss_before_training():
    learner = Classifier(dropout=0.0, batch_norm=False)
    with torch.no_grad():
        inputs, targets = data()
        expected = float(nn.functional.cross_entropy(learner.network(inputs), targets))
    _, fitted = run(learner)
    assert ROWS < FIRST_ROWS
    assert fitted.records[0]["training_loss"] == pytest.approx(expected, rel=1e-12)


def test_every_n_updates():
    calls = []

    def validate():
        calls.append(1)
        return {"validation_loss": 1.0, "validation_error": 2.0}

    _, fitted = run(summary_every=5, validate_every=4, validate=validate)
    assert [r["update"] for r in fitted.records] == [0, 4, 5, 8, 10, 12]
    assert [r["update"] for r in fitted.records if "validation_error" in r] == [0, 4, 8, 12]
    assert len(calls) == 4


def test_validation_is_made_in_evaluation_mode_and_training_goes_on_in_training_mode():
    learner = Classifier()
    modes = []

    def validate():
        modes.append((learner.training, torch.is_grad_enabled()))
        return {"validation_loss": 1.0}

    validated_learner, _ = run(learner, validate=validate)
    assert set(modes) == {(False, False)}
    assert same(validated_learner, run()[0]), "validating changes no weight"


def test_validating_draws_nothing_from_training():
    learner = Classifier()

    def validate():
        torch.rand(7)
        return {"validation_loss": 1.0}

    assert same(run(learner, validate=validate, validate_every=1)[0], run()[0])


def test_global_randomness_is_left_alone_and_not_read():
    first, second, third = Classifier(), Classifier(), Classifier()
    torch.random.manual_seed(5)
    before = torch.random.get_rng_state()
    run(first)
    assert torch.equal(torch.random.get_rng_state(), before)
    torch.random.manual_seed(6)
    assert same(first, run(second)[0])
    before = torch.random.get_rng_state()
    with pytest.raises(Stop):
        run(third, callbacks=[stopping_at(3)])
    assert torch.equal(torch.random.get_rng_state(), before)


def test_dropout_and_corruption_differ_between_updates():
    """One batch, no learning: the loss changes from update to update only by its noise."""
    whole = Batches(*data(), ROWS, Randomness(0))
    fitted = fit(Classifier(batch_norm=False), whole, plan_of(epochs=5), 1e-300, fitting_of())
    assert len({record["training_loss"] for record in fitted.records[1:]}) == 5
    rows = torch.rand(30, 8, generator=torch.Generator().manual_seed(0))
    layer = Layer("0", [], nn.Linear(8, 4), [nn.Sigmoid()])
    learner = DenoisingAutoencoder(Masking(0.5)).build(layer, FeatureFacts.of(rows), torch.Generator())
    whole = Batches(rows, None, 30, Randomness(0))
    fitted = fit(learner, whole, plan_of(epochs=5), 1e-30, fitting_of())
    assert len({record["training_loss"] for record in fitted.records[1:]}) == 5


def test_divergence_names_the_fit_the_update_and_the_rate():
    history = History()
    message = r"seed-0/x: the loss is (nan|inf) at update \d+, learning rate 1e\+200"
    with pytest.raises(DivergenceError, match=message) as caught:
        run(Classifier(batch_norm=False), rate=1e200, l2=1.0, name="seed-0/x", history=history)
    assert "lower the learning rate" in caught.value.hint
    assert history.of("seed-0/x"), "what was recorded before stays to be looked at"
    _, fitted = run(name="seed-0/x", history=history)
    assert [r["update"] for r in fitted.records] == [0, 3, 6, 9, 12], "and goes when the fit begins again"


@pytest.mark.parametrize("key", ["validation_loss", "validation_error"])
def test_early_stopping_returns_the_best_parameters(key):
    """Results 5 4 6 6 ... every 2 updates (half of the patience 4): best at 2, limit 4, so it ends at update 4."""
    learner = Classifier()
    results = iter([5.0, 4.0, 6.0, 6.0, 6.0, 6.0, 6.0])
    kept = {}

    def validate():
        result = next(results)
        kept[result] = {name: value.clone() for name, value in learner.state_dict().items()}
        return {"validation_loss": 1.0, key: result}

    _, fitted = run(learner, early_stopping=EarlyStopping(patience=4), validate=validate)
    assert [r["update"] for r in fitted.records if key in r and r[key] > 1] == [0, 2, 4]
    assert (fitted.updates, fitted.best_update) == (4, 2)
    assert all(torch.equal(value, kept[4.0][name]) for name, value in learner.state_dict().items())


def test_the_best_parameters_survive_a_stop(tmp_path):
    """Best at update 3, stopped at 6, worse ever after: the resumed fit returns those of update 3."""
    checkpoint = Checkpoint(tmp_path / "x.safetensors")

    def go(results, **words):
        left = iter(results)
        rule = EarlyStopping(patience=8)
        return run(early_stopping=rule, validate=lambda: {"validation_loss": next(left)}, **words)

    whole, fitted = go([5.0, 1.0, 2.0, 3.0])
    with pytest.raises(Stop):
        go([5.0, 1.0, 2.0], checkpoint=checkpoint, checkpoint_every=1, callbacks=[stopping_at(6)])
    resumed, again = go([2.0, 3.0], checkpoint=checkpoint, checkpoint_every=1)
    assert (fitted.updates, fitted.best_update) == (again.updates, again.best_update) == (8, 3)
    assert same(resumed, whole)
    assert same(resumed, run(epochs=1)[0]), "which are those after one epoch"


def test_early_stopping_goes_on_while_it_improves():
    results = iter(range(100, 0, -1))
    rule = EarlyStopping(patience=4)
    _, fitted = run(early_stopping=rule, validate=lambda: {"validation_loss": float(next(results))})
    assert (fitted.updates, fitted.best_update) == (12, 12)


def test_without_early_stopping_the_last_parameters_are_returned():
    learner = Classifier()
    results = iter([1.0, 2.0, 3.0, 4.0, 5.0])
    fitted = run(learner, validate=lambda: {"validation_loss": next(results)})[1]
    assert fitted.best_update is None
    assert same(learner, run()[0])


def test_callbacks_are_told_of_every_record():
    seen = []
    run(callbacks=[seen.append])
    records = [p for p in seen if p.record]
    assert [p.update for p in records] == [0, 3, 6, 9, 12]
    assert [p.rows for p in records] == [0, 50, 100, 150, 200]
    assert {(p.fit, p.updates) for p in seen} == {("stage", 12)}


def test_surroundings_name_draw_and_save(tmp_path):
    folder = RunFolder.open(tmp_path / "run", False, "me")
    around = Surroundings("seed-0", Randomness(0), folder)
    one, two = (around.child(arm, randomness="labels") for arm in ("pretrained", "random"))
    first, second = one.fitting("all"), two.fitting("all")
    assert (first.name, second.name) == ("seed-0/pretrained/all", "seed-0/random/all")
    assert first.randomness.seed("x") == second.randomness.seed("x"), "paired arms draw alike"
    assert around.child("a").randomness.seed() != around.child("b").randomness.seed()
    assert first.checkpoint.path == tmp_path / "run" / "checkpoints" / "seed-0/pretrained/all.safetensors"
    assert first.history is folder.history
    unsaved = Surroundings("tune", Randomness(0), folder, saved=False).fitting("")
    assert (unsaved.name, unsaved.checkpoint, unsaved.history) == ("tune", None, folder.history)


def test_checkpoints_by_the_clock(tmp_path, monkeypatch):
    """Without checkpoint_every, one is due after CHECKPOINT_SECONDS."""
    checkpoint = Checkpoint(tmp_path / "x.safetensors")
    with pytest.raises(Stop):
        run(checkpoint=checkpoint, callbacks=[stopping_at(9)])
    assert checkpoint.load() is None, "30 seconds are not over"
    monkeypatch.setattr("layerwise.training.loop.CHECKPOINT_SECONDS", 0.0)
    with pytest.raises(Stop):
        run(checkpoint=checkpoint, callbacks=[stopping_at(9)])
    assert checkpoint.load().values["update"] == 8


def test_callbacks_hear_the_pace_and_the_time_left():
    heard = []
    run(callbacks=[heard.append], summary_every=1)
    assert (heard[0].update, heard[0].rows_per_second, heard[0].seconds_left) == (0, 0.0, None)
    for progress in heard[1:]:
        spent = progress.rows / progress.rows_per_second
        assert spent >= progress.seconds > 0, "by the clock, not by arithmetic alone"
        assert progress.seconds_left == pytest.approx(spent * (progress.updates - progress.update) / progress.update)
    assert heard[-1].seconds_left == 0.0


def test_after_resuming_the_pace_is_that_of_the_updates_made_since(tmp_path):
    checkpoint = Checkpoint(tmp_path / "stage.safetensors", "me")
    every = {"checkpoint": checkpoint, "checkpoint_every": 4, "summary_every": 1}
    with pytest.raises(Stop):
        run(**every, callbacks=[stopping_at(6)])
    heard = []
    run(**every, callbacks=[heard.append])
    first = heard[0]
    assert (first.update, first.updates, first.rows) == (5, 12, 20), "one update since the checkpoint"
    assert first.seconds_left == pytest.approx(7 * first.rows / first.rows_per_second)
