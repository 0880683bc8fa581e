r"""Draw the two pictures of the Mocha tutorial, training loss and test accuracy against updates, from run folders.

    layerwise compare --recipe mocha-tutorial --set finetune.epochs=17 --out runs/mocha-early
    layerwise compare --recipe mocha-tutorial --set finetune.epochs=17 --set network.initializer=xavier \\
        --out runs/mocha-fixed
    python examples/tutorial_pictures.py runs/mocha-early runs/mocha-fixed docs/images

Needs matplotlib (the extra ``docs``).
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

import matplotlib

matplotlib.use("svg")
from matplotlib import pyplot as plt

COLOURS = {"pretrained": "#0072b2", "random": "#d55e00"}
NAMES = {"pretrained": "pre-trained", "random": "random"}
# What the tutorial published (its figures, read off): update, accuracy, loss.
PUBLISHED = {
    "pretrained": [(5000, 0.292, 1.90), (10000, 0.599, 1.27)],
    "random": [(5000, 0.096, 2.27), (10000, 0.261, 2.04)],
}
PANELS = {
    "tutorial-loss": ("training loss (cross-entropy)", lambda line: line.get("training_loss"), 2),
    "tutorial-accuracy": ("test accuracy", lambda line: _accuracy(line), 1),
}


def _accuracy(line: dict[str, float]) -> float | None:
    error = line.get("validation_error")
    return None if error is None else 1 - error / 100


def curve(run: Path, arm: str, value) -> tuple[list[int], list[float]]:
    """Return the updates and values of one arm's fine-tuning."""
    lines = [json.loads(line) for line in (run / "history.jsonl").read_text().splitlines()]
    points = [
        (line["update"], found)
        for line in lines
        if line["fit"].startswith("seed-0/labels-") and line["fit"].endswith(f"/{arm}")
        if (found := value(line)) is not None
    ]
    return [update for update, _ in points], [found for _, found in points]


def draw(early: Path, fixed: Path, name: str, out: Path) -> None:
    """Draw one picture: the tutorial's initialiser on the left, the corrected one on the right."""
    label, value, column = PANELS[name]
    figure, axes = plt.subplots(1, 2, figsize=(9, 3.4), sharey=True, layout="constrained")
    titles = ("as published: weights about 30 times too small", "initialiser corrected")
    for axis, run, title in zip(axes, (early, fixed), titles, strict=True):
        for arm, colour in COLOURS.items():
            axis.plot(*curve(run, arm, value), color=colour, label=NAMES[arm])
            if run is early:
                points = PUBLISHED[arm]
                axis.plot([p[0] for p in points], [p[column] for p in points], "o", mfc="none", color=colour,
                          label=f"{NAMES[arm]}, published")  # fmt: skip
        axis.set(title=title, xlabel="updates of fine-tuning", xlim=(0, None))
        axis.spines[["top", "right"]].set_visible(False)
        axis.grid(alpha=0.25)
    axes[0].set_ylabel(label)
    axes[0].legend(frameon=False, fontsize="small")
    figure.savefig(out / f"{name}.svg", metadata={"Date": None})
    plt.close(figure)


def main(early: str, fixed: str, out: str) -> None:
    """Draw both pictures."""
    plt.rcParams["svg.hashsalt"] = "layerwise"
    Path(out).mkdir(parents=True, exist_ok=True)
    for name in PANELS:
        draw(Path(early), Path(fixed), name, Path(out))


if __name__ == "__main__":
    main(*sys.argv[1:4])
