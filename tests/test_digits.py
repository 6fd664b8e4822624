"""The loader of digits: scikit-learn's, and MNIST's idx files as written here."""

import gzip
import struct

import numpy as np
import pytest

from experiments import _digits

pytestmark = pytest.mark.once(x64=True)
IMAGES, LABELS = "train-images-idx3-ubyte", "train-labels-idx1-ubyte"
TEST_IMAGES = "t10k-images-idx3-ubyte"


def idx(array, kind=8):
    header = struct.pack(f">BBBB{array.ndim}I", 0, 0, kind, array.ndim, *array.shape)
    return header + array.astype(np.uint8).tobytes()


def arrays():
    rng = np.random.default_rng(0)
    return {
        IMAGES: rng.integers(0, 256, (7, 4, 3)),
        LABELS: np.arange(7) % 10,
        TEST_IMAGES: rng.integers(0, 256, (2, 4, 3)),
        "t10k-labels-idx1-ubyte": np.array([9, 0]),
    }


def write(folder, changes=None):
    files = {name: idx(array) for name, array in arrays().items()}
    for name, content in (files | (changes or {})).items():
        if content is not None:
            (folder / name).write_bytes(content)


def test_the_embedded_digits_are_shuffled_split_and_scaled():
    digits = _digits.load(None, 100, seed=0)
    assert digits.x.shape == (100, 64)
    assert digits.x_test.shape == (360, 64)
    assert digits.x.min() == 0
    assert digits.x.max() == 1
    assert set(digits.y) == set(range(10))
    np.testing.assert_array_equal(_digits.load(None, 100, seed=0).x, digits.x)
    assert not np.array_equal(_digits.load(None, 100, seed=1).y, digits.y)
    more = _digits.load(None, 1437, seed=0)
    np.testing.assert_array_equal(more.x[:100], digits.x)
    rows = {row.tobytes() for row in more.x}
    assert sum(row.tobytes() in rows for row in more.x_test) < 5  # twins, and no overlap
    for samples in (1438, 0, -1):
        told = f"`samples` must be from 1 to 1437, all there are; got {samples}"
        with pytest.raises(ValueError, match=told):
            _digits.load(None, samples, seed=0)


def test_mnist_is_read_plain_and_gzipped_in_either_spelling(tmp_path):
    written = arrays()
    gzipped = gzip.compress(idx(written[IMAGES]), mtime=0)
    write(tmp_path, {IMAGES: None, LABELS: None, f"{IMAGES}.gz": gzipped})
    (tmp_path / "train-labels.idx1-ubyte").write_bytes(idx(written[LABELS]))
    digits = _digits.load(str(tmp_path), 7, seed=0)
    order = np.random.default_rng(0).permutation(7)
    np.testing.assert_array_equal(digits.y, written[LABELS][order])
    np.testing.assert_allclose(digits.x, written[IMAGES].reshape(7, 12)[order] / 255)
    np.testing.assert_array_equal(digits.y_test, [9, 0])
    assert digits.x_test.shape == (2, 12)


GOOD = idx(arrays()[IMAGES])
FAULTS = {
    "missing": ({IMAGES: None}, rf"must hold {IMAGES} or {IMAGES}.gz; .* has neither"),
    "magic": (
        {IMAGES: idx(np.arange(7))},
        f"{IMAGES}: expected the magic number 00000803 of images",
    ),
    "page": (
        {LABELS: b"<html>"},
        f"{LABELS}: expected the magic number 00000801 of labels; got 3c68",
    ),
    "empty": ({LABELS: b""}, "got an empty file"),
    "floats": ({IMAGES: idx(np.zeros((1, 1, 1)), kind=13)}, "got 00000d03"),
    "truncated": ({IMAGES: GOOD[:-1]}, r"expected 100 bytes for its shape \(7, 4, 3\); got 99"),
    "header": ({IMAGES: GOOD[:9]}, "It is truncated or damaged"),
    "too long": ({IMAGES: GOOD + b"0"}, r"expected 100 bytes .* got 101"),
    "half a gzip": ({IMAGES: gzip.compress(GOOD)[:-20]}, f"{IMAGES}: expected a gzip file"),
    "no pixels": (
        {IMAGES: idx(np.zeros((7, 0, 3)))},
        rf"{IMAGES}: expected images with pixels; got the shape \(7, 0, 3\)",
    ),
    "sizes": (
        {TEST_IMAGES: idx(np.zeros((2, 3, 4)))},
        f"{IMAGES} are 4 × 3 and those of {TEST_IMAGES} 3 × 4",
    ),
    "counts": ({LABELS: idx(np.arange(6))}, "has 7 train images and 6 labels"),
    "letters": ({LABELS: idx(np.arange(7) + 20)}, "labels from 0 to 9; train's in .* go up to 26"),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_a_file_that_is_not_mnists_is_refused_by_name(tmp_path, fault):
    changes, match = FAULTS[fault]
    write(tmp_path, changes)
    with pytest.raises(ValueError, match=match):
        _digits.load(str(tmp_path), 7, seed=0)


def test_a_directory_that_is_not_there_is_refused(tmp_path):
    with pytest.raises(ValueError, match=r"there is no directory .*nowhere"):
        _digits.load(str(tmp_path / "nowhere"), 7, seed=0)
