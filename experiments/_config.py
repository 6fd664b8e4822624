"""From the command line's words to an experiment's `Config`."""

from __future__ import annotations

import dataclasses
import types
import typing
from typing import Any

_BOOLEANS = {"true": True, "1": True, "false": False, "0": False}


class UsageError(Exception):
    """The command line asks for what is not there."""


def split(setting: str) -> tuple[str, str]:
    """Split `key=value`."""
    key, equals, value = setting.partition("=")
    if not (key and equals):
        raise UsageError(f"`--set` must be KEY=VALUE; got {setting!r}.")
    return key.strip(), value.strip()


def keys(config: Any) -> list[str]:
    """Return the names that `--set` knows."""
    return [field.name for field in dataclasses.fields(config)]


def override(config: Any, settings: dict[str, str]) -> Any:
    """Replace fields of a frozen dataclass by values given as text, each typed by its field.

    Args:
        config: QUICK or FULL.
        settings: text by field name; every name must be a field.

    Returns:
        A new `Config`.

    Raises:
        UsageError: a text that its field's type does not take, or that `Config` itself refuses.

    Example:
        >>> @dataclasses.dataclass(frozen=True)
        ... class Config:
        ...     depths: tuple[int, ...] = (1, 2)
        ...     rate: float = 0.1
        >>> override(Config(), {"depths": "4,8", "rate": "1e-3"})
        Config(depths=(4, 8), rate=0.001)
    """
    hints = typing.get_type_hints(type(config))
    values = {key: _typed(key, text, hints[key]) for key, text in settings.items()}
    try:
        return dataclasses.replace(config, **values)
    except ValueError as error:
        raise UsageError(str(error)) from error


def _typed(key: str, text: str, hint: Any) -> Any:
    try:
        return _parse(text, hint)
    except (ValueError, SyntaxError) as error:
        wanted = (
            hint.__name__ if isinstance(hint, type) and not typing.get_args(hint) else str(hint)
        )
        raise UsageError(f"`--set {key}=…` must be {wanted}; got {text!r}.") from error


def _parse(text: str, hint: Any) -> Any:
    origin, args = typing.get_origin(hint), typing.get_args(hint)
    if origin in (typing.Union, types.UnionType):
        if text.lower() == "none" and type(None) in args:
            return None
        (hint,) = (choice for choice in args if choice is not type(None))
        return _parse(text, hint)
    if origin is tuple:
        words = [word.strip() for word in text.strip("()[] ").split(",") if word.strip()]
        each = [args[0]] * len(words) if args[1:] == (...,) else list(args)
        return tuple(_parse(word, kind) for word, kind in zip(words, each, strict=True))
    if origin is typing.Literal:
        if text not in args:
            raise ValueError(text)
        return text
    if hint is bool:
        if text.lower() not in _BOOLEANS:
            raise ValueError(text)
        return _BOOLEANS[text.lower()]
    return hint(text)
