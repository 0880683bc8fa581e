"""A trained model as one value and one folder: train it, save it, load it anywhere, predict, encode, export.

``train`` makes a model of a plan, ``model`` is the value, ``folder`` the files, ``card`` the page that says how it was
made; ``predictions`` and ``output`` take rows of any number through it; ``onnx`` writes it for other programs.
"""
