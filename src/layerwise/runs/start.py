"""The weights a run starts from, kept so that a resumed run does not depend on what its process drew."""

from __future__ import annotations

from torch import nn

from ..errors import RunError
from .folder import RunFolder


def start_alike(network: nn.Module, folder: RunFolder) -> None:
    """Keep a network's weights when a run starts; when it is resumed, put them back into the network.

    Parameters
    ----------
    network : nn.Module
        Changed in place when the run is resumed.
    folder : RunFolder
        Of the run.

    Raises
    ------
    RunError
        When the run was started with another network.
    """
    start = folder.checkpoint("start")
    saved = start.load()
    if saved is None:
        start.save(network.state_dict(), {})
        return
    try:
        network.load_state_dict(saved.tensors)
    except RuntimeError as error:
        raise RunError(
            f"the run in {folder.path} was started with another network: {error}",
            "resume with the same modules, or choose another run folder",
        ) from error
