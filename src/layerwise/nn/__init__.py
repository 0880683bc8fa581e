"""The parts of networks: noise, initial weights, tied decoders, and the cut of a network into layers."""
