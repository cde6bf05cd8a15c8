// What a project asks beside its task, on the same screen: flags, words, ratings.
import { el } from "./dom.js";
import { chips, toggle } from "./tasks/flags.js";
import { scale } from "./tasks/scale.js";
import { field } from "./tasks/writing.js";

export const START = { flags: [], critique: "", scores: {} };

export class Beside {
  constructor(ctx) {
    const { settings } = ctx;
    this.ctx = ctx;
    this.single = ctx.view.options.length === 1;
    this.flags = settings.task !== "flags" && settings.flags.length > 0;
    this.words = settings.task !== "critique" && settings.critique !== "off";
    this.rated = settings.task !== "rating" && settings.attributes.length > 0 && ctx.view.options.length > 0;
  }

  from(answer) {
    const critique = typeof answer.critique === "string" ? answer.critique : Object.values(answer.critique ?? {}).join("\n");
    return { flags: this.flags ? (answer.flags ?? []) : [], critique, scores: this.rated ? (this.single ? { 1: answer.scores ?? {} } : (answer.scores ?? {})) : {} };
  }

  touched(s) { return s.flags.length > 0 || s.critique !== "" || Object.keys(s.scores).length > 0; }

  missing(s) { return this.words && this.ctx.settings.critique === "required" && !s.critique.trim() ? this.ctx.t("task.missing.words") : null; }

  answer(s) {
    const made = {};
    if (this.flags && s.flags.length) made.flags = s.flags;
    if (this.words && s.critique.trim()) made.critique = s.critique;
    if (this.rated && Object.keys(s.scores).length) made.scores = this.single ? s.scores["1"] : s.scores;
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

  /** A key while the flags have the focus; whether it meant one. */
  key(key) {
    const n = Number(key) - 1;
    if (!(n >= 0 && n < this.ctx.settings.flags.length)) return false;
    this.flag(this.ctx.settings.flags[n]);
    return true;
  }
}
