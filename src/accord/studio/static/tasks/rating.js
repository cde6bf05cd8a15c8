// Scores for one response, attribute by attribute: a digit scores the current one and goes on to the next.
import { el } from "../dom.js";
import { cards } from "./cards.js";
import { scale, scoreOf } from "./scale.js";


export default {
  start: () => ({ scores: {}, at: 0 }),
  from: (answer, ctx) => ({ scores: answer.scores, at: ctx.settings.attributes.length - 1 }),
  touched: (s) => Object.keys(s.scores).length > 0,
  missing(s, ctx) {
    const open = ctx.settings.attributes.find((a) => !(a.name in s.scores));
    return open ? ctx.t("task.missing.rating", { name: open.label ?? open.name }) : null;
  },
  answer: (s) => ({ scores: s.scores }),
  actions(ctx) {
    const digits = new Set();
    for (const a of ctx.settings.attributes) for (let d = 0; d <= 9; d += 1) if (scoreOf(a, d) !== null) digits.add(d);
    return [...digits].sort().map((d) => ({
      key: String(d), label: ctx.t("key.score"), hidden: true, group: "score",
      press(s) {
        const a = ctx.settings.attributes[s.at], score = scoreOf(a, d);
        if (score === null) return undefined;
        const next = { ...s, scores: { ...s.scores, [a.name]: score } };
        return { ...next, at: Math.min(s.at + 1, ctx.settings.attributes.length - 1) };
      },
      tell: (s, before) => `${ctx.settings.attributes[before.at].label ?? ctx.settings.attributes[before.at].name}: ${s.scores[ctx.settings.attributes[before.at].name]}`,
    }));
  },
  move: (s, step, ctx) => ({ ...s, at: Math.min(Math.max(s.at + step, 0), ctx.settings.attributes.length - 1) }),
  mount(ctx) {
    const { grid, made } = cards(ctx, null);
    const rows = ctx.settings.attributes.map((attribute, n) => {
      const row = scale(attribute, ctx.t, (score) => { const s = ctx.get(); ctx.set({ scores: { ...s.scores, [attribute.name]: score }, at: n }); });
      row.root.addEventListener("focusin", () => { if (ctx.get().at !== n) ctx.set({ ...ctx.get(), at: n }, "", true); });
      return row;
    });
    made[0]?.root.append(el("div", { class: "beside" }, ...rows.map((row) => row.root)));
    ctx.host.append(grid);
    ctx.cards = made;
    return (s) => rows.forEach((row, n) => {
      row.draw(s.scores[ctx.settings.attributes[n].name]);
      row.root.classList.toggle("current", n === s.at);
    });
  },
};
