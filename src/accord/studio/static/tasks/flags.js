// What is wrong with a response: any of the project's flags, or none of them, said outright.
import { keyed, pressed, el } from "../dom.js";
import { cards } from "./cards.js";

export function toggle(list, name) { return list.includes(name) ? list.filter((n) => n !== name) : [...list, name]; }

/** Flags as chips; the first nine have a digit. */
export function chips(names, legend, press) {
  const buttons = names.map((name, n) => keyed(n < 9 ? String(n + 1) : "", name, { class: "pick bad", "aria-pressed": "false", on: { click: () => press(name) } }));
  const root = el("fieldset", { class: "chips", "data-keys": "flags" }, el("legend", { text: legend }), ...buttons);
  return { root, buttons, draw(raised) { buttons.forEach((button, n) => pressed(button, raised.includes(names[n]))); } };
}

export default {
  start: () => ({ flags: [], none: false }),
  from: ({ flags }) => ({ flags, none: !flags.length }),
  touched: (s) => s.flags.length > 0 || s.none,
  missing: (s, ctx) => (s.flags.length || s.none ? null : ctx.t("task.missing.flags")),
  answer: (s) => ({ flags: s.flags }),
  actions: (ctx) => [
    ...ctx.settings.flags.slice(0, 9).map((name, n) => ({ key: String(n + 1), label: name, hidden: true, press: (s) => ({ flags: toggle(s.flags, name), none: false }), tell: (s) => ctx.t(s.flags.includes(name) ? "task.told.flag_on" : "task.told.flag_off", { name }) })),
    { key: "0", label: ctx.t("task.no_flag"), press: (s) => ({ flags: [], none: !s.none }), on: (s) => s.none, told: ctx.t("task.no_flag"), kind: "good" },
  ],
  mount(ctx) {
    const { grid, made } = cards(ctx, null);
    const row = chips(ctx.settings.flags, ctx.t("task.flags"), (name) => ctx.set({ flags: toggle(ctx.get().flags, name), none: false }));
    row.root.classList.add("numbered");
    made[0].root.append(el("div", { class: "beside" }, row.root));
    ctx.host.append(grid);
    ctx.cards = made;
    return (s) => row.draw(s.flags);
  },
};
