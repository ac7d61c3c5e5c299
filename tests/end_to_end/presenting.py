"""Present one payment from many threads at once; a process of its own for `test_crashes`.

python -m tests.end_to_end.presenting THREADS URL HEADER
"""

from __future__ import annotations

import json
import sys
from concurrent.futures import ThreadPoolExecutor

import requests

Answer = tuple[int, str]
"""Status, and the code of a refusal."""


def present(url: str, header: str) -> Answer:
    response = requests.get(url, headers={"PAYMENT-SIGNATURE": header}, timeout=60)
    return response.status_code, "" if response.ok else response.json()["code"]


if __name__ == "__main__":
    number, to, payment = int(sys.argv[1]), sys.argv[2], sys.argv[3]
    with ThreadPoolExecutor(number) as pool:
        print(json.dumps(list(pool.map(lambda _: present(to, payment), range(number)))))
