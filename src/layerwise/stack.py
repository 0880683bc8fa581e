"""The trained layers with their decoders: encode and decode to any depth."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import scipy.sparse
import torch
from pydantic import TypeAdapter
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor, fx, nn

from .data.features import Features, as_features, blocks
from .data.sparse import SparseSource, dense, load_sparse, sparse_tensor
from .data.spill import Store
from .errors import DataError, NetworkError, PlanError, RunError
from .nn.decoder import Decoder
from .nn.description import build, describe
from .nn.layers import Layer
from .nn.modes import evaluation
from .objectives import AnyObjective
from .objectives.objective import Objective
from .write import write_json, write_tensors

BLOCK = 4096
FORMAT = 2
PARTS = ("preamble", "after", "onward")
_OBJECTIVE: TypeAdapter[Any] = TypeAdapter(AnyObjective | None)
_RESHAPING = (nn.Flatten, nn.Unflatten, nn.Identity)
# What may stand between layers without closing the way back.
_UNDONE = (*_RESHAPING, nn.modules.dropout._DropoutNd)


class Stack:
    """Pre-trained layers, each with the decoder it was trained with.

    Parameters
    ----------
    layers : sequence of Layer
        From the input upwards; they share the network's own modules.
    decoders : sequence of Decoder or None
        One for each layer; None where the objective has no way back from the codes.
    objectives : sequence of Objective or None, optional
        How each layer was trained, which says what it is a model of; None where that is not known.

    Examples
    --------
    >>> layer = Layer("0", [], nn.Linear(4, 3), [nn.Sigmoid()])
    >>> stack = Stack([layer], [Decoder(layer.module)])
    >>> stack.encode(torch.zeros(2, 4)).shape, stack.reconstruct(torch.zeros(2, 4)).shape
    (torch.Size([2, 3]), torch.Size([2, 4]))
    """

    def __init__(
        self,
        layers: Sequence[Layer],
        decoders: Sequence[Decoder | None],
        objectives: Sequence[Objective | None] | None = None,
    ) -> None:
        self.layers = list(layers)
        self.decoders = list(decoders)
        self.objectives = [None] * len(self.layers) if objectives is None else list(objectives)

    @property
    def depth(self) -> int:
        """Number of layers."""
        return len(self.layers)

    def encode(self, inputs: Any, depth: int | None = None) -> Tensor:
        """Return the codes of rows (rows, features) after ``depth`` layers, None for all; depth 0 is the input.

        The rows are a tensor or a sparse matrix of SciPy.
        """
        depth = self._check(depth)
        if scipy.sparse.issparse(inputs):
            inputs = sparse_tensor(load_sparse(SparseSource(inputs, "inputs"), dtype=torch.float64))
        codes: Tensor = inputs
        for number, layer in enumerate(self.layers[:depth], 1):
            codes = encode(layer, codes, code=number == depth)
        return codes

    def decode(self, codes: Tensor, depth: int | None = None) -> Tensor:
        """Map codes of ``depth`` layers, None for all, back to the input.

        Raises
        ------
        NetworkError
            When there is no way back from a layer: its objective has no decoder, it pools, its inputs were captured.
        """
        depth = self._check(depth)
        for layer, decoder in zip(self.layers[:depth][::-1], self.decoders[:depth][::-1], strict=True):
            codes = decode(layer, decoder, codes)
        return codes

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
                "captured": layer.captured,
                "dtype": str(layer.module.weight.dtype).removeprefix("torch."),
                **described(layer),
                "decoder": None if decoder is None else decoder.settings,
                "objective": _OBJECTIVE.dump_python(objective, mode="json"),
            }
            for layer, decoder, objective in zip(self.layers, self.decoders, self.objectives, strict=True)
        ]
        owners: dict[str, Sequence[nn.Module | None]] = {"layer": self.layers, "decoder": self.decoders}
        tensors = {
            f"{number}.{part}.{name}": value
            for part, modules in owners.items()
            for number, module in enumerate(modules)
            if module is not None
            for name, value in module.state_dict().items()
        }
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


def described(layer: Layer) -> dict[str, Any]:
    """Return a layer's modules as data.

    Raises
    ------
    NetworkError
        When one of them cannot be described.
    """
    try:
        parts = {part: [describe(module) for module in getattr(layer, part)] for part in PARTS}
        return {"module": describe(layer.module), **parts}
    except NetworkError as error:
        raise NetworkError(f"layer {layer.name!r}: {error.message}", error.hint) from error


def encode(layer: Layer, rows: Tensor, code: bool = False) -> Tensor:
    """Pass rows through a layer in evaluation mode, block by block, to what the next layer is handed.

    With ``code`` that is this layer's code even where a captured layer hands on the network's own rows.
    """
    if layer.captured and not code:
        return rows

    return _blockwise(layer, partial(_through, layer), rows)


def encode_all(layer: Layer, rows: Features, store: Store) -> Features:
    """Do what `encode` does with rows that may be in a file; the codes are kept where the store has room for them."""
    if layer.captured:
        return rows

    def computed() -> Iterator[Tensor]:
        with evaluation(layer):
            yield from (_through(layer, block) for block in blocks(rows, BLOCK))

    return store.keep(computed(), rows.shape[0])


def _through(layer: Layer, block: Tensor) -> Tensor:
    codes: Tensor = layer.onward(layer(prepare(layer, block)))
    return codes


def prepare_all(layer: Layer, rows: Features, store: Store) -> Features:
    """Do what `prepare` does with rows that may be in a file."""
    first = prepare(layer, dense(rows.read(0, min(2, rows.shape[0]))))
    if all(isinstance(module, _RESHAPING) for module in layer.preamble):
        return rows.reshaped(tuple(first.shape[1:]))
    return store.keep((prepare(layer, block) for block in blocks(rows, BLOCK)), rows.shape[0])


def prepare(layer: Layer, rows: Tensor) -> Tensor:
    """Pass rows through what stands before a layer's module (reshaping), and check that they fit it.

    Raises
    ------
    DataError
        When the rows do not fit the module.
    """
    try:
        with evaluation(layer):
            rows = layer.preamble(dense(rows)) if len(layer.preamble) else rows
    except RuntimeError as error:
        raise DataError(
            f"rows of shape {tuple(rows.shape[1:])} cannot be taken to layer {layer.name!r}: {error}",
            "give rows as the network takes them",
        ) from error
    weight = layer.module.weight
    width = weight.shape[1] * getattr(layer.module, "groups", 1)
    if rows.ndim != weight.ndim or rows.shape[1] != width or _too_small(layer.module, rows.shape[2:]):
        wanted = f"{width} features" if weight.ndim == 2 else f"{width} channels by {tuple(weight.shape[2:])} or more"
        raise DataError(
            f"layer {layer.name!r} takes rows of {wanted}, found shape {tuple(rows.shape[1:])} a row",
            "give rows of that shape; rows of more dimensions need an nn.Flatten before a dense module",
        )
    return rows


def _too_small(module: Any, sides: Sequence[int]) -> bool:
    """Say whether a convolution's kernel is wider than what it is given, padding included."""
    if not sides or module.padding == "same":
        return False
    padding = (0,) * len(sides) if module.padding == "valid" else module.padding
    spans = zip(sides, padding, module.dilation, module.kernel_size, strict=True)
    return any(size + 2 * pad <= step * (kernel - 1) for size, pad, step, kernel in spans)


def decode(layer: Layer, decoder: Decoder | None, codes: Tensor) -> Tensor:
    """Map what a layer hands on back to what it was handed."""
    known = way_back(layer, decoder, (*layer.onward, *layer.preamble))
    return _blockwise(known, partial(handed, layer, known), codes)


def handed(layer: Layer, decoder: Decoder, codes: Tensor) -> Tensor:
    """Decode a layer's own codes (rows, units ...) to rows in the shape in which the layer was handed them."""
    rows: Tensor = decoder(codes.reshape(len(codes), *decoder.code_shape))
    return rows.flatten(1) if any(isinstance(module, nn.Unflatten) for module in layer.preamble) else rows


def way_back(layer: Layer, decoder: Decoder | None, passed: Iterable[nn.Module]) -> Decoder:
    """Return a layer's decoder, or refuse where there is none or one of the modules passed cannot be undone."""
    between = [module for module in passed if not isinstance(module, _UNDONE)]
    if decoder is None or layer.captured or between:
        reason = (
            "its objective has no decoder" if decoder is None
            else "its inputs were captured in the midst of the network" if layer.captured
            else "operations of the network's forward cannot be undone" if isinstance(between[0], fx.GraphModule)
            else f"{type(between[0]).__name__} cannot be undone"
        )  # fmt: skip
        raise NetworkError(
            f"there is no way back from the code of layer {layer.name!r}: {reason}", "decode from a lower depth"
        )
    return decoder


def _blockwise(module: nn.Module, function: Callable[[Tensor], Tensor], rows: Tensor) -> Tensor:
    """Apply a function of a module, in evaluation mode, to block after block of rows."""
    weight = next(module.parameters())
    found: Tensor | None = None
    with evaluation(module):
        start = 0
        for part in blocks(as_features(rows), BLOCK):
            block = function(part.to(device=weight.device, dtype=weight.dtype))
            if found is None:
                found = block.new_empty(len(rows), *block.shape[1:])
            found[start : start + BLOCK] = block
            start += len(block)
    if found is None:
        raise DataError("there are no rows to encode", "give at least one row")
    return found


def _build(
    description: Sequence[dict[str, Any]], tensors: dict[str, Tensor]
) -> tuple[list[Layer], list[Decoder | None], list[Objective | None]]:
    layers: list[Layer] = []
    decoders: list[Decoder | None] = []
    objectives: list[Objective | None] = []
    for number, item in enumerate(description):
        (module,) = build([item["module"]])
        preamble, after, onward = (build(item[part]) for part in PARTS)
        layer = Layer(item["name"], preamble, module, after, onward, item["captured"])
        layer.to(getattr(torch, item["dtype"])).eval()
        layers.append(layer)
        decoders.append(None if item["decoder"] is None else Decoder(module, **item["decoder"]).eval())
        objectives.append(_OBJECTIVE.validate_python(item.get("objective")))
        for part, found in (("layer", layer), ("decoder", decoders[-1])):
            prefix = f"{number}.{part}."
            own = {k.removeprefix(prefix): v for k, v in tensors.items() if k.startswith(prefix)}
            if found is not None:
                found.load_state_dict(own)
    return layers, decoders, objectives
