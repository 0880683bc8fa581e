"""Codes in memory or in a file: the same rows, and a file that leaves no trace."""

from __future__ import annotations

import gc
import os
from pathlib import Path

import pytest
import torch

from layerwise.data.features import Dense, Streamed, blocks
from layerwise.data.source import open_source
from layerwise.data.spill import SpilledRows, Store
from layerwise.errors import DataError, RunError

ROWS = torch.rand(50, 4, 3, generator=torch.Generator().manual_seed(0))
GIB = 2**30


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.bfloat16, torch.float16])
def test_beyond_the_limit_rows_come_back_from_a_file_bit_for_bit(dtype: torch.dtype, tmp_path: Path) -> None:
    rows = ROWS.to(dtype)
    for limit, kind in ((rows.nbytes / GIB, Dense), ((rows.nbytes - 1) / GIB, Streamed)):
        kept = Store(limit, tmp_path).keep(rows.split(7), len(rows))
        assert type(kept) is kind
        assert kept.shape == tuple(rows.shape) and kept.dtype is dtype
        assert torch.equal(torch.cat(list(blocks(kept, 9))), rows)


def descriptors(folder: Path) -> int:
    links = (os.path.join("/proc/self/fd", name) for name in os.listdir("/proc/self/fd"))
    return sum(os.readlink(link).startswith(str(folder)) for link in links if os.path.lexists(link))


def test_the_file_has_no_name_and_is_gone_with_its_last_reader(tmp_path: Path) -> None:
    kept = Store(1e-9, tmp_path).keep([ROWS], len(ROWS))
    assert list(tmp_path.iterdir()) == [] and descriptors(tmp_path) == 1
    kept.read(0, 5)
    del kept
    gc.collect()
    assert descriptors(tmp_path) == 0


def test_what_fits_after_rows_were_chosen_is_brought_into_memory() -> None:
    streamed = Streamed(open_source(ROWS))
    few = Store(10 * ROWS[0].nbytes / GIB)
    assert isinstance(few.settle(streamed), Streamed)
    settled = few.settle(streamed.select(torch.arange(40, 50)))
    assert isinstance(settled, Dense) and torch.equal(settled.rows, ROWS[40:])
    dense = Dense(ROWS)
    assert few.settle(dense) is dense
    assert isinstance(few.open(open_source(ROWS), torch.float32), Streamed)
    assert isinstance(Store(1.0).open(open_source(ROWS), torch.float32), Dense)


def test_a_folder_that_cannot_be_written_to(tmp_path: Path) -> None:
    with pytest.raises(RunError, match=r"nowhere: codes of .* GiB that exceed memory_limit.*\nhint: .*run_dir"):
        Store(1e-9, tmp_path / "nowhere").keep([ROWS], len(ROWS))


def test_a_full_disk() -> None:
    file = SpilledRows(len(ROWS), ROWS, None)
    file.file = open("/dev/full", "wb", buffering=0)  # noqa: SIM115
    with pytest.raises(RunError, match=r"could not be written: No space left on device"):
        file.append(ROWS)
    file.file.close()


def test_nothing_to_keep() -> None:
    with pytest.raises(DataError, match="no rows to encode"):
        Store(1.0).keep([], 0)
