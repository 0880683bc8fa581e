"""The graph of a network's operations as a picture."""

# ruff: noqa: RUF001 (the multiplication sign)
from __future__ import annotations

from collections.abc import Collection, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from torch import Tensor, nn

from ..errors import PlanError
from ..write import write_text
from .example import Loss
from .graph import Graph, Operation, graph_of
from .opening import Opened

if TYPE_CHECKING:
    from ..report.diagram import Arrow, Box, Diagram, Look, Role, Table

MOST = 4  # rows and columns of a value that are shown
ROLES: dict[str, Role] = {"pre-trained": "pretrained", "initialised": "initialised"}


def draw_graph(
    network: nn.Module,
    batch: Any = None,
    *,
    targets: Any = None,
    loss: Loss = "auto",
    parameters: Mapping[str, str] | None = None,
    values: bool = False,
    opened: Collection[Opened] = (),
    random_state: int = 0,
    title: str | None = None,
    path: str | Path | None = None,
) -> str:
    """Draw a network's computational graph, forward and backward, as an SVG picture.

    Boxes are operations, arrows the values that flow between them, with their shapes where a batch is given. Modules
    are blue where their parameters are pre-trained and orange where they are as they were drawn. With ``values``, each
    box shows what it makes of the batch and the gradient of the loss by that, the dashed arrows are the way back, and
    where a value was used more than once each of them carries its own gradient: they sum to the box's.

    Parameters
    ----------
    network, batch, targets, loss, parameters, opened, random_state
        As in `layerwise.analysis.graph.graph_of`, which gives the same as data.
    values : bool
        Show numbers: up to 4 rows and columns of each, further dimensions in one line.
    title : str, optional
        Of the picture; None names the network's class.
    path : str or Path, optional
        Where to write the picture, too.

    Returns
    -------
    str
        An SVG document that needs no other file.

    Raises
    ------
    NetworkError, PlanError, DataError
        As `graph_of`; and when there are to be values, and no batch.

    Examples
    --------
    >>> network = nn.Sequential(nn.Linear(2, 3), nn.Tanh(), nn.Linear(3, 1))
    >>> picture = draw_graph(network, [[0.0, 1.0]], values=True)
    >>> picture[:4], picture.count("graph-node")
    ('<svg', 5)
    """
    if values and batch is None:
        raise PlanError(
            "values=True shows what the network makes of a batch, and there is none", "give batch=inputs[:3]"
        )
    graph = graph_of(
        network, batch, targets=targets, loss=loss, parameters=parameters, opened=opened, random_state=random_state
    )
    from ..report.drawing import draw  # the report's libraries are loaded where something is drawn, not before

    text = draw(diagram_of(graph, values, title))
    if path is not None:
        write_text(path, text)
    return text


def diagram_of(graph: Graph, values: bool = False, title: str | None = None) -> Diagram:
    """Return a graph as the words, numbers and arrows of a picture.

    Examples
    --------
    >>> diagram = diagram_of(graph_of(nn.Sequential(nn.Linear(2, 3), nn.Tanh())))
    >>> [box.title for box in diagram.boxes]
    ['input', 'Linear', 'Tanh', 'output']
    """
    from ..report.diagram import Diagram

    arrows = [arrow for operation in graph.operations for arrow in _arrows(operation, graph, values)]
    said = "; ".join(
        f"{operation.name} ({operation.does}) of {', '.join(operation.inputs)}"
        for operation in graph.operations
        if operation.inputs
    )
    gradients = f" Gradients are of the loss: {graph.loss}." if values else ""
    heading = title or f"The operations of {graph.network}"
    boxes = tuple(_box(operation, graph, values) for operation in graph.operations)
    return Diagram(heading, f"A graph of {len(boxes)} operations: {said}.{gradients}", boxes, tuple(arrows))


def _box(operation: Operation, graph: Graph, values: bool) -> Box:
    from ..report.diagram import Box, Text

    origins = {entering.origin for entering in operation.parameters}
    look: Look = "operation" if operation.kind == "operation" else "data"
    if len(origins) == 1 and (role := ROLES.get(*origins)):
        look = role  # type: ignore[assignment]
    named = operation.kind in ("parameter", "constant") and operation.formula
    lines = [Text(operation.formula, "soft")] if operation.formula and not named else []
    if operation.kind == "constant":
        lines.append(Text(operation.name, "soft"))
    for entering in operation.parameters:
        own = entering.name if operation.kind == "parameter" else entering.name.removeprefix(f"{operation.module}.")
        words = f"{own} {_shape(entering.shape)}" + (f", {entering.origin}" if entering.origin else "")
        lines.append(Text(words, ROLES.get(entering.origin, "soft")))
    tables: list[Table] = []
    if values and operation.value is not None:
        tables.append(_table(operation.value, "value", "plain"))
        if operation.gradient is not None:
            sums = "gradient: the sum" if len(operation.arriving) > 1 else "gradient"
            tables.append(_table(operation.gradient, sums, "gradient"))
    title = f"loss: {operation.does.replace('_', '-')}" if operation.kind == "output" and graph.loss else operation.does
    note = operation.module if operation.kind == "operation" and not operation.formula else ""
    return Box(operation.name, operation.formula if named else title, note, tuple(lines), tuple(tables), look)


def _arrows(operation: Operation, graph: Graph, values: bool) -> list[Arrow]:
    """Return the arrows that lead to an operation."""
    from ..report.diagram import Arrow, Text

    found, seen = [], dict.fromkeys(operation.inputs, 0)
    for made in operation.inputs:
        source = graph[made]
        uses = [gradient for user, gradient in source.arriving if user == operation.name]
        gradient = uses[seen[made]] if uses else None
        seen[made] += 1
        label = () if source.shape is None else (Text(_shape(source.shape), "soft"),)
        several = values and gradient is not None and len(source.arriving) > 1
        table = _table(gradient, "", "gradient") if several and gradient is not None else None
        found.append(Arrow(made, operation.name, label, table, values and gradient is not None))
    return found


def _table(tensor: Tensor, title: str, role: Role) -> Table:
    from ..report.diagram import Table

    # a scalar and a vector are one row; what is more than a matrix has its further dimensions in one line
    matrix = tensor.reshape(tensor.shape[0] if tensor.ndim > 1 else 1, -1)
    more = (matrix.shape[0] > MOST, matrix.shape[1] > MOST)
    return Table(matrix[:MOST, :MOST].tolist(), title, role, more)


def _shape(shape: tuple[int, ...]) -> str:
    return " × ".join(map(str, shape)) or "one number"
