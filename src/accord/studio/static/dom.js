// Small helpers around the document. HTML given to `html` was made safe by the server (see presenting.py).

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

/** Texts by key; {names} are filled in. */
export function translator(texts) {
  return (key, values = {}) => {
    if (!(key in texts)) throw new Error(`no text for ${key}`);
    return texts[key].replace(/\{(\w+)\}/g, (_, name) => String(values[name]));
  };
}

/** Messages as the conversation they are; a single text without a frame. */
export function messages(list, t, direction, bare = false) {
  if (bare && list.length === 1) return [el("div", { class: "content hideable", dir: direction, html: list[0].html })];
  return list.map((message) =>
    el("div", { class: `turn ${message.role}` },
      el("span", { class: "who", text: t(`work.role.${["system", "user", "assistant", "tool"].includes(message.role) ? message.role : "user"}`) }),
      el("div", { class: "content hideable", dir: direction, html: message.html })));
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
