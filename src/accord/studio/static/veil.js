// Content that somebody may not want to see unprepared: a warning before the first of a kind in a sitting, and blur until
// asked for. Whether this spares anybody harm is not known; the choice is the rater's.
import { el, keyed } from "./dom.js";

const SEEN = "accord:warned";

function seen() { try { return JSON.parse(sessionStorage.getItem(SEEN)) ?? []; } catch { return []; } }

export class Veil {
  constructor(settings, preferences, t) {
    this.t = t; this.preferences = preferences; this.covers = false; this.reveal = () => {};
    this.known = new Map(settings.categories.map((category) => [category.name, category]));
    this.shown = null;
  }

  /** Cover the screen's content as far as the item's categories and the rater's wishes ask for it. */
  cover(view, screen, skip, hint) {
    if (this.shown === view.view) return;
    const kinds = view.categories.map((name) => this.known.get(name)).filter(Boolean);
    const label = (kind) => kind.label ?? kind.name;
    const warn = kinds.filter((kind) => kind.warning && !seen().includes(kind.name));
    const blur = kinds.filter((kind) => kind.blur || (this.preferences.blur ?? []).includes(kind.name));
    this.covers = false; this.reveal = () => {};
    screen.classList.remove("blurred");
    if (!warn.length && !blur.length) return;
    const content = [...screen.children];
    const uncover = () => {
      this.covers = false; this.shown = view.view; this.reveal = () => {};
      screen.classList.remove("blurred");
      screen.querySelectorAll(".veil, .unblur").forEach((node) => node.remove());
      for (const node of content) { node.hidden = false; node.inert = false; }
      screen.focus({ preventScroll: true });
    };
    const names = kinds.map(label).join(", ");
    const blurred = () => {
      this.covers = true; this.reveal = uncover;
      screen.querySelectorAll(".veil").forEach((node) => node.remove());
      screen.classList.add("blurred");
      for (const node of content) { node.hidden = false; node.inert = true; }
      const button = keyed("b", this.t("work.unblur", { names }), { on: { click: uncover } });
      screen.prepend(el("div", { class: "unblur" }, button));
      button.focus({ preventScroll: true });
    };
    if (!warn.length) { blurred(); return; }
    const go = () => {
      try { sessionStorage.setItem(SEEN, JSON.stringify([...seen(), ...warn.map((kind) => kind.name)])); } catch { /* warned again next time */ }
      if (blur.length) blurred(); else uncover();
    };
    this.covers = true; this.reveal = go;
    for (const node of content) node.hidden = true;
    const button = keyed("b", this.t("work.show_it"), { class: "primary", on: { click: go } });
    screen.prepend(el("div", { class: "veil", role: "group", "aria-label": this.t("work.warning") }, el("h2", { text: this.t("work.warning") }), el("p", { text: this.t("work.warning_text", { names: warn.map(label).join(", ") }) }), el("div", { class: "row" }, keyed("s", this.t("work.skip"), { on: { click: skip } }), button)));
    button.focus({ preventScroll: true });
    hint("");
  }
}
