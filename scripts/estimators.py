"""The estimators' defaults beside scikit-learn's networks, on the data sets that come with scikit-learn.

python scripts/estimators.py measure    # minutes; finished parts are kept in docs/results/estimators.json
python scripts/estimators.py page       # writes the table of docs/estimators.md
"""

from __future__ import annotations

import json
import re
import sys
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from sklearn.datasets import load_breast_cancer, load_diabetes, load_digits, load_wine
from sklearn.model_selection import KFold, StratifiedKFold, cross_val_score
from sklearn.neural_network import MLPClassifier, MLPRegressor
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

import layerwise as lw

DOCS = Path(__file__).parent.parent / "docs"
RESULTS = DOCS / "results" / "estimators.json"
DATA: dict[str, Callable[..., Any]] = {
    "digits": load_digits, "breast cancer": load_breast_cancer, "wine": load_wine, "diabetes": load_diabetes,
}  # fmt: skip
COLUMNS = ["`Layerwise...`", "with `objective=None`", "`MLP...`", "`MLP...` (256, 256)"]


def estimators(regression: bool) -> list[Any]:
    ours = lw.LayerwiseRegressor if regression else lw.LayerwiseClassifier
    theirs = MLPRegressor if regression else MLPClassifier
    return [
        ours(random_state=0), ours(objective=None, random_state=0), theirs(random_state=0),
        theirs(hidden_layer_sizes=(256, 256), random_state=0),
    ]  # fmt: skip


def measure() -> None:
    found: dict[str, list[float]] = json.loads(RESULTS.read_text()) if RESULTS.exists() else {}
    for name, load in DATA.items():
        rows, targets = load(return_X_y=True)
        regression = name == "diabetes"
        folds = (KFold if regression else StratifiedKFold)(3, shuffle=True, random_state=0)
        for scaling in ("scaled", "raw"):
            for column, estimator in zip(COLUMNS, estimators(regression), strict=True):
                key = f"{name}, {scaling}, {column}"
                if key in found:
                    continue
                whole = make_pipeline(StandardScaler(), estimator) if scaling == "scaled" else estimator
                with warnings.catch_warnings():
                    warnings.simplefilter("ignore", UserWarning)  # no unlabelled rows, unlike ranges, MLP's iterations
                    scores = cross_val_score(whole, rows, targets, cv=folds, error_score="raise")
                found[key] = [round(float(score), 4) for score in scores]
                print(key, found[key], flush=True)
                RESULTS.write_text(json.dumps(found, indent=1) + "\n")


def page() -> None:
    found = json.loads(RESULTS.read_text())
    lines = [f"| data | {' | '.join(COLUMNS)} |", "|---" * (1 + len(COLUMNS)) + "|"]
    for name in DATA:
        for scaling in ("scaled", "raw"):
            means = [np.mean(found[f"{name}, {scaling}, {column}"]) for column in COLUMNS]
            said = "standardised" if scaling == "scaled" else "raw"
            lines.append(f"| {name}, {said} | {' | '.join(f'{mean:.3f}' for mean in means)} |")
    path = DOCS / "estimators.md"
    text = path.read_text(encoding="utf-8")
    table = "\n".join(lines) + "\n"
    marked = re.sub(r"(<!-- table -->\n).*?(<!-- /table -->)", rf"\1{table}\2", text, flags=re.S)
    path.write_text(marked, encoding="utf-8")


if __name__ == "__main__":
    {"measure": measure, "page": page}[sys.argv[1]]()
