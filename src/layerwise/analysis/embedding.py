"""Points of function space in two dimensions: Isomap keeps distances along the trajectories, t-SNE keeps neighbours."""

from __future__ import annotations

import warnings
from typing import Literal, get_args

import numpy as np
from numpy.typing import ArrayLike
from sklearn.manifold import TSNE, Isomap

from ..errors import DataError, PlanError

Method = Literal["isomap", "tsne"]
NEIGHBOURS = {"isomap": 15, "tsne": 30}


def embed(
    points: ArrayLike, method: Method = "isomap", random_state: int = 0, *, neighbours: int | None = None
) -> np.ndarray:
    """Embed points in the plane.

    Isomap measures distances along the graph of neighbours, so that lengths in the picture mean something all over
    it. t-SNE keeps close points close and says nothing of far ones: neither the size of a cluster nor the distance
    between two means anything. Whatever a picture shows should be asked of the distances themselves (`regions`).

    Parameters
    ----------
    points : array, shape (n, features)
        For trajectories, `function_points` of all runs.
    method : {"isomap", "tsne"}
        As in scikit-learn.
    random_state : int
        Of t-SNE. Isomap draws nothing.
    neighbours : int, optional
        Isomap's ``n_neighbors`` (15) or t-SNE's ``perplexity`` (30), less where there are fewer points.

    Returns
    -------
    array, shape (n, 2)
        Centred on 0.

    Raises
    ------
    PlanError
        When the method is unknown.
    DataError
        When the points are fewer than 4, not a table, or not finite.

    References
    ----------
    Tenenbaum, de Silva and Langford (2000); van der Maaten and Hinton (2008).

    Examples
    --------
    >>> turn = np.linspace(0, 5, 60)
    >>> spiral = np.stack([turn * np.cos(turn), turn * np.sin(turn)], 1)
    >>> along = embed(spiral, "isomap", neighbours=3)[:, 0]
    >>> bool((np.diff(along) > 0).all() or (np.diff(along) < 0).all())
    True
    """
    if method not in NEIGHBOURS:
        raise PlanError(f"method is {method!r}, expected one of {', '.join(get_args(Method))}", "choose one of these")
    table = np.asarray(points, dtype=np.float64)
    if table.ndim != 2 or len(table) < 4 or not np.isfinite(table).all():
        found = "numbers that are not finite" if table.ndim == 2 and len(table) >= 4 else f"shape {table.shape}"
        raise DataError(f"the points have {found}, expected a finite table (4 or more, features)", "give one row each")
    most = neighbours or NEIGHBOURS[method]
    placed = _isomap(table, min(most, len(table) - 1)) if method == "isomap" else _tsne(table, most, random_state)
    return np.asarray(placed - placed.mean(0), dtype=np.float64)


def _isomap(table: np.ndarray, neighbours: int) -> np.ndarray:
    # dense: the sparse solver starts from NumPy's global generator
    isomap = Isomap(n_neighbors=neighbours, n_components=2, eigen_solver="dense")
    with warnings.catch_warnings():
        # parts of the graph without an edge between them are joined where they are nearest, which is what is wanted
        warnings.filterwarnings("ignore", "The number of connected components")
        warnings.filterwarnings("ignore", "Changing the sparsity structure")  # scikit-learn's way of adding those edges
        return np.asarray(isomap.fit_transform(table))


def _tsne(table: np.ndarray, perplexity: int, random_state: int) -> np.ndarray:
    fitting = min(perplexity, (len(table) - 1) / 3)
    components = min(2, *table.shape)
    init = "pca" if components == 2 else "random"
    return np.asarray(TSNE(perplexity=fitting, init=init, random_state=random_state).fit_transform(table))
