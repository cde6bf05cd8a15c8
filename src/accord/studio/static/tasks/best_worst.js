// The best and the worst of several: the first number is the best, the second the worst.
import { el, pressed } from "../dom.js";
import { cards, show } from "./cards.js";

export function press(s, id) {
  if (s.best === id) return { ...s, best: null };
  if (s.worst === id) return { ...s, worst: null };
  return s.best === null ? { ...s, best: id } : { ...s, worst: id };
}
function as(s, which, id) {
  const other = which === "best" ? "worst" : "best";
  return { [which]: s[which] === id ? null : id, [other]: s[other] === id ? null : s[other] };
}

export default {
  start: () => ({ best: null, worst: null }),
  from: ({ best, worst }) => ({ best, worst }),
  touched: (s) => s.best !== null || s.worst !== null,
  missing: (s, ctx) => (s.best === null ? ctx.t("task.missing.best") : s.worst === null ? ctx.t("task.missing.worst") : null),
  answer: (s) => s,
  actions: (ctx) => ctx.view.options.map(({ id }) => ({
    key: id, label: ctx.t("key.best_worst", { n: id }), hidden: true, press: (s) => press(s, id),
    tell: (s) => `${id}: ${s.best === id ? ctx.t("task.best") : s.worst === id ? ctx.t("task.worst") : ctx.t("task.neither")}`,
  })),
  mount(ctx) {
    const { grid, made } = cards(ctx, null);
    for (const card of made) {
      card.picks = ["best", "worst"].map((which) => {
        const button = el("button", { type: "button", class: `pick ${which === "best" ? "good" : "bad"}`, "aria-pressed": "false", text: ctx.t(`task.${which}`), on: { click: () => ctx.set(as(ctx.get(), which, card.id)) } });
        button.setAttribute("aria-label", `${ctx.t(`task.${which}`)}: ${card.name}`);
        card.header.append(button);
        return button;
      });
      card.header.prepend(el("kbd", { text: card.id, "aria-hidden": "true" }));
      card.button = null;
    }
    ctx.host.append(grid);
    ctx.cards = made;
    return (s) => {
      for (const card of made) {
        show(card, s.best === card.id ? "best" : s.worst === card.id ? "worst" : "", "");
        pressed(card.picks[0], s.best === card.id);
        pressed(card.picks[1], s.worst === card.id);
      }
    };
  },
};
