"""What trained stacks generate on MNIST, what their samples are worth, and how their chains mix.

    python scripts/sampling.py measure RUNS         train and measure what has no file yet: docs/results/sampling/
    python scripts/sampling.py measure RUNS NAME    only that part
    python scripts/sampling.py page                 write the tables and the picture of docs/sampling.md

All is resumable: a finished part has its file and is not repeated, an unfinished training goes on from its run folder.
Rows 50,000 to 60,000 of the training rows are held out: the Parzen width is chosen on them, and so was every setting
here; the test rows are looked at once. One thread is enough. Pictures of samples are written as they are measured.
Needs matplotlib (the extra ``docs``).
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable
from dataclasses import asdict
from importlib.metadata import version
from pathlib import Path
from typing import Any

import matplotlib
import numpy as np
import torch
from safetensors.torch import load_file
from sklearn.metrics import pairwise_distances_argmin_min
from torch import Tensor, nn

import layerwise as lw
from layerwise.data.images import grey, mosaic, png
from layerwise.sampling.mixing import burn_in, classes_visited, effective_sample_size
from layerwise.sampling.parzen import parzen
from layerwise.write import write_bytes, write_json, write_tensors, write_text

matplotlib.use("svg")
from matplotlib import pyplot as plt

DOCS = Path(__file__).parent.parent / "docs"
OUT, IMAGES = DOCS / "results" / "sampling", DOCS / "images"
TRAINED, SAMPLES, CHAINS = 50_000, 10_000, 100
LEFT_OUT = 500  # transitions before anything is kept
MIXED, TRANSITIONS = 300, 300  # chains whose mixing is measured, and of each of them
STARTING = 400  # of each chain whose burn-in is measured
GLOROT = {"initializer": "glorot", "schedule": lw.Linear(), "batch_size": 100, "precision": "bfloat16"}
# Each stack: widths, objectives, settings of pretrain. Chosen on held-out rows, as docs/sampling.md says.
SHALLOW = {**GLOROT, "epochs": 15, "learning_rate": 0.05, "momentum": 0.5}
DEEP, EPOCHS = "deep", {"deep-early": 1, "deep-middle": 5, "deep": 15}
STACKS: dict[str, tuple[tuple[int, ...], list[Any], dict[str, Any]]] = {
    "walkback": ((1000,), [lw.DenoisingAutoencoder(lw.SaltAndPepper(0.4), walkback=4)], SHALLOW),
    "plain": ((1000,), [lw.DenoisingAutoencoder(lw.SaltAndPepper(0.4))], SHALLOW),
    "contractive": ((500, 500), [lw.ContractiveAutoencoder(3.0)] * 2, {**SHALLOW, "epochs": 2}),
    **{
        name: ((500, 500, 500), [lw.RBM(estimator="pcd")] * 3, {**GLOROT, "epochs": epochs, "learning_rate": 0.05})
        for name, epochs in EPOCHS.items()
    },
}
NOTHING: dict[str, Any] = {"steps": []}  # what a part that is not measured yet adds to the page
STEPS, SHOWN = (0.5, 1.0, 2.0, 4.0), 2.0


def pretrained(name: str, runs: Path) -> tuple[lw.Stack, float]:
    """Train a stack, or continue its run; return it and the seconds that training took."""
    widths, objectives, settings = STACKS[name]
    modules: list[nn.Module] = []
    for below, above in zip((784, *widths), widths, strict=False):
        modules += [nn.Linear(below, above), nn.Sigmoid()]
    network = nn.Sequential(*modules, nn.Linear(widths[-1], 10))
    folder = runs / name
    found = lw.pretrain(
        network, lw.load_mnist().inputs[:TRAINED], objective=objectives, random_state=0, run_dir=folder,
        resume=folder.exists(), **settings,
    )  # fmt: skip
    found.stack.save(runs / f"{name}-stack")
    return found.stack, sum(stage.seconds for stage in found.history)


def classifier(runs: Path) -> dict[str, Any]:
    """Train the small network that says which class a row is, on labelled training rows."""
    mnist = lw.load_mnist()
    network = _classifier()
    found = lw.finetune(
        network, mnist.inputs[:TRAINED], mnist.targets[:TRAINED], epochs=10, batch_size=50, learning_rate=0.1,
        momentum=0.9, schedule=lw.Linear(), random_state=0,
    )  # fmt: skip
    write_tensors(runs / "classifier.safetensors", network.state_dict())
    with torch.no_grad():
        wrong = network(mnist.test_inputs).argmax(1) != mnist.test_targets
    return {"test_error": 100 * float(wrong.float().mean()), "updates": found.updates, "seconds": found.seconds}


def _classifier() -> nn.Sequential:
    return nn.Sequential(nn.Linear(784, 300), nn.ReLU(), nn.Linear(300, 10))


def posterior(runs: Path) -> Callable[[Any], np.ndarray]:
    """Return the function from rows to the probability of each class."""
    network = _classifier()
    network.load_state_dict(load_file(runs / "classifier.safetensors"))

    @torch.no_grad()
    def probabilities(rows: Any) -> np.ndarray:
        return network(torch.as_tensor(rows)).softmax(1).numpy()

    return probabilities


def worth(stack: lw.Stack, depth: int, picture: str = "", **settings: Any) -> dict[str, Any]:
    """Return the Parzen estimate of 10,000 means that chains visit from noise on; draw the first of them."""
    drawn = lw.sample(stack, SAMPLES, depth=depth, chains=CHAINS, burn_in=LEFT_OUT, random_state=0, **settings)
    if picture:
        some = drawn.by_chain()[:10, :10].flatten(0, 1)  # ten chains, ten successive visits of each
        sheet = mosaic(grey(some.numpy()), 10)
        write_bytes(IMAGES / f"sampling-{picture}.png", png(sheet.repeat(2, axis=0).repeat(2, axis=1)))
    return scored(drawn.inputs)


def scored(samples: Any) -> dict[str, Any]:
    """Return the Parzen estimate of rows, the width chosen on held-out training rows."""
    mnist = lw.load_mnist()
    return asdict(parzen(samples, mnist.test_inputs, validation=mnist.inputs[TRAINED : TRAINED + 2000]))


def mixing(stack: lw.Stack, depth: int, probabilities: Callable[[Any], np.ndarray], **settings: Any) -> dict[str, Any]:
    """Return how well chains from training rows mix, and how soon chains from noise are like them."""
    rows = lw.load_mnist().inputs[:TRAINED]
    drawn = lw.sample(
        stack, MIXED * TRANSITIONS, depth=depth, chains=MIXED, burn_in=LEFT_OUT, start=rows, random_state=1,
        **settings,
    )  # fmt: skip
    chances = probabilities(drawn.inputs)
    by_chain = chances.reshape(TRANSITIONS, MIXED, 10)
    sizes = [effective_sample_size(by_chain[..., label].T) for label in range(10)]
    return {
        "depth": depth,
        "classes": asdict(classes_visited(drawn.by_chain(), lambda rows: probabilities(rows).argmax(1))),
        "independent": 100 * min(sizes) / (MIXED * TRANSITIONS),
        "confidence": float(chances.max(1).mean()),
        "shares": (np.bincount(chances.argmax(1), minlength=10) / len(chances)).tolist(),
        "burn_in": arrival(stack, depth, rows, **settings),
    }


def arrival(stack: lw.Stack, depth: int, rows: Tensor, **settings: Any) -> int | None:
    """Return the transitions after which chains from noise are as near to training rows as chains from those."""

    def distances(start: Any) -> np.ndarray:
        drawn = lw.sample(
            stack, CHAINS * STARTING, depth=depth, chains=CHAINS, burn_in=0, start=start, random_state=2, **settings
        )
        return pairwise_distances_argmin_min(drawn.inputs.numpy(), rows[:5000].numpy())[1].reshape(-1, CHAINS).T

    found = burn_in(distances(None), distances(rows)[:, STARTING // 2 :])
    return None if found is None else found + 1  # the first visit kept is after one transition


def lines_between(stack: lw.Stack) -> None:
    """Draw the lines between rows of two classes: each pair at depth 0, 1, 2, ... below each other."""
    mnist = lw.load_mnist()
    first = {label: mnist.inputs[int((mnist.targets == label).nonzero()[3])] for label in range(10)}
    pairs = [(3, 7), (9, 6), (1, 2)]
    a, b = (torch.stack([first[pair[end]] for pair in pairs]) for end in (0, 1))
    lines = torch.stack([lw.interpolate(stack, a, b, 11, depth) for depth in range(stack.depth + 1)], dim=1)
    sheet = mosaic(grey(lines.flatten(0, 2).numpy()), 11)
    write_bytes(IMAGES / "sampling-interpolation.png", png(sheet.repeat(2, axis=0).repeat(2, axis=1)))


def shallow(name: str) -> Callable[[Path], dict[str, Any]]:
    def measured(runs: Path) -> dict[str, Any]:
        stack, seconds = pretrained(name, runs)
        return {"seconds": seconds, **mixing(stack, 0, posterior(runs)), "parzen": worth(stack, 0, name)}

    return measured


def deep(name: str) -> Callable[[Path], dict[str, Any]]:
    def measured(runs: Path) -> dict[str, Any]:
        stack, seconds = pretrained(name, runs)
        probabilities, picture = posterior(runs), name == DEEP
        found = [
            {**mixing(stack, depth, probabilities), "parzen": worth(stack, depth, f"depth-{depth}" if picture else "")}
            for depth in range(stack.depth)
        ]
        if picture:
            lines_between(stack)
        return {"seconds": seconds, "depths": found}

    return measured


def stepped(name: str) -> Callable[[Path], dict[str, Any]]:
    def measured(runs: Path) -> dict[str, Any]:
        stack, seconds = pretrained(name, runs)
        probabilities, top = posterior(runs), stack.depth - 1
        found = [
            {
                "step": step, **mixing(stack, top, probabilities, step=step),
                "parzen": worth(stack, top, name if step == SHOWN else "", step=step),
            }
            for step in STEPS
        ]  # fmt: skip
        return {"seconds": seconds, "steps": found}

    return measured


def training_rows(runs: Path) -> dict[str, Any]:
    """Return what 10,000 training rows are worth as samples."""
    return {"parzen": scored(lw.load_mnist().inputs[:SAMPLES])}


def parts() -> dict[str, Callable[[Path], dict[str, Any]]]:
    return {
        "classifier": classifier,
        "training-rows": training_rows,
        "walkback": shallow("walkback"),
        "plain": shallow("plain"),
        **{name: deep(name) for name in EPOCHS},
        "contractive": stepped("contractive"),
    }


def measure(runs: Path, only: str | None = None) -> None:
    runs.mkdir(parents=True, exist_ok=True)
    for name, part in parts().items():
        if only not in (None, name) or ((OUT / f"{name}.json").exists() and only is None):
            continue
        began = time.perf_counter()
        found = part(runs)
        write_json(OUT / f"{name}.json", {"layerwise": version("layerwise"), **found})
        print(f"{name}: {(time.perf_counter() - began) / 60:.1f} min", flush=True)


def page() -> None:
    """Write the tables of docs/sampling.md and draw its picture, from the parts that are measured."""
    found = {
        name: json.loads((OUT / f"{name}.json").read_text()) for name in parts() if (OUT / f"{name}.json").exists()
    }
    document = DOCS / "sampling.md"
    text = document.read_text()
    for name, lines in {
        "worth": _worth_table(found), "denoising": _denoising_table(found), "depth": _depth_table(found),
        "step": _step_table(found),
    }.items():  # fmt: skip
        begin, end = f"<!-- {name} -->", f"<!-- end of {name} -->"
        before, rest = text.split(begin)
        text = before + "\n".join([begin, *lines, ""]) + end + rest.split(end)[1]
    write_text(document, text)
    _draw(found)


def _worth_table(found: dict[str, Any]) -> list[str]:
    rows = [
        (title, found[name]["seconds"], found[name]["parzen"])
        for name, title in (("plain", "denoising, no walk-back"), ("walkback", "denoising, walk-back 4"))
    ]
    for depth in found[DEEP]["depths"]:
        rows.append((f"deep belief network, chain at depth {depth['depth']}", found[DEEP]["seconds"], depth["parzen"]))
    contractive = found.get("contractive", NOTHING)
    for step in contractive["steps"]:
        if step["step"] == SHOWN:
            title = f"contractive auto-encoders, depth {step['depth']}, step {SHOWN:g}"
            rows.append((title, contractive["seconds"], step["parzen"]))
    rows.append(("10,000 training rows themselves", None, found["training-rows"]["parzen"]))
    head = ["| samples of | training, s | log p, nats | standard error | width |", "|---|---|---|---|---|"]
    return head + [
        f"| {title} | {'' if seconds is None else f'{seconds:.0f}'} | {parzen['mean']:.1f} | "
        f"{parzen['standard_error']:.1f} | {parzen['sigma']:.3f} |"
        for title, seconds, parzen in rows
    ]


MIXING = "| classes in 100 transitions (95 %) | independent draws in 100 transitions | confidence | burn-in | log p |"


def _mixing_cells(row: dict[str, Any]) -> str:
    classes, arrived = row["classes"], f"over {STARTING}" if row["burn_in"] is None else row["burn_in"]
    return (
        f"{classes['mean']:.2f} ({classes['low']:.2f} to {classes['high']:.2f}) | {row['independent']:.2f} | "
        f"{row['confidence']:.2f} | {arrived} | {row['parzen']['mean']:.1f} |"
    )


def _denoising_table(found: dict[str, Any]) -> list[str]:
    lines = [f"| trained {MIXING}", "|---|---|---|---|---|---|"]
    sides = (("plain", "without walk-back"), ("walkback", "with walk-back"))
    return lines + [f"| {said} | {_mixing_cells(found[name])}" for name, said in sides]


def _depth_table(found: dict[str, Any]) -> list[str]:
    lines = [f"| trained for | chain at depth {MIXING}", "|---|---|---|---|---|---|---|"]
    for name, epochs in EPOCHS.items():
        said = f"{epochs} epoch{'s' if epochs > 1 else ''}"
        lines += [f"| {said} | {row['depth']} | {_mixing_cells(row)}" for row in found[name]["depths"]]
    return lines


def _step_table(found: dict[str, Any]) -> list[str]:
    lines = [f"| step {MIXING}", "|---|---|---|---|---|---|"]
    if "contractive" not in found:
        return ["Not measured yet."]
    return lines + [f"| {row['step']:g} | {_mixing_cells(row)}" for row in found["contractive"]["steps"]]


def _draw(found: dict[str, Any]) -> None:
    """Draw classes visited by depth, early and late in training, and by step."""
    plt.rcParams["svg.hashsalt"] = "layerwise"
    figure, axes = plt.subplots(1, 2, figsize=(9, 3.2), sharey=True, layout="constrained")
    for (name, epochs), colour in zip(EPOCHS.items(), ("#d55e00", "#0072b2", "#009e73"), strict=True):
        rows = found[name]["depths"]
        label = f"{epochs} epoch{'s' if epochs > 1 else ''} a layer"
        _points(axes[0], [row["depth"] for row in rows], rows, label, colour)
    axes[0].set(xlabel="depth at which the chain runs", xticks=range(len(rows)), title="deep belief network")
    axes[0].set_ylabel("classes visited in 100 transitions")
    axes[0].legend(frameon=False, fontsize="small")
    rows = found.get("contractive", NOTHING)["steps"]
    _points(axes[1], [row["step"] for row in rows], rows, "", "#0072b2")
    axes[1].set(xlabel="step", xscale="log", title="contractive auto-encoders, depth 1")
    axes[1].set_xticks(STEPS, [f"{step:g}" for step in STEPS])
    axes[1].minorticks_off()
    for axis in axes:
        axis.set_ylim(0, 10)
        axis.spines[["top", "right"]].set_visible(False)
        axis.grid(alpha=0.25)
    figure.savefig(IMAGES / "sampling-mixing.svg", metadata={"Date": None})
    plt.close(figure)


def _points(axis: Any, places: list[float], rows: list[dict[str, Any]], label: str, colour: str) -> None:
    means = [row["classes"]["mean"] for row in rows]
    halves = [row["classes"]["high"] - row["classes"]["mean"] for row in rows]
    axis.errorbar(places, means, yerr=halves, marker="o", capsize=3, color=colour, label=label or None)


if __name__ == "__main__":
    match sys.argv[1:]:
        case ["measure", folder]:
            measure(Path(folder))
        case ["measure", folder, name]:
            measure(Path(folder), name)
        case ["page"]:
            page()
        case _:
            sys.exit(__doc__)
