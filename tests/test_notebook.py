"""The notebook, reproduced to all four digits through the public API."""

from __future__ import annotations

import runpy
from pathlib import Path

EXAMPLE = Path(__file__).parents[1] / "examples" / "notebook.py"


def test_the_notebooks_table_comes_out_to_all_four_digits(capsys, tmp_path):
    """Source: the notebook (seed 2, lr .01, batches of 2), run as it was."""
    main = runpy.run_path(str(EXAMPLE))["main"]
    main(str(tmp_path / "paths.png"))
    lines = [" ".join(line.split()) for line in capsys.readouterr().out.splitlines()]
    assert lines[0] == "first order [2, 3, 1, 4, 5, 0]"
    assert lines[2:5] == [
        "start 0.2294 -0.2380 0.2294 -0.2380",
        "after 1 epoch 0.4798 -0.1793 0.7664 -0.1066",
        "after 100 more 1.0089 -0.0380 1.0037 -0.0157",
    ]
    assert (tmp_path / "paths.png").read_bytes().startswith(b"\x89PNG")
