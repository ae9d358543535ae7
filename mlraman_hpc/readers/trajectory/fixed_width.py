"""Numbers in fixed columns, as programs print them by the million: many rows at a time, the same bits as `float`."""

from __future__ import annotations

import numpy as np

EXACT = 15  # so many digits make an integer below 2^53, and its quotient by 10^k <= 10^22 is rounded once
BLOCK = 1 << 13  # rows that the cache holds


def three_numbers(rows: np.ndarray) -> np.ndarray | None:
    """(rows, 3) numbers like -1.25 in rows of characters (rows, width); None unless all rows have the same columns."""
    columns = _columns(rows[0])
    if columns is None:
        return None
    values = np.empty((len(rows), 3))
    for begin in range(0, len(rows), BLOCK):
        characters = np.ascontiguousarray(rows[begin : begin + BLOCK].T)
        rest = characters[columns[-1][2] :]
        if not ((rest == ord(" ")) | (rest == ord("\n")) | (rest == ord("\r"))).all():
            return None
        for k, (first, dot, end) in enumerate(columns):
            part = _column(characters[first:dot], characters[dot], characters[dot + 1 : end])
            if part is None:
                return None
            values[begin : begin + BLOCK, k] = part
    return values


def _columns(row: np.ndarray) -> list[tuple[int, int, int]] | None:
    """First character, point and end of each of three numbers."""
    dots = np.flatnonzero(row == ord("."))
    columns: list[tuple[int, int, int]] = []
    for dot in dots:
        others = np.flatnonzero(~_digits(row[dot + 1 :]))
        end = int(dot) + 1 + (int(others[0]) if len(others) else len(row) - int(dot) - 1)
        columns.append((columns[-1][2] if columns else 0, int(dot), end))
    return columns if len(columns) == 3 else None


def _digits(characters: np.ndarray) -> np.ndarray:
    return characters - np.uint8(ord("0")) <= 9  # smaller characters wrap round to large numbers


def _column(integer_part: np.ndarray, dot: np.ndarray, decimals: np.ndarray) -> np.ndarray | None:
    """The numbers of one column, each character a row: blanks, perhaps a minus, digits, the point, decimals."""
    if not (len(integer_part) and (dot == ord(".")).all() and _digits(decimals).all()):
        return None
    digit, minus = _digits(integer_part), integer_part == ord("-")
    follows = digit[1:]
    if not (
        digit[-1].all()
        and (digit | minus | (integer_part == ord(" "))).all()
        and (digit[:-1] <= follows).all()
        and (minus[:-1] <= follows).all()
    ):
        return None
    used, decimal_places = int(digit.any(axis=1).sum()), len(decimals)
    if used + decimal_places > EXACT:
        return None
    figures = np.concatenate([np.where(digit, integer_part, np.uint8(ord("0")))[len(integer_part) - used :], decimals])
    values = _integer(figures - np.uint8(ord("0"))) / 10.0**decimal_places
    return np.where(minus.any(axis=0), -values, values)


def _integer(figures: np.ndarray) -> np.ndarray:
    """sum_k figures[k] 10^(n - 1 - k), pairs of figures first: small numbers are many in a vector register."""
    for base, kind in ((10, np.uint8), (100, np.uint16), (10**4, np.uint32), (10**8, np.uint64)):
        if len(figures) % 2:
            figures = np.concatenate([np.zeros_like(figures[:1]), figures])
        figures = figures.astype(kind)
        figures = figures[0::2] * kind(base) + figures[1::2]
        if len(figures) == 1:
            break
    return figures[0].astype(float)
