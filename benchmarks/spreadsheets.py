"""An export as XLSX: our writer beside xlsxwriter in constant memory, each in a process of its own.

python -m benchmarks.spreadsheets [rows]
"""

from __future__ import annotations

import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

from benchmarks.tables import table

AT = datetime(2026, 1, 1, tzinfo=UTC)


def rows(number: int) -> Iterator[list[Any]]:
    """As the export of receipts has them."""
    for n in range(number):
        yield [
            *(n, f"id{n}", AT, AT, f"Title {n % 500}", f"https://shop.example/{n % 500}/"),
            *(Decimal("0.01"), "USD", Decimal("0.01"), "USDC", Decimal(0), "Base"),
            *("0x" + "ab" * 20, f"0x{n:064x}", 20_000_000 + n, None, "confirmed", "after", None),
        ]


def ours(number: int) -> int:
    from paywall.dashboard.spreadsheets import as_xlsx

    return sum(len(part) for part in as_xlsx(["column"] * 19, rows(number)))


def xlsxwriters(number: int) -> int:
    import xlsxwriter

    with tempfile.TemporaryFile() as file:
        options = {"constant_memory": True, "remove_timezone": True, "use_zip64": True}
        book = xlsxwriter.Workbook(file, options)
        time_format = book.add_format({"num_format": "yyyy-mm-dd hh:mm:ss"})
        sheet = book.add_worksheet()
        for at, row in enumerate(rows(number), 1):
            for column, value in enumerate(row):
                if isinstance(value, str):
                    sheet.write_string(at, column, value)
                elif isinstance(value, datetime):
                    sheet.write_datetime(at, column, value, time_format)
                elif value is not None:
                    sheet.write_number(at, column, value)
        book.close()
        return file.tell()


WRITERS = {"ours": ours, "xlsxwriter": xlsxwriters}


def one(name: str, number: int) -> None:
    start = time.perf_counter()
    size = WRITERS[name](number)
    took = time.perf_counter() - start
    memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024
    print(f"{took:.2f} s\t{size / 1e6:.1f} MB\t{memory} MB")


def main() -> None:
    if len(sys.argv) == 3:
        one(sys.argv[1], int(sys.argv[2]))
        return
    number = int(sys.argv[1]) if len(sys.argv) > 1 else 100_000
    found = []
    for name in WRITERS:
        command = [sys.executable, "-m", "benchmarks.spreadsheets", name, str(number)]
        told = subprocess.run(command, check=True, capture_output=True, text=True).stdout
        found.append([name, f"{number:,}", *told.strip().split("\t")])
    table(["writer", "rows", "time", "size", "most memory"], *found)


if __name__ == "__main__":
    main()
