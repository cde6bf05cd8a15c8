// Talking to the server. Two ways to fail: it refused (and says why), or it was not reached.

export class Refused extends Error {
  constructor(status, body) { super(body?.error ?? `HTTP ${status}`); this.status = status; this.body = body ?? {}; }
}
export class Unreached extends Error {}

const csrf = document.querySelector("meta[name=csrf]").content;

/** POST JSON. keepalive: outlives the page; signal: ends it (otherwise it ends when it takes too long). */
export async function post(path, body = {}, { keepalive = false, signal = undefined } = {}) {
  let response;
  try {
    response = await fetch(path, {
      method: "POST", keepalive, signal: signal ?? (keepalive ? undefined : AbortSignal.timeout(path.endsWith("/turn") ? 180000 : 20000)),
      headers: { "Content-Type": "application/json", Accept: "application/json", "X-CSRF-Token": csrf }, body: JSON.stringify(body),
    });
  } catch (error) { throw new Unreached(String(error)); }
  const answer = await response.json().catch(() => null);
  if (!response.ok) throw new Refused(response.status, answer);
  if (answer === null) throw new Unreached("half an answer");
  return answer;
}

export async function get(path) {
  const response = await fetch(path, { headers: { Accept: "application/json" } }).catch((error) => { throw new Unreached(String(error)); });
  if (!response.ok) throw new Refused(response.status, await response.json().catch(() => null));
  return response.json();
}

/** Whether trying again can help. */
export function passing(error) {
  return error instanceof Unreached || (error instanceof Refused && (error.status === 429 || error.status >= 500 || error.status === 401));
}
