"""Files that other frameworks wrote, with what the originals answer: `make.py` writes them, in `.venv-bench`."""
