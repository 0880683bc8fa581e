"""Noise on the network's own rows: what each layer is fed, and what it is to give back."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn

import layerwise as lw
from layerwise import DenoisingAutoencoder, GaussianNoise, Masking, SaltAndPepper, SwapNoise
from layerwise.objectives.autoencoder import AutoencoderLearner
from layerwise.objectives.objective import Factors
from layerwise.randomness import Randomness
from small_network import build, inputs, same, uniform, weights

SEED, BATCH, RATE = 4, 20, 0.4


def noisy_rows(rows: Tensor, seed: int) -> Tensor:
    """Masking noise from the generator of an update, written out."""
    return rows * (uniform(rows.shape, torch.Generator().manual_seed(seed)) >= RATE)


def through(network: nn.Sequential, rows: Tensor, depth: int) -> Tensor:
    """The codes of the network's lowest layers, from its weights alone."""
    for number in range(depth):
        layer = network[2 * number]
        rows = 1 / (1 + torch.exp(-(rows @ layer.weight.detach().T + layer.bias.detach())))
    return rows


def seen(monkeypatch: pytest.MonkeyPatch) -> list[tuple[AutoencoderLearner, Tensor, Tensor]]:
    """Record (learner, the encoder's input, the target) of each loss, and of each update from factors."""
    found: list[tuple[AutoencoderLearner, Tensor, Tensor]] = []
    genuine, genuine_factors = AutoencoderLearner.loss, AutoencoderLearner.factors

    def watched_factors(self: AutoencoderLearner, batch: Any, generator: Any) -> Factors:
        factors = genuine_factors(self, batch, generator)
        # of both uses of W as one product: [h; dh] over [dz; what the encoder was fed]
        ((_, below),) = factors.products[self.layer.module.weight]
        assert below is not None
        found.append((self, below[len(batch.inputs) :].clone(), batch.inputs.clone()))
        return factors

    def watched(self: AutoencoderLearner, batch: Any, generator: Any) -> Tensor:
        fed: list[Tensor] = []
        hook = self.layer.module.register_forward_pre_hook(lambda module, given: fed.append(given[0].detach().clone()))
        loss = genuine(self, batch, generator)
        hook.remove()
        found.append((self, fed[-1], batch.inputs.clone()))
        return loss

    monkeypatch.setattr(AutoencoderLearner, "loss", watched)
    monkeypatch.setattr(AutoencoderLearner, "factors", watched_factors)
    return found


@pytest.mark.parametrize("corrupt", ["input", "layer"])
def test_the_encoder_is_fed_what_becomes_of_the_noisy_row_and_the_target_is_the_clean_code(
    corrupt: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each update of both stages against the frozen layers' equations and the generator of that update."""
    network, rows, found = build(dtype=torch.float64), inputs().double(), seen(monkeypatch)
    lw.pretrain(
        network, rows, objective=DenoisingAutoencoder(Masking(RATE)), corrupt=corrupt, epochs=2, batch_size=BATCH,
        learning_rate=0.1, random_state=SEED,
    )  # fmt: skip
    found = found[-2 * 9 :] if len(found) > 18 else found
    for number in (1, 2):
        # the first of each stage is the loss before any update, over as many batches as an epoch has
        own = [entry for entry in found if entry[0].layer.name == "02"[number - 1]][3:]
        assert len(own) == 6
        randomness, update = Randomness(SEED).child(str(number)), 0
        clean = through(network, rows, number - 1)  # the layers below are frozen by now
        for epoch in range(2):
            order = torch.randperm(len(rows), generator=randomness.generator("order", epoch))
            for chosen in order.split(BATCH):
                seed = (randomness.seed("updates") + update) % 2**63
                if corrupt == "input":
                    expected = through(network, noisy_rows(rows[chosen], seed), number - 1)
                else:
                    expected = noisy_rows(clean[chosen], seed)
                _, fed, target = own[update]
                torch.testing.assert_close(fed, expected, rtol=0, atol=1e-12)
                torch.testing.assert_close(target, clean[chosen], rtol=0, atol=1e-12)
                update += 1


@pytest.mark.parametrize("noise", [Masking(0.3), GaussianNoise(0.2), SaltAndPepper(0.2), SwapNoise(0.2)])
def test_the_lowest_layer_is_trained_alike_and_the_next_is_not(noise: Any) -> None:
    networks = build(), build()
    for network, corrupt in zip(networks, ("layer", "input"), strict=True):
        lw.pretrain(
            network, inputs(), objective=DenoisingAutoencoder(noise), corrupt=corrupt, epochs=2, learning_rate=0.1,
            random_state=0,
        )  # fmt: skip
    layer, below = networks
    assert same(weights(layer[0]), weights(below[0]))
    assert not torch.equal(layer[2].weight, below[2].weight)


def images_below_flatten() -> nn.Sequential:
    torch.manual_seed(1)
    return nn.Sequential(
        nn.Conv2d(1, 4, 3), nn.BatchNorm2d(4), nn.ReLU(), nn.MaxPool2d(2), nn.Flatten(), nn.Dropout(0.5),
        nn.Linear(4, 3), nn.Sigmoid(), nn.Linear(3, 2),
    )  # fmt: skip


class Own(nn.Module):
    """Not cut: the named modules' inputs are captured."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(1)
        self.one, self.norm, self.two, self.head = nn.Linear(12, 9), nn.BatchNorm1d(9), nn.Linear(9, 9), nn.Linear(9, 2)

    def forward(self, rows: Tensor) -> Tensor:
        code = torch.sigmoid(self.norm(self.one(rows)))
        return self.head(torch.sigmoid(self.two(code)) + code)


CASES: dict[str, tuple[Callable[[], nn.Module], Tensor, dict[str, Any], str, Callable[[Any, Tensor], Tensor]]] = {
    "pooled": (images_below_flatten, inputs(40, 16).reshape(40, 1, 4, 4), {}, "6",
               lambda network, rows: network[:6](rows)),
    "captured": (Own, inputs(), {"layers": ["one", "two"], "activation": "sigmoid"}, "two",
                 lambda network, rows: torch.sigmoid(network.norm(network.one(rows)))),
}  # fmt: skip


@pytest.mark.parametrize("case", CASES)
def test_the_noisy_row_passes_pooling_normalisation_and_what_lies_between(
    case: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In evaluation mode: by the running means of the frozen layers, and without dropout."""
    with torch.random.fork_rng():
        network = CASES[case][0]()
    _, rows, settings, name, below = CASES[case]
    found = seen(monkeypatch)
    lw.pretrain(
        network, rows, objective=DenoisingAutoencoder(Masking(RATE), loss="squared", decoder="linear"),
        corrupt="input", epochs=1, batch_size=len(rows), learning_rate=0.05, random_state=SEED, **settings,
    )  # fmt: skip
    _, fed, target = [entry for entry in found if entry[0].layer.name == name][-1]
    randomness = Randomness(SEED).child("2")
    order = torch.randperm(len(rows), generator=randomness.generator("order", 0))
    network.eval()
    with torch.no_grad():
        noisy = noisy_rows(rows[order], randomness.seed("updates") % 2**63)
        torch.testing.assert_close(fed, below(network, noisy))
        torch.testing.assert_close(target, below(network, rows[order]))


def test_the_automatic_rate_is_measured_under_the_same_noise(monkeypatch: pytest.MonkeyPatch) -> None:
    found = seen(monkeypatch)
    result = lw.pretrain(build(), inputs(), corrupt="input", epochs=1, random_state=0)
    assert all(stage.learning_rate > 0 for stage in result.history)
    second = [(fed, target) for learner, fed, target in found if learner.layer.name == "2"]
    # masked on its own input, a quarter of the codes would be exactly 0; a sigmoid's code never is
    assert len(second) == 3 and all(bool((fed > 0).all()) and not torch.equal(fed, target) for fed, target in second)
