// Small helpers around the document. HTML given to `html` was made safe by the server (see presenting.py).
import { ready } from "./maths.js";

/** An element: el("p", {class: "soft", text: "…", on: {click: f}, "aria-label": "…"}, ...children). */
export function el(tag, props = {}, ...children) {
  const made = document.createElement(tag);
  for (const [name, value] of Object.entries(props)) {
    if (value === undefined || value === null || value === false) continue;
    if (name === "text") made.textContent = value;
    else if (name === "html") made.innerHTML = value;
    else if (name === "on") for (const [event, does] of Object.entries(value)) made.addEventListener(event, does);
    else if (name === "value") made.value = value;
    else made.setAttribute(name, value === true ? "" : value);
  }
  made.append(...children.filter((child) => child !== null && child !== undefined));
  return made;
}

/** A button with the key that does the same. */
export function keyed(key, label, props = {}, shortcut = undefined) {
  const hint = key ? el("kbd", { text: key, "aria-hidden": "true" }) : null;
  return el("button", { type: "button", "aria-keyshortcuts": shortcut ?? key, ...props }, ...[hint, el("span", { text: label })].filter(Boolean));
}

export function pressed(button, on) {
  const said = String(Boolean(on));
  if (button.getAttribute("aria-pressed") !== said) button.setAttribute("aria-pressed", said);
}

const spelt = (value) => (typeof value === "number" ? value.toLocaleString(document.documentElement.lang) : String(value));

/** Texts by key; {names} are filled in, numbers as the page's language writes them. */
export function translator(texts) {
  return (key, values = {}) => {
    if (!(key in texts)) throw new Error(`no text for ${key}`);
    return texts[key].replace(/\{(\w+)\}/g, (_, name) => spelt(values[name]));
  };
}

const written = new WeakMap(); // content -> {html, raw, asWritten}

function write(body) {
  const { html, raw, asWritten } = written.get(body);
  if (asWritten && raw !== null) body.replaceChildren(el("pre", { class: "source", tabindex: "0", dir: "auto", text: raw }));
  else { body.innerHTML = html; ready(body); }
}

/** Texts below `root` as they were written, letter by letter, or as they read; whether they are as written now. */
export function turnOver(root) {
  const bodies = [...root.querySelectorAll(".content")].filter((body) => (written.get(body)?.raw ?? null) !== null);
  const asWritten = !bodies.some((body) => written.get(body).asWritten);
  for (const body of bodies) { written.get(body).asWritten = asWritten; write(body); }
  return asWritten;
}

/** Messages as the conversation they are; a single one without a frame. Reasoning, calls of tools and their results are told apart. */
export function messages(list, t, direction, bare = false) {
  if (bare && list.length === 1) return pieces(list[0], t, direction);
  return list.map((message) => el("div", { class: `turn ${message.role}` }, el("span", { class: "who", text: speaker(message, t) }), ...pieces(message, t, direction)));
}

function speaker({ role, name, call }, t) {
  return [t(`work.role.${role}`), name, call && t("work.answers_call", { call })].filter(Boolean).join(" · ");
}

function pieces(message, t, direction) {
  return message.parts.map(({ kind, html, raw, name, call }) => {
    const body = el("div", { class: "content hideable", dir: ["call", "result"].includes(kind) ? "ltr" : direction });
    written.set(body, { html, raw });
    write(body);
    if (kind === "text" || kind === "result") return body;
    const label = kind === "reasoning" ? t("work.reasoning") : [t("work.calls", { name }), call].filter(Boolean).join(" · ");
    return el("div", { class: `piece ${kind}` }, el("span", { class: "who", text: label }), body);
  });
}

/** What was offered to the model beside the prompt: folded, there for who wants to know. */
export function offered({ tools, template }, t) {
  const folded = (summary, ...bodies) => el("details", { class: "offered" }, el("summary", { text: summary }), ...bodies.map((html) => el("div", { class: "content hideable", dir: "ltr", html })));
  return [
    ...(tools.length ? [folded(t("work.tools", { count: tools.length, names: tools.map((tool) => tool.name).filter(Boolean).join(", ") }), ...tools.map((tool) => tool.html))] : []),
    ...(template ? [folded(t("work.template"), template)] : []),
  ];
}

export function inField(target) {
  return target instanceof HTMLElement && (target.matches("textarea, select, input:not([type=radio], [type=checkbox], [type=range], [type=button])") || target.isContentEditable);
}

export function randomKey() {
  return Array.from(crypto.getRandomValues(new Uint8Array(16)), (byte) => byte.toString(16).padStart(2, "0")).join("");
}

/** Storage that may be switched off: then nothing is kept here, and the server's draft is all there is. */
export const store = {
  get(name) { try { return JSON.parse(localStorage.getItem(name)); } catch { return null; } },
  set(name, value) { try { localStorage.setItem(name, JSON.stringify(value)); return true; } catch { return false; } },
  drop(name) { try { localStorage.removeItem(name); } catch { /* nothing was kept */ } },
};
