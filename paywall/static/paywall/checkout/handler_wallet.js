// A small wallet: its key is made here, and stays here, encrypted by a passkey (WebAuthn PRF) or a
// passphrase. It signs what a page's payment request asks for, within limits of its owner's.

const data = JSON.parse(document.getElementById("paywall-wallet").textContent);
const { getPublicKey, signAsync, utils, keccak_256 } = await import(data.noble);

const view = document.querySelector("[data-wallet]");
const status = document.querySelector("[role=status]");
const alert = document.querySelector("[role=alert]");
const text = (name, values = {}) =>
  data.texts[name].replace(/\{(\w+)\}/g, (all, key) => values[key] ?? all);

const bytes = (value) => new TextEncoder().encode(value);
const hex = (array) => [...array].map((byte) => byte.toString(16).padStart(2, "0")).join("");
const unhex = (value) =>
  Uint8Array.from(value.replace(/^0x/, "").match(/../g) ?? [], (pair) => parseInt(pair, 16));
const joined = (...arrays) => Uint8Array.from(arrays.flatMap((array) => [...array]));

// ------------------------------------------------------------------------------- Storage

function stored(mode, work) {
  return new Promise((resolve, reject) => {
    const opening = indexedDB.open("paywall-wallet", 1);
    opening.onupgradeneeded = () => opening.result.createObjectStore("wallet");
    opening.onerror = () => reject(opening.error);
    opening.onsuccess = () => {
      const transaction = opening.result.transaction("wallet", mode);
      const request = work(transaction.objectStore("wallet"));
      transaction.oncomplete = () => {
        opening.result.close();
        resolve(request.result);
      };
      transaction.onerror = () => reject(transaction.error);
    };
  });
}
const load = () => stored("readonly", (store) => store.get("own"));
const save = (wallet) => stored("readwrite", (store) => store.put(wallet, "own"));

// ----------------------------------------------------------------------------------- Key

const SALT = bytes("paywall wallet v1");
const ROUNDS = 600000; // PBKDF2-SHA-256, as OWASP has it

async function fromPasskey(credentialId) {
  const asked = {
    challenge: crypto.getRandomValues(new Uint8Array(32)),
    userVerification: "required",
    extensions: { prf: { eval: { first: SALT } } },
    allowCredentials: [{ type: "public-key", id: credentialId }],
  };
  const found = await navigator.credentials.get({ publicKey: asked });
  return aes(found.getClientExtensionResults().prf.results.first);
}

async function newPasskey() {
  const made = await navigator.credentials.create({
    publicKey: {
      rp: { name: document.title },
      user: {
        id: crypto.getRandomValues(new Uint8Array(16)),
        name: location.hostname,
        displayName: document.title,
      },
      challenge: crypto.getRandomValues(new Uint8Array(32)),
      pubKeyCredParams: [{ type: "public-key", alg: -7 }, { type: "public-key", alg: -257 }],
      authenticatorSelection: { residentKey: "preferred", userVerification: "required" },
      extensions: { prf: { eval: { first: SALT } } },
    },
  });
  const prf = made.getClientExtensionResults().prf;
  if (!prf?.enabled) throw new Error(text("no_prf"));
  const credentialId = new Uint8Array(made.rawId);
  return { credentialId, key: prf.results ? await aes(prf.results.first) : await fromPasskey(credentialId) };
}

async function aes(secret) {
  const base = await crypto.subtle.importKey("raw", secret, "HKDF", false, ["deriveKey"]);
  const by = { name: "HKDF", hash: "SHA-256", salt: SALT, info: bytes("key") };
  return crypto.subtle.deriveKey(by, base, { name: "AES-GCM", length: 256 }, false, ["encrypt", "decrypt"]);
}

async function fromPassphrase(passphrase, salt) {
  const base = await crypto.subtle.importKey("raw", bytes(passphrase), "PBKDF2", false, ["deriveKey"]);
  const by = { name: "PBKDF2", hash: "SHA-256", salt, iterations: ROUNDS };
  return crypto.subtle.deriveKey(by, base, { name: "AES-GCM", length: 256 }, false, ["encrypt", "decrypt"]);
}

async function make(passphrase) {
  const secret = utils.randomPrivateKey();
  const wallet = { address: addressOf(secret), iv: crypto.getRandomValues(new Uint8Array(12)) };
  let key;
  if (passphrase === null) {
    ({ credentialId: wallet.credentialId, key } = await newPasskey());
  } else {
    wallet.salt = crypto.getRandomValues(new Uint8Array(16));
    key = await fromPassphrase(passphrase, wallet.salt);
  }
  wallet.cipher = await crypto.subtle.encrypt({ name: "AES-GCM", iv: wallet.iv }, key, secret);
  wallet.limits = { site: "5.00", day: "10.00" };
  wallet.spent = [];
  secret.fill(0);
  await save(wallet);
  return wallet;
}

async function unlock(wallet, passphrase) {
  const key = wallet.credentialId
    ? await fromPasskey(wallet.credentialId)
    : await fromPassphrase(passphrase, wallet.salt);
  try {
    return new Uint8Array(await crypto.subtle.decrypt({ name: "AES-GCM", iv: wallet.iv }, key, wallet.cipher));
  } catch {
    throw new Error(text("wrong_passphrase"));
  }
}

// --------------------------------------------------------------------------------- EIP-712

const word = (value) => unhex(BigInt(value).toString(16).padStart(64, "0"));
const hashed = (value) => keccak_256(bytes(value));

function addressOf(secret) {
  const plain = hex(keccak_256(getPublicKey(secret, false).slice(1)).slice(-20));
  const sum = hex(keccak_256(bytes(plain)));
  return `0x${[...plain].map((c, at) => (parseInt(sum[at], 16) > 7 ? c.toUpperCase() : c)).join("")}`; // EIP-55
}

function digest(authorization, offer) {
  const domain = keccak_256(joined(
    hashed("EIP712Domain(string name,string version,uint256 chainId,address verifyingContract)"),
    hashed(offer.extra.name), hashed(offer.extra.version),
    word(offer.network.split(":")[1]), word(offer.asset),
  ));
  const struct = keccak_256(joined(
    hashed("TransferWithAuthorization(address from,address to,uint256 value,uint256 validAfter,uint256 validBefore,bytes32 nonce)"),
    word(authorization.from), word(authorization.to), word(authorization.value),
    word(authorization.validAfter), word(authorization.validBefore), unhex(authorization.nonce),
  ));
  return keccak_256(joined([0x19, 0x01], domain, struct));
}

async function signed(secret, address, offer, challenge) {
  const authorization = {
    from: address,
    to: offer.payTo,
    value: offer.amount,
    validAfter: String(challenge.now - 600),
    validBefore: String(challenge.now + offer.maxTimeoutSeconds - 5),
    nonce: `0x${hex(crypto.getRandomValues(new Uint8Array(32)))}`,
  };
  const found = await signAsync(digest(authorization, offer), secret);
  const signature = `0x${found.toCompactHex()}${(27 + found.recovery).toString(16)}`;
  return { x402Version: 2, resource: challenge.resource, accepted: offer, payload: { signature, authorization } };
}

// ---------------------------------------------------------------------------------- Money

const known = (offer) => data.accounts.find((one) => one.network === offer.network && one.asset === offer.asset);

function units(amount, decimals) {
  const digits = BigInt(amount).toString().padStart(decimals + 1, "0");
  const rest = digits.slice(digits.length - decimals).replace(/0+$/, "");
  return rest ? `${digits.slice(0, digits.length - decimals)}.${rest}` : digits.slice(0, digits.length - decimals);
}

// Millionths, so that nothing is added as a float.
function millionths(value) {
  const [whole, rest = ""] = String(value).split(".");
  return BigInt(whole || "0") * 1000000n + BigInt(rest.slice(0, 6).padEnd(6, "0"));
}

async function balance(account, address) {
  const asked = new URLSearchParams({ network: account.network, asset: account.asset, address });
  try {
    const found = await (await fetch(`${data.balance}?${asked}`)).json();
    return found.units === undefined || found.units === null ? null : BigInt(found.units);
  } catch {
    return null;
  }
}

const today = () => new Date().toISOString().slice(0, 10);

// What an offer takes, in its currency: what is signed, whatever the page says that it costs.
const cost = (offer) => ({ value: units(offer.amount, known(offer).decimals), currency: known(offer).currency });

// Whether it is what the browser's sheet showed.
function isAsShown(offer, { total }) {
  const { value, currency } = cost(offer);
  return currency === total.currency && millionths(value) === millionths(total.value);
}

// Why a payment is beyond the limits of the wallet's owner; "" if it is not.
function beyond(wallet, request, { value, currency }) {
  const amount = millionths(value);
  const mine = wallet.spent.filter((one) => one.day === today() && one.currency === currency);
  const sum = (list) => list.reduce((all, one) => all + millionths(one.value), 0n);
  const here = mine.filter((one) => one.origin === request.origin);
  if (sum(here) + amount > millionths(wallet.limits.site)) return text("limit_site", { limit: wallet.limits.site });
  if (sum(mine) + amount > millionths(wallet.limits.day)) return text("limit_day", { limit: wallet.limits.day });
  return "";
}

// ------------------------------------------------------------------------------------ View

function element(name, properties = {}, ...children) {
  const made = Object.assign(document.createElement(name), properties);
  made.append(...children);
  return made;
}

function button(name, action, quiet = false) {
  const made = element("button", {
    type: "button",
    className: quiet ? "paywall-button paywall-quiet" : "paywall-button",
    textContent: text(name),
  });
  made.dataset.walletAction = name;
  made.addEventListener("click", () => attempt(action));
  return made;
}

async function attempt(action) {
  alert.textContent = "";
  for (const one of view.querySelectorAll("button")) one.disabled = true;
  try {
    await action();
  } catch (error) {
    alert.textContent = error.name === "NotAllowedError" ? text("passkey_declined") : error.message;
  } finally {
    for (const one of view.querySelectorAll("button")) one.disabled = false;
  }
}

function field(label, properties) {
  const input = element("input", properties);
  return { input, label: element("label", {}, text(label), " ", input) };
}

async function hasPrf() {
  if (!globalThis.PublicKeyCredential?.getClientCapabilities) return false;
  const can = await PublicKeyCredential.getClientCapabilities();
  return Boolean(can["extension:prf"] ?? can.prf) && Boolean(can.userVerifyingPlatformAuthenticator ?? true);
}

async function setUp(request) {
  const passphrase = field("passphrase", { type: "password", autocomplete: "new-password", minLength: 10 });
  const create = async (secret) => show(await make(secret), request);
  const ways = [];
  if (await hasPrf()) ways.push(element("p", { className: "paywall-buttons" }, button("create_passkey", () => create(null))));
  ways.push(
    element("details", { open: !ways.length }, element("summary", { textContent: text("or_passphrase") }),
      element("p", {}, passphrase.label),
      element("p", { className: "paywall-buttons" }, button("create_passphrase", () => {
        if (passphrase.input.value.length < 10) throw new Error(text("short_passphrase"));
        return create(passphrase.input.value);
      }, true))),
  );
  view.replaceChildren(element("h2", { textContent: text("new_title") }), element("p", { textContent: text("new_text") }), ...ways);
}

// A place to type the passphrase, where one is needed.
function asking(wallet) {
  if (wallet.credentialId) return { read: () => null, nodes: [] };
  const passphrase = field("passphrase", { type: "password", autocomplete: "current-password" });
  return { read: () => passphrase.input.value, nodes: [element("p", {}, passphrase.label)] };
}

async function show(wallet, request) {
  const shown = [element("p", { className: "paywall-code", textContent: wallet.address })];
  if (request) shown.unshift(...payment(wallet, request));
  const accounts = request?.challenge
    ? data.accounts.filter((one) => request.challenge.accepts.some((offer) => known(offer) === one))
    : data.accounts;
  shown.push(...accounts.map((account) => topUp(wallet, account)), limits(wallet), exporting(wallet));
  view.replaceChildren(...shown);
}

function payment(wallet, request) {
  const offers = (request.challenge?.accepts ?? []).filter(
    (offer) => offer.scheme === "exact" && known(offer) && isAsShown(offer, request));
  const total = new Intl.NumberFormat(document.documentElement.lang || "en", {
    style: "currency", currency: request.total.currency, maximumFractionDigits: 6,
  }).format(request.total.value);
  const who = element("p", { textContent: text("asks", { origin: new URL(request.origin).host, what: request.label }) });
  const sum = element("p", { className: "paywall-amount" }, element("strong", { textContent: total }));
  if (!offers.length) return [who, element("p", { textContent: text("cannot_pay") }), decline()];
  const secret = asking(wallet);
  const pay = button("pay", async () => {
    const offer = await affordable(wallet, offers);
    const over = beyond(wallet, request, cost(offer));
    if (over) throw new Error(over);
    const key = await unlock(wallet, secret.read());
    const made = await signed(key, wallet.address, offer, request.challenge);
    key.fill(0);
    wallet.spent = [...wallet.spent.filter((one) => one.day === today()),
      { day: today(), origin: request.origin, ...cost(offer) }];
    await save(wallet);
    send({ kind: "signed", payment: made });
  });
  return [who, sum, ...secret.nodes, element("p", { className: "paywall-buttons" }, pay, decline())];
}

async function affordable(wallet, offers) {
  let poor = "";
  for (const offer of offers) {
    const account = known(offer);
    const has = await balance(account, wallet.address);
    if (has === null || has >= BigInt(offer.amount)) return offer;
    poor = text("poor", { has: units(has, account.decimals), needs: units(offer.amount, account.decimals), symbol: account.symbol });
  }
  throw new Error(poor);
}

function decline() {
  return button("decline", () => send({ kind: "declined" }), true);
}

function topUp(wallet, account) {
  const chain = account.network.split(":")[1];
  const uri = `ethereum:${account.asset}@${chain}/transfer?address=${wallet.address}`;
  const has = element("strong", { textContent: "…" });
  has.dataset.walletBalance = "";
  const look = async () => {
    const found = await balance(account, wallet.address);
    has.textContent = found === null ? "?" : `${units(found, account.decimals)} ${account.symbol}`;
  };
  look();
  const timer = setInterval(() => (has.isConnected ? look() : clearInterval(timer)), 4000);
  const code = element("img", { src: `${data.qr}?text=${encodeURIComponent(uri)}`, alt: text("qr"), className: "paywall-qr-image" });
  return element("section", { className: "paywall-way" },
    element("p", {}, `${text("balance")} `, has, ` · ${account.title}`, account.testnet ? ` (${text("testnet")})` : ""),
    element("details", {}, element("summary", { textContent: text("top_up") }), element("p", { textContent: text("top_up_text") }), code));
}

function limits(wallet) {
  const site = field("limit_site_label", { inputMode: "decimal", value: wallet.limits.site, size: 8 });
  const day = field("limit_day_label", { inputMode: "decimal", value: wallet.limits.day, size: 8 });
  return element("details", { className: "paywall-small" }, element("summary", { textContent: text("limits") }),
    element("p", {}, site.label), element("p", {}, day.label),
    element("p", { className: "paywall-buttons" }, button("save", async () => {
      for (const { input } of [site, day]) if (!/^\d{1,7}(\.\d{1,6})?$/.test(input.value)) throw new Error(text("no_amount"));
      wallet.limits = { site: site.input.value, day: day.input.value };
      await save(wallet);
      status.textContent = text("saved");
    }, true)));
}

function exporting(wallet) {
  const secret = asking(wallet);
  const place = element("p", { className: "paywall-code" });
  return element("details", { className: "paywall-small" }, element("summary", { textContent: text("export") }),
    element("p", { textContent: text("export_text") }), ...secret.nodes,
    element("p", { className: "paywall-buttons" }, button("show_key", async () => {
      const key = await unlock(wallet, secret.read());
      place.textContent = `0x${hex(key)}`;
      key.fill(0);
    }, true)), place);
}

// ------------------------------------------------------------------------------ The worker

async function registration() {
  return (await navigator.serviceWorker.getRegistration(data.scope))
    ?? navigator.serviceWorker.register(data.worker, { scope: data.scope });
}

async function send(message) {
  const own = await registration();
  (own.active ?? navigator.serviceWorker.controller).postMessage(message);
}

// What a page asks to be paid, if one does; null where the wallet was opened by itself.
async function asked() {
  const own = await registration();
  if (!own.active) return null;
  return new Promise((resolve) => {
    const timer = setTimeout(() => resolve(null), 1500);
    navigator.serviceWorker.addEventListener("message", (event) => {
      clearTimeout(timer);
      resolve(event.data.request);
    }, { once: true });
    navigator.serviceWorker.startMessages();
    own.active.postMessage({ kind: "ready" });
  });
}

const request = await asked();
const wallet = await load();
if (wallet) await show(wallet, request);
else await setUp(request);
document.documentElement.dataset.walletReady = "";
