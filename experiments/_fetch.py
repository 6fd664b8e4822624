"""Fetch UCI's gas sensors: one archive, checked by its SHA-256, unpacked whole or not at all."""

from __future__ import annotations

import hashlib
import http.client
import shutil
import tempfile
import urllib.error
import urllib.request
import zipfile
import zlib
from pathlib import Path, PurePosixPath

from experiments._gas_sensor import BATCH

ARCHIVE = (
    "https://archive.ics.uci.edu/static/public/270/"
    "gas+sensor+array+drift+dataset+at+different+concentrations.zip"
)
SHA256 = "98fe3a30981a222dd4518fbcc3dddd45d5c0ce9b03ef6dc6fe5cf7a04cfbff5e"
BY_HAND = "Download the data set by hand (DOI 10.24432/C5MK6M) and unpack it there."
_SILENCE = 30.0  # seconds without an answer that end a download
_BLOCK = 2**20


def fetch(directory: str | Path, url: str = ARCHIVE, sha256: str = SHA256) -> list[Path]:
    """Download the archive and unpack its batch files into `directory`.

    Args:
        directory: where to; made here, with its parents, or empty.
        url: the archive's address.
        sha256: what its bytes hash to.

    Returns:
        The files, in their order in the archive.

    Raises:
        OSError: a directory that holds something or cannot be written, no network, an address that
            is none, an archive that ends early, hashes to something else, is no archive or holds no
            batch files. Nothing is left behind then.
    """
    directory = Path(directory)
    target = directory.resolve()
    if target.exists() and (not target.is_dir() or any(target.iterdir())):
        raise FileExistsError(f"{directory} must be new or empty, so that nothing is overwritten.")
    # Within what exists already: known to be writable before the download, and on one file system
    # with the target, so that moving is renaming.
    ground = next(folder for folder in (target, *target.parents) if folder.exists())
    with tempfile.TemporaryDirectory(dir=ground) as scratch:
        archive, unpacked = Path(scratch, "archive.zip"), Path(scratch, "unpacked")
        digest = _download(url, archive)
        if digest != sha256:
            raise OSError(
                f"{url} hashes to SHA-256 {digest} and not to {sha256}: it was damaged on the way, "
                f"or changed at its source. {BY_HAND}"
            )
        unpacked.mkdir()
        try:
            names = _unpack(archive, unpacked)
        except (zipfile.BadZipFile, zlib.error, EOFError, RuntimeError) as error:
            raise OSError(
                f"{url} is no zip archive that can be read ({error}). {BY_HAND}"
            ) from error
        if not names:
            raise OSError(f"{url} holds no file batch<number>.dat. {BY_HAND}")
        if target.exists():  # and may be a working directory or a mount: it stays itself
            _move(unpacked, target, names)
        else:
            target.parent.mkdir(parents=True, exist_ok=True)
            unpacked.rename(target)
    return [directory / name for name in names]


def _move(source: Path, target: Path, names: list[str]) -> None:
    """Move all files or none."""
    try:
        for name in names:
            (source / name).rename(target / name)
    except BaseException:
        for name in names:
            (target / name).unlink(missing_ok=True)
        raise


def _download(url: str, archive: Path) -> str:
    """Write what `url` holds to `archive`; return its SHA-256."""
    digest = hashlib.sha256()
    try:
        with (
            urllib.request.urlopen(url, timeout=_SILENCE) as answer,
            archive.open("wb") as file,
        ):
            while block := answer.read(_BLOCK):
                digest.update(block)
                file.write(block)
                print(f"\r{file.tell() / 2**20:.1f} MiB", end="", flush=True)
        print()
    except (
        urllib.error.URLError,
        http.client.HTTPException,
        ConnectionError,
        TimeoutError,
        ValueError,  # an address that is none
    ) as error:
        raise OSError(f"{url} cannot be read ({error}). {BY_HAND}") from error
    return digest.hexdigest()


def _unpack(archive: Path, folder: Path) -> list[str]:
    names = []
    with zipfile.ZipFile(archive) as packed:
        for member in packed.infolist():
            name = PurePosixPath(member.filename).name
            if BATCH.fullmatch(name):
                with packed.open(member) as source, (folder / name).open("xb") as target:
                    shutil.copyfileobj(source, target)
                names.append(name)
    return names
