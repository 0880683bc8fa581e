"""Values and gradients against NumPy's chain rule and autograd's own hooks; what is refused; nothing is left behind."""

from __future__ import annotations

import copy

import numpy as np
import pytest
import torch
from torch import nn

import layerwise as lw
from layerwise.analysis.graph import graph_of
from layerwise.errors import DataError, NetworkError, PlanError
from layerwise.randomness import Randomness
from traced_networks import NETWORKS, Residual, network_of

CLOSE = {"rtol": 0.0, "atol": 1e-10}
every_network = pytest.mark.parametrize("name", NETWORKS)


def targets_of(network, rows):
    with torch.random.fork_rng():
        torch.manual_seed(5)
        return torch.randn_like(copy.deepcopy(network).eval()(rows))


def hooked(network, rows, targets):
    """What autograd says: of each module's call the output and the gradient by it, by the module's name."""
    network = copy.deepcopy(network)
    found = {}

    def keep(name):
        def hook(module, given, output):
            calls = found.setdefault(name, [])
            calls.append([output.detach().clone(), None])
            output.register_hook(lambda gradient, entry=calls[-1]: entry.__setitem__(1, gradient.clone()))

        return hook

    for name, module in network.named_modules():
        if not next(module.children(), None) and name:
            module.register_forward_hook(keep(name))
    rows = rows.clone().requires_grad_()
    outputs = network(rows)
    loss = 0.5 * (outputs - targets).square().sum() / len(outputs)
    loss.backward()
    return found, rows.grad, {name: p.grad for name, p in network.named_parameters()}, float(loss.detach())


@every_network
def test_equals_autograd_hooks(name):
    """Each module's output and the gradient by it, the input's and the parameters' gradients; dropout drawn alike."""
    network, rows = network_of(name)
    targets = targets_of(network, rows)
    with torch.random.fork_rng():
        torch.manual_seed(Randomness(7).seed("graph"))
        modules, by_rows, by_parameters, loss = hooked(network, rows, targets)
    graph = graph_of(network, rows, targets=targets, random_state=7)
    seen = {}
    for operation in graph.operations:
        if operation.kind == "operation" and operation.module:
            calls = modules[operation.module]
            value, gradient = calls[seen.setdefault(operation.module, 0)]
            seen[operation.module] += 1
            torch.testing.assert_close(operation.value, value, **CLOSE)
            torch.testing.assert_close(operation.gradient, gradient, **CLOSE)
    assert {module: len(calls) for module, calls in modules.items()} == seen
    torch.testing.assert_close(graph["input"].gradient, by_rows, **CLOSE)
    assert float(graph["output"].value) == pytest.approx(loss, abs=1e-12)
    parts = {}
    for operation in graph.operations:
        for entering in operation.parameters:
            parts[entering.name] = parts.get(entering.name, 0) + entering.gradient
    assert parts.keys() == by_parameters.keys()
    for parameter, gradient in by_parameters.items():
        torch.testing.assert_close(parts[parameter], gradient, **CLOSE)


@every_network
def test_what_arrives_sums_to_the_gradient(name):
    network, rows = network_of(name)
    graph = graph_of(network, rows, targets=targets_of(network, rows), opened=["batch_norm", "dense"])
    met = 0
    for operation in graph.operations:
        takers = [user for made, user in graph.edges() if made == operation.name]
        assert sorted(user for user, _ in operation.arriving) == sorted(takers)
        parts = [gradient for _, gradient in operation.arriving if gradient is not None]
        if operation.gradient is not None and parts:
            torch.testing.assert_close(sum(parts), operation.gradient, **CLOSE)
            met += len(parts) > 1
    assert met or name == "dense"


def test_equals_the_chain_rule_by_hand():
    """A residual network, forward and backward in NumPy, both ways into the sum apart."""
    network, rows = network_of("residual")
    targets = targets_of(network, rows)
    weights = {name: parameter.detach().numpy() for name, parameter in network.named_parameters()}
    x, t = rows.numpy(), targets.numpy()
    h = np.tanh(x @ weights["first.weight"].T + weights["first.bias"])
    g = np.tanh(h @ weights["inner.weight"].T + weights["inner.bias"])
    y = (h + g) @ weights["head.weight"].T + weights["head.bias"]
    by_y = (y - t) / len(x)
    by_sum = by_y @ weights["head.weight"]
    by_inner = by_sum * (1 - g**2)
    through = by_inner @ weights["inner.weight"]
    by_h = by_sum + through
    by_x = (by_h * (1 - h**2)) @ weights["first.weight"]
    graph = graph_of(network, rows, targets=targets)
    tanh, add = graph["tanh"], graph["add"]
    np.testing.assert_allclose(tanh.value, h, atol=1e-10)
    np.testing.assert_allclose(add.value, h + g, atol=1e-10)
    np.testing.assert_allclose(add.gradient, by_sum, atol=1e-10)
    arriving = dict(tanh.arriving)
    np.testing.assert_allclose(arriving["add"], by_sum, atol=1e-10)
    np.testing.assert_allclose(arriving["inner"], through, atol=1e-10)
    np.testing.assert_allclose(tanh.gradient, by_h, atol=1e-10)
    np.testing.assert_allclose(graph["input"].gradient, by_x, atol=1e-10)
    np.testing.assert_allclose(graph["inner"].parameters[0].gradient, by_inner.T @ h, atol=1e-10)
    np.testing.assert_allclose(graph["head"].parameters[1].gradient, by_y.sum(0), atol=1e-10)


def test_a_value_taken_twice_by_one_operation():
    class Square(nn.Module):
        def forward(self, rows):
            return rows * rows

    rows = torch.tensor([[2.0, -3.0]])
    graph = graph_of(Square(), rows)
    assert graph["mul"].inputs == ("input", "input")
    assert [gradient.tolist() for _, gradient in graph["input"].arriving] == [[[2.0, -3.0]], [[2.0, -3.0]]]
    assert graph["input"].gradient.tolist() == [[4.0, -6.0]]


def test_a_shared_module_has_a_part_of_its_gradient_in_each_use():
    network, rows = network_of("flat")
    graph = graph_of(network, rows)
    uses = [operation for operation in graph.operations if operation.module == "shared"]
    assert [use.name for use in uses] == ["shared", "shared (2)"]
    assert not torch.allclose(uses[0].parameters[0].gradient, uses[1].parameters[0].gradient)
    assert [graph["scale"].kind, graph["shift"].kind] == ["parameter", "constant"]
    assert "size" not in {operation.does for operation in graph.operations}


@pytest.mark.parametrize("mode", [True, False])
def test_the_network_and_the_generator_stay_as_found(mode):
    network, rows = network_of("convolutional")
    network.train(mode)
    network[3].eval()
    network[0].kept = "mine"
    next(network.parameters()).grad = torch.ones_like(next(network.parameters()))
    next(network.parameters()).requires_grad_(False)
    before, drawn = copy.deepcopy(network), torch.get_rng_state()
    gradients = [None if parameter.grad is None else parameter.grad.tolist() for parameter in network.parameters()]
    graph_of(network, rows, opened=["batch_norm", "dense"])
    assert torch.equal(torch.get_rng_state(), drawn)
    assert [module.training for module in network.modules()] == [module.training for module in before.modules()]
    for (name, found), (_, own) in zip(network.state_dict().items(), before.state_dict().items(), strict=True):
        assert torch.equal(found, own), name
    assert [p.requires_grad for p in network.parameters()] == [p.requires_grad for p in before.parameters()]
    assert [None if p.grad is None else p.grad.tolist() for p in network.parameters()] == gradients
    assert [set(vars(module)) for module in network.modules()] == [set(vars(module)) for module in before.modules()]


def test_a_frozen_parameter_has_its_gradient_too():
    network, rows = network_of("dense")
    wanted = graph_of(network, rows)["0"].parameters[0].gradient
    network[0].weight.requires_grad_(False)
    assert torch.equal(graph_of(network, rows)["0"].parameters[0].gradient, wanted)


def test_dropout_draws_from_random_state_in_training_and_is_nothing_in_evaluation():
    network, rows = nn.Sequential(nn.Dropout(0.5), nn.Linear(40, 1)), torch.ones(3, 40)
    first, again, other = (graph_of(network, rows, random_state=seed)["0"].value for seed in (0, 0, 1))
    assert torch.equal(first, again) and not torch.equal(first, other)
    assert set(first.unique().tolist()) == {0.0, 2.0}
    network.eval()
    assert torch.equal(graph_of(network, rows)["0"].value, rows)


def test_dropout_as_a_function_follows_the_mode():
    class Functional(nn.Module):
        def forward(self, rows):
            return nn.functional.dropout(rows, 0.5, self.training)

    network, rows = Functional(), torch.ones(2, 30)
    assert 0.0 in graph_of(network, rows)["dropout"].value
    assert torch.equal(graph_of(network.eval(), rows)["dropout"].value, rows)


def test_a_change_in_place_is_told_apart_from_what_it_changed():
    rows = torch.tensor([[1.0, -2.0]])
    network = nn.Sequential(nn.Linear(2, 2), nn.ReLU(inplace=True))
    torch.nn.init.eye_(network[0].weight), torch.nn.init.zeros_(network[0].bias)
    graph = graph_of(network, rows)
    assert graph["0"].value.tolist() == [[1.0, -2.0]] and graph["1"].value.tolist() == [[1.0, 0.0]]
    assert graph["0"].gradient.tolist() == [[1.0, 0.0]] and graph["1"].gradient.tolist() == [[1.0, 1.0]]
    assert rows.tolist() == [[1.0, -2.0]]


def test_a_value_that_is_used_after_its_change_in_place_is_refused():
    class Changed(nn.Module):
        def forward(self, rows):
            code = rows * 2
            return torch.relu_(code) + code

    with pytest.raises(NetworkError, match="do not give what the network, a Changed, gives") as caught:
        graph_of(Changed(), torch.tensor([[1.0, -2.0]]))
    assert "inplace=False" in caught.value.hint


def test_without_a_batch_there_are_operations_and_no_shapes():
    graph = graph_of(Residual())
    assert [operation.name for operation in graph.operations] == [
        "input", "first", "tanh", "inner", "tanh_1", "add", "head", "output",
    ]  # fmt: skip
    assert all(operation.shape is None and operation.value is None for operation in graph.operations)
    assert graph["add"].inputs == ("tanh", "tanh_1") and graph.loss == ""
    assert graph["first"].parameters[0].shape == (3, 2)


def test_origins_are_those_of_pre_training():
    network = nn.Sequential(nn.Linear(6, 4), nn.Sigmoid(), nn.Linear(4, 2))
    result = lw.pretrain(network, torch.rand(20, 6), epochs=1, random_state=0)
    graph = graph_of(network, parameters=result.parameters)
    assert [entering.origin for entering in graph["0"].parameters] == ["pre-trained"] * 2
    assert [entering.origin for entering in graph["2"].parameters] == ["initialised"] * 2
    assert graph_of(network)["0"].parameters[0].origin == ""


def test_rows_of_whole_numbers_have_no_gradient():
    graph = graph_of(nn.Sequential(nn.Embedding(5, 3), nn.Flatten(), nn.Linear(6, 1)), torch.tensor([[0, 4]]))
    assert graph["input"].gradient is None and graph["0"].gradient.shape == (1, 2, 3)
    assert graph["input"].arriving == (("0", None),)


@pytest.mark.parametrize(
    ("targets", "loss", "name"),
    [
        (None, "auto", "sum of the outputs"),
        ([0, 1, 1, 0], "auto", "cross_entropy"),
        (torch.zeros(4, 2), "auto", "squared"),
        (torch.zeros(4, 2), nn.functional.l1_loss, "l1_loss"),
        (None, lambda outputs: outputs.square().mean(), "<lambda>"),
    ],
)
def test_losses(targets, loss, name):
    network, rows = network_of("dense")
    graph = graph_of(network, rows, targets=targets, loss=loss)
    outputs = network(rows)
    wanted = {
        "sum of the outputs": lambda: outputs.sum(),
        "cross_entropy": lambda: nn.functional.cross_entropy(outputs, torch.tensor(targets)),
        "squared": lambda: outputs.square().sum() / 8,
        "l1_loss": lambda: outputs.abs().mean(),
        "<lambda>": lambda: outputs.square().mean(),
    }[name]()
    assert graph.loss == name == graph["output"].does
    assert float(graph["output"].value) == pytest.approx(float(wanted.detach()), abs=1e-12)
    assert float(graph["output"].gradient) == 1.0


class Branching(nn.Module):
    def forward(self, rows):
        return rows if rows.sum() > 0 else -rows


class Two(nn.Module):
    def forward(self, rows, others):
        return rows + others


PLAIN = nn.Sequential(nn.Linear(2, 2))


@pytest.mark.parametrize(
    ("network", "given", "kind", "message", "hint"),
    [
        (Branching(), {}, NetworkError, "a Branching, cannot be traced", "a part of it"),
        (Two(), {}, NetworkError, r"takes 2 inputs \(rows, others\), expected 1", "takes the rows alone"),
        (PLAIN, {"batch": torch.ones(3, 4)}, NetworkError, r"shape \(3, 4\)", "rows"),
        (PLAIN, {"batch": "rows"}, DataError, "a str, is no tensor", "inputs"),
        (PLAIN, {"parameters": {"0.wight": "initialised"}}, PlanError, "0.wight", "'0.weight'"),
        (PLAIN, {"opened": ["dens"]}, PlanError, "batch_norm, dense", "opened"),
        (PLAIN, {"loss": "square"}, PlanError, "loss is 'square'", "'squared'"),
        (PLAIN, {"loss": "squared"}, PlanError, "there are none", "targets"),
        (PLAIN, {"targets": [1.0]}, DataError, r"\(1, 2\), the targets \(1,\)", "each output"),
        (PLAIN, {"targets": [7]}, DataError, "cross_entropy.* out of bounds", "fit the outputs"),
        (PLAIN, {"loss": lambda y: y}, DataError, r"shape \(1, 2\), expected one number", "one"),
    ],
)  # fmt: skip
def test_refusals(network, given, kind, message, hint):
    given = {"batch": torch.ones(1, 2), **given}
    with pytest.raises(kind, match=message) as caught:
        graph_of(network, **given)
    assert hint in caught.value.hint


def test_batch_normalisation_of_one_row_is_refused_in_words():
    with pytest.raises(NetworkError, match=r"batch of shape \(1, 2\): Expected more than 1 value per channel"):
        graph_of(nn.Sequential(nn.BatchNorm1d(2)), torch.ones(1, 2))
