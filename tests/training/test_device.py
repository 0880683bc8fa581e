"""The device and the float32 route."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from layerwise.errors import PlanError
from layerwise.training import device
from layerwise.training.device import exact_float32, matmul_route, moved, pick_device, processor, route_for


@pytest.mark.parametrize(
    ("vendor", "flags", "route"),
    [
        ("AuthenticAMD", {"avx2", "avx512f", "avx512_bf16"}, "onednn"),
        ("AuthenticAMD", {"avx2"}, "default"),
        ("AuthenticAMD", {"avx512f", "amx_tile"}, "default"),
        ("GenuineIntel", {"avx512f"}, "default"),
        ("GenuineIntel", {"avx512f", "amx_bf16", "amx_tile", "amx_int8"}, "default"),
        ("", set(), "default"),
    ],
)
def test_route_table(vendor, flags, route):
    assert route_for(vendor, frozenset(flags)) == route


def test_a_system_without_cpuinfo(monkeypatch):
    def missing(self):
        raise FileNotFoundError

    monkeypatch.setattr("pathlib.Path.read_text", missing)
    assert processor.__wrapped__() == ("", "", frozenset())


def test_cpuinfo_is_read(monkeypatch):
    text = (
        "vendor_id\t: AuthenticAMD\nmodel name\t: EPYC: a name\nflags\t\t: fpu avx512f\n\n"
        "vendor_id\t: Other\nmodel name\t: Other\nflags\t\t: fpu\n"
    )
    monkeypatch.setattr("pathlib.Path.read_text", lambda self: text)
    assert processor.__wrapped__() == ("AuthenticAMD", "EPYC: a name", frozenset({"fpu", "avx512f"}))


def on(monkeypatch, vendor, *flags):
    monkeypatch.setattr(device, "processor", lambda: (vendor, "", frozenset(flags)))


@pytest.mark.parametrize("broken", [True, False])
def test_the_setting_is_put_back(monkeypatch, broken):
    on(monkeypatch, "AuthenticAMD", "avx512f")
    matmul = torch.backends.mkldnn.matmul
    before = matmul.fp32_precision
    try:
        with exact_float32() as route:
            assert route == matmul_route() == "onednn"
            assert matmul.fp32_precision == "bf16"
            if broken:
                raise KeyError
    except KeyError:
        pass
    assert matmul.fp32_precision == before


def test_other_processors_are_left_alone(monkeypatch):
    on(monkeypatch, "GenuineIntel", "avx512f", "amx_tile")
    before = torch.backends.mkldnn.matmul.fp32_precision
    with exact_float32() as route:
        assert route == "default"
        assert torch.backends.mkldnn.matmul.fp32_precision == before


def test_products_are_float32_on_this_processor():
    """Relative error of a 500-term product: below 2e-6 in float32, about 2e-3 were it bfloat16."""
    generator = torch.Generator().manual_seed(0)
    one, two = (torch.rand(n, m, generator=generator) for n, m in [(64, 500), (500, 64)])
    exact = one.double() @ two.double()
    with exact_float32():
        found = (one @ two).double()
    assert float(((found - exact) / exact).abs().max()) < 2e-6


def test_pick_device():
    assert pick_device("cpu") == torch.device("cpu")
    assert pick_device(torch.device("cpu")) == torch.device("cpu")
    assert pick_device("auto").type == ("cuda" if torch.cuda.is_available() else "cpu")


@pytest.mark.parametrize("name", ["cuda:99", "gpu", "xpu"])
def test_a_device_that_is_not_there(name):
    with pytest.raises(PlanError, match=f"device '{name}' isn't there, found") as caught:
        pick_device(name)
    assert '"auto"' in caught.value.hint


def test_moved_back_also_after_an_error():
    network = nn.Linear(2, 2)
    with pytest.raises(KeyError), moved(network, torch.device("cpu")) as place:
        assert place.type == "cpu"
        network.to("meta")
        network.to_empty(device="cpu")
        raise KeyError
    assert network.weight.device.type == "cpu"


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
def test_moved_to_a_gpu_and_back():
    network = nn.Linear(2, 2)
    with moved(network, torch.device("cuda")):
        assert network.weight.device.type == "cuda"
    assert network.weight.device.type == "cpu"
