"""A table as people have it: text, dates, gaps, and a label in few of its rows."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

COLUMNS = ("id", "age", "income", "city", "joined", "churn")
SMALL = (
    "--set", "network.hidden_layer_sizes=[8]", "--set", "pretrain.epochs=2", "--set", "finetune.epochs=6",
    "--set", "compare.learning_rates=[0.1, 0.3]",
)  # fmt: skip


def churn_rows(rows: int = 300, labelled: int = 60, seed: int = 0) -> list[dict[str, str]]:
    """Return rows of text; an empty cell is a gap, and the label hangs on age, city and date."""
    random = np.random.default_rng(seed)
    age = random.normal(40, 12, rows).round(1)
    city = random.choice(["Ulm", "Bonn", "Köln", "Jena"], rows, p=[0.4, 0.3, 0.2, 0.1])
    joined = np.datetime64("2020-01-01") + random.integers(0, 900, rows).astype("timedelta64[D]")
    income = np.exp(random.normal(10, 0.5, rows)).round()
    churns = (age - 40) / 8 + (city == "Ulm") * 1.5 + (joined.astype(np.int64) - 18_700) / 300 > 0.5
    known = random.permutation(rows) < labelled
    gaps = random.random((rows, 2)) < 0.08
    return [
        {
            "id": f"c{row}", "age": "" if gaps[row, 0] else str(age[row]), "income": f"{income[row]:.0f}",
            "city": "" if gaps[row, 1] else str(city[row]), "joined": str(joined[row]),
            "churn": ("yes" if churns[row] else "no") if known[row] else "",
        }
        for row in range(rows)
    ]  # fmt: skip


def write_csv(path: Path, rows: Sequence[dict[str, str]], columns: Sequence[str] = COLUMNS) -> Path:
    """Write rows as a CSV file, with these columns in this order."""
    lines = [",".join(columns), *(",".join(row[column] for column in columns) for row in rows)]
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return path
