"""What people do: install the wheel into an empty environment, and go from a table to predictions and the verdict."""

from __future__ import annotations

import csv
import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from churn_table import churn_rows, write_csv

ROOT = Path(__file__).parent.parent
SECONDS = 1500
TINY = ["--set", "network.hidden_layer_sizes=[8]", "--set", "pretrain.epochs=2", "--set", "finetune.epochs=4"]
TINY_COMPARE = ["--seeds", "3", "--budgets", "20", "--set", 'compare.baselines=["logistic regression"]']


def run(*command: str | Path, cwd: Path) -> subprocess.CompletedProcess[str]:
    # without PYTHONPATH: what is found is what was installed
    environment = {key: value for key, value in os.environ.items() if not key.startswith("PYTHON")}
    done = subprocess.run(
        [*map(str, command)], cwd=cwd, env=environment, capture_output=True, text=True, timeout=SECONDS
    )
    assert done.returncode == 0, f"{command}\n{done.stdout}\n{done.stderr}"
    return done


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of the commands of an environment that holds the wheel and the extras, and nothing else."""
    place = tmp_path_factory.mktemp("wheel")
    constraints = ROOT / "constraints.txt"
    run(sys.executable, "-m", "pip", "wheel", "-q", "--no-deps", "-w", place, ROOT, cwd=place)
    (wheel,) = place.glob("layerwise-*.whl")
    run(sys.executable, "-m", "venv", place / "env", cwd=place)
    python = place / "env" / "bin" / "python"
    run(python, "-m", "pip", "install", "-q", "-c", constraints, f"{wheel}[onnx,tables]", cwd=place)
    where = run(python, "-c", "import layerwise; print(layerwise.__file__)", cwd=place).stdout
    assert str(place / "env") in where
    return python.parent


@pytest.mark.long
def test_from_a_table_to_predictions_and_the_verdict(installed: Path, tmp_path: Path) -> None:
    """Text, dates, gaps, labels in 2 % of the rows; every verb; every format predicts the same to 1e-6."""
    layerwise = installed / "layerwise"
    write_csv(tmp_path / "churn.csv", churn_rows(3000, 60))
    run(layerwise, "train", "churn.csv", "--target", "churn", "--out", "model", *TINY, cwd=tmp_path)
    run(layerwise, "predict", "model", "churn.csv", "--out", "p.csv", "--keep", "id", cwd=tmp_path)
    run(layerwise, "encode", "model", "churn.csv", "--out", "codes.csv", cwd=tmp_path)
    run(layerwise, "export", "model", "--out", "model.onnx", cwd=tmp_path)
    found = run(
        layerwise, "compare", "churn.csv", "--target", "churn", *TINY, *TINY_COMPARE, "--out", "run", "--json",
        cwd=tmp_path,
    )  # fmt: skip
    assert json.loads(found.stdout)["verdict"] in ("WORTH IT", "DO NOT PRE-TRAIN", "CANNOT TELL")
    run(layerwise, "report", "run", cwd=tmp_path)
    with open(tmp_path / "p.csv", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == 3000 and [row["id"] for row in rows[:2]] == ["c0", "c1"]
    with open(tmp_path / "codes.csv", encoding="utf-8") as file:
        assert sum(1 for _ in file) == 3001
    code = """
import h5py, numpy as np, onnxruntime, pyarrow.csv, pyarrow.parquet, scipy.sparse, layerwise as lw
table = pyarrow.csv.read_csv("churn.csv")
pyarrow.parquet.write_table(table, "churn.parquet")
model = lw.load_model("model")
expected = model.predict_proba("churn.csv")
found = [model.predict_proba(given) for given in ("churn.parquet", table)]
rows = model.encode("churn.csv", depth=0)
scipy.sparse.save_npz("rows.npz", scipy.sparse.csr_array(rows))
with h5py.File("rows.h5", "w") as file:
    file["data"] = rows
session = onnxruntime.InferenceSession("model.onnx", providers=["CPUExecutionProvider"])
found.append(session.run(None, {"rows": rows})[0])
plain = lw.Model(model.network, model.classes)
found += [plain.predict_proba(name) for name in ("rows.npz", "rows.h5")]
np.savez("all.npz", expected, *found)
"""
    run(installed / "python", "-c", code, cwd=tmp_path)
    with np.load(tmp_path / "all.npz") as file:
        expected, *others = (file[name] for name in file.files)
    written = np.array([[float(row["probability_no"]), float(row["probability_yes"])] for row in rows])
    assert len(others) == 5
    for other in (*others[:2], *others[3:], written):
        assert np.abs(other - expected).max() < 1e-6
    assert np.abs(others[2] - expected).max() < 1e-5  # onnxruntime


@pytest.mark.long
def test_numbers_alone_go_through_every_file(installed: Path, tmp_path: Path) -> None:
    """One model of a table of numbers: CSV, Parquet, HDF5, sparse rows and a frame predict the same to 1e-6."""
    code = """
import h5py, numpy as np, pyarrow, pyarrow.csv, pyarrow.parquet, scipy.sparse
random = np.random.default_rng(0)
rows = random.random((500, 4)) * (random.random((500, 4)) < 0.6)
labels = np.where(rows[:, 0] > rows[:, 1], "up", "down").astype(object)
labels[random.permutation(500)[:450]] = None
table = pyarrow.table({name: rows[:, place] for place, name in enumerate("abcd")})
pyarrow.csv.write_csv(table.append_column("y", pyarrow.array(labels)), "rows.csv")
pyarrow.parquet.write_table(table.select(["d", "b", "c", "a"]), "rows.parquet")
scipy.sparse.save_npz("rows.npz", scipy.sparse.csr_array(rows))
with h5py.File("rows.h5", "w") as file:
    file["data"] = rows
"""
    layerwise = installed / "layerwise"
    run(installed / "python", "-c", code, cwd=tmp_path)
    run(layerwise, "train", "rows.csv", "--target", "y", "--out", "model", *TINY, cwd=tmp_path)
    found = []
    for ending in ("csv", "parquet", "h5", "npz"):
        run(layerwise, "predict", "model", f"rows.{ending}", "--out", f"{ending}.npz", cwd=tmp_path)
        with np.load(tmp_path / f"{ending}.npz") as file:
            found.append(file["probability"])
    assert len(found[0]) == 500
    for other in found[1:]:
        assert np.abs(other - found[0]).max() < 1e-6
