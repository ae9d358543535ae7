"""JCAMP-DX 4.24 and 5: spectra as labelled records, with numbers as they are or packed (ASDF: PAC, SQZ, DIF, DUP).

McDonald and Wilks, Appl. Spectrosc. 42, 151 (1988).
"""

from __future__ import annotations

import re

import numpy as np

from mlraman_hpc.base.errors import DataError

_SQUEEZED = {letter: str(value) for value, letter in enumerate("@ABCDEFGHI")} | {
    letter: f"-{value}" for value, letter in enumerate("abcdefghi", start=1)
}
_DIFFERENCE = {letter: str(value) for value, letter in enumerate("%JKLMNOPQR")} | {
    letter: f"-{value}" for value, letter in enumerate("jklmnopqr", start=1)
}
_REPEATED = {letter: value for value, letter in enumerate("STUVWXYZs", start=1)}
# an exponent has its sign: in '10E7' the X is 10 and E7 a squeezed 57
_TOKEN = re.compile(r"([@A-Ia-i])(\d*\.?\d*)|([%J-Rj-r])(\d*)|([S-Zs])(\d*)|([-+]?\d+\.?\d*(?:[Ee][-+]\d+)?)|(\?)")
_WITH_EXPONENT = re.compile(r"[-+]?\d+\.?\d*(?:[Ee][-+]?\d+)?")
_WAVENUMBERS = ("1/CM", "CM-1", "CM^-1", "RAMANSHIFT", "WAVENUMBER")
Records = list[tuple[str, str, int]]  # label, content, line


def is_jcamp_dx(text: str) -> bool:
    """Whether the text has the two records that every such file begins with."""
    return bool(re.match(r"\s*(\$\$.*\s*)*##\s*TITLE\s*=", text, re.IGNORECASE)) and bool(
        re.search(r"^##\s*JCAMP[-_ ]?DX\s*=", text, re.IGNORECASE | re.MULTILINE)
    )


def parse(text: str, name: str) -> tuple[np.ndarray, np.ndarray]:
    """(n,) abscissae in cm^-1 and (n,) ordinates of the first spectrum in the text of the file `name`."""
    records = _records(text)
    for index, (label, content, line) in enumerate(records):
        if label in ("XYDATA", "XYPOINTS", "PEAKTABLE"):
            header = {label: content.split("\n")[0].strip() for label, content, _ in records[: index + 1]}
            units = re.sub(r"\s", "", header.get("XUNITS", "1/CM").upper())
            if not any(unit in units for unit in _WAVENUMBERS):
                text = f"XUNITS are {header['XUNITS']}; a Raman shift in 1/CM is needed"
                raise DataError(f"{name}: {text}")
            return _ordered(content, header, name, line) if "X++" in content else _pairs(content, header, name, line)
    raise DataError(f"{name}: JCAMP-DX without XYDATA or XYPOINTS")


def _records(text: str) -> Records:
    """Labels without blanks, '-', '/' and '_', in capitals; comments ('$$') are left out."""
    records: Records = []
    for line, content in enumerate(text.splitlines(), start=1):
        content = content.split("$$")[0]
        if match := re.match(r"\s*##([^=]*)=(.*)", content):
            records.append((re.sub(r"[\s/_-]", "", match[1]).upper(), match[2], line))
        elif records:
            label, before, first = records[-1]
            records[-1] = (label, f"{before}\n{content}", first)
    return records


def _number(header: dict[str, str], label: str, default: float | None, name: str) -> float:
    try:
        return float(header[label].replace(",", ".")) if label in header or default is None else default
    except (KeyError, ValueError):
        raise DataError(f"{name}: JCAMP-DX without a number at ##{label}=") from None


def _ordered(content: str, header: dict[str, str], name: str, line: int) -> tuple[np.ndarray, np.ndarray]:
    """(X++(Y..Y)): equal steps from FIRSTX to LASTX; the X at the head of each line is a check alone."""
    values: list[float] = []
    difference = False  # whether the last value was a difference; the next line then repeats it, as a check
    for offset, text in enumerate(content.split("\n")[1:], start=1):
        tokens = _tokens(text, f"{name}:{line + offset}")
        if not tokens:
            continue
        line_values, ends_in_difference = _unpacked(tokens[1:], values[-1] if values else 0.0)
        if difference and line_values and abs(line_values[0] - values[-1]) > 0.5:
            what = f"the check at the head of the line is {line_values[0]:g}, not {values[-1]:g}"
            raise DataError(f"{name}:{line + offset}: {what}; the file is damaged")
        values += line_values[1:] if difference else line_values
        difference = ends_in_difference
    count = int(_number(header, "NPOINTS", len(values), name))
    if count != len(values):
        raise DataError(f"{name}: {len(values)} values, but NPOINTS says {count}; the file is damaged or cut short")
    first, last = (_number(header, label, None, name) for label in ("FIRSTX", "LASTX"))
    return np.linspace(first, last, count), np.array(values) * _number(header, "YFACTOR", 1.0, name)


def _tokens(text: str, location: str) -> list[re.Match[str]]:
    text, position, tokens = re.sub(r"[\s,;]+", " ", text.strip()), 0, []
    words = text.split()
    if len(words) > 1 and all(map(_WITH_EXPONENT.fullmatch, words)):  # nothing is packed
        text = re.sub(r"[Ee](?=\d)", "E+", text)
    while position < len(text):
        match = _TOKEN.match(text, position + (text[position] == " "))
        if match is None:
            raise DataError(f"{location}: not JCAMP-DX numbers: '{text[position : position + 30]}'")
        tokens.append(match)
        position = match.end()
    return tokens


def _unpacked(tokens: list[re.Match[str]], before: float) -> tuple[list[float], bool]:
    """The ordinates of a line, and whether the last of them was packed as a difference."""
    values: list[float] = []
    step: float | None = None
    for squeezed, digits, difference, more, repeated, times, plain, missing in (token.groups() for token in tokens):
        if repeated is not None:
            count = int(f"{_REPEATED[repeated]}{times}") - 1
            values += [values[-1] + (step or 0.0) * (index + 1) for index in range(count)]
        elif difference is not None:
            step = float(_DIFFERENCE[difference] + more)
            values.append((values[-1] if values else before) + step)
        else:
            step = None
            values.append(float("nan") if missing else float(plain or _SQUEEZED[squeezed] + digits))
    return values, step is not None


def _pairs(content: str, header: dict[str, str], name: str, line: int) -> tuple[np.ndarray, np.ndarray]:
    """(XY..XY): pairs of numbers."""
    numbers: list[float] = []
    for offset, text in enumerate(content.split("\n")[1:], start=1):
        tokens = _tokens(text, f"{name}:{line + offset}")
        if any(token[7] is None for token in tokens):
            raise DataError(f"{name}:{line + offset}: pairs of numbers are expected, found '{text.strip()[:40]}'")
        numbers += [float(token[7]) for token in tokens]
    if len(numbers) % 2 or not numbers:
        raise DataError(f"{name}: {len(numbers)} numbers do not make pairs; the file is damaged or cut short")
    x, y = np.array(numbers).reshape(-1, 2).T
    return x * _number(header, "XFACTOR", 1.0, name), y * _number(header, "YFACTOR", 1.0, name)
