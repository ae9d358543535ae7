"""How densely pairs of numbers lie, counted as they come, without knowing their range beforehand."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

SQUARES = 160  # at most along either side
FINEST = -20  # power of two


@dataclass(frozen=True)
class Density:
    """Counts of pairs (x, y) in squares of side 2^power, which are cut at multiples of their side.

    Squares grow by doubling, so that coarse counts are sums of fine ones: any order of adding gives the same counts.

    first   (2,) number of the first square along x and y; square k covers k 2^power to (k + 1) 2^power
    counts  (squares along x, squares along y)
    """

    power: int
    first: np.ndarray
    counts: np.ndarray

    def __add__(self, other: Density) -> Density:
        one, two = self._coarsened(max(self.power, other.power)), other._coarsened(max(self.power, other.power))
        while _span(*_ends([one, two])) > SQUARES:
            one, two = one._coarsened(one.power + 1), two._coarsened(two.power + 1)
        first, last = _ends([one, two])
        counts = np.zeros(last - first, dtype=np.int64)
        for part in (one, two):
            (x, y), (width, height) = part.first - first, part.counts.shape
            counts[x : x + width, y : y + height] += part.counts
        return Density(one.power, first, counts)

    def _coarsened(self, power: int) -> Density:
        if power == self.power:
            return self
        x, y = np.nonzero(self.counts)
        squares = np.stack([x, y], axis=1) + self.first >> power - self.power
        return _counted(squares, self.counts[x, y], power)

    def edges(self) -> tuple[np.ndarray, np.ndarray]:
        """Edges of the squares along x and y."""
        return tuple(
            (first + np.arange(count + 1)) * 2.0**self.power for first, count in zip(self.first, self.counts.shape)
        )


def _ends(parts: list[Density]) -> tuple[np.ndarray, np.ndarray]:
    first = np.min([part.first for part in parts], axis=0)
    return first, np.max([part.first + part.counts.shape for part in parts], axis=0)


def _span(first: np.ndarray, last: np.ndarray) -> int:
    return int(np.max(last - first))


def _counted(squares: np.ndarray, weights: np.ndarray, power: int) -> Density:
    first, last = squares.min(axis=0), squares.max(axis=0) + 1
    counts = np.zeros(last - first, dtype=np.int64)
    np.add.at(counts, tuple((squares - first).T), weights)
    return Density(power, first, counts)


def density(x: np.ndarray, y: np.ndarray) -> Density:
    """Counts of the pairs (x_k, y_k), finite numbers, in the smallest squares of which `SQUARES` a side are enough."""
    pairs = np.stack([x, y], axis=1)
    widest = max(float(np.max(pairs.max(axis=0) - pairs.min(axis=0))), 2.0**FINEST)
    power = max(FINEST, int(np.ceil(np.log2(widest / SQUARES))))
    squares = np.floor(pairs / 2.0**power).astype(np.int64)
    while _span(squares.min(axis=0), squares.max(axis=0) + 1) > SQUARES:
        power, squares = power + 1, squares >> 1
    return _counted(squares, np.ones(len(pairs), dtype=np.int64), power)
