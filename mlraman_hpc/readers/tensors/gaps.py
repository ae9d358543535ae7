"""The gap between occupied and empty states of a labelled structure: where it closes, alpha diverges."""

from __future__ import annotations

import numpy as np

SMALL = 0.2  # eV, below which labels are named
PARTIAL = 0.02  # of full occupation


def band_gap(energies: np.ndarray, occupations: np.ndarray) -> float | None:
    """Lowest empty less highest occupied energy (eV); 0 with partly filled bands, None where all are filled alike.

    energies, occupations  (states,) of all k-points and spins
    """
    if not len(energies) or not occupations.max() > 0:
        return None
    share = occupations / occupations.max()
    if ((share > PARTIAL) & (share < 1 - PARTIAL)).any():
        return 0.0
    filled = share > 0.5
    return None if filled.all() else float(energies[~filled].min() - energies[filled].max())


def gap_warning(gaps: list[float | None], sources: tuple[str, ...]) -> str | None:
    """Which labels are metallic or nearly so; None where no output says that one is."""
    small = [(gap, source) for gap, source in zip(gaps, sources) if gap is not None and gap < SMALL]
    if not small:
        return None
    named = ", ".join(f"{source} ({_words(gap)})" for gap, source in sorted(small)[:5])
    more = f" and {len(small) - 5} more" if len(small) > 5 else ""
    known = sum(gap is not None for gap in gaps)
    return (
        f"{len(small)} of {known} labels whose output has occupations or a gap are metallic or close to it: {named}"
        f"{more}. Their polarizability is not that of an insulator; compare them with the others, or take them out "
        "with reference.leave_out"
    )


def _words(gap: float) -> str:
    return f"gap {gap:.2g} eV" if gap > 0 else "partly filled bands"
