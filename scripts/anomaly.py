"""Each digit of MNIST held out of training in turn, to be told from the nine that a stack knows.

    python scripts/anomaly.py measure RUNS    train, choose on training rows, measure on the test rows:
                                              docs/results/anomaly/; stacks are kept in RUNS
    python scripts/anomaly.py page            write the tables and the picture from what was measured

Labels are used to leave digits out, and for nothing else. For a held-out digit every choice (the stack's objective, the
measure, the components of PCA, the settings of the isolation forest) is made on training rows of the nine others: two
digits are left out of a smaller training set, and each stands in for an anomaly in the choices made for the other. All
is resumable: what has its file is not repeated. Needs matplotlib (the extra ``docs``).
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path
from typing import Any

import matplotlib
import numpy as np
import torch
from sklearn.decomposition import PCA
from sklearn.ensemble import IsolationForest
from sklearn.metrics import roc_auc_score
from sklearn.neighbors import NearestNeighbors

import layerwise as lw
from layerwise.density.anomaly import conformal
from layerwise.density.nonconformity import (
    DenoisingError,
    Energy,
    MahalanobisDistance,
    NeighbourDistance,
    Nonconformity,
    ReconstructionError,
)
from layerwise.nn.networks import build_network
from layerwise.randomness import Randomness
from layerwise.write import write_json, write_text

matplotlib.use("svg")
from matplotlib import pyplot as plt

DOCS = Path(__file__).parent.parent / "docs"
OUT = DOCS / "results" / "anomaly"
DIGITS = range(10)
# Each digit stands in for an anomaly in the choices made for two others.
PAIRS = [(digit, (digit + 1) % 10) for digit in DIGITS]
SIZES = (500, 250)
PRETRAIN: dict[str, Any] = {"learning_rate": 0.1, "precision": "bfloat16", "random_state": 0}
OBJECTIVES = {"denoising": lw.DenoisingAutoencoder(lw.Masking(0.4)), "rbm": lw.RBM()}
# Pixels are scaled so that every image has one length: strokes are thick or thin in every digit. RBMs take grey for a
# probability, so that theirs must keep black and white apart.
LENGTHS = {"denoising": 4.0, "rbm": 9.2}
# Of the large and of the smaller training sets: about 970 updates a layer either way.
EPOCHS, SMALL_EPOCHS = 2, 8
CALIBRATION, FALSE_ALARM = 5000, 0.05
# Rows of the smaller training sets: to train on, to stand for the usual, to stand for each anomaly.
SMALL = (12_000, 2000, 1000)
REFERENCE = 20_000
RIVALS = {
    "layerwise": "layerwise",
    "PCA error": "PCA error",
    "isolation forest": "IsolationForest",
    "neighbours of pixels": "neighbours without a stack",
}
LOOKS = (("#0072b2", "o"), ("#d55e00", "s"), ("#cc79a7", "^"), ("#777777", "x"))
PICTURE = "![AUROC by held-out digit](images/anomaly.svg)"
REMARKS = (
    "The test rows were written by other people than the training rows, so that the false alarms need not come to 5 % "
    "exactly. Every setting below is one choice kept for all ten digits."
)
BEGIN, END = "<!-- anomaly -->", "<!-- end of anomaly -->"

Scores = Callable[[np.ndarray], np.ndarray]


def measures(kind: str) -> dict[str, Nonconformity]:
    """Return every measure that is tried on a stack."""
    found: dict[str, Nonconformity] = {}
    for depth in (1, 2):
        found |= {
            f"reconstruction error, depth {depth}": ReconstructionError(depth),
            f"denoising error, depth {depth}": DenoisingError(lw.Masking(0.5), depth=depth),
            f"Mahalanobis distance, depth {depth}": MahalanobisDistance(depth),
            f"neighbours in 20 components, depth {depth}": NeighbourDistance(depth=depth, components=20),
            f"neighbours in 30 components, depth {depth}": NeighbourDistance(depth=depth, components=30),
        }
        if kind == "rbm":
            found[f"energy, layer {depth}"] = Energy(depth)
    return found


def one_length(rows: torch.Tensor, length: float = 1.0) -> torch.Tensor:
    """Return images scaled to one length, but for pixels that would be above 1."""
    return (rows * (length / rows.norm(dim=1, keepdim=True))).clamp(max=1.0)


def isolation_forest(rows: np.ndarray, samples: int) -> Scores:
    forest = IsolationForest(max_samples=samples, random_state=0).fit(rows)
    return lambda new: forest.score_samples(new)


def pca_error(rows: np.ndarray, components: int) -> Scores:
    pca = PCA(components, svd_solver="covariance_eigh").fit(rows)
    return lambda new: -np.square(new - pca.inverse_transform(pca.transform(new))).sum(1)


def pixel_neighbours(rows: np.ndarray, components: int) -> Scores:
    """Return what `NeighbourDistance` measures, of pixels in place of codes."""
    pca = PCA(components, whiten=True, svd_solver="covariance_eigh").fit(rows)
    index = NearestNeighbors(n_neighbors=5, algorithm="brute").fit(pca.transform(rows[:REFERENCE]))
    return lambda new: -index.kneighbors(pca.transform(new))[0].mean(1)


def without_stack() -> dict[str, tuple[str, bool, Callable[[np.ndarray], Scores]]]:
    """Return what needs no stack: name, family, whether rows are scaled to one length, and how it is fitted."""
    found: dict[str, tuple[str, bool, Callable[[np.ndarray], Scores]]] = {}
    for scaled in (False, True):
        of = ", one length" if scaled else ""
        for samples in (256, 2048):
            name = f"isolation forest, {samples} samples{of}"
            found[name] = ("isolation forest", scaled, lambda rows, samples=samples: isolation_forest(rows, samples))
        for components in (10, 20, 50, 100, 200):
            name = f"PCA error, {components} components{of}"
            found[name] = ("PCA error", scaled, lambda rows, n=components: pca_error(rows, n))
        for components in (20, 30):
            name = f"neighbours of pixels in {components} components{of}"
            found[name] = ("neighbours of pixels", scaled, lambda rows, n=components: pixel_neighbours(rows, n))
    return found


def family(name: str) -> str:
    """Say which of the four competitors a setting belongs to; each chooses among its own."""
    return without_stack()[name][0] if name in without_stack() else "layerwise"


def trained(rows: torch.Tensor, kind: str, epochs: int, folder: Path) -> lw.Stack:
    """Return a stack trained on rows, or the one kept from before."""
    if (folder / "stack.json").exists():
        return lw.Stack.load(folder)
    network = build_network(784, SIZES, 2, randomness=Randomness(0))
    stack = lw.pretrain(network, rows, objective=OBJECTIVES[kind], epochs=epochs, **PRETRAIN).stack
    stack.save(folder)
    return stack


def all_scores(
    train: torch.Tensor, held_out: torch.Tensor, new: torch.Tensor, epochs: int, folder: Path
) -> tuple[dict[str, np.ndarray], dict[str, np.ndarray]]:
    """Return every setting's scores of new rows, higher being more normal, and the p-values where it has them."""
    scores: dict[str, np.ndarray] = {}
    p_values: dict[str, np.ndarray] = {}
    for kind, length in LENGTHS.items():
        known, usual, scaled = (one_length(rows, length) for rows in (train, held_out, new))
        stack = trained(known, kind, epochs, folder / kind)
        for name, method in measures(kind).items():
            detector = lw.AnomalyDetector(stack, method).fit(usual, reference=known[:REFERENCE])
            scores[f"{kind}: {name}"] = found = detector.score_samples(scaled)
            p_values[f"{kind}: {name}"] = conformal(found, detector.calibration_)
    for name, (_, one, fit) in without_stack().items():
        rows, fresh = (one_length(train), one_length(new)) if one else (train, new)
        scores[name] = fit(rows.numpy())(fresh.numpy())
    return scores, p_values


def auroc(scores: np.ndarray, odd: np.ndarray) -> float:
    return float(roc_auc_score(odd, -scores))


def measure_pair(pair: tuple[int, int], mnist: Any, runs: Path) -> dict[str, Any]:
    """Leave two digits out of a smaller training set, and tell each from the other eight; training rows only."""
    labels = mnist.targets.numpy()
    order = Randomness(0).numpy("pair", *pair).permutation(len(labels))
    usual = order[~np.isin(labels[order], pair)]
    most, held, odd = SMALL
    parts = [usual[:most], usual[most : most + held], *(order[labels[order] == digit][:odd] for digit in pair)]
    new = np.concatenate(parts[1:])
    train, held_out = mnist.inputs[parts[0]], mnist.inputs[parts[1]]
    scores, _ = all_scores(train, held_out, mnist.inputs[new], SMALL_EPOCHS, runs / f"pair-{pair[0]}-{pair[1]}")
    found: dict[str, Any] = {}
    for digit in pair:
        kept = (labels[new] == digit) | ~np.isin(labels[new], pair)
        found[str(digit)] = {name: auroc(own[kept], labels[new][kept] == digit) for name, own in scores.items()}
    return {"layerwise": version("layerwise"), "auroc": found}


def measure_digit(digit: int, mnist: Any, runs: Path) -> dict[str, Any]:
    """Leave one digit out of training, and tell it from the other nine among the test rows."""
    labels = mnist.targets.numpy()
    order = Randomness(0).numpy("digit", digit).permutation(len(labels))
    usual = order[labels[order] != digit]
    train, held_out = mnist.inputs[usual[CALIBRATION:]], mnist.inputs[usual[:CALIBRATION]]
    scores, p_values = all_scores(train, held_out, mnist.test_inputs, EPOCHS, runs / f"digit-{digit}")
    odd = mnist.test_targets.numpy() == digit
    flagged = {name: own <= FALSE_ALARM for name, own in p_values.items()}
    return {
        "layerwise": version("layerwise"),
        "train": len(train),
        "auroc": {name: auroc(own, odd) for name, own in scores.items()},
        "false_alarms": {name: float(own[~odd].mean()) for name, own in flagged.items()},
        "found": {name: float(own[odd].mean()) for name, own in flagged.items()},
    }


def measure(runs: Path) -> None:
    """Measure every pair and every digit that has no file yet."""
    mnist = lw.load_mnist()
    for pair in PAIRS:
        _keep(f"pair-{pair[0]}-{pair[1]}", lambda pair=pair: measure_pair(pair, mnist, runs))
    for digit in DIGITS:
        _keep(f"digit-{digit}", lambda digit=digit: measure_digit(digit, mnist, runs))
    page()


def _keep(name: str, make: Callable[[], dict[str, Any]]) -> None:
    if (OUT / f"{name}.json").exists():
        return
    began = time.process_time()
    found = make()
    write_json(OUT / f"{name}.json", {**found, "cpu_seconds": time.process_time() - began})
    print(f"{name}: {time.process_time() - began:.0f} s of processor time", flush=True)


def chosen(digit: int, competitor: str, pairs: dict[tuple[int, int], Any]) -> str:
    """Return the setting of a competitor that tells two other digits best, by stacks that know neither."""
    others = {(set(pair) - {digit}).pop(): found["auroc"] for pair, found in pairs.items() if digit in pair}
    means = {
        name: np.mean([found[str(other)][name] for other, found in others.items()])
        for name in next(iter(pairs.values()))["auroc"][str(next(iter(pairs))[0])]
        if family(name) == competitor
    }
    return max(means, key=lambda name: means[name])


def page() -> None:
    """Write both tables and the picture from what was measured."""
    pairs = {pair: _read(f"pair-{pair[0]}-{pair[1]}") for pair in PAIRS}
    digits = {digit: _read(f"digit-{digit}") for digit in DIGITS}
    choices = {rival: {digit: chosen(digit, rival, pairs) for digit in DIGITS} for rival in RIVALS}
    found = {rival: [digits[digit]["auroc"][own[digit]] for digit in DIGITS] for rival, own in choices.items()}
    draw(found)
    table = f"{by_digit(digits, choices, found)}\n\n{in_words(found)}"
    minutes = sum(part["cpu_seconds"] for part in (*pairs.values(), *digits.values())) / 60
    cost = f"The whole took {minutes:.0f} minutes of processor time, one thread."
    for name, parts in {
        "density.md": [PICTURE, "", table, "", f"{REMARKS} {cost}", "", by_setting(pairs, digits)],
        "results.md": [table],
        "results/page.md": [table],
    }.items():
        document = DOCS / name
        before, rest = document.read_text().split(BEGIN)
        write_text(document, before + "\n".join([BEGIN, "", *parts, "", ""]) + END + rest.split(END)[1])


def by_digit(digits: dict[int, Any], choices: dict[str, dict[int, str]], found: dict[str, list[float]]) -> str:
    """Return the table of what each competitor came to on each held-out digit."""
    lines = [
        "| held out | " + " | ".join(RIVALS.values()) + " | chosen measure | false alarms at 5 % | found at 5 % |",
        "|---" * (4 + len(RIVALS)) + "|",
    ]
    own = choices["layerwise"]
    for digit in DIGITS:
        rates = [f"{100 * digits[digit][key][own[digit]]:.1f} %" for key in ("false_alarms", "found")]
        cells = [f"{values[digit]:.3f}" for values in found.values()]
        lines.append(f"| {digit} | " + " | ".join([*cells, own[digit], *rates]) + " |")
    means = [np.mean([digits[digit][key][own[digit]] for digit in DIGITS]) for key in ("false_alarms", "found")]
    cells = [f"**{np.mean(values):.3f}**" for values in found.values()]
    return "\n".join(
        [*lines, "| mean | " + " | ".join([*cells, "", *(f"{100 * mean:.1f} %" for mean in means)]) + " |"]
    )


def in_words(found: dict[str, list[float]]) -> str:
    """Say on how many digits, and by how much on average, the stacks do better than each rival."""
    own = np.array(found["layerwise"])
    said = []
    for rival, values in found.items():
        gain = own - np.array(values)
        if rival != "layerwise":
            said.append(f"{RIVALS[rival]} on {int((gain > 0).sum())} of 10 digits ({gain.mean():+.3f} on average)")
    return f"The stacks do better than {', '.join(said[:-1])} and {said[-1]}."


def by_setting(pairs: dict[tuple[int, int], Any], digits: dict[int, Any]) -> str:
    """Return the table of all settings: mean over the stand-ins, mean and least over the held-out digits."""
    lines = ["| setting | on training rows | mean AUROC | least |", "|---|---|---|---|"]
    rows: list[tuple[float, str]] = []
    for name in digits[0]["auroc"]:
        before = np.mean([own[name] for found in pairs.values() for own in found["auroc"].values()])
        after = [digits[digit]["auroc"][name] for digit in DIGITS]
        mean = float(np.mean(after))
        rows.append((mean, f"| {name} | {before:.3f} | {mean:.3f} | {min(after):.3f} |"))
    return "\n".join([*lines, *(line for _, line in sorted(rows, reverse=True))])


def draw(found: dict[str, list[float]]) -> None:
    """Draw the AUROC of each competitor on each held-out digit."""
    plt.rcParams["svg.hashsalt"] = "layerwise"
    figure, axis = plt.subplots(figsize=(7, 3.4), layout="constrained")
    for (rival, values), (colour, marker) in zip(found.items(), LOOKS, strict=True):
        axis.plot(list(DIGITS), values, marker, color=colour, label=f"{RIVALS[rival]}: {np.mean(values):.3f}")
    axis.axhline(0.5, color="0.6", linewidth=0.8)
    axis.set(xlabel="digit held out of training", ylabel="AUROC on test rows", xticks=list(DIGITS), ylim=(None, 1.0))
    axis.spines[["top", "right"]].set_visible(False)
    axis.grid(axis="y", alpha=0.25)
    axis.legend(frameon=False, fontsize="small", title="mean", alignment="left")
    figure.savefig(DOCS / "images" / "anomaly.svg", metadata={"Date": None})
    plt.close(figure)


def _read(name: str) -> Any:
    return json.loads((OUT / f"{name}.json").read_text())


if __name__ == "__main__":
    match sys.argv[1:]:
        case ["measure", folder]:
            measure(Path(folder))
        case ["page"]:
            page()
        case _:
            sys.exit(__doc__)
