"""The section on what pre-training did to the layers: its two figures, its tables, and words made of its numbers."""

from __future__ import annotations

import math
from collections.abc import Sequence

import plotly.graph_objects as go

from .results import ArmLayers, ByLayer, LayerMeasures
from .section import Plot, Section, legend
from .summary import ARMS, Summary
from .tables import Table
from .theme import COLOUR, SYMBOL, arm_line, arm_marker, new_figure
from .words import ABSENT, count, decimal

TITLE = "What pre-training did to the layers"
INPUTS = "the rows"


def by_layer(summary: Summary) -> Section:
    """Return the section; it says why where the run holds no such measurements, or not all of them."""
    found = summary.results.by_layer
    if found is None:
        return Section("by-layer", TITLE, absent="The run did not look into the layers.")
    reasons = dict.fromkeys(reason for arm in ARMS for reason in found.arms[arm].left_out)
    absent = f"Left out: {'; '.join(reasons)}." if reasons else ""
    plots = _plots(summary, found)
    lead = f"Seed {found.seed} at {count(found.labels)} labels{_chance(found)}."
    marks = legend(summary, ("open", "open: before fine-tuning")) if plots else ()
    said = (_codes(summary, found), _movement(summary, found), _noise(summary, found))
    return Section(
        "by-layer",
        TITLE,
        lead,
        plots=plots,
        tables=_tables(summary, found),
        absent=absent,
        paragraphs=tuple(sentence for sentence in said if sentence),
        legend=marks,
    )


def hidden(arm: ArmLayers) -> list[LayerMeasures]:
    """Return the layers that have codes: not the output head, nor what could not be cut."""
    return [layer for layer in arm.layers if layer.units is not None]


def probe_figure(summary: Summary, found: ByLayer) -> go.Figure | None:
    """A linear classifier's error on the rows and on each layer's codes, before and after fine-tuning; None without."""
    layers = [f"layer {number + 1}" for number in range(len(hidden(found.arms["random"])))]
    raw = found.arms["random"].inputs_probe
    if raw is None or not layers:
        return None
    figure = new_figure(330, "codes that a linear classifier reads", "Held-out error, %")
    for arm in ARMS:
        measured = hidden(found.arms[arm])
        before, after = [layer.probe_before for layer in measured], [layer.probe_after for layer in measured]
        name = summary.arm_name(arm)
        figure.add_scatter(x=[INPUTS, *layers], y=[raw, *before], mode="lines+markers", cliponaxis=False,
                           line={**arm_line(arm, 2), "dash": "dot"}, name=f"{name}, before fine-tuning",
                           marker={"symbol": f"{SYMBOL[arm]}-open", "size": 11, "color": COLOUR[arm],
                                   "line": {"width": 2}})  # fmt: skip
        figure.add_scatter(x=layers, y=after, mode="lines+markers", line=arm_line(arm), marker=arm_marker(arm, 11),
                           name=f"{name}, after fine-tuning", cliponaxis=False)  # fmt: skip
    figure.update_yaxes(rangemode="tozero")
    figure.update_xaxes(range=[-0.25, len(layers) + 0.25])
    return figure


def noise_figure(summary: Summary, found: ByLayer) -> go.Figure | None:
    """Both fine-tuned networks' error against the share of masked elements; None without the numbers."""
    if not found.strengths or any(len(found.arms[arm].noise_errors) != len(found.strengths) for arm in ARMS):
        return None
    figure = new_figure(330, "elements set to 0, %", "Held-out error of the network, %")
    for arm in ARMS:
        figure.add_scatter(x=[100 * strength for strength in found.strengths], y=list(found.arms[arm].noise_errors),
                           mode="lines+markers", line=arm_line(arm), marker=arm_marker(arm, 9), cliponaxis=False,
                           name=summary.arm_name(arm))  # fmt: skip
    figure.update_yaxes(rangemode="tozero")
    return figure


def _plots(summary: Summary, found: ByLayer) -> tuple[Plot, ...]:
    probes, noise = probe_figure(summary, found), noise_figure(summary, found)
    plots = []
    if probes is not None:
        plots.append(Plot("probes", probes, "Error of a linear classifier on each layer\u2019s codes, as in the table.",
                          title="How well the classes can be read off each layer"))  # fmt: skip
    if noise is not None:
        pairs = zip(*(found.arms[arm].noise_errors for arm in ARMS), strict=True)
        said = "; ".join(
            f"{100 * strength:.0f} % masked: {decimal(here)} % against {decimal(there)} %"
            for strength, (here, there) in zip(found.strengths, pairs, strict=True)
        )
        arms = " against ".join(summary.arm_name(arm) for arm in ARMS)
        label = f"Error of the fine-tuned networks on rows with masking noise, {arms}. {said}."
        plots.append(Plot("masked-rows", noise, label, title="How the fine-tuned networks bear noise"))
    return tuple(plots)


def _chance(found: ByLayer) -> str:
    """Say how large a difference between two errors the choice of rows alone may make."""
    tops = [layer.probe_before for arm in ARMS for layer in hidden(found.arms[arm])[-1:]]
    errors = [error for error in tops if error is not None]
    if not errors:
        return ""
    share = max(errors) / 100
    points = 196 * math.sqrt(2 * share * (1 - share) / found.rows)
    return (
        f", errors on {count(found.rows)} {found.measured_on}; of one seed and so many rows, a difference below about "
        f"{decimal(points, 1)} points may be chance"
    )


def _codes(summary: Summary, found: ByLayer) -> str:
    """Say what a linear classifier reads off the highest layer."""
    raw = found.arms["random"].inputs_probe
    tops = [hidden(found.arms[arm])[-1:] for arm in ARMS]
    if raw is None or not all(tops):
        return ""
    (here,), (there,) = tops
    one, other = (summary.arm_name(arm) for arm in ARMS)
    top = len(hidden(found.arms["random"]))
    return (
        f"Before any fine-tuning, a linear classifier on the codes of layer {top} errs on "
        f"{_percent(here.probe_before)} of rows in the {one} network, on {_percent(there.probe_before)} in the {other} "
        f"one, and on {_percent(raw)} when it is given the rows themselves. After fine-tuning, on "
        f"{_percent(here.probe_after)} and {_percent(there.probe_after)}."
    )


def _movement(summary: Summary, found: ByLayer) -> str:
    """Say which arm's hidden layers stayed nearer to where fine-tuning began."""
    pairs = [
        (here.relative, there.relative)
        for here, there in zip(*(hidden(found.arms[arm]) for arm in ARMS), strict=False)
        if here.relative is not None and there.relative is not None
    ]
    if not pairs:
        return ""
    one, other = (summary.arm_name(arm) for arm in ARMS)
    spans = [_span([pair[at] for pair in pairs]) for at in (0, 1)]
    many, nearer = len(pairs), sum(here < there for here, there in pairs)
    result = f"{nearer} of the {many} {one} ones stayed nearer to where they began"
    if nearer in (0, many):
        arm = one if nearer else other
        result = f"the {arm} ones" if many > 1 else f"the {arm} one"
        result += f" stayed nearer to where {'they' if many > 1 else 'it'} began"
    return (
        f"Fine-tuning, each arm at its own rate and epochs, moved the hidden layer{'s' if many > 1 else ''} "
        f"by {spans[0]} of their length in the {one} network and by {spans[1]} in the {other} one: {result}."
    )


def _noise(summary: Summary, found: ByLayer) -> str:
    """Say how both networks bear the strongest noise."""
    if noise_figure(summary, found) is None:
        return ""
    ends = {arm: (found.arms[arm].noise_errors[0], found.arms[arm].noise_errors[-1]) for arm in ARMS}
    parts = [f"the {summary.arm_name(arm)} network from {_percent(a)} to {_percent(b)}" for arm, (a, b) in ends.items()]
    return f"With {100 * found.strengths[-1]:.0f} % of the elements masked, the error rises: {', '.join(parts)}."


def _span(values: Sequence[float]) -> str:
    low, high = decimal(min(values)), decimal(max(values))
    return low if low == high else f"{low} to {high}"


def _percent(value: float | None) -> str:
    return f"{decimal(value)}\u00a0%"


def _tables(summary: Summary, found: ByLayer) -> tuple[Table, ...]:
    columns: list[tuple[str, bool]] = [("layer", False), ("module", False), ("arm", False)]
    moved, codes = [], []
    others = len(found.arms["random"].layers) - len(hidden(found.arms["random"]))
    for number, pair in enumerate(zip(*(found.arms[arm].layers for arm in ARMS), strict=False), 1):
        for arm, layer in zip(ARMS, pair, strict=True):
            place = f"layer\u00a0{number}" if layer.units is not None else "output head" if others == 1 else "another"
            name = (place, layer.layer, summary.arm_name(arm))
            moved.append((*name, decimal(layer.distance), decimal(layer.relative), decimal(layer.cosine, 3),
                          _small(layer.gradient_norm)))  # fmt: skip
            if layer.units is not None:
                codes.append((*name, _change(layer.probe_before, layer.probe_after, 2),
                              _change(_share(layer.saturated_before), _share(layer.saturated_after)),
                              _change(_share(layer.dead_before), _share(layer.dead_after))))  # fmt: skip
    movement = Table(
        "How far fine-tuning moved each layer\u2019s weights, as a distance and as a share of their length before; "
        "the cosine between before and after; and the norm of the loss\u2019s gradient at the start.",
        (*columns, ("distance", True), ("share of length", True), ("cosine", True), ("gradient at the start", True)),
        tuple(moved),
    )
    reading = Table(
        "Before and after fine-tuning: the error of a linear classifier on each layer\u2019s codes; saturated "
        "activations (within 5 % of an end of a sigmoid\u2019s or tanh\u2019s range); dead units (the same for all "
        "rows).",
        (*columns, ("linear classifier, error %", True), ("saturated, %", True), ("dead, %", True)),
        tuple(codes),
    )
    return (movement, reading) if codes else (movement,)


def _change(before: float | None, after: float | None, places: int = 1) -> str:
    if before is None and after is None:
        return ABSENT
    return f"{decimal(before, places)} \u2192 {decimal(after, places)}"


def _share(value: float | None) -> float | None:
    return None if value is None else 100 * value


def _small(value: float | None) -> str:
    return ABSENT if value is None else f"{value:.2g}"
