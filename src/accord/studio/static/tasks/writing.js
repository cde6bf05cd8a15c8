// Answers in words: a critique, an edited response with what changed, a response written from nothing.
import { el } from "../dom.js";
import { diff } from "../diff.js";
import { cards } from "./cards.js";

let count = 0;

/** A labelled text field that tells what is in it. */
export function field(label, rows, direction, change) {
  const id = `text-${(count += 1)}`;
  const area = el("textarea", { id, rows: String(rows), maxlength: "100000", dir: direction, on: { input: () => change(area.value) } });
  return { root: el("div", {}, el("label", { for: id, text: label }), area), area, draw(text) { if (area.value !== text) area.value = text; } };
}

function writing(name, settings) {
  return {
    start: (ctx) => ({ [name]: settings.begin(ctx) }),
    from: (answer) => ({ [name]: answer[name] }),
    touched: (s, ctx) => s[name] !== settings.begin(ctx),
    missing: (s, ctx) => (!s[name].trim() || (settings.changed && s[name].trim() === settings.begin(ctx).trim()) ? ctx.t(settings.missing) : null),
    answer: (s) => s,
    actions: () => [],
    edit: (ctx) => ctx.area.focus(),
    mount(ctx) {
      if (ctx.view.options.length) { const { grid, made } = cards(ctx, null); ctx.host.append(grid); ctx.cards = made; }
      const text = field(ctx.t(settings.label), settings.rows, ctx.direction, (value) => ctx.type({ [name]: value }));
      ctx.area = text.area;
      if (settings.changed) text.area.rows = Math.min(16, Math.max(4, settings.begin(ctx).split("\n").reduce((sum, line) => sum + 1 + Math.floor(line.length / 80), 1))); // what changed stays in sight below
      const pane = el("div", { class: "pane" }, text.root);
      const changes = settings.changed ? el("div", { class: "diff", "aria-label": ctx.t("task.changes"), role: "group", dir: ctx.direction }) : null;
      if (changes) pane.append(el("h3", { text: ctx.t("task.changes") }), changes);
      ctx.host.append(pane);
      return (s) => {
        text.draw(s[name]);
        if (changes) changes.replaceChildren(...diff(settings.begin(ctx), s[name]).map(([kind, part]) => (kind === "same" ? document.createTextNode(part) : el(kind, { text: part }))));
      };
    },
  };
}

export const critique = writing("text", { begin: () => "", rows: 6, label: "task.critique", missing: "task.missing.critique" });
export const demonstration = writing("content", { begin: () => "", rows: 12, label: "task.demonstration", missing: "task.missing.demonstration" });
export const correction = writing("content", { begin: (ctx) => ctx.view.options[0].text, rows: 12, label: "task.correction", missing: "task.missing.correction", changed: true });
