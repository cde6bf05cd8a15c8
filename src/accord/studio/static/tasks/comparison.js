// Two responses: which is better, and by how much; equally good; both bad.
import { el, pressed } from "../dom.js";
import { cards, show } from "./cards.js";

export const EMPTY = { preferred: null, tie: false, both_bad: false, strength: null };

export function said(s) { return s.preferred !== null || s.tie || s.both_bad; }
export function prefer(s, place) { return { ...EMPTY, preferred: place, strength: s.preferred === place ? s.strength : null }; }

export function answerOf(s, settings) {
  return { preferred: s.preferred, tie: s.tie, both_bad: s.both_bad, ...(settings.strength && s.preferred ? { strength: s.strength } : {}) };
}

export function missingOf(s, ctx) {
  if (!said(s)) return ctx.t("task.missing.comparison");
  return ctx.settings.strength && s.preferred && !s.strength ? ctx.t("task.missing.strength") : null;
}

/** The actions on a verdict; get and put read and write it inside the task's state. */
export function verdictActions(ctx, get = (s) => s, put = (_, v) => v) {
  const settings = ctx.settings, t = ctx.t;
  const change = (does) => (s) => put(s, does(get(s)));
  const list = [{ key: "1", label: t("task.better_n", { n: 1 }), press: change((v) => prefer(v, "1")), on: (s) => get(s).preferred === "1", told: t("task.told.better", { n: 1 }) }];
  if (settings.tie) list.push({ key: "=", label: t("task.tie"), press: change(() => ({ ...EMPTY, tie: true })), on: (s) => get(s).tie, told: t("task.tie") });
  if (settings.both_bad) list.push({ key: "0", label: t("task.both_bad"), press: change(() => ({ ...EMPTY, both_bad: true })), on: (s) => get(s).both_bad, told: t("task.both_bad") });
  list.push({ key: "2", label: t("task.better_n", { n: 2 }), press: change((v) => prefer(v, "2")), on: (s) => get(s).preferred === "2", told: t("task.told.better", { n: 2 }) });
  if (settings.strength) {
    const by = (step) => (s) => {
      const v = get(s);
      return v.preferred ? put(s, { ...v, strength: Math.min(3, Math.max(1, (v.strength ?? (step > 0 ? 0 : 2)) + step)) }) : undefined;
    };
    list.push({ key: "[", label: t("key.weaker"), hidden: true, press: by(-1) }, { key: "]", label: t("key.stronger"), hidden: true, press: by(1) });
  }
  return list;
}

/** Three buttons for the strength; returns what redraws them. */
export function strengthBar(ctx, get = (s) => s, put = (_, v) => v) {
  if (!ctx.settings.strength) return () => {};
  const buttons = [1, 2, 3].map((n) => el("button", { type: "button", class: "pick", "aria-pressed": "false", text: ctx.t(`task.strength.${n}`), on: { click: () => {
    const v = get(ctx.get());
    if (v.preferred) ctx.set(put(ctx.get(), { ...v, strength: n }), ctx.t(`task.strength.${n}`));
  } } }));
  ctx.bar.append(el("span", { class: "row", role: "group", "aria-label": ctx.t("task.strength") }, el("kbd", { text: "[", "aria-hidden": "true" }), ...buttons, el("kbd", { text: "]", "aria-hidden": "true" })));
  return (s) => {
    const v = get(s);
    buttons.forEach((button, n) => { pressed(button, v.strength === n + 1); button.setAttribute("aria-disabled", String(!v.preferred)); });
  };
}

export function drawVerdict(made, v, t) {
  for (const card of made) {
    const words = v.preferred === card.id ? t("task.better") : v.tie ? t("task.tie") : v.both_bad ? t("task.both_bad") : "";
    show(card, v.preferred === card.id ? "on" : v.both_bad ? "worst" : "", words, v.preferred === card.id);
  }
}

export default {
  start: () => EMPTY,
  from: (answer) => ({ ...EMPTY, ...pick(answer) }),
  touched: said,
  missing: missingOf,
  answer: (s, ctx) => answerOf(s, ctx.settings),
  actions: (ctx) => verdictActions(ctx),
  mount(ctx) {
    const { grid, made } = cards(ctx, (place) => ctx.press(place));
    ctx.host.append(grid);
    ctx.cards = made;
    const strength = strengthBar(ctx);
    return (s) => { drawVerdict(made, s, ctx.t); strength(s); };
  },
};

export function pick({ preferred = null, tie = false, both_bad = false, strength = null }) { return { preferred, tie, both_bad, strength }; }
