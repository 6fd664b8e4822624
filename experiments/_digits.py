"""Handwritten digits: scikit-learn's, which need no network, or MNIST where the user has it.

scikit-learn's are 1,797 images of 8 × 8 (UCI *Optical Recognition of Handwritten Digits*, test
part). MNIST is read from a directory of its four files in the idx format, gzipped or not: a
big-endian magic number (two zero bytes, 8 for unsigned bytes, the number of axes), the length of
each axis, then the bytes.
"""

from __future__ import annotations

import gzip
import math
import zlib
from pathlib import Path
from typing import NamedTuple

import numpy as np

TEST = 360  # of scikit-learn's images, the fifth that is not trained on


class Digits(NamedTuple):
    """Images (n, pixels), float64 in [0, 1], and their digits (n,), to train on and to test."""

    x: np.ndarray
    y: np.ndarray
    x_test: np.ndarray
    y_test: np.ndarray


def load(mnist: str | None, samples: int, seed: int) -> Digits:
    """Load the digits in random order, `samples` of them to train on.

    Raises:
        ValueError: no samples, or more than there are; of MNIST, a directory or a file that is not
            there, or is not what it should be, by name.
    """
    if mnist is None:
        from sklearn.datasets import load_digits

        found = load_digits()
        order = np.random.default_rng(seed).permutation(len(found.target))
        x, y = found.data[order] / 16, found.target[order]
        whole = Digits(x[:-TEST], y[:-TEST], x[-TEST:], y[-TEST:])
    else:
        whole = _mnist(Path(mnist))
        order = np.random.default_rng(seed).permutation(len(whole.y))
        whole = whole._replace(x=whole.x[order], y=whole.y[order])
    if not 1 <= samples <= len(whole.y):
        raise ValueError(
            f"`samples` must be from 1 to {len(whole.y)}, all there are; got {samples}."
        )
    return whole._replace(x=whole.x[:samples], y=whole.y[:samples])


def _mnist(directory: Path) -> Digits:
    if not directory.is_dir():
        raise ValueError(
            f"`mnist` must be a directory of the four idx files; there is no directory {directory}."
        )
    (x, y), (x_test, y_test) = (_part(directory, part) for part in ("train", "t10k"))
    if x.shape[1:] != x_test.shape[1:]:
        (rows, columns), (others, across) = x.shape[1:], x_test.shape[1:]
        raise ValueError(
            f"`mnist` must hold images of one size; in {directory} those of "
            f"{_name('train', 'images', 3)} are {rows} × {columns} and those of "
            f"{_name('t10k', 'images', 3)} {others} × {across}. One is of another data set."
        )
    return Digits(_pixels(x), y, _pixels(x_test), y_test)


def _pixels(images: np.ndarray) -> np.ndarray:
    return images.reshape(len(images), -1) / 255


def _part(directory: Path, part: str) -> tuple[np.ndarray, np.ndarray]:
    images, labels = (_read(directory, part, *kind) for kind in (("images", 3), ("labels", 1)))
    if not 0 < len(images) == len(labels):
        raise ValueError(
            f"`mnist` must hold as many labels as images, and some; {directory} has {len(images)} "
            f"{part} images and {len(labels)} labels. Download both again."
        )
    if labels.max() > 9:
        raise ValueError(
            f"`mnist` must hold labels from 0 to 9; {part}'s in {directory} go up to "
            f"{labels.max()}. It is another data set."
        )
    return images, labels.astype(np.int64)


def _name(part: str, kind: str, axes: int) -> str:
    return f"{part}-{kind}-idx{axes}-ubyte"


def _read(directory: Path, part: str, kind: str, axes: int) -> np.ndarray:
    """Return the bytes of one idx file, in the shape that its header tells."""
    name = _name(part, kind, axes)
    stems = (name, name.replace("-idx", ".idx"))  # both spellings are about
    files = [directory / f"{stem}{suffix}" for stem in stems for suffix in ("", ".gz")]
    file = next((file for file in files if file.is_file()), None)
    if file is None:
        raise ValueError(f"`mnist` must hold {name} or {name}.gz; {directory} has neither.")
    content = _bytes(file)
    header = 4 * (1 + axes)
    magic = bytes((0, 0, 8, axes))
    if content[:4] != magic:
        raise ValueError(
            f"{file}: expected the magic number {magic.hex()} of {kind}; got "
            f"{content[:4].hex() or 'an empty file'}. It is another file, or a page about one."
        )
    shape = tuple(int.from_bytes(content[at : at + 4], "big") for at in range(4, header, 4))
    expected = header + math.prod(shape)
    if len(content) != expected:
        raise ValueError(
            f"{file}: expected {expected:,} bytes for its shape {shape}; got {len(content):,}. "
            "It is truncated or damaged: download it again."
        )
    if 0 in shape[1:]:
        raise ValueError(f"{file}: expected images with pixels; got the shape {shape}.")
    return np.frombuffer(content, np.uint8, offset=header).reshape(shape)


def _bytes(file: Path) -> bytes:
    content = file.read_bytes()
    if content[:2] != b"\x1f\x8b":  # gzip's own magic: names lie
        return content
    try:
        return gzip.decompress(content)
    except (EOFError, gzip.BadGzipFile, zlib.error) as error:
        raise ValueError(
            f"{file}: expected a gzip file; it is truncated or damaged ({error}). Download it "
            "again."
        ) from error
