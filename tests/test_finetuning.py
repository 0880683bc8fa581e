"""Fine-tuning: against a loop written out by hand; freezing, the head first, labels, early stopping, refusals."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

import layerwise as lw
from layerwise import EarlyStopping
from layerwise.errors import DataError, DivergenceError, NetworkError, PlanError
from layerwise.randomness import Randomness

ROWS = 40


def data(rows: int = ROWS, seed: int = 0) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(seed)
    inputs = torch.randn(rows, 6, generator=generator)
    noise = torch.randn(rows, generator=generator)
    return inputs, (inputs[:, 0] + inputs[:, 1] + 0.3 * noise > 0).long() + (inputs[:, 2] > 1).long()


def build(dropout: bool = False) -> nn.Sequential:
    with torch.random.fork_rng():
        torch.manual_seed(1)
        middle = [nn.Dropout(0.5)] if dropout else []
        return nn.Sequential(nn.Linear(6, 8), nn.Tanh(), *middle, nn.Linear(8, 5), nn.Tanh(), nn.Linear(5, 3))


def weights(network: nn.Module) -> dict[str, Tensor]:
    return {name: value.clone() for name, value in network.state_dict().items()}


def changed(before: dict[str, Tensor], network: nn.Module) -> set[str]:
    return {name for name, value in network.state_dict().items() if not torch.equal(value, before[name])}


def test_equals_a_loop_written_by_hand() -> None:
    """Momentum, L2 on weights only, the biases' own rate, 1/t decay and the order of the rows, in plain tensors."""
    inputs, targets = data()
    network, other = build().double(), build().double()
    parameters = dict(other.named_parameters())
    speed = {name: torch.zeros_like(value) for name, value in parameters.items()}
    randomness, update = Randomness(4), 0
    for epoch in range(3):
        order = torch.randperm(ROWS, generator=randomness.generator("order", epoch))
        for rows in order.split(15):
            h1 = torch.tanh(inputs[rows].double() @ parameters["0.weight"].T + parameters["0.bias"])
            h2 = torch.tanh(h1 @ parameters["2.weight"].T + parameters["2.bias"])
            logits = h2 @ parameters["4.weight"].T + parameters["4.bias"]
            chosen = logits[torch.arange(len(rows)), targets[rows]]
            loss = (logits.logsumexp(1) - chosen).mean()
            gradients = torch.autograd.grad(loss, list(parameters.values()))
            rate = 0.2 * 4 / max(update, 4)
            with torch.no_grad():
                for (name, value), gradient in zip(parameters.items(), gradients, strict=True):
                    weight = name.endswith("weight")
                    speed[name] = 0.8 * speed[name] + gradient + (0.01 * value if weight else 0)
                    value -= rate * (1.0 if weight else 2.0) * speed[name]
            update += 1
    result = lw.finetune(
        network, inputs, targets, epochs=3, batch_size=15, learning_rate=0.2, momentum=0.8, l2=0.01, bias_rate=2.0,
        schedule=lw.InverseTime(tau=4), random_state=4, device="cpu",
    )  # fmt: skip
    assert result.updates == update == 9
    for name, value in network.state_dict().items():
        torch.testing.assert_close(value, parameters[name].detach(), rtol=0, atol=1e-13)
    assert len(changed(weights(build().double()), network)) == 6


def test_it_learns_and_says_so() -> None:
    inputs, targets = data(300)
    result = lw.finetune(build(), inputs[:200], targets[:200], validation=(inputs[200:], targets[200:]), random_state=0)
    first, last = result.history[0], result.history[-1]
    assert first["update"] == 0 and last["update"] == result.updates == 80 * 4
    assert last["training_loss"] < 0.5 * first["training_loss"]
    assert last["validation_error"] < 25.0 < first["validation_error"] - 15.0


def test_the_validation_record_is_that_of_the_network() -> None:
    inputs, targets = data(60)
    network = build(dropout=True)
    held = inputs[40:], targets[40:]
    last = lw.finetune(network, inputs[:40], targets[:40], validation=held, epochs=2, random_state=0).history[-1]
    network.eval()
    with torch.no_grad():
        outputs = network(held[0])
    assert last["validation_loss"] == pytest.approx(float(nn.functional.cross_entropy(outputs, held[1])), rel=1e-5)
    assert last["validation_error"] == pytest.approx(100 * float((outputs.argmax(1) != held[1]).float().mean()))


@pytest.mark.parametrize(
    "freeze, kept",
    [
        (["0"], {"0.weight", "0.bias"}),
        (["2.bias", "4.weight"], {"2.bias", "4.weight"}),
        (["0", "2"], {"0.weight", "0.bias", "2.weight", "2.bias"}),
        ([], set()),
    ],
)
def test_freeze(freeze: list[str], kept: set[str]) -> None:
    network = build()
    network[2].bias.requires_grad_(False)
    before, found = weights(network), {name: p.requires_grad for name, p in network.named_parameters()}
    lw.finetune(network, *data(), freeze=freeze, epochs=1, l2=0.1, random_state=0)
    assert changed(before, network) == set(before) - kept - {"2.bias"}
    assert {name: p.requires_grad for name, p in network.named_parameters()} == found


def test_modes_and_gradients_are_put_back_even_after_an_error() -> None:
    network = build(dropout=True)
    network[2].eval()
    modes = {name: module.training for name, module in network.named_modules()}

    def stop(progress: Any) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        lw.finetune(network, *data(), freeze=["0"], head_first=1, epochs=1, callbacks=[stop])
    assert {name: module.training for name, module in network.named_modules()} == modes
    assert all(parameter.requires_grad and parameter.grad is None for parameter in network.parameters())


def test_the_head_alone_comes_first() -> None:
    network, before, seen = build(), weights(build()), []

    def watch(progress: Any) -> None:
        if progress.record is not None:
            seen.append((progress.fit, progress.update, changed(before, network)))

    lw.finetune(network, *data(), head_first=2, epochs=1, batch_size=20, random_state=0, callbacks=[watch])
    head, everything = {"4.weight", "4.bias"}, set(before)
    assert seen == [
        ("finetune/head", 0, set()),
        ("finetune/head", 2, head),
        ("finetune/head", 4, head),
        ("finetune", 0, head),
        ("finetune", 2, everything),
    ]


def test_rows_without_a_label_are_left_out() -> None:
    inputs, targets = data()
    marked = targets.clone()
    marked[::3] = -1
    networks = [build(), build(), build()]
    lw.finetune(networks[0], inputs, marked, epochs=2, random_state=0)
    lw.finetune(networks[1], inputs[marked >= 0], targets[marked >= 0], epochs=2, random_state=0)
    missing = np.where(marked.numpy() < 0, np.nan, targets.numpy().astype(float))
    lw.finetune(networks[2], inputs, missing, epochs=2, random_state=0)
    assert changed(weights(networks[0]), networks[1]) == changed(weights(networks[0]), networks[2]) == set()


def test_text_labels_are_numbered_in_sorted_order() -> None:
    inputs, targets = data()
    names = ["zebra", "ant", "cat"]
    words = [names[code] for code in targets.tolist()]
    first, second = build(), build()
    result = lw.finetune(first, inputs, words, epochs=2, random_state=0)
    assert result.classes == ["ant", "cat", "zebra"]
    recoded = torch.tensor([result.classes.index(word) for word in words])
    assert lw.finetune(second, inputs, recoded, epochs=2, random_state=0).classes == [0, 1, 2]
    assert changed(weights(first), second) == set()


def test_early_stopping_returns_the_best_parameters() -> None:
    inputs, targets = data(230, seed=3)
    targets = targets.clamp(max=1)
    held = inputs[30:], targets[30:]
    flipped = targets[:30].clone()
    flipped[::4] = 1 - flipped[::4]  # wrong labels: fitting them raises the error on other rows again
    network = build()
    result = lw.finetune(
        network, inputs[:30], flipped, validation=held, epochs=400, batch_size=10, learning_rate=0.1, random_state=0,
        early_stopping=EarlyStopping(patience=30),
    )  # fmt: skip
    errors = {r["update"]: r["validation_error"] for r in result.history if "validation_error" in r}
    best = min(errors.values())
    assert result.updates < 1200 and errors[result.updates] > best
    assert result.best_update is not None and errors[result.best_update] == best
    with torch.no_grad():
        wrong = (network(held[0]).argmax(1) != held[1]).double().mean()
    assert 100 * float(wrong) == pytest.approx(best)


def test_the_same_bits_and_nothing_global() -> None:
    networks = [build(dropout=True), build(dropout=True), build(dropout=True)]
    for number, (network, seed) in enumerate(zip(networks, (0, 0, 1), strict=True)):
        torch.manual_seed(number)
        state = torch.get_rng_state()
        lw.finetune(network, *data(), epochs=2, random_state=seed)
        assert torch.equal(torch.get_rng_state(), state)
    assert changed(weights(networks[0]), networks[1]) == set()
    assert changed(weights(networks[0]), networks[2]) != set()


def test_a_validation_fraction_comes_from_the_labelled_rows() -> None:
    inputs, targets = data(50)
    targets[:10] = -1
    result = lw.finetune(build(), inputs, targets, validation=0.5, batch_size=20, epochs=1, random_state=0)
    assert result.updates == 1 and result.history[-1]["validation_error"] % 5 == pytest.approx(0)  # 20 rows held out


def test_divergence_is_an_error() -> None:
    inputs, targets = data()
    with pytest.raises(DivergenceError, match=r"finetune: the loss is (nan|inf) at update \d+, learning rate 1e\+20"):
        lw.finetune(nn.Sequential(nn.Linear(6, 4), nn.Linear(4, 3)), 10 * inputs, targets, learning_rate=1e20)


def other_head(outputs: int) -> nn.Sequential:
    return nn.Sequential(nn.Linear(6, 8), nn.Tanh(), nn.Linear(8, outputs))


@pytest.mark.parametrize(
    "change, error, said",
    [
        ({"network": other_head(2)}, NetworkError, r"output has shape \(2,\) a row, the labels have 3 classes"),
        ({"network": nn.Sequential(nn.Flatten())}, NetworkError, "no parameter to train"),
        ({"targets": torch.zeros(7)}, DataError, "7 labels, the inputs have 40 rows"),
        ({"targets": torch.full((ROWS,), -1)}, DataError, "no row is labelled"),
        ({"targets": torch.full((ROWS,), 0.5)}, DataError, "row 0 has the label 0.5"),
        ({"inputs": torch.zeros(ROWS, 5)}, DataError, r"does not take rows of shape \(5,\)"),
        ({"inputs": torch.full((ROWS, 6), torch.nan)}, DataError, "row 0, column 0 is NaN"),
        ({"validation": torch.zeros(3, 6)}, PlanError, r"is Tensor, expected a fraction or \(inputs, targets\)"),
        ({"validation": 1}, PlanError, "validation is int"),
        ({"validation": (torch.zeros(3, 5), [0, 1, 2])}, DataError, r"validation rows of shape \(5,\)"),
        ({"validation": (torch.zeros(3, 6), [0, 1])}, DataError, "2 labels, the inputs have 3 rows"),
        ({"validation": (torch.zeros(1, 6), [7])}, DataError, "none of the known classes"),
        ({"validation": (torch.zeros(1, 6), [-1])}, DataError, "no validation row has a label"),
        ({"early_stopping": EarlyStopping()}, PlanError, "needs rows to validate on"),
        ({"freeze": ["0.weigth"]}, NetworkError, "freeze names '0.weigth'"),
        ({"freeze": ["0", "2", "4"]}, NetworkError, "no parameter to train"),
        ({"freeze": ["4"], "head_first": 1}, NetworkError, "head_first trains the head alone, but it is frozen"),
        ({"epochs": 0, "batch": 3}, TypeError, "batch"),
        ({"epochs": 0, "learning_rate": -1.0}, PlanError, "finetune has 2 faults"),
    ],
)  # fmt: skip
def test_refusals(change: dict[str, Any], error: type[Exception], said: str, tmp_path: Path) -> None:
    """Before a weight is changed or a file is written."""
    inputs, targets = data()
    given: dict[str, Any] = {"network": build(), "inputs": inputs, "targets": targets} | change
    before = weights(given["network"])
    with pytest.raises(error, match=said):
        lw.finetune(**given, run_dir=tmp_path / "run")
    assert changed(before, given["network"]) == set()
    assert not (tmp_path / "run").exists()


def test_a_misspelt_part_is_named() -> None:
    with pytest.raises(NetworkError) as caught:
        lw.finetune(build(), *data(), freeze=["0.weigth"])
    assert "did you mean '0.weight'?" in caught.value.hint
