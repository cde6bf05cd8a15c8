// Responses in order, best first: press their numbers, or drag them to the strip of places; "=" puts the next one beside
// the last; 0 says that none of them would do, with an order or without.
import { el } from "../dom.js";
import { cards, show } from "./cards.js";
import { draggable } from "./drag.js";

const placed = (s) => s.order.flat();
const rankOf = (s, id) => s.order.findIndex((group) => group.includes(id));

export function place(s, id) {
  if (placed(s).includes(id)) return { ...s, join: false, order: s.order.map((group) => group.filter((i) => i !== id)).filter((group) => group.length) };
  if (s.join && s.order.length) return { ...s, join: false, order: [...s.order.slice(0, -1), [...s.order.at(-1), id]] };
  return { ...s, join: false, order: [...s.order, [id]] };
}

/** The order with `id` at `where`: {rank, join} beside the others of that rank, or before it; null: in no place. */
export function put(s, id, where) {
  const groups = s.order.map((group) => group.filter((i) => i !== id));
  if (where?.join) groups[where.rank].push(id);
  else if (where) groups.splice(where.rank, 0, [id]);
  return { ...s, join: false, order: groups.filter((group) => group.length) };
}

function tell(ctx, s, id) {
  const rank = rankOf(s, id);
  return rank < 0 ? ctx.t("task.told.out", { n: id }) : ctx.t(s.order[rank].length > 1 ? "task.told.tied" : "task.told.rank", { n: id, rank: rank + 1 });
}

export default {
  start: () => ({ order: [], join: false, all_bad: false }),
  from({ order, all_bad }) { return { order: all_bad && order.length === 1 ? [] : order, join: false, all_bad }; },
  touched: (s) => s.order.length > 0 || s.all_bad,
  missing(s, ctx) {
    const left = ctx.view.options.length - placed(s).length;
    if (!left || (s.all_bad && !s.order.length)) return null;
    return ctx.t(s.order.length ? "task.missing.ranking" : "task.missing.ranking_none", { n: left });
  },
  answer: (s) => ({ order: s.order, all_bad: s.all_bad }),
  actions(ctx) {
    const list = ctx.view.options.map(({ id }) => ({
      key: id, label: ctx.t("key.place", { n: id }), hidden: true, press: (s) => place(s, id), tell: (s) => tell(ctx, s, id),
    }));
    if (ctx.settings.both_bad) list.push({
      key: "0", label: ctx.t("task.all_bad"), press: (s) => ({ ...s, all_bad: !s.all_bad }), on: (s) => s.all_bad, kind: "bad", tell: (s) => ctx.t(s.all_bad ? "task.all_bad" : "task.told.not_all_bad"),
    });
    if (ctx.settings.tie) list.push({
      key: "=", label: ctx.t("key.tie_next"), press: (s) => (s.order.length && placed(s).length < ctx.view.options.length ? { ...s, join: !s.join } : undefined), on: (s) => s.join,
    });
    return list;
  },
  mount(ctx) {
    const { grid, made } = cards(ctx, (id) => ctx.press(id), undefined, undefined, "task.place");
    for (const card of made) card.header.prepend(el("span", { class: "grip", "aria-hidden": "true", "data-id": card.id, title: ctx.t("task.drag"), text: "⠿" }));
    ctx.host.append(grid);
    ctx.cards = made;
    const strip = el("span", { class: "strip", role: "img" });
    ctx.bar.append(strip);
    const over = (x, y) => below(strip, x, y, ctx.settings.tie);
    const drop = (id, where) => {
      if (!where && rankOf(ctx.get(), id) < 0) return; // carried from its card to nowhere
      const after = put(ctx.get(), id, where);
      ctx.set(after, tell(ctx, after, id));
    };
    for (const root of [grid, strip]) draggable(root, { carried: (target) => target.closest(".grip, .filled")?.dataset.id ?? null, over, drop });
    return (s) => {
      for (const card of made) {
        const rank = rankOf(s, card.id), where = rank < 0 ? [] : [ctx.t(s.order[rank].length > 1 ? "task.rank_tied" : "task.rank", { n: rank + 1 })];
        show(card, s.all_bad ? "worst" : rank < 0 ? "" : "on", [...where, ...(s.all_bad ? [ctx.t("task.all_bad")] : [])].join(" · "), rank >= 0);
      }
      draw(strip, s, made.length);
      const said = s.order.length ? `${ctx.t("task.order")} ${s.order.map((group) => group.join(" = ")).join(", ")}` : ctx.t("task.order_empty");
      strip.setAttribute("aria-label", s.all_bad ? `${said} · ${ctx.t("task.all_bad")}` : said);
    };
  },
};

/** The places: filled ones with their numbers, then as many empty ones as responses are left. */
function draw(strip, s, count) {
  const parts = [];
  s.order.forEach((group, rank) => {
    if (rank) parts.push(el("span", { class: "sep", text: "›" }));
    group.forEach((id, n) => {
      if (n) parts.push(el("span", { class: "sep", text: "=" }));
      parts.push(el("span", { class: "place filled", text: id, "data-id": id, "data-rank": String(rank), "data-first": String(n === 0), "data-last": String(n === group.length - 1) }));
    });
  });
  if (s.join) parts.push(el("span", { class: "sep", text: "=" }));
  for (let n = placed(s).length; n < count; n += 1) parts.push(el("span", { class: "place empty", text: "·" }));
  strip.replaceChildren(...parts);
}

/** Where something falls that is let go at (x, y): beside, before or after the nearest place; null outside of the bar. */
function below(strip, x, y, ties) {
  for (const node of strip.children) node.classList.remove("before", "after", "beside");
  const bar = strip.closest(".actions").getBoundingClientRect();
  if (x < bar.left || x > bar.right || y < bar.top || y > bar.bottom) return null;
  const chips = [...strip.querySelectorAll(".filled")];
  if (!chips.length) { strip.firstChild.classList.add("beside"); return { rank: 0, join: false }; }
  const far = (node) => { const r = node.getBoundingClientRect(); return Math.hypot(Math.max(r.left - x, 0, x - r.right), Math.max(r.top - y, 0, y - r.bottom)); };
  const chip = chips.reduce((best, node) => (far(node) < far(best) ? node : best));
  const box = chip.getBoundingClientRect(), along = (x - box.left) / box.width;
  const at = getComputedStyle(strip).direction === "rtl" ? 1 - along : along, rank = Number(chip.dataset.rank);
  const [low, high] = ties ? [0.25, 0.75] : [0.5, 0.5];
  const side = at < low ? "before" : at < high ? "beside" : "after";
  const inside = ties && ((side === "before" && chip.dataset.first === "false") || (side === "after" && chip.dataset.last === "false"));
  chip.classList.add(inside ? "beside" : side);
  return inside || side === "beside" ? { rank, join: true } : { rank: rank + (side === "after" ? 1 : 0), join: false };
}
