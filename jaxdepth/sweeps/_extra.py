"""Packages that only sweeps need: imported when used, with a cure where they are missing."""

from __future__ import annotations

import importlib
from typing import Any


def needed(package: str) -> Any:
    """Import a package of the extra `sweeps`."""
    try:
        return importlib.import_module(package)
    except ModuleNotFoundError as error:
        raise ModuleNotFoundError(
            f"sweeps need {package}: pip install 'jaxdepth[sweeps]'", name=error.name
        ) from error
