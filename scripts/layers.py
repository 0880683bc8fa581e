"""What happens in the layers: the copy test, health over time, distance moved, probes and noise, on MNIST.

    python scripts/layers.py measure RUNS    train and measure; finished parts are kept in docs/results/layers/
    python scripts/layers.py page            draw the pictures and write the tables of docs/layers.md

Rates are chosen on training rows 50,000 to 52,000; the test rows are looked at once, by what is finished. RUNS keeps
the pre-training, so that a stop repeats no more than one part. One thread suffices. Needs matplotlib (the extra
``docs``).
"""

from __future__ import annotations

import copy
import json
import sys
import time
from collections.abc import Callable, Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any

import matplotlib
import torch
from torch import nn

import layerwise as lw
from layerwise.nn.decoder import Decoder
from layerwise.nn.layers import Layer
from layerwise.nn.networks import build_network
from layerwise.randomness import Randomness
from layerwise.write import write_json, write_text

matplotlib.use("svg")
from matplotlib import pyplot as plt

DOCS = Path(__file__).parent.parent / "docs"
OUT = DOCS / "results" / "layers"
UNLABELLED, LABELLED, PROBED, TESTED = 10_000, 5000, 2000, 5000
HELD_OUT = slice(50_000, 52_000)
RATES, TRIED, EPOCHS, UNITS = (0.03, 0.1, 0.3), 5, 20, (500,) * 5
STRENGTHS: dict[str, Any] = {
    "masking": [lw.Masking(rate) for rate in (0.0, 0.2, 0.4, 0.6, 0.8)],
    "gaussian": [lw.GaussianNoise(std) for std in (0.0, 0.2, 0.4, 0.6, 0.8)],
    "salt-and-pepper": [lw.SaltAndPepper(rate) for rate in (0.0, 0.1, 0.2, 0.3, 0.4)],
}
COPIERS: dict[str, dict[str, Any]] = {
    "plain, 1 epoch": {"objective": lw.Autoencoder(tied=False), "epochs": 1},
    "plain, 5 epochs": {"objective": lw.Autoencoder(tied=False), "epochs": 5},
    "plain, 20 epochs": {"objective": lw.Autoencoder(tied=False), "epochs": 20},
    "plain, early stopping": {
        "objective": lw.Autoencoder(tied=False), "epochs": 20,
        "early_stopping": lw.EarlyStopping(patience=500, improvement=0.97, growth=1.5),
    },
    "plain, tied, 20 epochs": {"objective": lw.Autoencoder(), "epochs": 20},
    "masking 0.25, 20 epochs": {"objective": lw.DenoisingAutoencoder(lw.Masking(0.25), tied=False), "epochs": 20},
    "masking 0.5, 20 epochs": {"objective": lw.DenoisingAutoencoder(lw.Masking(0.5), tied=False), "epochs": 20},
}  # fmt: skip
# The arms of the second part, with the seeds of each: name, initialiser, batch normalisation, pre-trained.
ARMS: dict[str, tuple[str, bool, bool, int]] = {
    "small weights": ("glorot", False, False, 1),
    "random": ("auto", False, False, 2),
    "pre-trained": ("auto", False, True, 2),
    "random, batch norm": ("auto", True, False, 1),
    "pre-trained, batch norm": ("auto", True, True, 1),
}
EACH = 8  # singular value is kept
SHOWN = ("update", "layer", "loss", "gradient_norm", "moved", "saturated", "dead", "largest", "median", "smallest")
LEFT = 0.005  # a share below is drawn here
COLOURS = {
    "small weights": "#8a94a3", "random": "#d55e00", "pre-trained": "#0072b2", "random, batch norm": "#e69f00",
    "pre-trained, batch norm": "#009e73",
}  # fmt: skip


def measure(runs: Path) -> None:
    """Train and measure what has no file yet."""
    mnist = lw.load_mnist()
    parts: list[tuple[str, Callable[[], dict[str, Any]]]] = [
        (f"copy-{_file(name)}", lambda name=name: copier(name, mnist)) for name in (*COPIERS, "made to copy", "random")
    ]
    parts += [
        (f"arm-{_file(name)}-{seed}", lambda name=name, seed=seed: arm(name, seed, mnist, runs))
        for name, (*_, seeds) in ARMS.items()
        for seed in range(seeds)
    ]
    parts.append(("same-rate", lambda: same_rate(mnist, runs)))
    for name, work in parts:
        if not (OUT / f"{name}.json").exists():
            began = time.process_time()  # one thread: the minutes don't depend on what else the machine does
            found = work()
            taken = time.process_time() - began
            write_json(OUT / f"{name}.json", {"layerwise": version("layerwise"), **found, "seconds": taken})
            print(f"{name}: {taken:.0f} s", flush=True)


def _file(name: str) -> str:
    return name.replace(", ", "-").replace(" ", "-")


def copier(name: str, mnist: Any) -> dict[str, Any]:
    """Train one over-complete auto-encoder, 784-1000, and put it to the copy test."""
    network = build_network(784, (1000,), 10, randomness=Randomness(0, "copy"))
    if name in COPIERS:
        settings = dict(COPIERS[name])
        if "early_stopping" in settings:
            settings["validation"] = mnist.inputs[HELD_OUT]
        result = lw.pretrain(network, mnist.inputs[:UNLABELLED], learning_rate=0.1, random_state=0, **settings)
        stack, updates = result.stack, result.history[0].updates
    else:
        stack, updates = _untrained(network, copies=name == "made to copy"), 0
    rows = mnist.test_inputs[:TESTED]
    found = lw.analysis.copy_test(stack, rows, jacobian_rows=3)
    trained = mnist.inputs[:PROBED], mnist.targets[:PROBED]
    raw, probe = lw.analysis.linear_probes(stack, *trained)
    tested = rows, mnist.test_targets[:TESTED]
    return {
        "updates": updates,
        "shares": found.shares,
        "singular_values": _rounded(found.singular_values[::EACH].tolist()),
        "from_identity": found.from_identity,
        "inputs_probe": raw.error(*tested),
        "probe": probe.error(*tested),
    }


def _untrained(network: nn.Sequential, copies: bool) -> lw.Stack:
    """Return the network's first layer with a decoder: as it was drawn, or made to copy whatever it is given.

    With weights so small that the sigmoid is a line, h = 1/2 + eps x / 4, and a decoder of 4 / eps undoes that.
    """
    layer = Layer("0", [], network[0], [nn.Sigmoid()])
    decoder = Decoder(network[0], tied=False, output="linear" if copies else "sigmoid")
    if copies:
        with torch.no_grad():
            network[0].weight.zero_()
            network[0].weight[:784].fill_diagonal_(0.1)
            decoder.weight.zero_()  # type: ignore[union-attr]
            decoder.weight[:784].fill_diagonal_(40.0)  # type: ignore[index]
            decoder.bias.fill_(-20.0)
    return lw.Stack([layer], [decoder])


def arm(name: str, seed: int, mnist: Any, runs: Path) -> dict[str, Any]:
    """Train 784-500x5-10, watched, and measure its layers before and after fine-tuning."""
    network = start(name, seed, mnist, runs)
    labelled = mnist.inputs[:LABELLED], mnist.targets[:LABELLED]
    held_out = mnist.inputs[HELD_OUT], mnist.targets[HELD_OUT]
    common: dict[str, Any] = {"batch_size": 50, "random_state": seed, "validation": held_out}
    tried = {}
    for rate in RATES:
        found = lw.finetune(copy.deepcopy(network), *labelled, epochs=TRIED, learning_rate=rate, **common)
        tried[rate] = found.history[-1]["validation_error"]
    rate = min(tried, key=lambda rate: tried[rate])
    before = copy.deepcopy(network)
    watch = lw.analysis.LayerHealth(network, mnist.inputs[:500], mnist.targets[:500], jacobian_rows=0 if seed else 2)
    lw.finetune(network, *labelled, epochs=EPOCHS, learning_rate=rate, callbacks=[watch], **common)
    with lw.analysis.batch_statistics(before, mnist.inputs[:PROBED]):
        probes = {"before": _probed(before, mnist)}
    probes["after"] = _probed(network, mnist)
    test = mnist.test_inputs[:TESTED], mnist.test_targets[:TESTED]
    return {
        "tried": tried,
        "learning_rate": rate,
        "moved": [vars(moved) for moved in lw.analysis.distance_moved(before, network)],
        "probes": probes,
        "noise": {kind: lw.analysis.errors_under_noise(network, *test, noise) for kind, noise in STRENGTHS.items()},
        "health": [_short(record) for record in watch.records] if not seed else [],  # the first seed's is drawn
    }


def _short(record: dict[str, Any]) -> dict[str, Any]:
    return {key: _rounded(record[key]) for key in SHOWN if record[key] is not None}


def _rounded(value: Any) -> Any:
    """Round to four digits: files are read by people, too."""
    if isinstance(value, list):
        return [_rounded(one) for one in value]
    return float(f"{value:.4g}") if isinstance(value, float) else value


def start(name: str, seed: int, mnist: Any, runs: Path) -> nn.Sequential:
    """Return where an arm's fine-tuning starts."""
    initializer, batch_norm, pretrained, _ = ARMS[name]
    network = build_network(
        784, UNITS, 10, activation="sigmoid", initializer=initializer, batch_norm=batch_norm,
        randomness=Randomness(seed, "health"),
    )  # fmt: skip
    if pretrained:
        folder = runs / f"pretrain-{_file(name)}-{seed}"
        lw.pretrain(
            network, mnist.inputs[:UNLABELLED], epochs=10, random_state=seed, run_dir=folder, resume=folder.exists()
        )
    return network


def same_rate(mnist: Any, runs: Path) -> dict[str, Any]:
    """Measure how far both arms' layers move when both are fine-tuned at the random arm's rate."""
    found: dict[str, Any] = {"learning_rate": 0.1}
    for name in ("random", "pre-trained"):
        network = start(name, 0, mnist, runs)
        before = copy.deepcopy(network)
        lw.finetune(
            network, mnist.inputs[:LABELLED], mnist.targets[:LABELLED], epochs=EPOCHS, batch_size=50,
            learning_rate=found["learning_rate"], random_state=0,
        )  # fmt: skip
        found[name] = [moved.relative for moved in lw.analysis.distance_moved(before, network)]
    return found


def _probed(network: nn.Module, mnist: Any) -> dict[str, Any]:
    """Return each probe's error on test rows, and under masking noise."""
    test = mnist.test_inputs[:TESTED], mnist.test_targets[:TESTED]
    probes = lw.analysis.linear_probes(network, mnist.inputs[:PROBED], mnist.targets[:PROBED])
    masked = (probes[0], probes[1], probes[-1])
    return {
        "errors": [probe.error(*test) for probe in probes],
        "masking": [lw.analysis.errors_under_noise(probe, *test, STRENGTHS["masking"]) for probe in masked],
    }


def page() -> None:
    """Draw the pictures, and write the tables of the document, from what was measured."""
    plt.rcParams["svg.hashsalt"] = "layerwise"
    found = {path.stem: json.loads(path.read_text()) for path in sorted(OUT.glob("*.json"))}
    copies = {name: found[f"copy-{_file(name)}"] for name in ("made to copy", "random", *COPIERS)}
    arms = {name: [found[f"arm-{_file(name)}-{seed}"] for seed in range(own[3])] for name, own in ARMS.items()}
    _draw_copies(copies)
    _draw_health(arms)
    _draw_layers(arms)
    text = (DOCS / "layers.md").read_text()
    minutes = sum(part["seconds"] for part in found.values()) / 60
    tables = {
        "copy": _copy_table(copies), "moved": _moved_table(arms, found["same-rate"]), "probes": _probe_table(arms),
        "noise": _noise_table(arms), "health": _health_table(arms),
        "minutes": f"{minutes:.0f} minutes of processor time",
    }  # fmt: skip
    for name, table in tables.items():
        begin, end = f"<!-- {name} -->", f"<!-- end of {name} -->"
        before, rest = text.split(begin)
        between = f"\n{table}\n" if "|" in table else table
        text = before + begin + between + end + rest.split(end)[1]
    write_text(DOCS / "layers.md", text)


def _table(columns: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    lines = [columns, ["---"] * len(columns), *rows]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def _copy_table(copies: dict[str, dict[str, Any]]) -> str:
    columns = ["784-1000", "updates", "rows", "shuffled", "permuted", "white noise", "from the identity", "probe, %"]
    kinds = ("rows", "shuffled", "permuted", "white")
    rows = [
        [name, f"{own['updates']:,}", *(f"{own['shares'][kind]:.3f}" for kind in kinds), f"{own['from_identity']:.2f}",
         f"{own['probe']:.1f}"]
        for name, own in copies.items()
    ]  # fmt: skip
    return _table(columns, rows)


def _mean(values: Sequence[float | None]) -> float:
    return sum(value or 0.0 for value in values) / len(values)


def _seeds(own: list[dict[str, Any]], value: Callable[[dict[str, Any]], float], places: int) -> str:
    """Write the mean over the seeds, and each where there are several."""
    each = [value(part) for part in own]
    text = f"{_mean(each):.{places}f}"
    return text if len(each) == 1 else f"{text} ({', '.join(f'{one:.{places}f}' for one in each)})"


def _moved_table(arms: dict[str, list[dict[str, Any]]], same: dict[str, Any]) -> str:
    rows = []
    for name, own in arms.items():
        rates = "/".join(dict.fromkeys(f"{part['learning_rate']:g}" for part in own))
        cells = [f"{_mean([part['moved'][k]['relative'] for part in own]):.3f}" for k in range(6)]
        rows.append([name, rates, *cells])
    own = [f"{value:.3f}" for value in same["pre-trained"]]
    rows.append(["pre-trained, at the random arm's rate", f"{same['learning_rate']:g}", *own])
    return _table(["arm", "rate", *(f"layer {k}" for k in range(1, 6)), "output head"], rows)


def _probe_table(arms: dict[str, list[dict[str, Any]]]) -> str:
    rows = []
    for name, own in arms.items():
        for when in ("before", "after"):
            cells = [f"{_mean([part['probes'][when]['errors'][k] for part in own]):.1f}" for k in range(6)]
            rows.append([f"{name}, {when}", *cells])
    return _table(["arm, fine-tuning", "rows", *(f"layer {k}" for k in range(1, 6))], rows)


def _noise_table(arms: dict[str, list[dict[str, Any]]]) -> str:
    rows = []
    for kind, noises in STRENGTHS.items():
        for at, noise in enumerate(noises):
            strength = getattr(noise, "rate", getattr(noise, "std", 0.0))
            if at or kind == "masking":
                cells = [_seeds(own, lambda part, k=kind, at=at: part["noise"][k][at], 1) for own in arms.values()]
                rows.append([f"{kind} {strength:g}" if at else "none", *cells])
    return _table(["noise", *arms], rows)


def _health_table(arms: dict[str, list[dict[str, Any]]]) -> str:
    rows = []
    for name, (own, *_) in arms.items():
        start = {record["layer"]: record for record in own["health"] if record["update"] == 0}
        lowest, *_, highest, _head, whole = start.values()
        end = {record["layer"]: record for record in own["health"]}
        rows.append(
            [name, f"{lowest['gradient_norm']:.2g}", f"{highest['gradient_norm']:.2g}", f"{lowest['median']:.2f}",
             f"{highest['median']:.2f}", f"{whole['median']:.2g}",
             f"{100 * lowest['saturated']:.0f} to {100 * end[lowest['layer']]['saturated']:.0f}",
             f"{100 * highest['saturated']:.0f} to {100 * end[highest['layer']]['saturated']:.0f}",
             f"{own['health'][-1]['loss']:.3f}"]
        )  # fmt: skip
    columns = ["arm", "gradient, layer 1", "layer 5", "median singular value, layer 1", "layer 5", "rows to outputs",
               "saturated, layer 1, %", "layer 5, %", "loss at the end"]  # fmt: skip
    return _table(columns, rows)


def _save(figure: Any, name: str) -> None:
    for axis in figure.axes:
        axis.spines[["top", "right"]].set_visible(False)
        axis.grid(alpha=0.25)
    figure.savefig(DOCS / "images" / f"{name}.svg", metadata={"Date": None})
    plt.close(figure)


def _draw_copies(copies: dict[str, dict[str, Any]]) -> None:
    """Draw how much each auto-encoder misses of rows and noise, and the singular values of its Jacobian."""
    figure, (left, right) = plt.subplots(1, 2, figsize=(10, 3.8), layout="constrained")
    markers = {"rows": "o", "shuffled": "s", "permuted": "^", "white": "x"}
    for kind, marker in markers.items():
        shares = [max(own["shares"][kind], LEFT) for own in copies.values()]
        left.plot(shares, range(len(copies)), marker, label="white noise" if kind == "white" else kind,
                  color="#0072b2" if kind == "rows" else "#d55e00", mfc="none" if kind != "rows" else None)  # fmt: skip
    left.set(xlabel="squared error as a share of the variance", yticks=range(len(copies)), yticklabels=list(copies),
             xscale="log", xlim=(0.8 * LEFT, None))  # fmt: skip
    left.invert_yaxis()
    left.legend(frameon=False, fontsize="small", loc="lower left")
    shades = plt.get_cmap("viridis")
    for number, (name, own) in enumerate(copies.items()):
        right.plot(range(1, 785, EACH), own["singular_values"], color=shades(number / len(copies)), label=name)
    right.set(xlabel="number", ylabel="singular value of ∂r/∂x", ylim=(0, 2), xlim=(1, 784))
    right.legend(frameon=False, fontsize="x-small")
    _save(figure, "layers-copy")


def _draw_health(arms: dict[str, list[dict[str, Any]]]) -> None:
    """Draw gradients, singular values and saturation of each layer while the arms are fine-tuned."""
    rows = {"gradient_norm": "gradient norm", "median": "median singular value", "saturated": "saturated share"}
    figure, axes = plt.subplots(
        len(rows), len(arms), figsize=(12, 6.6), layout="constrained", sharex=True, sharey="row"
    )
    shades = plt.get_cmap("viridis")
    for column, (name, (own, *_)) in enumerate(arms.items()):
        names = list(dict.fromkeys(record["layer"] for record in own["health"]))[:-2]
        for row, (key, label) in enumerate(rows.items()):
            axis = axes[row, column]
            for number, layer in enumerate(names):
                points = [(r["update"], r[key]) for r in own["health"] if r["layer"] == layer]
                axis.plot(*zip(*points, strict=True), color=shades(number / 4.5), label=f"layer {number + 1}")
            if key != "saturated":
                axis.set_yscale("log")
            if column == 0:
                axis.set_ylabel(label)
        axes[0, column].set_title(name, fontsize="medium")
        axes[-1, column].set_xlabel("updates")
    axes[0, 0].legend(frameon=False, fontsize="x-small")
    _save(figure, "layers-health")


def _draw_layers(arms: dict[str, list[dict[str, Any]]]) -> None:
    """Draw distance moved, probes and noise of the arms."""
    figure, (moved, probes, noise) = plt.subplots(1, 3, figsize=(12, 3.6), layout="constrained")
    rates = [one.rate for one in STRENGTHS["masking"]]
    for name, own in arms.items():
        colour = COLOURS[name]
        for part in own:
            moved.plot(range(1, 6), [layer["relative"] for layer in part["moved"][:5]], "o-", color=colour, alpha=0.8,
                       label=name if part is own[0] else None)  # fmt: skip
        for when, style in (("before", "o:"), ("after", "o-")):
            errors = [_mean([part["probes"][when]["errors"][k] for part in own]) for k in range(6)]
            probes.plot(range(6), errors, style, color=colour, mfc="none" if when == "before" else None)
        if name == "small weights":
            continue  # at 90 % from the start
        noise.plot(rates, [_mean([part["noise"]["masking"][k] for part in own]) for k in range(len(rates))], "o-",
                   color=colour)  # fmt: skip
    moved.set(title="distance moved in fine-tuning", xlabel="layer", ylabel="share of the weights' length",
              yscale="log", xticks=range(1, 6))  # fmt: skip
    probes.set(title="linear probes (dotted: before fine-tuning)", xlabel="layer (0: the rows)", ylabel="test error, %")
    noise.set(title="fine-tuned networks on masked rows", xlabel="share of elements masked", ylabel="test error, %")
    moved.legend(frameon=False, fontsize="small")
    _save(figure, "layers-arms")


if __name__ == "__main__":
    match sys.argv[1:]:
        case ["measure", folder]:
            measure(Path(folder))
        case ["page"]:
            page()
        case _:
            sys.exit(__doc__)
