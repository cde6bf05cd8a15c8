// One response: good or bad.
import { cards, show } from "./cards.js";

export default {
  start: () => ({ up: null }),
  from: ({ up }) => ({ up }),
  touched: (s) => s.up !== null,
  missing: (s, ctx) => (s.up === null ? ctx.t("task.missing.thumb") : null),
  answer: (s) => s,
  actions: (ctx) => [
    { key: "1", label: ctx.t("task.good"), press: () => ({ up: true }), on: (s) => s.up === true, told: ctx.t("task.good"), kind: "good" },
    { key: "0", label: ctx.t("task.bad"), press: () => ({ up: false }), on: (s) => s.up === false, told: ctx.t("task.bad"), kind: "bad" },
  ],
  mount(ctx) {
    const { grid, made } = cards(ctx, null);
    ctx.host.append(grid);
    ctx.cards = made;
    return (s) => made.forEach((card) => show(card, s.up === null ? "" : s.up ? "best" : "worst", s.up === null ? "" : ctx.t(s.up ? "task.good" : "task.bad")));
  },
};
