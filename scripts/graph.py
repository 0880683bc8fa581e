"""The pictures of docs/graph.md, and the table it prints, from the page's own blocks of Python.

python scripts/graph.py page
"""

from __future__ import annotations

import contextlib
import io
import os
import re
import sys
import tempfile
from pathlib import Path
from typing import Any

from layerwise.write import write_text

DOCS = Path(__file__).parent.parent / "docs"
PAGE = DOCS / "graph.md"
BEGIN, END = "<!-- the check -->", "<!-- end of the check -->"


def page() -> None:
    """Run the page's blocks where they may write, take the pictures they draw, and the check that they print."""
    text = PAGE.read_text(encoding="utf-8")
    names: dict[str, Any] = {"__name__": "graph"}
    printed = ""
    here = Path.cwd()
    with tempfile.TemporaryDirectory() as folder:
        os.chdir(folder)
        try:
            for block in re.findall(r"^```python\n(.*?)^```$", text, re.DOTALL | re.MULTILINE):
                with contextlib.redirect_stdout(io.StringIO()) as out:
                    exec(compile(block, str(PAGE), "exec"), names)
                printed = out.getvalue() if "print(check)" in block else printed
        finally:
            os.chdir(here)
        for picture in sorted(Path(folder).glob("*.svg")):
            write_text(DOCS / "images" / f"graph-{picture.name}", picture.read_text(encoding="utf-8") + "\n")
    before, _, rest = text.partition(BEGIN)
    _, _, after = rest.partition(END)
    write_text(PAGE, f"{before}{BEGIN}\n```\n{printed.rstrip()}\n```\n{END}{after}")


if __name__ == "__main__":
    if sys.argv[1:] != ["page"]:
        sys.exit(__doc__)
    page()
