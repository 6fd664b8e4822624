"""Packages that only sweeps need: imported when used, with a cure where they are missing."""

from __future__ import annotations

import importlib
from typing import Any


def needed(package: str, extra: str = "sweeps") -> Any:
    """Import a package of an extra."""
    try:
        return importlib.import_module(package)
    except ModuleNotFoundError as error:
        raise ModuleNotFoundError(
            f"sweeps need {package} here: pip install 'jaxdepth[{extra}]'", name=error.name
        ) from error
