"""The stack: codes and reconstructions as written out by hand, and a folder that loads without running code."""

from __future__ import annotations

import copy
import json
import pickle

import pytest
import torch
from torch import nn

from layerwise.errors import DataError, NetworkError, PlanError, RunError
from layerwise.nn.corruption import GaussianNoise
from layerwise.nn.cutting import cut
from layerwise.nn.decoder import Decoder
from layerwise.nn.description import MODULES
from layerwise.nn.layers import Layer
from layerwise.nn.lista import LISTA
from layerwise.objectives import RBM, DenoisingAutoencoder, SparseAutoencoder
from layerwise.pretraining import pretrain
from layerwise.stack import BLOCK, Stack


def randomised(module: nn.Module) -> nn.Module:
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for parameter in module.parameters():
            parameter.copy_(torch.randn(parameter.shape, generator=generator))
    return module


def network() -> nn.Sequential:
    return randomised(
        nn.Sequential(
            nn.Flatten(), nn.Dropout(0.3), nn.Linear(6, 5), nn.BatchNorm1d(5), nn.Sigmoid(), nn.Dropout(0.5),
            nn.Linear(5, 4), nn.Tanh(), nn.Linear(4, 2),
        )
    )  # fmt: skip


def stack_of(net: nn.Sequential) -> Stack:
    first, second = cut(net)
    with torch.no_grad():
        net[3].running_mean.copy_(torch.arange(5.0) / 10)
        net[3].running_var.copy_(torch.arange(1.0, 6.0))
    one = Decoder(first.module, output="sigmoid")
    two = Decoder(second.module, tied=False, gradient="full")
    randomised(two)
    return Stack([first, second], [randomised(one), two])


def rows(count: int = 9) -> torch.Tensor:
    return torch.rand(count, 6, generator=torch.Generator().manual_seed(1))


def test_codes_and_reconstructions_by_hand():
    net = network()
    stack, inputs = stack_of(net), rows()
    normal = (inputs @ net[2].weight.T + net[2].bias - net[3].running_mean) / (net[3].running_var + 1e-5).sqrt()
    first = torch.sigmoid(normal * net[3].weight + net[3].bias)
    second = torch.tanh(first @ net[6].weight.T + net[6].bias)
    below = second @ stack.decoders[1].weight + stack.decoders[1].bias
    back = torch.sigmoid(below @ net[2].weight + stack.decoders[0].bias)
    close = torch.testing.assert_close
    close(stack.encode(inputs), second.detach())
    close(stack.encode(inputs, 1), first.detach())
    close(stack.encode(inputs, 0), inputs)
    close(stack.decode(second), back.detach())
    close(stack.reconstruct(inputs), back.detach())
    close(stack.reconstruct(inputs, 1), torch.sigmoid(first @ net[2].weight + stack.decoders[0].bias).detach())
    close(stack.reconstruct(inputs, 0), inputs)
    assert stack.depth == 2
    assert not stack.encode(inputs).requires_grad


def test_evaluation_mode_whatever_the_networks_mode_which_stays():
    net = network().train()
    stack = stack_of(net)
    assert torch.equal(stack.encode(rows()), stack.encode(rows())), "no dropout"
    assert all(module.training for module in net)


def test_images_are_flattened_by_the_preamble():
    stack = stack_of(network())
    assert torch.equal(stack.encode(rows().reshape(9, 1, 2, 3)), stack.encode(rows()))


def test_more_rows_than_a_block():
    stack, many = stack_of(network()), rows(BLOCK + 3)
    found = stack.encode(many)
    torch.testing.assert_close(found[-5:], stack.encode(many[-5:]))
    assert len(found) == BLOCK + 3


@pytest.mark.parametrize("depth", [-1, 3])
@pytest.mark.parametrize("verb", ["encode", "decode", "reconstruct"])
def test_depth_out_of_range(verb, depth):
    with pytest.raises(PlanError, match=f"depth is {depth}, the stack has 2 layers") as caught:
        getattr(stack_of(network()), verb)(rows(), depth)
    assert "0 to 2" in caught.value.hint


def test_rows_that_do_not_fit():
    with pytest.raises(DataError, match=r"layer '2' takes rows of 6 features, found shape \(5,\) a row"):
        stack_of(network()).encode(torch.zeros(3, 5))
    with pytest.raises(DataError, match="no rows to encode"):
        stack_of(network()).encode(torch.zeros(0, 6))


@pytest.mark.parametrize("count", [1, 7, 64])
def test_saved_and_loaded_at_any_number_of_rows(tmp_path, count):
    stack = stack_of(network())
    stack.save(tmp_path / "model")
    loaded = Stack.load(tmp_path / "model")
    inputs = rows(count)
    for depth in (0, 1, 2):
        assert torch.equal(loaded.encode(inputs, depth), stack.encode(inputs, depth))
        assert torch.equal(loaded.reconstruct(inputs, depth), stack.reconstruct(inputs, depth))
    assert [layer.name for layer in loaded.layers] == ["2", "6"]
    assert [(d.tied, d.gradient, d.output) for d in loaded.decoders] == [
        (True, "full", "sigmoid"),
        (False, "full", "linear"),
    ]
    with torch.no_grad():
        loaded.layers[0].module.weight.zero_()
    assert not loaded.decoders[0].activation(torch.ones(1, 5)).sub(loaded.decoders[0].bias).any(), "tied still"


def test_loading_draws_nothing_global_and_keeps_precision(tmp_path):
    stack_of(network()).save(tmp_path)
    double = stack_of(network())
    for module in (*double.layers, *double.decoders):
        module.double()
    double.save(tmp_path / "double")
    before = torch.random.get_rng_state()
    assert Stack.load(tmp_path).encode(rows()).dtype == torch.float32
    assert Stack.load(tmp_path / "double").encode(rows()).dtype == torch.float64
    assert torch.equal(torch.random.get_rng_state(), before)


FLAT = {
    "Softplus": nn.Softplus(3.0, 0.5), "GELU": nn.GELU(approximate="tanh"), "LeakyReLU": nn.LeakyReLU(0.3),
    "ELU": nn.ELU(0.7), "Dropout": nn.Dropout(0.1), "Flatten": nn.Flatten(1),
    "BatchNorm1d": nn.BatchNorm1d(3, eps=0.1, affine=False), "Unflatten": nn.Unflatten(1, (3, 1)),
    **{name: getattr(nn, name)() for name, settings in MODULES.items() if not settings},
}  # fmt: skip
IMAGES = {
    "Dropout2d": nn.Dropout2d(0.3), "MaxPool2d": nn.MaxPool2d(2, stride=1), "AvgPool2d": nn.AvgPool2d((2, 1)),
    "AdaptiveAvgPool2d": nn.AdaptiveAvgPool2d((2, 2)), "BatchNorm2d": nn.BatchNorm2d(3, momentum=0.2),
    "Conv2d": nn.Identity(),
}  # fmt: skip
SERIES = {"MaxPool1d": nn.MaxPool1d(2), "AvgPool1d": nn.AvgPool1d(2, padding=1), "Conv1d": nn.Identity()}


def test_every_known_module_is_tried():
    assert {*FLAT, *IMAGES, *SERIES, "Linear"} == set(MODULES)


@pytest.mark.parametrize("name", [*FLAT, *IMAGES, *SERIES])
def test_every_known_module_comes_back(tmp_path, name):
    shape, first = (6,), nn.Linear(6, 3, bias=False)
    if name in IMAGES:
        shape, first = (2, 7, 6), nn.Conv2d(2, 3, (3, 2), stride=(2, 1), padding=1)
    if name in SERIES:
        shape, first = (2, 9), nn.Conv1d(2, 3, 3, dilation=2, bias=False)
    module = {**FLAT, **IMAGES, **SERIES}[name]
    net = randomised(nn.Sequential(first, module, nn.Identity(), nn.Flatten(), nn.Linear(1, 2)))
    (layer,) = cut(net, ["0"])
    inputs = torch.rand(5, *shape, generator=torch.Generator().manual_seed(1)) - 0.5
    stack = Stack([layer], [Decoder(layer.module, shape=shape)])
    stack.save(tmp_path)
    loaded = Stack.load(tmp_path)
    assert torch.equal(loaded.encode(inputs), stack.encode(inputs))
    if not isinstance(module, (nn.MaxPool1d, nn.MaxPool2d, nn.AvgPool1d, nn.AvgPool2d, nn.AdaptiveAvgPool2d)):
        assert torch.equal(loaded.reconstruct(inputs), stack.reconstruct(inputs))
        assert stack.reconstruct(inputs).shape == inputs.shape
    else:
        with pytest.raises(NetworkError, match=f"no way back from the code of layer '0': {name} cannot be undone"):
            stack.reconstruct(inputs)


class Custom(nn.Module):
    def forward(self, inputs):
        return inputs


class Sigmoid(nn.Sigmoid):
    """A user's module with the name of a known one."""


def images(count: int = 5) -> torch.Tensor:
    return torch.rand(count, 2, 9, 8, generator=torch.Generator().manual_seed(1))


def pictures() -> Stack:
    """Rows given flat, two convolutions with strides, a dense layer; every decoder of another kind."""
    net = randomised(
        nn.Sequential(
            nn.Unflatten(1, (2, 9, 8)), nn.Conv2d(2, 4, 3, stride=2, groups=2), nn.BatchNorm2d(4), nn.Sigmoid(),
            nn.Conv2d(4, 3, (2, 1), padding=(1, 0)), nn.Tanh(), nn.Dropout(0.5), nn.Flatten(),
            nn.Linear(45, 6), nn.Sigmoid(), nn.Linear(6, 2),
        )
    )  # fmt: skip
    net[2].running_mean.copy_(torch.arange(4.0) / 10)
    one, two, three = cut(net)
    decoders = [
        Decoder(one.module, output="sigmoid", shape=(2, 9, 8)),
        Decoder(two.module, tied=False, gradient="encoder", shape=(4, 4, 3)),
        Decoder(three.module),
    ]
    return Stack([one, two, three], [randomised(decoder) for decoder in decoders])


def test_a_stack_of_convolutions_decodes_by_hand():
    stack, inputs = pictures(), images().flatten(1)
    one, two, three = (layer.module for layer in stack.layers)
    norm = stack.layers[0].after[0].eval()
    with torch.no_grad():
        first = torch.sigmoid(norm(one(images())))
        second = torch.tanh(two(first))
        third = torch.sigmoid(three(second.flatten(1)))
        back = (third @ three.weight + stack.decoders[2].bias).reshape(5, 3, 5, 3)
        functions = nn.functional
        back = functions.conv_transpose2d(back, stack.decoders[1].weight, stack.decoders[1].bias, padding=(1, 0))
        back = functions.conv_transpose2d(
            back, one.weight, stack.decoders[0].bias, stride=2, output_padding=(0, 1), groups=2
        )
    torch.testing.assert_close(stack.encode(inputs), third)
    torch.testing.assert_close(stack.encode(inputs, 1), first)
    assert stack.encode(inputs, 2).shape == (5, 45)
    torch.testing.assert_close(stack.reconstruct(inputs), torch.sigmoid(back).flatten(1))
    assert stack.reconstruct(inputs, 1).shape == inputs.shape, "flat, as the rows were given"


@pytest.mark.parametrize("count", [1, 6])
def test_a_stack_of_convolutions_is_saved_and_copied(tmp_path, count, monkeypatch):
    stack, inputs = pictures(), images(count).flatten(1)
    stack.save(tmp_path)
    for name in ("load", "loads", "Unpickler"):
        monkeypatch.setattr(pickle, name, None)
    monkeypatch.setattr(torch, "load", None)
    loaded, copied = Stack.load(tmp_path), copy.deepcopy(stack)
    for depth in range(4):
        for other in (loaded, copied):
            assert torch.equal(other.encode(inputs, depth), stack.encode(inputs, depth))
            assert torch.equal(other.reconstruct(inputs, depth), stack.reconstruct(inputs, depth))
    for other in (loaded, copied):
        with torch.no_grad():
            for layer in other.layers:
                layer.module.weight.zero_()
        for at, decoder in enumerate(other.decoders):
            flat = decoder.activation(torch.ones(1, *decoder.code_shape)).reshape(1, len(decoder.bias), -1)
            assert bool((flat == decoder.bias[:, None]).all()) is (at != 1), "the tied ones follow their own copy"
    assert stack.encode(inputs).std() > 0


def test_images_that_do_not_fit():
    stack = pictures()
    with pytest.raises(DataError, match=r"rows of shape \(5,\) cannot be taken to layer '1'"):
        stack.encode(torch.zeros(3, 5))
    for wrong, sides in [((2, 3, 2), "3, 2"), ((1, 9, 8), "9, 8"), ((2, 9), "9")]:
        module = nn.Conv2d(2, 4, 3, padding="valid")
        with pytest.raises(DataError, match=rf"takes rows of 2 channels by \(3, 3\) or more, found shape .*{sides}\)"):
            Stack([Layer("c", [], module, [])], [None]).encode(torch.zeros(3, *wrong))


@pytest.mark.parametrize(
    ("module", "side"),
    [
        (nn.Conv1d(1, 2, 5), 5), (nn.Conv1d(1, 2, 5, padding=1), 3), (nn.Conv1d(1, 2, 3, dilation=3), 7),
        (nn.Conv1d(1, 2, 5, padding="valid"), 5), (nn.Conv1d(1, 2, 5, padding=2, dilation=2), 5),
    ],
)  # fmt: skip
def test_the_least_side_is_what_the_convolution_takes(module, side):
    stack = Stack([Layer("c", [], module, [])], [None])
    assert stack.encode(torch.zeros(2, 1, side)).shape == (2, 2, 1)
    with pytest.raises(DataError, match="takes rows of 1 channels"):
        stack.encode(torch.zeros(2, 1, side - 1))
    same = nn.Conv1d(1, 2, 5, padding="same")
    assert Stack([Layer("c", [], same, [])], [None]).encode(torch.zeros(2, 1, 1)).shape == (2, 2, 1)


class Swish(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.one, self.two, self.head = nn.Linear(6, 5), nn.Linear(5, 4), nn.Linear(4, 2)

    def forward(self, inputs):
        code = self.one(inputs)
        code = self.two((code * torch.sigmoid(code)).mean(1, keepdim=True).expand(-1, 5))
        return self.head(code.tanh())


def test_operations_of_a_forward_cannot_be_undone_or_saved(tmp_path):
    layers = cut(Swish())
    stack = Stack(layers, [Decoder(layer.module) for layer in layers])
    assert stack.encode(rows()).shape == (9, 4)
    with pytest.raises(NetworkError, match="code of layer 'one': operations of the network's forward cannot be undone"):
        stack.reconstruct(rows())
    with pytest.raises(NetworkError, match="layer 'one': a stack with operations of the network's forward cannot be"):
        stack.save(tmp_path / "model")
    assert not (tmp_path / "model").exists()


def test_captured_layers_encode_and_refuse_the_rest(tmp_path):
    network = Swish()
    layers = cut(network, ["one", "two"], "tanh")
    stack = Stack(layers, [Decoder(layer.module) for layer in layers])
    with torch.no_grad():
        code = network.one(rows())
        torch.testing.assert_close(stack.encode(rows(), 1), torch.tanh(code))
        above = network.two((code * torch.sigmoid(code)).mean(1, keepdim=True).expand(-1, 5))
        torch.testing.assert_close(stack.encode(rows()), torch.tanh(above))
    with pytest.raises(NetworkError, match="code of layer 'two': its inputs were captured in the midst"):
        stack.reconstruct(rows())
    with pytest.raises(NetworkError, match="layer 'one': a stack with inputs captured in its network cannot be saved"):
        stack.save(tmp_path / "model")
    assert not (tmp_path / "model").exists()


def test_a_sparse_encoder_is_not_saved(tmp_path):
    layer = Layer("0", [], LISTA(6, 3), [])
    stack = Stack([layer], [Decoder(layer.module)])
    assert stack.reconstruct(rows()).shape == (9, 6)
    with pytest.raises(NetworkError, match="layer '0': a stack with a module of type LISTA cannot be saved"):
        stack.save(tmp_path / "model")


def test_no_decoder_no_way_back():
    layer = Layer("0", [], nn.Linear(6, 3), [])
    with pytest.raises(NetworkError, match="its objective has no decoder") as caught:
        Stack([layer], [None]).reconstruct(rows())
    assert "lower depth" in caught.value.hint


@pytest.mark.parametrize("module", [Custom(), Sigmoid(), nn.Softmax(1)])
def test_modules_that_would_have_to_run_code_are_refused(tmp_path, module):
    layer = Layer("0", [], nn.Linear(6, 3), [module])
    with pytest.raises(NetworkError, match=f"module of type {type(module).__name__}.* cannot be saved"):
        Stack([layer], [Decoder(layer.module)]).save(tmp_path / "model")
    assert not (tmp_path / "model").exists(), "nothing half-written"


@pytest.mark.parametrize("missing", ["stack.json", "stack.safetensors"])
def test_a_missing_file_is_named(tmp_path, missing):
    stack_of(network()).save(tmp_path)
    (tmp_path / missing).unlink()
    with pytest.raises(RunError, match=f"holds no stack: .*{missing}"):
        Stack.load(tmp_path)


def test_no_folder_and_a_file_for_a_folder(tmp_path):
    (tmp_path / "file").write_text("")
    for path in (tmp_path / "nothing", tmp_path / "file"):
        with pytest.raises(RunError, match="holds no stack"):
            Stack.load(path)


def edited(change):
    def edit(folder):
        path = folder / "stack.json"
        description = json.loads(path.read_text())
        path.write_text(json.dumps(change(description)))

    return edit


def layer_with(**words):
    return edited(lambda d: {**d, "layers": [{**d["layers"][0], **words}, *d["layers"][1:]]})


DAMAGE = {
    "junk json": lambda folder: (folder / "stack.json").write_text("{"),
    "binary json": lambda folder: (folder / "stack.json").write_bytes(b"\xff\xfe\x00"),
    "list": edited(lambda d: [d]),
    "no layers": edited(lambda d: {"format": 2}),
    "wrong width": layer_with(module={"module": "Linear", "in_features": 6, "out_features": 7, "bias": True}),
    "odd type": layer_with(dtype="load"),
    "no such type": layer_with(dtype="float99"),
    "missing key": layer_with(after=[{"module": "LeakyReLU"}]),
    "odd decoder": layer_with(decoder={"tied": False, "gradient": "full", "output": "linear"}),
    "cut tensors": lambda folder: (folder / "stack.safetensors").write_bytes(
        (folder / "stack.safetensors").read_bytes()[:-9]
    ),
    "pickled tensors": lambda folder: torch.save({}, folder / "stack.safetensors"),
    "empty tensors": lambda folder: (folder / "stack.safetensors").write_bytes(b""),
}


@pytest.mark.parametrize("kind", DAMAGE)
def test_damage_is_a_run_error(tmp_path, kind):
    stack_of(network()).save(tmp_path)
    DAMAGE[kind](tmp_path)
    with pytest.raises(RunError, match="holds a damaged stack"):
        Stack.load(tmp_path)


def test_another_format_and_unknown_modules(tmp_path):
    stack_of(network()).save(tmp_path)
    edited(lambda d: {**d, "format": 1})(tmp_path)
    with pytest.raises(RunError, match="a stack of format 1, expected 2"):
        Stack.load(tmp_path)
    edited(lambda d: {**d, "format": 2})(tmp_path)
    layer_with(after=[{"module": "Module"}])(tmp_path)
    with pytest.raises(RunError, match="unknown module 'Module'"):
        Stack.load(tmp_path)


def test_how_each_layer_was_trained_is_saved(tmp_path):
    stack = stack_of(network())
    assert stack.objectives == [None, None]
    stack.objectives = [DenoisingAutoencoder(GaussianNoise(0.3), tied=False), RBM("gaussian", k=3)]
    stack.save(tmp_path)
    assert Stack.load(tmp_path).objectives == stack.objectives
    assert [type(kind) for kind in Stack.load(tmp_path).objectives] == [DenoisingAutoencoder, RBM]


def test_pretraining_tells_the_stack_how_each_layer_was_trained():
    objectives = [SparseAutoencoder(), RBM()]
    net = nn.Sequential(nn.Linear(6, 5), nn.Sigmoid(), nn.Linear(5, 4), nn.Sigmoid(), nn.Linear(4, 2))
    found = pretrain(net, rows(30), objective=objectives, epochs=1, random_state=0)
    assert found.stack.objectives == objectives


def test_a_folder_of_an_earlier_version_does_not_say_how_it_was_trained(tmp_path):
    stack_of(network()).save(tmp_path)
    edited(lambda d: {**d, "layers": [{k: v for k, v in one.items() if k != "objective"} for one in d["layers"]]})(
        tmp_path
    )
    assert Stack.load(tmp_path).objectives == [None, None]


def test_loading_never_unpickles(tmp_path, monkeypatch):
    stack_of(network()).save(tmp_path)

    def refuse(*arguments, **words):
        raise AssertionError("unpickled")

    for owner, name in [(pickle, "load"), (pickle, "loads"), (pickle, "Unpickler"), (torch, "load")]:
        monkeypatch.setattr(owner, name, refuse)
    assert Stack.load(tmp_path).depth == 2


def test_a_stack_needs_a_decoder_for_each_layer(tmp_path):
    stack = stack_of(network())
    with pytest.raises(ValueError, match="shorter"):
        Stack(stack.layers, stack.decoders[:1]).save(tmp_path)
