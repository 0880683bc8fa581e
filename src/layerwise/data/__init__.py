"""Where rows come from: arrays, HDF5, NumPy and Parquet files, list files and the embedded MNIST, read in blocks.

This folder exists so that nothing below it ever asks what kind of thing the user handed in, or whether it fits in
memory. ``source.py`` opens and checks, ``targets.py`` turns labels into codes, ``features.py`` says what a stage learns
from, ``batches.py`` deals rows out in an order that can be resumed.
"""
