// node buy_mpp.mjs METHOD URL: mppx's own client buys with the key in BUYER_KEY and prints what came back.
import { Mppx, evm } from "mppx/client";
import { privateKeyToAccount } from "viem/accounts";

const [method, url] = process.argv.slice(2);
const client = Mppx.create({
  polyfill: false,
  methods: [
    evm.charge({
      account: privateKeyToAccount(process.env.BUYER_KEY),
      maxAtomicAmount: "1000000",
      networks: [84532],
      currencies: ["0x036CbD53842c5426634e7929541eC2318f3dCF7e"],
      authorization: { name: "USDC", version: "2" },
    }),
  ],
});
const response = await client.fetch(url, { method });
console.log(
  JSON.stringify({
    status: response.status,
    headers: Object.fromEntries(response.headers),
    body: await response.text(),
  }),
);
