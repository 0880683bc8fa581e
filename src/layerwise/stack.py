"""The trained layers with their decoders: encode and decode to any depth."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor, nn

from .errors import DataError, NetworkError, PlanError, RunError
from .nn.decoder import Decoder
from .nn.layers import Layer
from .nn.modes import evaluation
from .write import write_json, write_tensors

BLOCK = 4096
FORMAT = 1
# The modules a saved stack may hold besides its dense ones, with the arguments that rebuild each: loading runs no code.
MODULES: dict[str, tuple[str, ...]] = {
    "Sigmoid": (), "Tanh": (), "ReLU": (), "Identity": (), "Softplus": (), "GELU": (), "SiLU": (), "Softsign": (),
    "LeakyReLU": ("negative_slope",), "ELU": ("alpha",), "Dropout": ("p",), "Flatten": ("start_dim", "end_dim"),
    "BatchNorm1d": ("num_features", "eps", "momentum", "affine", "track_running_stats"),
}  # fmt: skip


class Stack:
    """Pre-trained layers, each with the decoder it was trained with.

    Parameters
    ----------
    layers : sequence of Layer
        From the input upwards; they share the network's own modules.
    decoders : sequence of Decoder
        One for each layer.

    Examples
    --------
    >>> layer = Layer("0", [], nn.Linear(4, 3), [nn.Sigmoid()])
    >>> stack = Stack([layer], [Decoder(layer.linear)])
    >>> stack.encode(torch.zeros(2, 4)).shape, stack.reconstruct(torch.zeros(2, 4)).shape
    (torch.Size([2, 3]), torch.Size([2, 4]))
    """

    def __init__(self, layers: Sequence[Layer], decoders: Sequence[Decoder]) -> None:
        self.layers = list(layers)
        self.decoders = list(decoders)

    @property
    def depth(self) -> int:
        """Number of layers."""
        return len(self.layers)

    def encode(self, inputs: Tensor, depth: int | None = None) -> Tensor:
        """Return the codes of rows (rows, features) after ``depth`` layers, None for all; depth 0 is the input."""
        return self._through(inputs, self.layers[: self._check(depth)])

    def decode(self, codes: Tensor, depth: int | None = None) -> Tensor:
        """Map codes of ``depth`` layers, None for all, back to the input."""
        return self._through(codes, self.decoders[: self._check(depth)][::-1])

    def reconstruct(self, inputs: Tensor, depth: int | None = None) -> Tensor:
        """Encode rows through ``depth`` layers and decode them again, without noise."""
        return self.decode(self.encode(inputs, depth), depth)

    def save(self, folder: str | Path) -> None:
        """Write the stack to a folder: ``stack.json`` and ``stack.safetensors``.

        Raises
        ------
        NetworkError
            When a layer holds a module that cannot be described as data.
        """
        description = [
            {
                "name": layer.name,
                "preamble": [_describe(module) for module in layer.preamble],
                "features": layer.linear.in_features,
                "units": layer.linear.out_features,
                "bias": layer.linear.bias is not None,
                "dtype": str(layer.linear.weight.dtype).removeprefix("torch."),
                "after": [_describe(module) for module in layer.after],
                "decoder": {"tied": decoder.tied, "gradient": decoder.gradient, "output": decoder.output},
            }
            for layer, decoder in zip(self.layers, self.decoders, strict=True)
        ]
        tensors = {f"{n}.layer.{k}": v for n, layer in enumerate(self.layers) for k, v in layer.state_dict().items()}
        tensors |= {f"{n}.decoder.{k}": v for n, d in enumerate(self.decoders) for k, v in d.state_dict().items()}
        # the description last: a folder with one is whole
        write_tensors(Path(folder) / "stack.safetensors", tensors)
        write_json(Path(folder) / "stack.json", {"format": FORMAT, "layers": description})

    @classmethod
    def load(cls, folder: str | Path) -> Stack:
        """Read a stack that `save` wrote; no code is run.

        Raises
        ------
        RunError
            When the folder holds no stack, a damaged one, or one of another format.
        """
        folder = Path(folder)
        try:
            description = json.loads((folder / "stack.json").read_text(encoding="utf-8"))
            if description["format"] != FORMAT:
                raise RunError(f"{folder} holds a stack of format {description['format']}, expected {FORMAT}")
            tensors = load_file(folder / "stack.safetensors")
            return cls(*_build(description["layers"], tensors))
        except (FileNotFoundError, NotADirectoryError) as error:
            raise RunError(f"{folder} holds no stack: {error}", "give a folder of Stack.save") from error
        except (SafetensorError, ValueError, KeyError, TypeError, AttributeError, RuntimeError) as error:
            if isinstance(error, RunError):
                raise
            raise RunError(f"{folder} holds a damaged stack: {error}", "save the stack again") from error

    def _check(self, depth: int | None) -> int:
        if depth is None:
            return self.depth
        if not 0 <= depth <= self.depth:
            raise PlanError(f"depth is {depth}, the stack has {self.depth} layers", f"give 0 to {self.depth}")
        return depth

    def _through(self, rows: Tensor, modules: Sequence[nn.Module]) -> Tensor:
        with torch.no_grad():
            for module in modules:
                rows = encode(module, rows)
        return rows


def encode(module: nn.Module, rows: Tensor) -> Tensor:
    """Pass rows through a layer or a decoder in evaluation mode, block by block."""
    weight = next(module.parameters())
    codes: Tensor | None = None
    with evaluation(module):
        for start in range(0, len(rows), BLOCK):
            block = rows[start : start + BLOCK].to(device=weight.device, dtype=weight.dtype)
            if isinstance(module, Layer):
                block = prepare(module, block)
            done = module(block)
            if codes is None:
                codes = done.new_empty(len(rows), *done.shape[1:])
            codes[start : start + BLOCK] = done
    if codes is None:
        raise DataError("there are no rows to encode", "give at least one row")
    return codes


def prepare(layer: Layer, rows: Tensor) -> Tensor:
    """Pass rows through what stands before a layer's dense module (reshaping), and check their width.

    Raises
    ------
    DataError
        When the rows do not fit the dense module.
    """
    with evaluation(layer):
        rows = layer.preamble(rows)
    if rows.ndim != 2 or rows.shape[1] != layer.linear.in_features:
        raise DataError(
            f"layer {layer.name!r} takes rows of {layer.linear.in_features} features, found shape "
            f"{tuple(rows.shape[1:])} a row",
            "give rows of that width; rows of more dimensions need an nn.Flatten first",
        )
    return rows


def _describe(module: nn.Module) -> dict[str, Any]:
    name = type(module).__name__
    if name not in MODULES or type(module) is not getattr(nn, name):
        raise NetworkError(
            f"a stack with a module of type {name} cannot be saved: loading it would have to run code",
            f"use one of {', '.join(sorted(MODULES))}, or keep the network's own state_dict",
        )
    return {"module": name, **{key: getattr(module, key) for key in MODULES[name]}}


def _build(description: list[dict[str, Any]], tensors: dict[str, Tensor]) -> tuple[list[Layer], list[Decoder]]:
    layers, decoders = [], []
    for number, item in enumerate(description):
        dtype = getattr(torch, item["dtype"])
        dense: nn.Linear = nn.utils.skip_init(
            nn.Linear, item["features"], item["units"], bias=item["bias"], dtype=dtype
        )
        layer = Layer(item["name"], _modules(item["preamble"]), dense, _modules(item["after"])).to(dtype)
        decoder = Decoder(dense, **item["decoder"])
        for part, module in (("layer", layer), ("decoder", decoder)):
            prefix = f"{number}.{part}."
            module.load_state_dict({k.removeprefix(prefix): v for k, v in tensors.items() if k.startswith(prefix)})
        layers.append(layer.eval())
        decoders.append(decoder.eval())
    return layers, decoders


def _modules(described: list[dict[str, Any]]) -> list[nn.Module]:
    built = []
    for item in described:
        if item["module"] not in MODULES:
            raise RunError(f"a saved stack names the unknown module {item['module']!r}")
        built.append(getattr(nn, item["module"])(**{key: item[key] for key in MODULES[item["module"]]}))
    return built
