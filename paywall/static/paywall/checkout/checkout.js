// The page that a person pays on. Each way to pay is a <section data-paywall-way> that may name an
// ES module of its own in data-paywall-script; its default export gets the section and a Checkout.
// Hooks for owners' scripts and tests: docs/readers.md.

const KEPT_FOR = 60 * 60 * 1000; // a signed payment that nobody answered for is kept so long (ms)

export class Refusal extends Error {
  // Why the buyer did not pay: a sentence for people, and where there is one a button to go on.
  constructor(text, { code = "", retry = null, receipt = null } = {}) {
    super(text);
    this.code = code;
    this.retry = retry;
    this.receipt = receipt;
  }
}

class Checkout {
  constructor(root, data, nonce) {
    this.root = root;
    this.data = data;
    this.nonce = nonce;
    this.status = root.querySelector("[data-paywall-status]");
    this.alert = root.querySelector("[data-paywall-alert]");
    this.Refusal = Refusal;
  }

  // A sentence of the reader's language, with what is in braces filled in.
  text(name, values = {}) {
    return this.data.texts[name].replace(/\{(\w+)\}/g, (all, key) => values[key] ?? all);
  }

  progress(name, values) {
    this.alert.replaceChildren();
    this.status.textContent = name ? this.text(name, values) : "";
  }

  refuse(refusal) {
    this.status.textContent = "";
    const told = document.createElement("p");
    told.textContent = refusal.message;
    if (refusal.receipt) told.append(" ", this.receiptLink(refusal.receipt));
    this.alert.replaceChildren(told);
    if (refusal.retry) {
      const button = document.createElement("button");
      button.type = "button";
      button.className = "paywall-button paywall-quiet";
      button.textContent = this.text("try_again");
      button.addEventListener("click", () => this.run(refusal.retry));
      this.alert.append(button);
    }
  }

  // Run one attempt to pay: one at a time, and whatever it ends with is told.
  async run(attempt) {
    if (this.busy) return;
    this.busy = true;
    this.root.toggleAttribute("data-paywall-busy", true);
    for (const button of this.buttons()) button.disabled = true;
    this.progress("");
    try {
      await attempt();
    } catch (error) {
      const known = error instanceof Refusal;
      if (!known) console.error(error);
      this.refuse(known ? error : new Refusal(this.text("wallet_failed", { reason: error.message })));
    } finally {
      this.busy = false;
      this.root.toggleAttribute("data-paywall-busy", false);
      for (const button of this.buttons()) button.disabled = false;
    }
  }

  // Unix seconds by the site's clock: the device's may be wrong.
  now() {
    return Math.floor((Date.now() + (this.skew ?? 0)) / 1000);
  }

  buttons() {
    return this.root.querySelectorAll("button");
  }

  // What is offered now, without taking anything up: null if the page is open to this browser.
  async challenge() {
    const response = await fetch(this.data.url, { method: "HEAD", cache: "no-store" });
    const header = response.headers.get("PAYMENT-REQUIRED");
    this.skew = Date.parse(response.headers.get("Date")) - Date.now() || 0;
    if (response.status === 402 && header) return decode(header);
    if (response.ok) return null;
    throw new Refusal(this.text("unavailable"));
  }

  // Have the cookie by which this browser can come back, whatever becomes of the payment.
  async begin() {
    if (!this.data.begin) return;
    try {
      await fetch(this.data.begin, { method: "POST" });
    } catch {
      // The payment does not depend on it.
    }
  }

  // Present a signed x402 payment until its outcome is known: always the same, never a new one.
  async present(payment) {
    const header = encode(payment);
    this.keep(header);
    await this.begin();
    await this.deliver(header);
  }

  get key() {
    return `paywall ${this.data.url}`;
  }

  keep(header) {
    try {
      sessionStorage.setItem(this.key, JSON.stringify({ header, at: Date.now() }));
    } catch {
      // No storage: then it does not survive a reload, and all else works.
    }
  }

  kept() {
    try {
      const found = JSON.parse(sessionStorage.getItem(this.key));
      return found && Date.now() - found.at < KEPT_FOR ? found.header : null;
    } catch {
      return null;
    }
  }

  forget() {
    try {
      sessionStorage.removeItem(this.key);
    } catch {
      // Nothing was kept.
    }
  }

  async deliver(header) {
    for (let tries = 0; ; tries++) {
      let response;
      try {
        response = await fetch(this.data.url, {
          headers: { "PAYMENT-SIGNATURE": header, Accept: "text/html,*/*;q=0.8" },
          cache: "no-store",
        });
      } catch {
        this.progress("offline");
        await pause(Math.min(15, 2 ** tries), "online");
        continue;
      }
      const outcome = decode(response.headers.get("PAYMENT-RESPONSE"));
      if (response.ok) {
        this.forget();
        return this.succeed(response);
      }
      const code = await codeOf(response);
      if (response.status === 503 && code === "settlement_pending") {
        this.progress("settling");
        await pause(Number(response.headers.get("Retry-After")) || 3);
        continue;
      }
      throw this.refusal(response.status, code, outcome, header, response);
    }
  }

  refusal(status, code, outcome, header, response) {
    const again = () => this.deliver(header);
    if (outcome?.success) return new Refusal(this.text("owed"), { code, retry: again });
    if (status === 503 || status === 429) {
      return new Refusal(this.text("unavailable"), { code, retry: again });
    }
    if (status === 403) return new Refusal(this.text("proof"), { code });
    this.forget();
    if (status === 409) {
      return new Refusal(this.text("used"), { code, receipt: receiptOf(response) });
    }
    if (status >= 500) return new Refusal(this.text("view_failed"), { code });
    if (code === "insufficient_funds") return new Refusal(this.text("poor_late"), { code });
    return new Refusal(this.text("refused", { reason: outcome?.errorMessage || code }), { code });
  }

  // The page itself takes this one's place.
  async succeed(response, receipt = receiptOf(response)) {
    this.progress("opening");
    if (this.data.next !== this.data.url) return open(this.data.next);
    if (response.redirected && response.url.split("#")[0] !== this.data.url.split("#")[0]) {
      return open(response.url);
    }
    const type = response.headers.get("Content-Type") || "";
    if (type.startsWith("text/html")) {
      replace(await response.text(), this.nonce);
      const styles = document.createElement("link");
      styles.rel = "stylesheet";
      styles.href = this.data.styles;
      document.head.append(styles);
      document.body.prepend(this.bar(receipt));
    } else {
      const link = document.createElement("a");
      link.className = "paywall-button";
      link.href = URL.createObjectURL(await response.blob());
      link.textContent = this.text("save");
      link.setAttribute("download", nameOf(response));
      this.root.replaceChildren(this.bar(receipt), link);
    }
    document.dispatchEvent(new CustomEvent("paywall:paid", { detail: { receipt } }));
  }

  // Show that a wallet is the reader's own: what it has paid for opens.
  async prove(proof) {
    const response = await fetch(this.data.url, {
      headers: { "SIGN-IN-WITH-X": encode(proof), Accept: "text/html,*/*;q=0.8" },
      cache: "no-store",
    });
    if (response.ok) return this.succeed(response, null);
    throw new Refusal(this.text(response.status === 403 ? "devices" : "no_pass"), { code: "no_pass" });
  }

  // It is paid for, by what did not go through this page: show it.
  async enter(receipt) {
    this.progress("opening");
    if (this.data.next !== this.data.url) return open(this.data.next);
    if (location.href.split("#")[0] !== this.data.url.split("#")[0]) return open(this.data.url);
    const response = await fetch(this.data.url, { headers: { Accept: "text/html,*/*;q=0.8" } });
    if (!response.ok) throw new Refusal(this.text("owed"), { retry: () => this.enter(receipt) });
    return this.succeed(response, receipt);
  }

  bar(receipt) {
    const bar = document.createElement("p");
    bar.className = "paywall-bar";
    bar.setAttribute("role", "status");
    bar.append(this.text("thanks"));
    if (receipt) bar.append(" ", this.receiptLink(receipt));
    return bar;
  }

  receiptLink(receipt) {
    const link = document.createElement("a");
    link.href = receipt;
    link.dataset.paywallReceipt = "";
    link.textContent = this.text("receipt");
    return link;
  }
}

function encode(value) {
  return btoa(String.fromCharCode(...new TextEncoder().encode(JSON.stringify(value))));
}

function decode(header) {
  if (!header) return null;
  try {
    return JSON.parse(new TextDecoder().decode(Uint8Array.from(atob(header), (c) => c.charCodeAt(0))));
  } catch {
    return null;
  }
}

async function codeOf(response) {
  try {
    return (await response.json()).code || "";
  } catch {
    return "";
  }
}

function receiptOf(response) {
  const found = /<([^>]+)>\s*;\s*rel="?receipt/.exec(response.headers.get("Link") || "");
  return found ? found[1] : null;
}

function nameOf(response) {
  const named = /filename="?([^";]+)/.exec(response.headers.get("Content-Disposition") || "");
  return named ? named[1] : new URL(response.url).pathname.split("/").filter(Boolean).pop() || "";
}

// Wait so many seconds, or until the window hears of it.
function pause(seconds, event) {
  return new Promise((resolve) => {
    setTimeout(resolve, seconds * 1000);
    if (event) addEventListener(event, resolve, { once: true });
  });
}

function open(url) {
  if (url.split("#")[0] === location.href.split("#")[0]) location.reload();
  else location.assign(url);
}

// Put another page of this site in this one's place, and run its scripts as a load would; not again
// those that have run here: what they declare is declared.
function replace(html, nonce) {
  const ran = new Set([...document.querySelectorAll("script[src]")].map((script) => script.src));
  const page = new DOMParser().parseFromString(html, "text/html");
  for (const name of document.documentElement.getAttributeNames()) {
    document.documentElement.removeAttribute(name);
  }
  for (const { name, value } of page.documentElement.attributes) {
    document.documentElement.setAttribute(name, value);
  }
  document.head.replaceWith(document.adoptNode(page.head));
  document.body.replaceWith(document.adoptNode(page.body));
  for (const inert of document.querySelectorAll("script")) {
    if (inert.src && ran.has(inert.src)) continue;
    const script = document.createElement("script");
    for (const { name, value } of inert.attributes) script.setAttribute(name, value);
    script.textContent = inert.textContent;
    script.nonce = nonce;
    script.async = false;
    inert.replaceWith(script);
  }
  scrollTo(0, 0);
  document.dispatchEvent(new Event("DOMContentLoaded", { bubbles: true }));
}

async function start(root) {
  const data = root.querySelector(':scope > script[type="application/json"]');
  const nonce = document.querySelector("script[nonce]")?.nonce ?? "";
  const checkout = new Checkout(root, JSON.parse(data.textContent), nonce);
  // A way whose script does not come (a blocker, a lost connection) stays a plain form; it stops
  // neither the others nor what was signed before.
  const begun = await Promise.allSettled(
    [...root.querySelectorAll("[data-paywall-script]")].map(async (section) => {
      const method = await import(section.dataset.paywallScript);
      const own = section.querySelector('script[type="application/json"]');
      await method.default(section, checkout, own ? JSON.parse(own.textContent) : {});
    }),
  );
  for (const { reason } of begun) if (reason) reportError(reason);
  root.toggleAttribute("data-paywall-ready", true);
  const header = checkout.kept();
  if (header) {
    checkout.run(async () => {
      checkout.progress("resuming");
      await checkout.deliver(header);
    });
  }
}

// Once a page, however often a part of it is sold.
for (const root of document.querySelectorAll(
  "[data-paywall-checkout]:not([data-paywall-started])",
)) {
  root.toggleAttribute("data-paywall-started", true);
  start(root);
}
