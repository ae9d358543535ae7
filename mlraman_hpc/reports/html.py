"""One self-contained HTML page: headings, tables and figures, readable on a phone and on paper; nothing is fetched."""

from __future__ import annotations

import base64
import re
import struct
from html import escape
from pathlib import Path
from urllib.parse import quote

STYLE = """
:root { color-scheme: light; }
body { font: 16px/1.5 system-ui, "Segoe UI", "DejaVu Sans", sans-serif; color: #1a1a1a; background: #fff;
       max-width: 52rem; margin: 0 auto; padding: 1rem; }
h1 { font-size: 1.5rem; margin: .5rem 0 0; } h2 { font-size: 1.15rem; margin: 2rem 0 .5rem;
     border-bottom: 1px solid #ccc; } .under { color: #555; margin: 0 0 1rem; }
.scroll { overflow-x: auto; } table { border-collapse: collapse; font-size: .9rem; margin: .5rem 0; }
th, td { text-align: left; padding: .25rem .8rem .25rem 0; border-bottom: 1px solid #e5e5e5; vertical-align: top; }
td.number { text-align: right; font-variant-numeric: tabular-nums; white-space: nowrap; }
table.broad { min-width: 44rem; }
figure { margin: 1rem 0; } figure img { height: auto; }
figcaption { font-size: .9rem; color: #444; }
.warning { border-left: 4px solid #d55e00; background: #fdf3ec; padding: .4rem .8rem; margin: .5rem 0; }
.verdict { border-left: 4px solid #0072b2; background: #eef5fa; padding: .6rem .8rem; margin: .8rem 0; }
pre { overflow-x: auto; background: #f6f6f6; padding: .6rem; font-size: .8rem; line-height: 1.35; }
details { margin: .5rem 0; } summary { cursor: pointer; }
body.wide { max-width: 76rem; }
@media print { body { max-width: none; font-size: 10pt; } .scroll { overflow: visible; }
               html { font-size: 11px; } h2, summary { break-after: avoid; } pre { white-space: pre-wrap; }
               table.broad, figure img { min-width: 0 !important; }
               figure, table, .warning, .verdict { break-inside: avoid; }
               details::details-content { content-visibility: visible; display: block; height: auto; } }
"""


def page(title: str, under: str, parts: list[str], wide: bool = False) -> str:
    """The whole document; `parts` are what the functions below return. `wide` is for broad tables."""
    return (
        f'<!DOCTYPE html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        f'<meta name="viewport" content="width=device-width, initial-scale=1">\n<title>{escape(title)}</title>\n'
        f"<style>{STYLE}</style>\n</head>\n<body{_wide(wide)}>\n<h1>{escape(title)}</h1>\n"
        f'<p class="under">{escape(under)}</p>\n' + "\n".join(parts) + "\n</body>\n</html>\n"
    )


def _wide(wide: bool) -> str:
    return ' class="wide"' if wide else ""


def heading(text: str) -> str:
    return f"<h2>{escape(text)}</h2>"


def paragraph(text: str) -> str:
    return f"<p>{escape(text)}</p>"


def warning(text: str) -> str:
    return f'<p class="warning">{escape(text)}</p>'


def verdict(text: str) -> str:
    return f'<p class="verdict">{escape(text)}</p>'


def table(head: list[str], rows: list[list[str]], broad: bool = False) -> str:
    """Cells that look like numbers are set flush right. A broad one is scrolled on a phone, not squeezed."""
    top = "".join(f"<th>{escape(name)}</th>" for name in head)
    body = "".join("<tr>" + "".join(_cell(cell) for cell in row) + "</tr>\n" for row in rows)
    kind = ' class="broad"' if broad else ""
    return f'<div class="scroll"><table{kind}>\n<tr>{top}</tr>\n{body}</table></div>'


class Markup(str):
    """Text that is HTML already."""


def link(text: str, target: str) -> Markup:
    return Markup(f'<a href="{escape(quote(target), quote=True)}">{escape(text)}</a>')


# '0.85', '3.0e-05 ± 2e-06', '45 %', '< 1e-6'; neither a date nor a hash
NUMBER = re.compile(r"[-−±<(]?\s*\d[\d.]*(e[-+]?\d+)?\)?(e[-+]?\d+)?(\s*[±%/].*)?$")


def _cell(text: str) -> str:
    if isinstance(text, Markup):
        return f"<td>{text}</td>"
    number = NUMBER.match(text)
    return f'<td class="number">{escape(text)}</td>' if number else f"<td>{escape(text)}</td>"


REM_PER_INCH, LEAST_PER_INCH, DOTS_PER_INCH = 10.0, 5.5, 300.0  # on a desk; legible; of the PNG files


def figure(path: Path, caption: str) -> str:
    """The PNG at `path`, embedded, all of them on one scale. On a phone a wide one is scrolled rather than shrunk."""
    image = path.read_bytes()
    inches = struct.unpack(">I", image[16:20])[0] / DOTS_PER_INCH
    size = f"width: min(100%, {REM_PER_INCH * inches:.1f}rem); min-width: {LEAST_PER_INCH * inches:.1f}rem"
    return (
        f'<figure><div class="scroll"><img alt="{escape(caption, quote=True)}" style="{size}" '
        f'src="data:image/png;base64,{base64.b64encode(image).decode("ascii")}"></div>'
        f"<figcaption>{escape(caption)}</figcaption></figure>"
    )


def folded(title: str, text: str) -> str:
    """Long text that opens on a click."""
    return f"<details><summary>{escape(title)}</summary>\n<pre>{escape(text)}</pre></details>"
