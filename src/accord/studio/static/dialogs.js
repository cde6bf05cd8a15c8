// Dialogs: why to skip, keys and questions, the guideline, a break.
import { el, keyed } from "./dom.js";
import { ready } from "./maths.js";
import { get } from "./net.js";

const dialog = document.getElementById("dialog");

// The browser tells of a closing later, perhaps when the next dialog is open already: closings come in the order of openings.
const waiting = [];
let current = { value: "" }, keys = null, nextKeys = null;
dialog.addEventListener("close", () => waiting.shift()?.());
// Keys end here: the Enter that closes a dialog must not send the answer behind it.
dialog.addEventListener("keydown", (event) => { event.stopPropagation(); if (!event.ctrlKey && !event.metaKey && !event.altKey && !event.target.matches("textarea")) keys?.(event); });

/** Show a dialog; resolves when it is closed, with what close() was given ("" for Esc). */
function open(title, ...content) {
  dialog.replaceChildren(el("h2", { id: "dialog-title", text: title }), ...content);
  const before = document.activeElement, mine = { value: "" };
  [current, keys, nextKeys] = [mine, nextKeys, null];
  return new Promise((resolve) => {
    waiting.push(() => {
      if (!dialog.open) { keys = null; before?.focus?.({ preventScroll: true }); }
      resolve(mine.value);
    });
    dialog.showModal();
    dialog.scrollTop = 0;
  });
}
export const isOpen = () => dialog.open;
function close(value) { current.value = value; dialog.close(); }

/** Keys of the dialog that is opened next. */
function onKeys(handler) { nextKeys = handler; }

/** {reason, note} or null. */
export async function askSkip(t, reasons, chosen = null) {
  const radios = reasons.map((reason, n) => el("input", { type: "radio", name: "reason", value: reason, checked: reason === chosen, "data-n": String(n + 1) }));
  const rows = radios.map((radio, n) => el("label", {}, radio, el("kbd", { text: String(n + 1), "aria-hidden": "true" }), t(`skip.${radio.value}`)));
  const note = el("textarea", { rows: "2", maxlength: "2000", "aria-label": t("skip.note") });
  const done = keyed("↵", t("skip.do"), { class: "primary", on: { click: () => finish() } }, "Enter");
  const finish = () => { if (radios.some((r) => r.checked)) close("skip"); else radios[0].focus(); };
  onKeys((event) => {
    const n = Number(event.key);
    if (n >= 1 && n <= radios.length) { radios[n - 1].checked = true; radios[n - 1].focus(); event.preventDefault(); }
    else if (event.key === "Enter" && !event.target.matches("button")) { event.preventDefault(); finish(); }
  });
  const closed = open(t("skip.title"), el("p", { class: "soft", text: t("skip.about") }),
    el("div", { class: "reasons", role: "radiogroup", "aria-labelledby": "dialog-title" }, ...rows), el("label", {}, t("skip.note"), note),
    el("div", { class: "row" }, keyed("Esc", t("work.cancel"), { class: "quiet", on: { click: () => close("") } }, "Escape"), done));
  (radios.find((r) => r.checked) ?? radios[0]).focus();
  return (await closed) === "skip" ? { reason: radios.find((r) => r.checked).value, note: note.value.trim() || null } : null;
}

/** Keys, how time is counted, a question; resolves to the question's text or null. */
export async function help(t, keys, rule) {
  const list = el("dl", { class: "keys" });
  for (const [key, label] of keys) list.append(el("dt", {}, ...key.split(" ").map((k) => el("kbd", { text: k }))), el("dd", { text: label }));
  const text = el("textarea", { rows: "3", maxlength: "4000", id: "ask" });
  const closed = open(t("work.help"), list, el("p", { class: "hint", text: rule }), el("label", { for: "ask", text: t("work.ask") }), text,
    el("div", { class: "row" }, keyed("Esc", t("work.close"), { class: "quiet", on: { click: () => close("") } }, "Escape"), el("button", { type: "button", text: t("work.send_question"), on: { click: () => close(text.value.trim() ? "ask" : "") } })));
  return (await closed) === "ask" ? text.value.trim() : null;
}

export async function guideline(t, path) {
  const place = el("div", { class: "content text" }, el("p", { class: "soft", text: t("work.loading") }));
  const closed = open(t("work.guideline"), place, el("div", { class: "row" }, keyed("Esc", t("work.close"), { on: { click: () => close("") } }, "Escape")));
  try { place.innerHTML = (await get(path)).html; ready(place); } catch { place.textContent = t("work.unreached"); }
  await closed;
}

/** Whether a break is taken. */
export async function proposeBreak(t, minutes) {
  const closed = open(t("work.break_title"), el("p", { text: t("work.break_text", { minutes }) }),
    el("div", { class: "row" }, el("button", { type: "button", text: t("work.go_on"), on: { click: () => close("") } }), el("button", { type: "button", class: "primary", text: t("work.take_break"), on: { click: () => close("break") } })));
  return (await closed) === "break";
}

export async function rest(t) {
  const closed = open(t("work.resting"), el("p", { text: t("work.resting_text") }), el("div", { class: "row" }, el("button", { type: "button", class: "primary", text: t("work.back"), on: { click: () => close("") } })));
  await closed;
}
