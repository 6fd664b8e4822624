"""Claims about speed, each beside its rival in the same process and run."""
