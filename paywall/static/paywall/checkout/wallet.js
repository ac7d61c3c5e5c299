// Wallets that the browser has (EIP-6963, EIP-1193): signs exactly the authorization that is offered.

const SOON = 8; // seconds before an authorization ends at which it is not sent any more
const TYPES = {
  EIP712Domain: [
    { name: "name", type: "string" },
    { name: "version", type: "string" },
    { name: "chainId", type: "uint256" },
    { name: "verifyingContract", type: "address" },
  ],
  TransferWithAuthorization: [
    { name: "from", type: "address" },
    { name: "to", type: "address" },
    { name: "value", type: "uint256" },
    { name: "validAfter", type: "uint256" },
    { name: "validBefore", type: "uint256" },
    { name: "nonce", type: "bytes32" },
  ],
};

export default function wallet(section, checkout, data) {
  const found = new Map();
  addEventListener("eip6963:announceProvider", ({ detail }) => found.set(detail.info.uuid, detail));
  dispatchEvent(new Event("eip6963:requestProvider"));
  const choice = section.querySelector("[data-paywall-offer]");
  const picker = section.querySelector("[data-paywall-picker]");
  section.hidden = false;
  section.querySelector("[data-paywall-pay]").addEventListener("click", () => {
    checkout.run(async () => {
      const chosen = data.choices[choice ? Number(choice.value) : 0];
      await pay(await pick(), chosen);
    });
  });

  section.querySelector("[data-paywall-sign-in]")?.addEventListener("click", () => {
    checkout.run(async () => signIn(await pick()));
  });

  // Whoever has paid with this wallet proves that it is theirs (Sign-In-With-X), and is let in.
  async function signIn(provider) {
    checkout.progress("connecting");
    const [address] = await ask(provider, "eth_requestAccounts");
    const challenge = await checkout.challenge();
    if (challenge === null) return location.reload();
    const info = challenge.extensions["sign-in-with-x"].info;
    const { chainId, type } = challenge.extensions["sign-in-with-x"].supportedChains[0];
    checkout.progress("signing");
    const text = message(info, address, chainId.split(":")[1]);
    const hex = [...new TextEncoder().encode(text)].map((byte) => byte.toString(16).padStart(2, "0"));
    const signature = await ask(provider, "personal_sign", [`0x${hex.join("")}`, address]);
    await checkout.prove({ ...info, address, chainId, type, signature });
  }

  // The browser's wallet; of several, the one that its owner picks.
  async function pick() {
    dispatchEvent(new Event("eip6963:requestProvider"));
    const wallets = [...found.values()];
    if (!wallets.length && globalThis.ethereum) return globalThis.ethereum;
    if (!wallets.length) throw new checkout.Refusal(checkout.text("no_wallet"), { code: "no_wallet" });
    if (wallets.length === 1) return wallets[0].provider;
    return new Promise((resolve) => {
      const question = document.createElement("p");
      question.textContent = checkout.text("which");
      picker.replaceChildren(question, ...wallets.map(({ info, provider }) => {
        const button = document.createElement("button");
        button.type = "button";
        button.className = "paywall-button paywall-quiet";
        button.dataset.paywallWallet = info.rdns;
        if (/^data:image\//.test(info.icon)) {
          const icon = document.createElement("img");
          icon.src = info.icon;
          icon.alt = "";
          button.append(icon);
        }
        button.append(info.name);
        button.addEventListener("click", () => {
          picker.hidden = true;
          resolve(provider);
        });
        return button;
      }));
      picker.hidden = false;
      picker.querySelector("button").focus();
    });
  }

  async function pay(provider, chosen) {
    checkout.progress("connecting");
    const [account] = await ask(provider, "eth_requestAccounts");
    if (!account) throw new checkout.Refusal(checkout.text("rejected"), { code: "rejected" });
    for (let offered = false; ; offered = true) {
      const challenge = await checkout.challenge();
      if (challenge === null) return location.reload();
      const offer = challenge.accepts.find((one) => takes(one, chosen));
      if (!offer) throw new checkout.Refusal(checkout.text("not_sold"));
      await onChain(provider, chosen);
      await enough(provider, account, offer, chosen);
      checkout.progress(offered ? "again" : "confirm");
      const authorization = authorize(account, offer, checkout.now());
      const signature = await sign(provider, account, authorization, offer, chosen);
      if (checkout.now() > Number(authorization.validBefore) - SOON) continue; // too late: a fresh offer
      checkout.progress("paying");
      const payload = { signature, authorization };
      const payment = { x402Version: 2, resource: challenge.resource, accepted: offer, payload };
      try {
        return await checkout.present(payment);
      } catch (error) {
        if (!EXPIRED.has(error.code)) throw error;
      }
    }
  }

  async function onChain(provider, { chain }) {
    const is = async () => Number(await ask(provider, "eth_chainId")) === Number(chain.chainId);
    if (await is()) return;
    checkout.progress("switching", { network: chain.chainName });
    const stayed = new checkout.Refusal(checkout.text("wrong_chain", { network: chain.chainName }), {
      code: "wrong_chain",
    });
    try {
      await provider.request({ method: "wallet_switchEthereumChain", params: [{ chainId: chain.chainId }] });
    } catch (error) {
      const unknown = error?.code === 4902 || error?.data?.originalError?.code === 4902;
      if (!unknown || !chain.rpcUrls.length) throw stayed;
      try {
        await provider.request({ method: "wallet_addEthereumChain", params: [chain] });
      } catch {
        throw stayed;
      }
    }
    if (!(await is())) throw stayed;
  }

  // What the account has is shown before it is asked to sign.
  async function enough(provider, account, offer, chosen) {
    const data = `0x70a08231${account.slice(2).toLowerCase().padStart(64, "0")}`; // balanceOf(address)
    let has;
    try {
      has = BigInt(await provider.request({ method: "eth_call", params: [{ to: offer.asset, data }, "latest"] }));
    } catch {
      return; // a wallet that cannot look it up: whoever settles will
    }
    if (has >= BigInt(offer.amount)) return;
    const text = checkout.text("poor", {
      has: units(has, chosen.decimals),
      needs: units(BigInt(offer.amount), chosen.decimals),
      symbol: chosen.symbol,
      network: chosen.chain.chainName,
    });
    throw new checkout.Refusal(text, { code: "poor" });
  }

  function sign(provider, account, message, offer, { chain }) {
    const domain = {
      name: offer.extra.name,
      version: offer.extra.version,
      chainId: Number(chain.chainId),
      verifyingContract: offer.asset,
    };
    const typed = { types: TYPES, primaryType: "TransferWithAuthorization", domain, message };
    return ask(provider, "eth_signTypedData_v4", [account, JSON.stringify(typed)]);
  }

  async function ask(provider, method, params = []) {
    try {
      return await provider.request({ method, params });
    } catch (error) {
      if (error?.code === 4001) throw new checkout.Refusal(checkout.text("rejected"), { code: "rejected" });
      if (error?.code === -32002) throw new checkout.Refusal(checkout.text("busy"), { code: "busy" });
      const reason = error?.message || String(error);
      throw new checkout.Refusal(checkout.text("wallet_failed", { reason }), { code: "wallet_failed" });
    }
  }
}

// The text that is signed (EIP-4361).
function message(info, address, chain) {
  const lines = [
    `${info.domain} wants you to sign in with your Ethereum account:`,
    address,
    "",
    "",
    `URI: ${info.uri}`,
    `Version: ${info.version}`,
    `Chain ID: ${chain}`,
    `Nonce: ${info.nonce}`,
    `Issued At: ${info.issuedAt}`,
    `Expiration Time: ${info.expirationTime}`,
    "Resources:",
    ...info.resources.map((url) => `- ${url}`),
  ];
  return lines.join("\n");
}

const EXPIRED = new Set([
  "invalid_exact_evm_payload_authorization_valid_before",
  "invalid_payment_requirements",
]);

function takes(offer, chosen) {
  return (
    offer.scheme === "exact" &&
    offer.network === chosen.network &&
    offer.asset.toLowerCase() === chosen.asset.toLowerCase() &&
    offer.payTo.toLowerCase() === chosen.payTo.toLowerCase()
  );
}

function authorize(from, offer, now) {
  const nonce = [...crypto.getRandomValues(new Uint8Array(32))];
  return {
    from,
    to: offer.payTo,
    value: offer.amount,
    validAfter: String(now - 600),
    validBefore: String(now + offer.maxTimeoutSeconds - 5),
    nonce: `0x${nonce.map((byte) => byte.toString(16).padStart(2, "0")).join("")}`,
  };
}

function units(amount, decimals) {
  const digits = amount.toString().padStart(decimals + 1, "0");
  const whole = digits.slice(0, digits.length - decimals);
  const rest = digits.slice(digits.length - decimals).replace(/0+$/, "");
  return rest ? `${whole}.${rest}` : whole;
}
