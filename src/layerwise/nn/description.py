"""Modules described as data, so that loading a saved stack runs no code of anybody's."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from torch import fx, nn

from ..errors import NetworkError, RunError
from .capture import Capture

_CONVOLUTION = ("in_channels", "out_channels", "kernel_size", "stride", "padding", "dilation", "groups", "bias")
_NORM = ("num_features", "eps", "momentum", "affine", "track_running_stats")
_MAX_POOL = ("kernel_size", "stride", "padding", "dilation", "ceil_mode")
_AVG_POOL = ("kernel_size", "stride", "padding", "ceil_mode", "count_include_pad")
# The modules that can be described, with the arguments that build each anew.
MODULES: dict[str, tuple[str, ...]] = {
    "Linear": ("in_features", "out_features", "bias"), "Conv1d": _CONVOLUTION, "Conv2d": _CONVOLUTION,
    "Sigmoid": (), "Tanh": (), "ReLU": (), "Identity": (), "Softplus": ("beta", "threshold"),
    "GELU": ("approximate",), "SiLU": (), "Softsign": (),
    "LeakyReLU": ("negative_slope",), "ELU": ("alpha",), "Dropout": ("p",), "Dropout2d": ("p",),
    "Flatten": ("start_dim", "end_dim"), "Unflatten": ("dim", "unflattened_size"),
    "MaxPool1d": _MAX_POOL, "MaxPool2d": _MAX_POOL, "AvgPool1d": _AVG_POOL,
    "AvgPool2d": (*_AVG_POOL, "divisor_override"),
    "AdaptiveAvgPool2d": ("output_size",), "BatchNorm1d": _NORM, "BatchNorm2d": _NORM,
}  # fmt: skip


def describe(module: nn.Module) -> dict[str, Any]:
    """Return what builds a module anew, without its parameters.

    Raises
    ------
    NetworkError
        When the module is of another kind, or pads with something but zeros.

    Examples
    --------
    >>> describe(nn.Linear(3, 2))
    {'module': 'Linear', 'in_features': 3, 'out_features': 2, 'bias': True}
    """
    name = type(module).__name__
    theirs = type(module) is not getattr(nn, name, None) or getattr(module, "padding_mode", "zeros") != "zeros"
    if theirs or name not in MODULES:
        what = f"a module of type {name}{' of its own' if name in MODULES else ''}"
        if isinstance(module, fx.GraphModule):
            what = "operations of the network's forward"
        elif isinstance(module, Capture):
            what = "inputs captured in its network"
        raise NetworkError(
            f"a stack with {what} cannot be saved: loading it would have to run code",
            f"use one of {', '.join(sorted(MODULES))}, or keep the network's own state_dict",
        )
    found = {key: getattr(module, key) for key in MODULES[name]}
    return {"module": name, **found, **({"bias": found["bias"] is not None} if "bias" in found else {})}


def build(described: Sequence[Mapping[str, Any]]) -> list[nn.Module]:
    """Build modules from their descriptions; learned ones without drawing weights.

    Raises
    ------
    RunError
        When a description names an unknown module.

    Examples
    --------
    >>> build([{"module": "ELU", "alpha": 0.5}])
    [ELU(alpha=0.5)]
    """
    built = []
    for item in described:
        if item["module"] not in MODULES:
            raise RunError(f"a saved stack names the unknown module {item['module']!r}")
        kind = getattr(nn, item["module"])
        found = {key: item[key] for key in MODULES[item["module"]]}
        settings = {key: tuple(value) if isinstance(value, list) else value for key, value in found.items()}
        built.append(nn.utils.skip_init(kind, **settings) if "bias" in settings else kind(**settings))
    return built
