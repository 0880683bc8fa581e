"""Where rows come from: arrays, HDF5 files, list files and the embedded MNIST, all read in contiguous blocks.

This folder exists so that nothing below it ever asks what kind of thing the user handed in. ``source.py``
opens and checks, ``targets.py`` turns labels into codes, ``batches.py`` deals rows out in an order that can
be resumed.
"""
