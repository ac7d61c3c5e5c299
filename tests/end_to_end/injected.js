// A wallet as an extension would inject it. It has no key: Python signs (tests/end_to_end/reader.py).
(() => {
  const { name, rdns, uuid } = globalThis.__paywallWallet;
  const request = async ({ method, params = [] }) => {
    const { result, error } = await globalThis.__walletRequest(rdns, method, params);
    if (error) throw Object.assign(new Error(error.message), { code: error.code });
    return result;
  };
  const icon = "data:image/svg+xml,%3Csvg xmlns='http://www.w3.org/2000/svg'/%3E";
  const detail = Object.freeze({ info: { uuid, name, icon, rdns }, provider: { request, on() {}, removeListener() {} } });
  const announce = () => dispatchEvent(new CustomEvent("eip6963:announceProvider", { detail }));
  addEventListener("eip6963:requestProvider", announce);
  announce();
})();
