"""Materials from a CSV table: a row each, a column for each deck key ('trajectory.files') or variable of a pattern."""

from __future__ import annotations

import csv
from collections.abc import Callable

from mlraman_hpc.base.errors import DeckError


def read(path: str, scalar: Callable[[str], object]) -> list[tuple]:
    """(place, values, {path of keys: place}, variables) of each row; empty cells are left out.

    `scalar` turns a cell's text into a value. Raises DeckError for a table that cannot be read.
    """
    lines = _lines(path)
    if not lines:
        raise DeckError(f"{path}: the table is empty; its first line names the columns")
    head = [name.strip() for name in lines[0][1]]
    twice = next((name for name in head if head.count(name) > 1), None)
    if twice is not None or "" in head or "name" not in head:
        found = f"'{twice}' is there twice" if twice else "a column has no name" if "" in head else "there is no 'name'"
        raise DeckError(f"{path}:{lines[0][0]}: the first line names the columns, and {found}")
    return [_row(f"{path}:{number}", head, cells, scalar) for number, cells in lines[1:]]


def _lines(path: str) -> list[tuple[int, list[str]]]:
    """(line, cells), without comments and empty lines."""
    try:
        with open(path, encoding="utf-8-sig", newline="") as file:
            reader = csv.reader(file, skipinitialspace=True)
            return [
                (reader.line_num, row)
                for row in reader
                if any(cell.strip() for cell in row) and not row[0].lstrip().startswith("#")
            ]
    except FileNotFoundError:
        raise DeckError(f"{path}: no such table") from None
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise DeckError(f"{path}: cannot be read as a CSV table: {getattr(error, 'strerror', None) or error}") from None


def _row(where: str, head: list[str], cells: list[str], scalar) -> tuple:
    if len(cells) != len(head):
        raise DeckError(f"{where}: {len(cells)} cells, but {len(head)} columns")
    given = {name: cell.strip() for name, cell in zip(head, cells) if cell.strip()}
    values = {name: text if name == "name" else scalar(text) for name, text in given.items()}
    return where, values, {(name,): where for name in values}, given
