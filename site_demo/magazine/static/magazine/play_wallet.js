// DEVELOPMENT ONLY: a wallet for a local chain, to click through a purchase without installing one.
// It holds no key: it hands requests to the development node, whose accounts' keys are public. The
// demo serves it with `make demo DEMO=--wallet`, and only while DEBUG is on.

const { rpc, account } = document.currentScript.dataset;
let identifier = 0;

async function node(method, params) {
  const body = JSON.stringify({ jsonrpc: "2.0", id: ++identifier, method, params });
  const answer = await fetch(rpc, { method: "POST", body, headers: { "Content-Type": "application/json" } });
  const { result, error } = await answer.json();
  if (error) throw Object.assign(new Error(error.message), { code: error.code });
  return result;
}

// Ask as a wallet would: nothing is signed unless somebody says so.
function confirmed(title, lines) {
  return new Promise((resolve, reject) => {
    const dialog = document.createElement("dialog");
    dialog.dataset.playWallet = "";
    dialog.setAttribute("aria-label", "Play wallet");
    const heading = document.createElement("h2");
    heading.textContent = title;
    const list = lines.map((line) => Object.assign(document.createElement("p"), { textContent: line }));
    const buttons = ["Confirm", "Decline"].map((label) =>
      Object.assign(document.createElement("button"), { type: "button", textContent: label, value: label }));
    buttons.forEach((button) => button.addEventListener("click", () => dialog.close(button.value)));
    dialog.addEventListener("close", () => {
      dialog.remove();
      if (dialog.returnValue === "Confirm") resolve();
      else reject(Object.assign(new Error("declined"), { code: 4001 }));
    });
    dialog.append(heading, ...list, ...buttons);
    document.body.append(dialog);
    dialog.showModal();
  });
}

const provider = {
  async request({ method, params = [] }) {
    if (method === "eth_requestAccounts" || method === "eth_accounts") return [account];
    if (method === "eth_signTypedData_v4") {
      const { domain, message } = JSON.parse(params[1]);
      const amount = Number(message.value) / 1e6;
      await confirmed("Play wallet", [`Pay ${amount} ${domain.name} (play money)`, `to ${message.to}`]);
      return node(method, [params[0], JSON.parse(params[1])]);
    }
    if (method === "personal_sign") {
      await confirmed("Play wallet", ["Sign in with this wallet?"]);
      return node(method, params);
    }
    return node(method, params);
  },
  on() {},
  removeListener() {},
};

const icon = "data:image/svg+xml,%3Csvg xmlns='http://www.w3.org/2000/svg' viewBox='0 0 8 8'%3E%3Ccircle cx='4' cy='4' r='4' fill='%239a3412'/%3E%3C/svg%3E";
const detail = Object.freeze({
  info: { uuid: crypto.randomUUID(), name: "Play wallet", icon, rdns: "example.play-wallet" },
  provider,
});
const announce = () => dispatchEvent(new CustomEvent("eip6963:announceProvider", { detail }));
addEventListener("eip6963:requestProvider", announce);
announce();
