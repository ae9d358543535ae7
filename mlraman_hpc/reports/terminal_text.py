"""Markdown for a terminal: long lines wrapped, tables and code left alone, a pager where a person reads."""

from __future__ import annotations

import os
import pydoc
import re
import shutil
import sys
import textwrap

_LIST_ITEM = re.compile(r"(\s*(?:[-*]|\d+\.)\s+)(.*)")
WIDEST = 100  # columns of running text: longer lines are hard to read


def show(text: str) -> None:
    """Through a pager on a terminal (PAGER, or less), as it stands into a file or pipe."""
    if not sys.stdout.isatty():
        print(text)
        return
    os.environ.setdefault("LESS", "FRXS")  # end at once where all fits; wide tables can be moved sideways
    pydoc.pager(wrapped(text, min(WIDEST, shutil.get_terminal_size().columns)) + "\n")


def wrapped(text: str, width: int) -> str:
    """Paragraphs and items of lists filled to `width`; headings, tables, code and formulas stay."""
    lines: list[str] = []
    paragraph: list[str] = []
    in_code = False

    def finish() -> None:
        if paragraph:
            lines.extend(_filled(paragraph, width))
            paragraph.clear()

    for line in text.splitlines():
        indented = line.startswith("    ") and not paragraph  # a formula; else it goes on with an item
        if indented or in_code or line.startswith(("```", "#", "|", "!", "<")) or not line.strip():
            finish()
            in_code ^= line.startswith("```")
            lines.append(line)
        elif _LIST_ITEM.match(line):
            finish()
            paragraph.append(line)
        else:
            paragraph.append(line)
    finish()
    return "\n".join(lines)


def _filled(paragraph: list[str], width: int) -> list[str]:
    """One paragraph; what follows the sign of a list item stays below its first word."""
    item = _LIST_ITEM.match(paragraph[0])
    first = item[1] if item else re.match(r"\s*", paragraph[0])[0]  # type: ignore[index]  # matches always
    words = " ".join([item[2] if item else paragraph[0], *paragraph[1:]])
    return textwrap.wrap(
        " ".join(words.split()),
        width,
        initial_indent=first,
        subsequent_indent=" " * len(first),
        break_long_words=False,
        break_on_hyphens=False,
    )
