"""What the result files of many runs hold, as frozen values that refuse a file of another shape."""

from __future__ import annotations

from pydantic import Field

from .results import Interval, Record


class Place(Record):
    """One run in the two embeddings, a point for each checkpoint."""

    arm: str
    seed: int
    isomap: tuple[tuple[float, float], ...]
    tsne: tuple[tuple[float, float], ...]


class Regions(Record):
    """How the two arms' networks lie to each other at one checkpoint."""

    within: dict[str, float]
    between: float
    purity: float
    chance: float
    silhouette: float
    p_value: float | None = None


class Trajectories(Record):
    """What ``trajectories.json`` holds."""

    layerwise: str = ""
    updates: tuple[int, ...]
    epochs: tuple[float, ...]
    watched: int
    runs: tuple[Place, ...] = Field(min_length=2)
    regions: tuple[Regions, ...]
    end: Regions
    sentence: str


class LossCurve(Record):
    """The training and test losses of one run."""

    arm: str
    seed: int
    training: tuple[float, ...]
    test: tuple[float, ...]


class EqualLoss(Record):
    """What ``equal-loss.json`` holds."""

    layerwise: str = ""
    levels: tuple[float, ...] = Field(min_length=1)
    pretrained: tuple[float, ...]
    random: tuple[float, ...]
    differences: tuple[Interval, ...]
    seeds: tuple[int, ...]
    sentence: str
    curves: tuple[LossCurve, ...]


class Spread(Record):
    """One arm's errors over seeds, in percent."""

    seeds: int
    mean: float
    low: float
    high: float
    std: float
    std_low: float
    std_high: float
    quartiles: tuple[float, float, float]


class SpreadTest(Record):
    """Brown and Forsythe's test of two arms' spreads."""

    ratio: float | None
    p_value: float


class Depth(Record):
    """Both arms at one depth."""

    depth: int
    errors: dict[str, tuple[float, ...]]
    spread: dict[str, Spread]
    equal_spreads: SpreadTest
    gain: Interval


class DepthStudy(Record):
    """Every depth with one initialiser."""

    initializer: str
    depths: tuple[Depth, ...] = Field(min_length=1)
    sentence: str


class Depths(Record):
    """What ``depth.json`` holds."""

    layerwise: str = ""
    initializers: tuple[DepthStudy, ...] = Field(min_length=1)


class Part(Record):
    """One arm of the study of layers."""

    name: str
    errors: tuple[float, ...]
    error: Interval
    gain: Interval | None


class LayerStudy(Record):
    """All arms with one initialiser."""

    initializer: str
    arms: tuple[Part, ...] = Field(min_length=1)


class Layers(Record):
    """What ``layers.json`` holds."""

    layerwise: str = ""
    initializers: tuple[LayerStudy, ...] = Field(min_length=1)
