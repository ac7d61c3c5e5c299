"""The official x402 facilitator behind its three HTTP routes.

python -m site_demo.chain.facilitator --port 4021 --rpc-url http://127.0.0.1:8545 --key 0x...
"""

from __future__ import annotations

import argparse
import json
import os
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from x402 import x402FacilitatorSync
from x402.extensions.eip2612_gas_sponsoring import EIP2612_GAS_SPONSORING
from x402.mechanisms.evm import FacilitatorWeb3Signer
from x402.mechanisms.evm.exact import register_exact_evm_facilitator
from x402.mechanisms.evm.upto import UptoEvmFacilitatorScheme
from x402.schemas import (
    PaymentPayload,
    PaymentPayloadV1,
    PaymentRequirements,
    PaymentRequirementsV1,
)


class Handler(BaseHTTPRequestHandler):
    """POST /verify, POST /settle, GET /supported."""

    protocol_version = "HTTP/1.1"
    wbufsize = -1  # headers and body in one packet: in two, the second waits for 40 ms
    facilitator: x402FacilitatorSync

    def do_GET(self) -> None:
        if self.path != "/supported":
            self._answer(404, {"error": "not found"})
            return
        self._answer(200, _dump(self.facilitator.get_supported()))

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        actions = {"/verify": self.facilitator.verify, "/settle": self.facilitator.settle}
        action: Any = actions.get(self.path)
        if action is None:
            self._answer(404, {"error": "not found"})
            return
        payload_model, requirements_model = (
            (PaymentPayloadV1, PaymentRequirementsV1)
            if body["x402Version"] == 1
            else (PaymentPayload, PaymentRequirements)
        )
        result = action(
            payload_model.model_validate(body["paymentPayload"]),
            requirements_model.model_validate(body["paymentRequirements"]),
        )
        self._answer(200, _dump(result))

    def log_message(self, *_: Any) -> None:
        """Say nothing: the one who started us does the talking."""

    def _answer(self, status: int, body: Any) -> None:
        data = json.dumps(body).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)


def serve(port: int, rpc_url: str, key: str, networks: list[str]) -> None:
    facilitator = x402FacilitatorSync()
    signer = FacilitatorWeb3Signer(private_key=key, rpc_url=rpc_url)
    register_exact_evm_facilitator(facilitator, signer, networks=networks)
    facilitator.register(networks, UptoEvmFacilitatorScheme(signer))
    facilitator.register_extension(EIP2612_GAS_SPONSORING)
    handler = type("BoundHandler", (Handler,), {"facilitator": facilitator})
    ThreadingHTTPServer(("127.0.0.1", port), handler).serve_forever()


def _dump(model: Any) -> Any:
    return model.model_dump(by_alias=True, exclude_none=True)


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--rpc-url", required=True)
    parser.add_argument("--key", default=os.environ.get("FACILITATOR_KEY"))
    parser.add_argument("--network", default="eip155:84532")
    options = parser.parse_args()
    serve(options.port, options.rpc_url, options.key, [options.network])


if __name__ == "__main__":
    main()
