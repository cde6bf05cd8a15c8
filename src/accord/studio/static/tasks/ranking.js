// Responses in order, best first: press their numbers; "=" puts the next one beside the last.
import { el } from "../dom.js";
import { cards, show } from "./cards.js";

const placed = (s) => s.order.flat();

export function place(s, id) {
  if (placed(s).includes(id)) return { join: false, order: s.order.map((group) => group.filter((i) => i !== id)).filter((group) => group.length) };
  if (s.join && s.order.length) return { join: false, order: [...s.order.slice(0, -1), [...s.order.at(-1), id]] };
  return { join: false, order: [...s.order, [id]] };
}

export default {
  start: () => ({ order: [], join: false }),
  from: (answer) => ({ order: answer.order, join: false }),
  touched: (s) => s.order.length > 0,
  missing(s, ctx) {
    const left = ctx.view.options.length - placed(s).length;
    return left ? ctx.t(s.order.length ? "task.missing.ranking" : "task.missing.ranking_none", { n: left }) : null;
  },
  answer: (s) => ({ order: s.order }),
  actions(ctx) {
    const list = ctx.view.options.map(({ id }) => ({
      key: id, label: ctx.t("key.place", { n: id }), hidden: true, press: (s) => place(s, id),
      tell: (s) => { const rank = s.order.findIndex((group) => group.includes(id)); return rank < 0 ? ctx.t("task.told.out", { n: id }) : ctx.t("task.told.rank", { n: id, rank: rank + 1 }); },
    }));
    if (ctx.settings.tie) list.push({
      key: "=", label: ctx.t("key.tie_next"), press: (s) => (s.order.length && placed(s).length < ctx.view.options.length ? { ...s, join: !s.join } : undefined), on: (s) => s.join,
    });
    return list;
  },
  mount(ctx) {
    const { grid, made } = cards(ctx, (id) => ctx.press(id), undefined, undefined, "task.place");
    ctx.host.append(grid);
    ctx.cards = made;
    const strip = el("span", { class: "strip", role: "img" });
    ctx.bar.append(strip);
    return (s) => {
      for (const card of made) {
        const rank = s.order.findIndex((group) => group.includes(card.id));
        show(card, rank < 0 ? "" : "on", rank < 0 ? "" : ctx.t(s.order[rank].length > 1 ? "task.rank_tied" : "task.rank", { n: rank + 1 }));
      }
      const parts = [];
      s.order.forEach((group, rank) => {
        if (rank) parts.push(el("span", { class: "sep", text: "›" }));
        group.forEach((id, n) => { if (n) parts.push(el("span", { class: "sep", text: "=" })); parts.push(el("span", { class: "place filled", text: id })); });
      });
      if (s.join) parts.push(el("span", { class: "sep", text: "=" }));
      for (let n = placed(s).length; n < made.length; n += 1) parts.push(el("span", { class: "place empty", text: "·" }));
      strip.replaceChildren(...parts);
      strip.setAttribute("aria-label", s.order.length ? `${ctx.t("task.order")} ${s.order.map((group) => group.join(" = ")).join(", ")}` : ctx.t("task.order_empty"));
    };
  },
};
