"""Tables as CSV and XLSX: memory does not grow with the rows.

xlsxwriter in constant memory is as flat, and takes several times as long (see
`benchmarks/spreadsheets.py`);
the format's part that a plain table needs (ECMA-376, inline strings) is small.
"""

from __future__ import annotations

import csv
import io
import re
import tempfile
import zipfile
from collections.abc import Iterable, Iterator, Sequence
from datetime import datetime
from decimal import Decimal
from itertools import islice
from typing import IO, Any
from xml.sax.saxutils import escape

Row = Sequence[Any]
"""Of None, strings, numbers and times with a zone."""

CHUNK = 500
SHEET_ROWS = 1_048_576
"""More do not fit into one sheet: the rest goes into another."""

MOST_IN_A_CELL = 32_767
PART = 64 * 1024

_NOT_IN_XML = re.compile("[^\t\n\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
"""What XML 1.0 has no way to write."""

_FORMULA = ("=", "+", "-", "@", "\t", "\r")


def as_csv(header: Row, rows: Iterable[Row]) -> Iterator[bytes]:
    """With a byte-order mark, so that spreadsheet programs read it as UTF-8. The last line says how
    many rows there are: a file without it is not whole."""
    yield b"\xef\xbb\xbf"
    yield _lines([header])
    rows, number = iter(rows), 0
    while some := list(islice(rows, CHUNK)):
        number += len(some)
        yield _lines(some)
    yield _lines([[f"# {number} rows"]])


def _lines(rows: Iterable[Row]) -> bytes:
    text = io.StringIO()
    csv.writer(text).writerows([_plain(value) for value in row] for row in rows)
    return text.getvalue().encode()


def _plain(value: Any) -> Any:
    match value:
        case None:
            return ""
        case datetime():
            return value.isoformat(" ", "seconds")
        case Decimal():
            return f"{value:f}"
        case str():
            return as_text(value)
    return value


def as_text(value: str) -> str:
    """A cell that a spreadsheet program would run as a formula, as one that it shows."""
    return f"'{value}" if value.lstrip(" ").startswith(_FORMULA) else value


def as_xlsx(header: Row, rows: Iterable[Row]) -> Iterator[bytes]:
    """A workbook with as many sheets as it takes: first written to a file, then sent, so that there
    is no half of one."""
    with tempfile.TemporaryFile(prefix="paywall-") as file:
        _write_xlsx(file, header, iter(rows))
        file.seek(0)
        while part := file.read(PART):
            yield part


def _write_xlsx(file: IO[bytes], header: Row, rows: Iterator[Row]) -> None:
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as book:
        sheets = 0
        pending: list[Row] = list(islice(rows, 1))
        while pending or not sheets:
            sheets += 1
            with book.open(f"xl/worksheets/sheet{sheets}.xml", "w", force_zip64=True) as sheet:
                sheet.write(_SHEET_HEAD + _row(header, style=1))
                left = SHEET_ROWS - 1
                while left and (some := pending or list(islice(rows, min(CHUNK, left)))):
                    pending = []
                    left -= len(some)
                    sheet.write(b"".join(map(_row, some)))
                sheet.write(b"</sheetData></worksheet>")
            pending = list(islice(rows, 1))
        for name, content in _rest(sheets).items():
            book.writestr(name, content)


def _row(row: Row, style: int = 0) -> bytes:
    cells = "".join(_cell(value, style) for value in row)
    return f"<row>{cells}</row>".encode()


_EPOCH = datetime(1899, 12, 30)  # noqa: DTZ001 - spreadsheets know no time zones


def _cell(value: Any, style: int) -> str:
    match value:
        case None | "":
            return "<c/>"
        case datetime():
            days = (value.replace(tzinfo=None) - _EPOCH).total_seconds() / 86400
            return f'<c s="2"><v>{days:.6f}</v></c>'
        case int() | Decimal():
            return (
                f"<c><v>{value:f}</v></c>"
                if isinstance(value, Decimal)
                else f"<c><v>{value}</v></c>"
            )
    text = escape(_NOT_IN_XML.sub("", str(value))[:MOST_IN_A_CELL])
    return f'<c s="{style}" t="inlineStr"><is><t xml:space="preserve">{text}</t></is></c>'


_MAIN = "http://schemas.openxmlformats.org/spreadsheetml/2006/main"
_OFFICE = "http://schemas.openxmlformats.org/officeDocument/2006/relationships"
_PACKAGE = "http://schemas.openxmlformats.org/package/2006"
_TYPE = "application/vnd.openxmlformats-officedocument.spreadsheetml"
_XML = '<?xml version="1.0" encoding="UTF-8" standalone="yes"?>'
_SHEET_HEAD = f'{_XML}<worksheet xmlns="{_MAIN}"><sheetData>'.encode()


def _rest(sheets: int) -> dict[str, str]:
    """All parts of a workbook but its sheets."""
    numbers = range(1, sheets + 1)
    overrides = "".join(
        f'<Override PartName="/xl/worksheets/sheet{n}.xml" ContentType="{_TYPE}.worksheet+xml"/>'
        for n in numbers
    )
    listed = "".join(f'<sheet name="Sheet {n}" sheetId="{n}" r:id="rId{n}"/>' for n in numbers)
    targets = "".join(
        f'<Relationship Id="rId{n}" Type="{_OFFICE}/worksheet" Target="worksheets/sheet{n}.xml"/>'
        for n in numbers
    )
    return {
        "[Content_Types].xml": (
            f'{_XML}<Types xmlns="{_PACKAGE}/content-types">'
            '<Default Extension="rels" '
            'ContentType="application/vnd.openxmlformats-package.relationships+xml"/>'
            f'<Override PartName="/xl/workbook.xml" ContentType="{_TYPE}.sheet.main+xml"/>'
            f'<Override PartName="/xl/styles.xml" ContentType="{_TYPE}.styles+xml"/>'
            f"{overrides}</Types>"
        ),
        "_rels/.rels": (
            f'{_XML}<Relationships xmlns="{_PACKAGE}/relationships">'
            f'<Relationship Id="rId1" Type="{_OFFICE}/officeDocument" Target="xl/workbook.xml"/>'
            "</Relationships>"
        ),
        "xl/workbook.xml": (
            f'{_XML}<workbook xmlns="{_MAIN}" xmlns:r="{_OFFICE}">'
            f"<sheets>{listed}</sheets></workbook>"
        ),
        "xl/_rels/workbook.xml.rels": (
            f'{_XML}<Relationships xmlns="{_PACKAGE}/relationships">{targets}'
            f'<Relationship Id="rId{sheets + 1}" Type="{_OFFICE}/styles" Target="styles.xml"/>'
            "</Relationships>"
        ),
        # 0: plain; 1: bold; 2: a time
        "xl/styles.xml": (
            f'{_XML}<styleSheet xmlns="{_MAIN}">'
            '<numFmts count="1"><numFmt numFmtId="164" formatCode="yyyy\\-mm\\-dd hh:mm:ss"/>'
            "</numFmts>"
            "<fonts><font/><font><b/></font></fonts>"
            '<fills><fill><patternFill patternType="none"/></fill>'
            '<fill><patternFill patternType="gray125"/></fill></fills><borders><border/></borders>'
            "<cellStyleXfs><xf/></cellStyleXfs>"
            '<cellXfs><xf/><xf fontId="1" applyFont="1"/>'
            '<xf numFmtId="164" applyNumberFormat="1"/></cellXfs>'
            '<cellStyles count="1"><cellStyle name="Normal" xfId="0" builtinId="0"/></cellStyles>'
            "</styleSheet>"
        ),
    }
