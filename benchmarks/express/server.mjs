// The same two routes under the official Express middleware, as its own documentation has it.
import express from "express";
import { HTTPFacilitatorClient } from "@x402/core/server";
import { ExactEvmScheme } from "@x402/evm/exact/server";
import { paymentMiddleware, x402ResourceServer } from "@x402/express";

const app = express();
const facilitator = new HTTPFacilitatorClient({ url: process.env.PAYWALL_FACILITATOR_URL });
const server = new x402ResourceServer(facilitator).register("eip155:84532", new ExactEvmScheme());

app.use(
  paymentMiddleware(
    {
      "GET /api/forecast": {
        accepts: {
          scheme: "exact",
          price: "$0.01",
          network: "eip155:84532",
          payTo: process.env.PAYWALL_PAY_TO,
        },
        description: "A forecast for any city, for the price of looking up.",
        mimeType: "application/json",
      },
    },
    server,
  ),
);
app.get("/api/hello/", (request, response) => response.json({ hello: "world" }));
app.get("/api/forecast/", (request, response) =>
  response.json({ city: "Lisbon", sky: "clear", high: 20, low: 10 }),
);
app.listen(Number(process.env.PORT), "127.0.0.1");
