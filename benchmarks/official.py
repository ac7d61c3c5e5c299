"""The same two routes under the official Flask middleware, as its own documentation has it."""

from __future__ import annotations

import os

from flask import Flask, jsonify
from x402 import x402ResourceServerSync
from x402.http import FacilitatorConfig, HTTPFacilitatorClientSync, PaymentOption, RouteConfig
from x402.http.middleware.flask import payment_middleware
from x402.mechanisms.evm.exact import register_exact_evm_server

app = Flask(__name__)


@app.get("/api/hello/")
def hello():
    return jsonify({"hello": "world"})


@app.get("/api/forecast/")
def forecast():
    return jsonify({"city": "Lisbon", "sky": "clear", "high": 20, "low": 10})


_server = x402ResourceServerSync(
    HTTPFacilitatorClientSync(FacilitatorConfig(url=os.environ["PAYWALL_FACILITATOR_URL"]))
)
register_exact_evm_server(_server)
payment_middleware(
    app,
    {
        "GET /api/forecast": RouteConfig(
            accepts=[
                PaymentOption(
                    scheme="exact",
                    price="$0.01",
                    network="eip155:84532",
                    pay_to=os.environ["PAYWALL_PAY_TO"],
                )
            ],
            description="A forecast for any city, for the price of looking up.",
            mime_type="application/json",
        )
    },
    _server,
)
