// A conversation with a model: two answers to each message, the better one goes on.
import { el, keyed, messages, pressed } from "../dom.js";
import { cards } from "./cards.js";
import { EMPTY, answerOf, drawVerdict, missingOf, pick, said, strengthBar, verdictActions } from "./comparison.js";
import { field } from "./writing.js";

const NEW = { ...EMPTY, continued: null };
const padded = (s, ctx) => Array.from({ length: ctx.view.turns.length }, (_, n) => s.turns[n] ?? NEW);
const goesOn = (turn) => turn.preferred ?? turn.continued;
const last = (s) => s.turns.at(-1) ?? NEW;
const put = (s, verdict) => ({ ...s, turns: [...s.turns.slice(0, -1), { ...NEW, ...verdict }] });

export default {
  start: (ctx) => ({ turns: ctx.view.turns.map(() => NEW), message: "" }),
  from: (answer) => ({ turns: answer.turns.map((turn) => ({ ...pick(turn), continued: turn.continued ?? null })), message: "" }),
  mend: (s, ctx) => ({ ...s, turns: padded(s, ctx) }),
  touched: (s) => s.turns.some(said) || s.message !== "",
  missing(s, ctx) {
    if (ctx.waiting) return ctx.t("task.waiting");
    if (!s.turns.length) return ctx.t("task.missing.chat");
    return missingOf(last(s), ctx);
  },
  answer: (s, ctx) => ({ turns: s.turns.map((turn, n) => ({ ...answerOf(turn, ctx.settings), ...(n < s.turns.length - 1 ? { continued: goesOn(turn) } : {}) })) }),
  actions(ctx) {
    if (!ctx.view.turns.length) return [];
    const on = (n) => (s) => { const turn = last(s); return turn.tie || turn.both_bad ? put(s, { ...turn, continued: n }) : undefined; };
    return [
      ...verdictActions(ctx, last, put),
      { key: ",", label: ctx.t("key.go_on", { n: 1 }), hidden: true, press: on("1"), told: ctx.t("key.go_on", { n: 1 }) },
      { key: ".", label: ctx.t("key.go_on", { n: 2 }), hidden: true, press: on("2"), told: ctx.t("key.go_on", { n: 2 }) },
    ];
  },
  edit: (ctx) => ctx.area?.focus(),
  mount(ctx) {
    const turns = ctx.view.turns, state = ctx.get();
    const log = el("div", { class: "prompt", role: "log", "aria-label": ctx.t("task.conversation") });
    turns.forEach((turn, n) => {
      log.append(...messages(turn.user, ctx.t, ctx.direction));
      const chosen = n < turns.length - 1 ? turn.options.find((o) => o.id === goesOn(state.turns[n] ?? NEW)) : null;
      if (chosen) log.append(...messages(chosen.messages, ctx.t, ctx.direction));
    });
    ctx.host.append(log);
    let redraw = () => {};
    if (turns.length) {
      const { grid, made } = cards(ctx, (place) => ctx.press(place), turns.at(-1).options);
      ctx.cards = made;
      const go = ["1", "2"].map((n) => keyed(n === "1" ? "," : ".", ctx.t("key.go_on", { n }), { class: "pick", "aria-pressed": "false", on: { click: () => ctx.press(n === "1" ? "," : ".") } }));
      const row = el("p", { class: "row centred question", role: "group", "aria-label": ctx.t("task.go_on") }, ...go);
      ctx.host.append(grid, row);
      const strength = strengthBar(ctx, last, put);
      redraw = (s) => {
        const turn = last(s), open = turn.tie || turn.both_bad;
        drawVerdict(made, turn, ctx.t);
        strength(s);
        go.forEach((button, n) => { pressed(button, goesOn(turn) === String(n + 1)); button.setAttribute("aria-disabled", String(!open)); });
      };
    }
    const text = field(ctx.t(turns.length ? "task.next_message" : "task.first_message"), 3, ctx.direction, (message) => ctx.type({ ...ctx.get(), message }));
    ctx.area = text.area;
    const send = keyed("", ctx.t("task.send_message"), { on: { click: () => speak(ctx, send) } });
    text.area.addEventListener("keydown", (event) => { if (event.key === "Enter" && (event.ctrlKey || event.metaKey)) { event.preventDefault(); event.stopPropagation(); speak(ctx, send); } });
    ctx.host.append(el("div", { class: "pane" }, text.root, el("div", { class: "row" }, send, el("span", { class: "hint", text: ctx.t("task.ctrl_enter") }))));
    return (s) => { text.draw(s.message); redraw(s); };
  },
};

async function speak(ctx, button) {
  const s = ctx.get();
  if (button.getAttribute("aria-disabled") === "true") return;
  if (!s.message.trim()) { ctx.hint(ctx.t("task.missing.message"), true); return; }
  if (s.turns.length && !goesOn(last(s))) { ctx.hint(ctx.t(said(last(s)) ? "task.missing.go_on" : "task.missing.comparison"), true); return; }
  button.setAttribute("aria-disabled", "true");
  ctx.waiting = true; // until the two answers are there, nothing can be sent
  ctx.hint(ctx.t("task.waiting"));
  try {
    await ctx.keep();
    const turn = await ctx.post("/turn", { view: ctx.view.view, lease: ctx.view.lease, user: s.message.trim(), chosen: s.turns.map(goesOn) });
    if (!ctx.here()) return;
    ctx.view.turns.push(turn);
    ctx.waiting = false;
    ctx.again({ turns: [...ctx.get().turns, NEW], message: "" });
    ctx.say(ctx.t("task.told.answers"));
  } catch (error) {
    if (!ctx.here()) return;
    ctx.waiting = false;
    button.setAttribute("aria-disabled", "false");
    ctx.hint(error.message || ctx.t("work.unreached"), true);
  }
}
