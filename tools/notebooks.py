"""Execute the notebooks in place: `make notebooks`. A cell that fails fails the command."""

from __future__ import annotations

import sys
from pathlib import Path

import nbformat
from nbclient import NotebookClient

ROOT = Path(__file__).parent.parent


def execute(path: Path) -> None:
    """Run every cell from a fresh kernel in the repository root and keep outputs, not timings."""
    notebook = nbformat.read(path, as_version=4)
    client = NotebookClient(
        notebook,
        timeout=900,
        kernel_name="python3",
        record_timing=False,
        resources={"metadata": {"path": str(ROOT)}},
    )
    client.execute()
    for number, cell in enumerate(notebook.cells):
        cell.id = f"cell-{number}"
        cell.metadata.pop("execution", None)
        if cell.cell_type == "code":
            # warnings of other packages name paths of the machine
            cell.outputs = [o for o in cell.outputs if o.get("name") != "stderr"]
    notebook.metadata = nbformat.NotebookNode(
        kernelspec={"name": "python3", "display_name": "Python 3", "language": "python"}
    )
    nbformat.write(notebook, path)


def main() -> int:
    """Execute all notebooks, or those named."""
    paths = [Path(p) for p in sys.argv[1:]] or sorted((ROOT / "notebooks").glob("*.ipynb"))
    if not paths:
        print("no notebooks found", file=sys.stderr)
        return 1
    for path in paths:
        print(f"executing {path.name}", flush=True)
        execute(path)
    print(f"{len(paths)} notebook(s) executed without an error")
    return 0


if __name__ == "__main__":
    sys.exit(main())
