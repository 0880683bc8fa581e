"""Networks whose operations are written in forward: every layer computes what the network itself does, bit for bit."""

from __future__ import annotations

import copy

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, fx, nn

from layerwise.nn.cutting import cut
from layerwise.nn.operations import module_of, split_chain


class Written(nn.Module):
    """A small image network; each of those below writes its forward in its own way."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(1, 3, 3)
        self.fc1 = nn.Linear(27, 7)
        self.fc2 = nn.Linear(7, 6)
        self.head = nn.Linear(6, 4)


class Functions(Written):
    def forward(self, x: Tensor) -> Tensor:
        x = F.max_pool2d(F.relu(self.conv(x)), 2)
        x = F.dropout(x.view(x.size(0), -1), 0.5, training=self.training)
        x = F.dropout(torch.sigmoid(self.fc1(x)), training=self.training)
        return F.log_softmax(self.head(F.tanh(self.fc2(x))), dim=1)


class Methods(Written):
    def forward(self, x: Tensor) -> Tensor:
        x = F.max_pool2d(self.conv(x), kernel_size=2).relu()
        x = self.fc1(x.flatten(1)).sigmoid()
        return self.head(self.fc2(x).tanh()).log_softmax(-1)


class PoolingFirst(Written):
    def forward(self, x: Tensor) -> Tensor:
        x = F.relu(F.max_pool2d(self.conv(x), 2, 2))
        x = torch.relu(self.fc1(torch.flatten(x, 1)))
        return self.head(self.fc2(x).relu_())


class SizeFirst(Written):
    def forward(self, x: Tensor) -> Tensor:
        n = x.size(0)
        x = self.conv(x.view(n, 1, 8, 8)).relu()
        x = F.avg_pool2d(x, 2).view(n, -1)
        return self.head(self.fc2(self.fc1(x).tanh()).tanh())


class ShapeFirst(Written):
    def forward(self, x: Tensor) -> Tensor:
        n = x.shape[0]
        x = F.max_pool2d(F.elu(self.conv(x.reshape((-1, 1, 8, 8))), 0.7), 2)
        x = self.fc1(x.reshape(x.size()[0], 27))
        x = F.leaky_relu(x, 0.2).view((n, -1))
        return self.head(F.gelu(self.fc2(x), approximate="tanh"))


class Options(Written):
    def forward(
        self, x: Tensor, mask: Tensor | None = None, *more: Tensor, scale: float = 1.0, **words: Tensor
    ) -> Tensor:
        if mask is not None:
            x = x * mask
        for other in more:
            x = x + other
        if words or scale != 1.0:
            x = x * scale
        x = F.max_pool2d(self.conv(x).relu(), 2).flatten(start_dim=1)
        return self.head(torch.relu(self.fc2(torch.relu(self.fc1(x)))))


class Unused(Written):
    """Results that nothing uses, as people leave them after looking at a value."""

    def forward(self, x: Tensor) -> Tensor:
        x = F.max_pool2d(self.conv(x).relu(), 2).flatten(1)
        h = torch.sigmoid(self.fc1(x))
        torch.tanh(h)
        self.seen = torch.tanh(self.fc1.weight.shape[0] * h)
        h = self.fc2(h)
        return self.head(h.sigmoid()) / 2.0


class Norms(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.blocks = nn.ModuleList([Block(1, 3), Block(3, 5)])
        self.top = nn.ModuleDict({"hidden": nn.Linear(5, 6), "norm": nn.LayerNorm(6)})
        self.head = nn.Linear(6, 4)

    def forward(self, x: Tensor) -> Tensor:
        for block in self.blocks:
            x = block(x)
        x = F.adaptive_avg_pool2d(x, 1).squeeze(-1).squeeze(-1)
        x = torch.tanh(self.top["norm"](self.top["hidden"](x)))
        return F.softmax(self.head(x), dim=1)


class Block(nn.Module):
    def __init__(self, channels: int, units: int) -> None:
        super().__init__()
        self.inner = nn.Sequential(nn.Conv2d(channels, units, 3, padding=1, bias=False), nn.BatchNorm2d(units))
        self.act = nn.ReLU(inplace=True)

    def forward(self, x: Tensor) -> Tensor:
        return F.max_pool2d(self.act(self.inner(x)), 2)


class Branching(Written):
    """Operations without parameters that branch, between two cuts that a single tensor crosses."""

    def __init__(self) -> None:
        super().__init__()
        self.fc1 = nn.Linear(54, 7)
        self.register_buffer("shift", torch.linspace(-1, 1, 7))
        self.register_buffer("unused", torch.ones(3))

    def forward(self, x: Tensor) -> Tensor:
        n = x.size(0)
        x = self.conv(x * 2 + x.mean((1, 2, 3), keepdim=True))
        x = torch.cat([x.relu(), (-x).relu()], 1)  # both signs, as channels
        x = F.max_pool2d(x, 2).view(n, -1)
        x = self.fc1(x) + self.shift + torch.tensor(0.5)
        x = x * torch.sigmoid(F.dropout(x, 0.5, self.training))
        x = self.fc2(x.view(n, -1))
        gate, _ = torch.sigmoid(x), 0
        x = F.glu(torch.cat([x * gate, x], 1), dim=1)
        return self.head(x)


class InPlace(Written):
    """Activations whose result is not taken, because they change what they are given."""

    def forward(self, x: Tensor) -> Tensor:
        x = F.max_pool2d(self.conv(x), 2)
        F.relu(x, inplace=True)
        h = self.fc1(x.flatten(1))
        h.sigmoid_()
        h = self.fc2(h)
        h.mul_(2.0)
        code = torch.tanh(h * 0.5 + h)
        h.zero_()
        return self.head(code)


# for each network: layer by layer, the module, what is trained with it, what leads on
Expected = list[tuple[str, list[str], list[str]]]
ZOO: list[tuple[type[nn.Module], tuple[int, ...], list[str], Expected]] = [
    (Functions, (1, 8, 8), [], [
        ("conv", ["ReLU"], ["MaxPool2d", "Flatten", "Dropout"]), ("fc1", ["Sigmoid", "Dropout"], []),
        ("fc2", ["Tanh"], []),
    ]),
    (Methods, (1, 8, 8), [], [
        ("conv", ["ReLU"], ["MaxPool2d", "Flatten"]), ("fc1", ["Sigmoid"], []), ("fc2", ["Tanh"], []),
    ]),
    (PoolingFirst, (1, 8, 8), [], [
        ("conv", ["ReLU"], ["MaxPool2d", "Flatten"]), ("fc1", ["ReLU"], []), ("fc2", ["ReLU"], []),
    ]),
    (SizeFirst, (64,), ["Flatten", "Unflatten"], [
        ("conv", ["ReLU"], ["AvgPool2d", "Flatten"]), ("fc1", ["Tanh"], []), ("fc2", ["Tanh"], []),
    ]),
    (ShapeFirst, (64,), ["Flatten", "Unflatten"], [
        ("conv", ["ELU"], ["MaxPool2d", "Flatten"]), ("fc1", ["LeakyReLU"], ["Flatten"]), ("fc2", ["GELU"], []),
    ]),
    (Options, (1, 8, 8), [], [
        ("conv", ["ReLU"], ["MaxPool2d", "Flatten"]), ("fc1", ["ReLU"], []), ("fc2", ["ReLU"], []),
    ]),
    (Unused, (1, 8, 8), [], [
        ("conv", ["ReLU"], ["MaxPool2d", "Flatten"]), ("fc1", ["Sigmoid"], []), ("fc2", ["Sigmoid"], []),
    ]),
    (Norms, (1, 8, 8), [], [
        ("blocks.0.inner.0", ["BatchNorm2d", "ReLU"], ["MaxPool2d"]),
        ("blocks.1.inner.0", ["BatchNorm2d", "ReLU"], ["GraphModule"]),
        ("top.hidden", ["LayerNorm", "Tanh"], []),
    ]),
    (Branching, (1, 8, 8), ["GraphModule"], [
        ("conv", [], ["GraphModule"]), ("fc1", ["GraphModule"], ["Flatten"]), ("fc2", [], ["GraphModule"]),
    ]),
    (InPlace, (1, 8, 8), [], [
        ("conv", [], ["GraphModule"]), ("fc1", ["GraphModule"], []), ("fc2", ["GraphModule"], []),
    ]),
]  # fmt: skip
each_network = pytest.mark.parametrize(
    ("kind", "shape", "preamble", "expected"), ZOO, ids=[kind.__name__ for kind, *_ in ZOO]
)


def made(kind: type[nn.Module]) -> nn.Module:
    """A network with weights of its own and running means that matter; the head learns nothing here."""
    generator = torch.Generator().manual_seed(0)
    network = kind()
    for tensor in network.state_dict().values():
        if tensor.is_floating_point():
            tensor.copy_(torch.rand(tensor.shape, generator=generator) - 0.4)
    for module in network.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.running_var.abs_().add_(0.1)
    return network


def fed(network: nn.Module, rows: Tensor) -> dict[str, Tensor]:
    """What each module is given while the whole network runs in evaluation mode."""
    found: dict[str, Tensor] = {}
    twin = copy.deepcopy(network).eval()
    for name, module in twin.named_modules():
        if isinstance(module, nn.Linear | nn.Conv2d):
            module.register_forward_pre_hook(lambda _, inputs, name=name: found.update({name: inputs[0].clone()}))
    with torch.no_grad():
        twin(rows)
    return found


def kinds(modules: nn.Module) -> list[str]:
    return [type(module).__name__ for module in modules.children()]


@each_network
def test_every_layer_computes_what_the_network_does(kind, shape, preamble, expected):
    network = made(kind)
    rows = torch.rand(5, *shape, generator=torch.Generator().manual_seed(1)) - 0.5
    found = fed(network, rows)
    layers = cut(network)
    assert [layer.name for layer in layers] == [name for name, _, _ in expected]
    assert kinds(layers[0].preamble) == preamble
    assert [(layer.name, kinds(layer.after), kinds(layer.onward)) for layer in layers] == expected
    handed = rows.clone()
    with torch.no_grad():
        for layer in layers:
            layer.eval()
            given = layer.preamble(handed)
            assert torch.equal(given, found[layer.name]), layer.name
            codes = layer(given.clone())
            assert len(codes) == 5
            assert codes.shape[1] == layer.units
            handed = layer.hand_on(handed.clone())
            assert torch.equal(handed, layer.onward(codes)), layer.name
    assert torch.equal(handed, found["head"])


@each_network
def test_cutting_shares_the_weights_and_changes_nothing(kind, shape, preamble, expected):
    network = made(kind)
    if kind is Unused:
        network.seen = "before"
    before = {name: value.clone() for name, value in network.state_dict().items()}
    attributes, modules = dict(vars(network)), list(network.named_modules())
    first = next(module for module in network.modules() if isinstance(module, nn.Conv2d))
    first.train(False)
    modes = [module.training for module in network.modules()]
    layers = cut(network)
    assert vars(network) == attributes
    assert list(network.named_modules()) == modules
    assert [module.training for module in network.modules()] == modes
    after = network.state_dict()
    assert list(after) == list(before)
    assert all(torch.equal(after[name], before[name]) for name in before)
    own = {id(parameter) for parameter in network.parameters()}
    for layer in layers:
        assert layer.module is network.get_submodule(layer.name)
        assert {id(parameter) for parameter in layer.parameters()} <= own
    trained = {id(parameter) for layer in layers for parameter in layer.parameters()}
    assert own - trained == {id(parameter) for parameter in network.head.parameters()}


@each_network
def test_gradients_reach_the_networks_own_weights(kind, shape, preamble, expected):
    network = made(kind)
    rows = torch.rand(5, *shape, generator=torch.Generator().manual_seed(1))
    for layer in cut(network):
        found = layer(layer.preamble(rows)).square().sum()
        found.backward()
        assert float(network.get_submodule(layer.name).weight.grad.abs().sum()) > 0
        with torch.no_grad():
            rows = layer.eval().hand_on(rows)


def traced(function) -> fx.Node:
    """The one operation that a function makes of its rows."""
    graph = fx.Tracer().trace(function)
    (node,) = (node for node in graph.nodes if node.op not in ("placeholder", "output"))
    return node


@pytest.mark.parametrize(
    "function",
    [
        lambda x: F.max_pool2d(x, 2, 1, 1, 1, True),
        lambda x: torch.max_pool2d(x, 3, 2, 1, 1, True),
        lambda x: F.avg_pool2d(x, 2, 2, 1, True, False),
        lambda x: F.avg_pool2d(x, 3, divisor_override=2),
        lambda x: F.adaptive_max_pool2d(x, (2, 3)),
        lambda x: F.adaptive_avg_pool2d(x, 2),
        lambda x: F.leaky_relu(x, 0.3),
        lambda x: F.elu(x, alpha=0.3),
        lambda x: F.gelu(x, approximate="tanh"),
        lambda x: F.softplus(x, 3.0, 1.0),
        lambda x: F.softmax(x, 1),
        lambda x: x.log_softmax(2),
        lambda x: torch.flatten(x, 1, 2),
        lambda x: x.flatten(2),
        lambda x: x.view(-1, 75),
        lambda x: F.dropout(x, 0.5, False),
    ],
)
def test_a_function_and_its_module_agree(function):
    rows = torch.rand(4, 3, 5, 5, generator=torch.Generator().manual_seed(0)) - 0.5
    module = module_of(traced(function), {})
    assert module is not None
    assert torch.equal(module.eval()(rows), function(rows))


def test_dropout_keeps_its_rate():
    for function in (lambda x: F.dropout(x, 0.3, True), lambda x: torch.dropout(x, 0.3, True)):
        module = module_of(traced(function), {})
        assert (type(module), module.p, module.inplace) == (nn.Dropout, 0.3, False)


@pytest.mark.parametrize(
    "function",
    [
        lambda x: torch.flatten(x),
        lambda x: F.softmax(x, 1, dtype=torch.float64),
        lambda x: x.view(4, 75),
        lambda x: x.view(75, -1),
        lambda x: x.cumsum(1),
    ],
)
def test_what_no_module_does_is_none(function):
    """The whole rows flattened, another precision, a fixed number of rows."""
    assert module_of(traced(function), {}) is None


def test_pooling_first_is_reordered_only_where_that_changes_nothing():
    def split(*chain: nn.Module) -> tuple[list[str], list[str]]:
        after, onward = split_chain(chain)
        return [type(m).__name__ for m in after], [type(m).__name__ for m in onward]

    assert split(nn.MaxPool2d(2), nn.Tanh(), nn.Flatten()) == (["Tanh"], ["MaxPool2d", "Flatten"])
    assert split(nn.MaxPool2d(2), nn.GELU()) == ([], ["MaxPool2d", "GELU"]), "it falls first"
    assert split(nn.MaxPool2d(2), nn.LeakyReLU(-0.1)) == ([], ["MaxPool2d", "LeakyReLU"]), "it falls below 0"
    assert split(nn.MaxPool2d(2), nn.ELU(-0.1)) == ([], ["MaxPool2d", "ELU"]), "it falls below 0"
    assert split(nn.AvgPool2d(2), nn.ReLU()) == ([], ["AvgPool2d", "ReLU"]), "a mean does not commute"
    assert split(nn.MaxPool2d(2), nn.BatchNorm2d(3), nn.ReLU()) == ([], ["MaxPool2d", "BatchNorm2d", "ReLU"])
    assert split(nn.BatchNorm2d(3), nn.MaxPool2d(2), nn.ReLU()) == (["BatchNorm2d", "ReLU"], ["MaxPool2d"])
    assert split(nn.ReLU(), nn.Unflatten(1, (1, 3)), nn.ReLU()) == (["ReLU"], ["Unflatten", "ReLU"])
