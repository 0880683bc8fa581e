"""The command: one short file per verb."""

from __future__ import annotations

import os
import sys


def main() -> None:
    """Run the command: exit 0 when the work is done, 2 on bad input, 130 and 143 on signals."""
    # OpenMP's threads wait for each other by spinning. Where another process takes a core, an update of two threads
    # then took seven times as long as with threads that wait asleep; on an idle machine the two were even. OpenMP reads
    # this when torch is imported, which happens below: `import layerwise` alone does not import it.
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    from .app import run

    sys.exit(run(sys.argv[1:]))
