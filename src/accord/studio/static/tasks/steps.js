// The steps of a solution, one by one: good, okay or bad (PRM800K). After the first bad one the rest may stay open.
import { el, pressed } from "../dom.js";
import { cards } from "./cards.js";

const KINDS = [[1, "1", "good"], [0, "2", "okay"], [-1, "3", "bad"]];
const firstBad = (s) => s.labels.indexOf(-1);

function label(s, at, value, count) {
  const labels = Array.from({ length: count }, (_, n) => s.labels[n] ?? null);
  labels[at] = value;
  return { labels, at: value === -1 ? at : Math.min(at + 1, count - 1) };
}

export default {
  start: () => ({ labels: [], at: 0 }),
  from: (answer) => ({ labels: answer.labels, at: answer.labels.length - 1 }),
  touched: (s) => s.labels.some((l) => l !== null),
  missing(s, ctx) {
    const count = ctx.view.options[0].steps.length, bad = firstBad(s), end = bad < 0 ? count : bad + 1;
    for (let n = 0; n < end; n += 1) if ((s.labels[n] ?? null) === null) return ctx.t("task.missing.step", { n: n + 1 });
    return null;
  },
  answer(s, ctx) {
    const count = ctx.view.options[0].steps.length, whole = Array.from({ length: count }, (_, n) => s.labels[n] ?? null), open = whole.indexOf(null);
    return { labels: open < 0 ? whole : whole.slice(0, firstBad(s) + 1) };
  },
  actions: (ctx) => KINDS.map(([value, key, name]) => ({
    key, label: ctx.t(`task.step.${name}`), kind: name, press: (s) => label(s, s.at, value, ctx.view.options[0].steps.length), on: (s) => s.labels[s.at] === value,
    tell: (_, before) => ctx.t("task.told.step", { n: before.at + 1, label: ctx.t(`task.step.${name}`) }),
  })),
  move: (s, step, ctx) => ({ ...s, at: Math.min(Math.max(s.at + step, 0), ctx.view.options[0].steps.length - 1) }),
  mount(ctx) {
    const steps = ctx.view.options[0].steps;
    const rows = steps.map((html, n) => {
      const picks = KINDS.map(([value, , name]) => {
        const words = ctx.t(`task.step.${name}`);
        const button = el("button", { type: "button", class: `pick ${name}`, "aria-pressed": "false", text: { good: "+", okay: "○", bad: "−" }[name], title: words, "aria-label": `${ctx.t("task.step_n", { n: n + 1 })}: ${words}`,
          on: { click: () => ctx.set(label(ctx.get(), n, value, steps.length)) } });
        return { value, button };
      });
      const root = el("li", { class: "step" }, el("span", { class: "number", text: String(n + 1), "aria-hidden": "true" }), el("div", { class: "content hideable", dir: ctx.direction, html }), el("div", { class: "picks", role: "group", "aria-label": ctx.t("task.step_n", { n: n + 1 }) }, ...picks.map((p) => p.button)));
      return { root, picks };
    });
    const { grid, made } = cards(ctx, null, ctx.view.options, () => [el("ol", { class: "steps" }, ...rows.map((row) => row.root)), el("p", { class: "hint", text: ctx.t("task.steps_hint") })]);
    ctx.host.append(grid);
    ctx.cards = made;
    let at = 0;
    return (s) => {
      const bad = firstBad(s);
      rows.forEach((row, n) => {
        row.root.className = `step${n === s.at ? " current" : ""}${bad >= 0 && n > bad ? " after" : ""}`;
        if (n === s.at) row.root.setAttribute("aria-current", "step"); else row.root.removeAttribute("aria-current");
        for (const p of row.picks) pressed(p.button, (s.labels[n] ?? null) === p.value);
      });
      if (s.at !== at) { at = s.at; rows[at].root.scrollIntoView({ block: "nearest" }); }
    };
  },
};
