"""Claims of the papers, rerun: one file is one claim. `python -m experiments list` names them."""
