// Requests to the server: asks once for the token, retries when the server is busy, throws errors.

export const $ = (selector, root = document) => root.querySelector(selector);

export function authorization() {
  const token = sessionStorage.getItem("token");
  return token ? { Authorization: `Bearer ${token}` } : {};
}

export async function request(path, options = {}) {
  for (;;) {
    const headers = { ...options.headers, ...authorization() };
    const response = await fetch(path, { ...options, headers });
    const content = await response.json().catch(() => ({}));  // a proxy's error page is not JSON
    if (response.status === 401) {
      await askForToken();
    } else if (response.status === 503 && content.reason === "busy") {
      await new Promise(resolve => setTimeout(resolve, 1000 * (Number(response.headers.get("Retry-After")) || 1)));
    } else {
      if (!response.ok) throw new Error(content.message ?? `the server answered ${response.status}`);
      return content;
    }
  }
}

function askForToken() {
  const dialog = $("#token");
  return new Promise(resolve => {
    dialog.addEventListener("close", () => {
      sessionStorage.setItem("token", $("#token-text").value);
      resolve();
    }, { once: true });
    if (!dialog.open) dialog.showModal();
  });
}
