"""Build the embedded ``mnist.h5`` from the four gzipped IDX files of MNIST, byte for byte the same each time.

Run ``python scripts/build_mnist.py [FOLDER]`` to build it and its checksum, or add ``--check`` to rebuild it
in memory and compare. Each IDX file is verified first, by its unpacked contents, because mirrors pack them
differently. The bytes depend on the zlib that HDF5 uses (1.2.13 made the file; zlib-ng packs differently).
Where only the packing differs, ``--check`` says so and ends with 3; 1 means other contents.
"""

from __future__ import annotations

import argparse
import gzip
import hashlib
import io
import sys
import zlib
from pathlib import Path

import h5py
import numpy as np

from layerwise.data.mnist import checksums
from layerwise.write import write_bytes, write_text

ROOT = Path(__file__).resolve().parents[1]
DATA = ROOT / "src" / "layerwise" / "data"
CHUNK_ROWS = 500  # 392 kB unpacked: packs well, and fits HDF5's chunk cache of 1 MB
PARTS = {"train": "train", "test": "t10k"}
ABOUT = {
    "title": "The MNIST database of handwritten digits",
    "authors": "Yann LeCun, Corinna Cortes",
    "license": "CC BY-SA 3.0, https://creativecommons.org/licenses/by-sa/3.0/",
}


def read_idx(path: Path) -> np.ndarray:
    """Return the array of a gzipped IDX file of bytes, after checking what it holds."""
    try:
        data = gzip.decompress(path.read_bytes())
    except (OSError, EOFError, zlib.error) as error:
        sys.exit(f"error: {path} cannot be read: {error}\nhint: give the folder of the four IDX .gz files")
    found, expected = hashlib.sha256(data).hexdigest(), checksums()[path.stem]
    if found != expected:
        sys.exit(f"error: {path} holds SHA-256 {found}, expected {expected}\nhint: download it again")
    dimensions = data[3]
    shape = np.frombuffer(data, ">i4", dimensions, offset=4)
    return np.frombuffer(data, np.uint8, offset=4 + 4 * dimensions).reshape(shape)


def build(folder: Path) -> bytes:
    """Return the bytes of the HDF5 file."""
    buffer = io.BytesIO()
    # The oldest format stores no times for groups; data sets are told not to.
    with h5py.File(buffer, "w", libver=("earliest", "v108")) as file:
        for key, value in ABOUT.items():
            file.attrs[key] = np.bytes_(value)
        for part, prefix in PARTS.items():
            images = read_idx(folder / f"{prefix}-images-idx3-ubyte.gz")
            labels = read_idx(folder / f"{prefix}-labels-idx1-ubyte.gz")
            file.create_dataset(
                f"{part}/data",
                data=images,
                chunks=(CHUNK_ROWS, *images.shape[1:]),
                compression="gzip",
                compression_opts=7,  # 9 takes five times as long for 0.5 % less
                track_times=False,
            )
            file.create_dataset(f"{part}/label", data=labels, track_times=False)
    return buffer.getvalue()


def contents(data: bytes) -> dict[str, np.ndarray]:
    """Return every data set of an HDF5 file in memory."""
    names = [f"{part}/{name}" for part in PARTS for name in ("data", "label")]
    with h5py.File(io.BytesIO(data), "r") as file:
        return {name: file[name][:] for name in names}


def check(built: bytes, shipped: bytes) -> int:
    """Compare a fresh build with the shipped file; 0 same bytes, 3 same contents, 1 different."""
    if built == shipped:
        print(f"mnist.h5 is what the IDX files give, byte for byte: {hashlib.sha256(built).hexdigest()}")
        return 0
    old, new = contents(shipped), contents(built)
    if all(np.array_equal(old[name], new[name]) for name in new):
        here = f"zlib {zlib.ZLIB_RUNTIME_VERSION}, HDF5 {h5py.version.hdf5_version}"
        print(f"same contents, packed differently (here: {here})")
        return 3
    print("error: mnist.h5 does not hold what the IDX files give\nhint: build it again")
    return 1


def main(arguments: list[str] | None = None) -> int:
    """Build or check, as the command line asks."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("folder", nargs="?", type=Path, default=ROOT / ".." / "shared" / "data" / "mnist")
    parser.add_argument("--check", action="store_true", help="rebuild and compare, write nothing")
    options = parser.parse_args(arguments)
    built = build(options.folder)
    if options.check:
        return check(built, (DATA / "mnist.h5").read_bytes())
    digest = hashlib.sha256(built).hexdigest()
    lines = (DATA / "MNIST_SHA256.txt").read_text().splitlines()
    write_bytes(DATA / "mnist.h5", built)
    write_text(
        DATA / "MNIST_SHA256.txt",
        "".join(f"{digest}  mnist.h5\n" if line.endswith("  mnist.h5") else f"{line}\n" for line in lines),
    )
    print(f"wrote {DATA / 'mnist.h5'}: {len(built):,} bytes, {digest}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
