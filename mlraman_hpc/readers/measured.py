"""Measured spectra: two columns as instruments write them, JCAMP-DX, and files of the Raman Open Database (.rod)."""

from __future__ import annotations

import gzip
import re
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from mlraman_hpc.base.errors import DataError
from mlraman_hpc.readers import jcamp_dx

_COMMENT = re.compile(r"\s*(#|%|!|//|;|\$\$)")
_NUMBER = re.compile(r"[-+]?(\d+\.?\d*|\.\d+)([eEdD][-+]?\d+)?")
_ROD_COLUMNS = ("_raman_spectrum.raman_shift", "_raman_spectrum.intensity")


def read_measured(path: Path) -> tuple[np.ndarray, np.ndarray]:
    """(n,) Raman shift in cm^-1, rising, and (n,) intensity of a measured spectrum; by the file's content.

    Raises DataError, with file and line, for what cannot be read.
    """
    text = _text(path)
    if jcamp_dx.is_jcamp_dx(text):
        shift, intensity = jcamp_dx.parse(text, str(path))
    else:
        rows = list(_rod_rows(text, path) if _ROD_COLUMNS[0] in text.lower() else _column_rows(text, path))
        if len(rows) < 2:
            raise DataError(f"{path}: no numbers in the file; two columns, JCAMP-DX and .rod can be read")
        shift, intensity = np.array(rows).T
    if not (np.isfinite(shift).all() and np.isfinite(intensity).all()):
        raise DataError(f"{path}: a value is not a finite number")
    order = np.argsort(shift, kind="stable")
    return shift[order], intensity[order]


def _text(path: Path) -> str:
    try:
        data = Path(path).read_bytes()
        data = gzip.decompress(data) if data[:2] == b"\x1f\x8b" else data
    except (OSError, EOFError) as error:
        raise DataError(f"{path}: cannot be read: {getattr(error, 'strerror', None) or error}") from None
    if data[:2] in (b"\xff\xfe", b"\xfe\xff"):
        return data.decode("utf-16")
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError:
        return data.decode("latin-1")  # instruments write units in it


def _column_rows(text: str, path: Path) -> Iterator[tuple[float, float]]:
    """Lines of two numbers; comments, and lines of words before the first of them, are passed over."""
    begun = False
    for line, content in enumerate(text.splitlines(), start=1):
        if not content.strip() or _COMMENT.match(content):
            continue
        numbers = _numbers(content)
        if numbers is None and not begun:
            continue
        if numbers is None or len(numbers) != 2:
            what = "not numbers" if numbers is None else f"{len(numbers)} numbers"
            raise DataError(
                f"{path}: line {line}: {what} ('{content.strip()[:40]}'), where Raman shift and intensity are "
                "expected; leave two columns"
            )
        begun = True
        yield numbers[0], numbers[1]


def _numbers(content: str) -> list[float] | None:
    """The numbers of a line, separated by blanks, tabs, semicolons or commas; a comma may be the decimal sign."""
    content = content.strip().rstrip(",;")
    if re.search(r"[;\t]", content):
        words = [word.strip() for word in re.split(r"[;\t]", content)]
    elif len(words := re.split(r"\s*,\s+|\s+,|\s+", content)) < 2:
        words = content.split(",")
    words = [word.replace(",", ".", 1) if word.count(",") == 1 else word for word in words]
    if not all(_NUMBER.fullmatch(word) for word in words):
        return None
    return [float(word.lower().replace("d", "e")) for word in words]


def _rod_rows(text: str, path: Path) -> Iterator[tuple[float, float]]:
    """The loop of a CIF that holds the spectrum."""
    names: list[str] = []
    for line, content in enumerate(map(str.strip, text.splitlines()), start=1):
        if content.lower().startswith(("loop_", "data_")):
            names = []
        elif content.startswith("_"):
            names.append(content.lower().split()[0])
        elif content and not content.startswith("#") and set(_ROD_COLUMNS) <= set(names):
            words = [word.split("(")[0] for word in content.split()]  # '12.3(4)' has its error
            columns = [words[names.index(name)] for name in _ROD_COLUMNS] if len(words) == len(names) else []
            if not columns or not all(map(_NUMBER.fullmatch, columns)):
                raise DataError(f"{path}: line {line}: '{content[:40]}', where {len(names)} values are expected")
            yield float(columns[0]), float(columns[1])
