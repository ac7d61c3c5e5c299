// node buy.mjs v1|v2 METHOD URL: buys with the key in BUYER_KEY and prints what came back.
import { ExactEvmScheme } from "@x402/evm";
import { wrapFetchWithPaymentFromConfig } from "@x402/fetch";
import { createWalletClient, http } from "viem";
import { privateKeyToAccount } from "viem/accounts";
import { baseSepolia } from "viem/chains";
import { wrapFetchWithPayment as wrapLegacyFetch } from "x402-fetch";

const [version, method, url] = process.argv.slice(2);
const account = privateKeyToAccount(process.env.BUYER_KEY);
const pay =
  version === "v1"
    ? wrapLegacyFetch(
        fetch,
        createWalletClient({ account, transport: http(), chain: baseSepolia }),
        BigInt(10_000_000),
      )
    : wrapFetchWithPaymentFromConfig(fetch, {
        schemes: [{ network: "eip155:84532", client: new ExactEvmScheme(account) }],
      });
const response = await pay(url, { method });
console.log(
  JSON.stringify({
    status: response.status,
    headers: Object.fromEntries(response.headers),
    body: await response.text(),
  }),
);
