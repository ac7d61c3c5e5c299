"""buy_mpp.py METHOD URL: pympp's own client buys, with the key in BUYER_KEY."""

import asyncio
import json
import os
import sys

from eth_account import Account
from mpp.client import Mpp
from mpp.methods.evm import BASE_SEPOLIA_USDC
from mpp.methods.evm import client as evm


async def main() -> None:
    method, url = sys.argv[1:]
    account = Account.from_key(os.environ["BUYER_KEY"])
    charge = evm.charge(currency=BASE_SEPOLIA_USDC, account=account, max_amount="1")
    async with Mpp(methods=[charge]) as client:
        response = await client.fetch(url, method=method)
    answer = {
        "status": response.status_code,
        "headers": dict(response.headers),
        "body": response.text,
    }
    print(json.dumps(answer))


asyncio.run(main())
