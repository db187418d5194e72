"""Run the notebooks of recipes/notebooks and keep their outputs in them.

    python tools/notebooks.py recipes/notebooks/first_encoder.ipynb

One kernel runs all that are named, so that torch is imported once. Progress bars and messages,
which commands write to standard error, are left out.
"""

import argparse
import os
import sys
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import nbformat
from jupyter_client import KernelManager
from nbclient import NotebookClient

# %reset would remove names that new processes need, too
FORGET = """for _name in [one for one in globals() if not one.startswith("_")]:
    if _name not in ("In", "Out", "get_ipython", "exit", "quit", "open"):
        del globals()[_name]"""
FOLDER = Path(__file__).resolve().parents[1] / "recipes" / "notebooks"


def executed(paths: Sequence[Path], folder: Path) -> Iterator[Any]:
    """Each notebook after it has run, with its outputs.

    Args:
        paths: of the notebooks.
        folder: where they run and write; files that one has made are there for the next.

    Raises:
        nbclient.exceptions.CellExecutionError: a cell fails; the message has its traceback.
    """
    kernel = KernelManager()
    shown_in_place = {key: value for key, value in os.environ.items() if key != "MPLBACKEND"}
    kernel.start_kernel(cwd=str(folder), env=shown_in_place)
    try:
        for path in paths:
            notebook = nbformat.read(path, as_version=4)
            # a cell's output comes in one or more messages, as the kernel has flushed it
            client = NotebookClient(notebook, km=kernel, timeout=300, coalesce_streams=True)
            client.execute()
            client.kc.execute(FORGET)
            client.kc.stop_channels()
            yield without_messages(notebook)
    finally:
        kernel.shutdown_kernel(now=True)


def without_messages(notebook: Any) -> Any:
    """The notebook without standard error, times and versions, which differ from run to run."""
    notebook.metadata = {"kernelspec": notebook.metadata["kernelspec"]}
    for cell in notebook.cells:
        cell.metadata = {}
        if cell.cell_type == "code":
            cell.outputs = [one for one in cell.outputs if one.get("name") != "stderr"]
    return notebook


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("notebooks", nargs="*", type=Path, help="default: all")
    paths = parser.parse_args(arguments).notebooks or sorted(FOLDER.glob("*.ipynb"))
    with tempfile.TemporaryDirectory() as folder:
        for path, notebook in zip(paths, executed(paths, Path(folder)), strict=True):
            nbformat.write(notebook, path)
            print(path)
    return 0


if __name__ == "__main__":
    sys.exit(main())
