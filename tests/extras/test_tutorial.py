"""The tutorial, executed as a learner executes it."""

from __future__ import annotations

import gc
import json
import re
import warnings
from pathlib import Path

import pytest

TUTORIAL = Path(__file__).parents[2] / "examples" / "tutorial.ipynb"


def execute(notebook, place):
    """Run every cell of a notebook in a kernel of this Python; outputs go into the notebook."""
    pytest.importorskip("nbclient")
    pytest.importorskip("ipykernel")
    from jupyter_client.kernelspec import KernelSpecManager
    from jupyter_client.manager import AsyncKernelManager
    from nbclient import NotebookClient

    kernel = AsyncKernelManager(
        kernel_name="python3", kernel_spec_manager=KernelSpecManager(ensure_native_kernel=True)
    )
    NotebookClient(notebook, km=kernel, timeout=3600, resources={"metadata": {"path": str(place)}}).execute()
    del kernel
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ResourceWarning)  # sockets that the client leaves open
        gc.collect()


@pytest.fixture(scope="module")
def executed(tmp_path_factory):
    """The tutorial after every cell was run."""
    nbformat = pytest.importorskip("nbformat")
    notebook = nbformat.read(TUTORIAL, as_version=4)
    execute(notebook, tmp_path_factory.mktemp("tutorial"))
    return notebook


def shown(cell):
    """The outputs of a cell as (kind, text)."""
    for output in cell.outputs:
        if output.output_type == "stream":
            yield output.name, output.text
        elif output.output_type != "error":
            yield from (
                (kind, output.data[kind]) for kind in ("text/html", "text/plain") if kind in output.data
            )


@pytest.mark.notebook
@pytest.mark.slow
def test_every_cell_runs_and_the_last_says_a_verdict_on_the_learners_data(executed):
    cells = [cell for cell in executed.cells if cell.cell_type == "code"]
    everything = [(kind, text) for cell in cells for kind, text in shown(cell)]
    assert not [output for cell in cells for output in cell.outputs if output.output_type == "error"]
    assert [text for kind, text in everything if kind == "stderr"] == []
    (verdict,) = [text for kind, text in shown(cells[-1]) if kind == "stdout"]
    assert re.search(r"(?s)Final valid_loss: .*Holm p", verdict)
    assert "One workload (patients), 1 split, 10 seeds" in verdict


@pytest.mark.notebook
@pytest.mark.slow
def test_results_and_progress_show_themselves(executed):
    outputs = [list(shown(cell)) for cell in executed.cells if cell.cell_type == "code"]
    pages = [
        text
        for found in outputs
        for kind, text in found
        if kind == "text/html" and 'class="optcompare"' in text
    ]
    assert len(pages) == 4
    assert all(page.count("<img ") == 1 for page in pages)
    progress = [
        text for found in outputs for kind, text in found if re.fullmatch(r"\d+ of \d+ trials in .*s", text)
    ]
    assert len(progress) == 5, "one line is what remains of each bar"
    assert max(map(len, outputs)) <= 4
    assert len(json.dumps(executed)) < 2**20


@pytest.mark.notebook
def test_a_result_shows_itself_below_its_cell(tmp_path):
    v4 = pytest.importorskip("nbformat.v4")
    code = "import optcompare\noptcompare.compare(strategies=['full', 'mini'], seeds=2, epochs=2)"
    notebook = v4.new_notebook(cells=[v4.new_code_cell(code)])
    execute(notebook, tmp_path)
    outputs = list(shown(notebook.cells[0]))
    (page,) = [text for kind, text in outputs if kind == "text/html" and 'class="optcompare"' in text]
    assert page.count("<img ") == 1
    assert [text for kind, text in outputs if re.fullmatch(r"4 of 4 trials in .*s", text)]


def test_the_tutorial_is_stored_with_what_it_shows():
    cells = json.loads(TUTORIAL.read_text(encoding="utf-8"))["cells"]
    code = [cell for cell in cells if cell["cell_type"] == "code"]
    assert [cell["execution_count"] for cell in code] == list(range(1, len(code) + 1))
    outputs = [output for cell in code for output in cell["outputs"]]
    assert {output["output_type"] for output in outputs} <= {"stream", "display_data", "execute_result"}
    shown = json.dumps(outputs)
    assert shown.count("data:image/png;base64,") >= 4, "results show their plots"
    assert not re.search(r"/(?:tmp|home|root|Users)/", shown), "paths of one machine"
    assert re.search(r"(?s)Final valid_loss: .*Holm p", "".join(code[-1]["outputs"][0]["text"]))


@pytest.mark.notebook
@pytest.mark.slow
def test_the_stored_verdict_is_the_one_that_comes_out(executed):
    """But for numbers, whose last digits may be others on another machine."""
    stored = json.loads(TUTORIAL.read_text(encoding="utf-8"))["cells"]
    (now,) = [text for kind, text in shown([cell for cell in executed.cells if cell.cell_type == "code"][-1])]
    (kept,) = [cell["outputs"] for cell in stored if cell["cell_type"] == "code"][-1]
    assert re.sub(r"[\d.]+", "#", now) == re.sub(r"[\d.]+", "#", "".join(kept["text"]))
