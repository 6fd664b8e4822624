"""What the API pages need to know of this project's docstrings."""

import re
from typing import Any

import griffe


class Docstrings(griffe.Extension):
    """Read docstrings as they are written here."""

    def on_object(self, *, obj: griffe.Object, **_: Any) -> None:
        """Rename `Example:`, whose lines are doctests, and part lists from what is before them."""
        if obj.docstring:
            value = re.sub(r"^Example:$", "Examples:", obj.docstring.value, flags=re.MULTILINE)
            value = re.sub(r"^(?! *- )(.*\S)\n(?= *- )", r"\1\n\n", value, flags=re.MULTILINE)
            obj.docstring.value = value
