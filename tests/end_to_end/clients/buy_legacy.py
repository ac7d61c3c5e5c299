"""python buy_legacy.py GET URL: buys with x402 0.3.0, in an environment of its own."""

import json
import os
import sys

from eth_account import Account
from x402.clients.requests import x402_requests

session = x402_requests(Account.from_key(os.environ["BUYER_KEY"]), max_value=10_000_000)
response = session.request(*sys.argv[1:])
print(
    json.dumps(
        {
            "status": response.status_code,
            "headers": {name.lower(): value for name, value in response.headers.items()},
            "body": response.text,
        }
    )
)
