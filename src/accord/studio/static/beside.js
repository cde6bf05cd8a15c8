// What a project asks beside its task, on the same screen: flags, words, ratings, where a clip goes wrong.
import { el, keyed, pressed } from "./dom.js";
import { chips, toggle } from "./tasks/flags.js";
import { scale } from "./tasks/scale.js";
import { field } from "./tasks/writing.js";

export const START = { flags: [], critique: "", scores: {}, stops: {} };

export class Beside {
  constructor(ctx) {
    const { settings } = ctx;
    this.ctx = ctx;
    this.single = ctx.view.options.length === 1;
    this.flags = settings.task !== "flags" && settings.flags.length > 0;
    this.words = settings.task !== "critique" && settings.critique !== "off";
    this.rated = settings.task !== "rating" && settings.attributes.length > 0 && ctx.view.options.length > 0;
    this.stoppable = settings.stops ? ctx.view.options.filter((option) => option.drawing) : [];
    this.stopping = false; // the number of the clip comes next
  }

  from(answer) {
    const critique = typeof answer.critique === "string" ? answer.critique : Object.values(answer.critique ?? {}).join("\n");
    return { flags: this.flags ? (answer.flags ?? []) : [], critique, scores: this.rated ? (this.single ? { 1: answer.scores ?? {} } : (answer.scores ?? {})) : {}, stops: answer.stops ?? {} };
  }

  touched(s) { return s.flags.length > 0 || s.critique !== "" || Object.keys(s.scores).length > 0 || Object.keys(s.stops).length > 0; }

  missing(s) { return this.words && this.ctx.settings.critique === "required" && !s.critique.trim() ? this.ctx.t("task.missing.words") : null; }

  answer(s) {
    const made = {};
    if (this.flags && s.flags.length) made.flags = s.flags;
    if (this.words && s.critique.trim()) made.critique = s.critique;
    if (this.rated && Object.keys(s.scores).length) made.scores = this.single ? s.scores["1"] : s.scores;
    if (Object.keys(s.stops).length) made.stops = s.stops;
    return made;
  }

  /** Build it below the task; returns what redraws it. */
  mount() {
    const { ctx } = this, { t, settings } = ctx, draws = [];
    const home = el("div", { class: "beside-all" });
    if (this.rated) for (const card of ctx.cards ?? []) {
      const place = el("div", { class: "beside", role: "group", "aria-label": t("task.ratings_of", { n: card.id }) });
      for (const attribute of settings.attributes) {
        const row = scale(attribute, t, (score) => { const s = ctx.beside(); ctx.setBeside({ ...s, scores: { ...s.scores, [card.id]: { ...s.scores[card.id], [attribute.name]: score } } }); });
        place.append(row.root);
        draws.push((s) => row.draw(s.scores[card.id]?.[attribute.name]));
      }
      card.root.append(place);
    }
    for (const option of this.stoppable) {
      const card = ctx.cards.find((one) => one.id === option.id), button = keyed("x", t("task.stop"), { class: "pick bad", "aria-pressed": "false", on: { click: () => this.stop(option) } });
      card.root.append(el("div", { class: "beside" }, button));
      draws.push((s) => {
        const at = s.stops[option.id], text = at === undefined ? t("task.stop") : t("task.stopped", { at: this.seconds(option, at) });
        if (button.lastChild.textContent !== text) button.lastChild.textContent = text;
        button.setAttribute("aria-label", `${card.name}: ${text}`);
        pressed(button, at !== undefined);
      });
    }
    if (this.flags) {
      this.chips = chips(settings.flags, t("task.flags_beside"), (name) => this.flag(name));
      home.append(this.chips.root);
      draws.push((s) => this.chips.draw(s.flags));
    }
    if (this.words) {
      const text = field(t(settings.critique === "required" ? "task.words_required" : "task.words"), 2, ctx.direction, (critique) => ctx.setBeside({ ...ctx.beside(), critique }, "", "critique"));
      this.area = text.area;
      home.append(text.root);
      draws.push((s) => text.draw(s.critique));
    }
    if (home.childElementCount) ctx.host.append(home);
    return (s) => draws.forEach((draw) => draw(s));
  }

  flag(name) {
    const s = this.ctx.beside(), flags = toggle(s.flags, name);
    this.ctx.setBeside({ ...s, flags }, this.ctx.t(flags.includes(name) ? "task.told.flag_on" : "task.told.flag_off", { name }));
  }

  seconds({ drawing }, at) { return ((at / (drawing.every ?? 1)) * drawing.dt).toFixed(2); }

  /** From the moment that is seen it goes wrong; a second time at the same moment: it does not. */
  stop(option) {
    const { ctx } = this, { t } = ctx, { drawing } = option, node = ctx.nodes[option.id];
    const frames = drawing.frames?.length ?? drawing.count, frame = Math.min(Math.floor(node.currentTime / drawing.dt + 1e-6), frames - 1);
    const at = Math.min(frame * (drawing.every ?? 1), option.steps - 1), s = ctx.beside(), stops = { ...s.stops };
    ctx.player?.stop();
    if (at < 1) { ctx.hint(t("task.stop_first"), true); return; }
    ctx.hint("");
    if (stops[option.id] === at) delete stops[option.id]; else stops[option.id] = at;
    const told = stops[option.id] ? "task.told.stopped" : "task.told.not_stopped";
    ctx.setBeside({ ...s, stops }, t(told, { n: option.id, at: this.seconds(option, at) }));
  }

  /** Keys that stop a clip: x, and its number where there are several; whether this was one. */
  stopKey(key) {
    const armed = this.stopping, one = this.stoppable.length === 1 ? this.stoppable[0] : this.stoppable.find((option) => option.id === key);
    this.stopping = false;
    if (armed) this.ctx.hint("");
    if (key === "x" && this.stoppable.length > 1) { this.stopping = true; this.ctx.player?.stop(); this.ctx.hint(this.ctx.t("task.stop_which")); return true; }
    if (!one || !(key === "x" || (armed && this.stoppable.length > 1))) return false;
    this.stop(one);
    return true;
  }

  /** A key while the flags have the focus; whether it meant one. */
  key(key) {
    const n = Number(key) - 1;
    if (!(n >= 0 && n < this.ctx.settings.flags.length)) return false;
    this.flag(this.ctx.settings.flags[n]);
    return true;
  }
}
