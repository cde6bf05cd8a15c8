// A critic's claims about passages, asked for after a first look: each leads to its passage, and can be confirmed,
// rejected or called useless. Until then nothing of them is on the page; which answer is better is never said.
import { el, keyed, pressed, turnOver } from "./dom.js";

const ANSWERS = { y: "confirm", n: "reject", x: "useless" };

export class Assist {
  constructor(ctx) {
    this.ctx = ctx; this.at = -1;
    this.given = ctx.view.assist; // null outside a study
    if (this.given) this.ready = performance.now() + 1000 * Math.max(0, this.given.look_seconds - (ctx.view.since - this.given.served_at));
  }

  get claims() { return this.given?.claims ?? null; }
  get open() { return this.claims !== null; }

  missing() { return this.given && !this.open ? this.ctx.t("work.assist.missing") : null; }
  touched(said) { return said.some(Boolean); }
  answer(said) { return this.claims?.length ? { claims: this.claims.map((_, n) => said[n] ?? null) } : {}; }

  /** Build it below the task; returns what redraws it. */
  mount() {
    const { t, host } = this.ctx;
    if (!this.given) return () => {};
    this.rows = [];
    const root = el("section", { class: "assist", "aria-labelledby": "assist-title" }, el("h2", { id: "assist-title", text: t("work.assist.title") }));
    host.append(root);
    if (!this.open) {
      root.append(el("p", { class: "hint", text: t("work.assist.look") }), keyed("c", t("work.assist.open"), { on: { click: () => this.next() } }));
      return () => {};
    }
    if (!this.claims.length) { root.append(el("p", { class: "soft", text: t("work.assist.none") })); return () => {}; }
    root.append(el("p", { class: "hint", text: t("work.assist.hint") }), el("ol", { class: "claims" }, ...this.claims.map((claim, n) => this.row(claim, n))));
    return (said) => {
      for (const { claim, buttons } of this.rows) for (const [answer, button] of buttons) pressed(button, said[claim.n] === answer);
      if (this.at >= 0) this.point(this.at, false);
    };
  }

  row(claim, n) {
    const { t, direction, view } = this.ctx;
    const where = view.options.length > 1 ? el("span", { class: "who", text: t("task.response_n", { n: claim.option }) }) : null;
    const link = el("a", { href: `#option-${claim.option}`, dir: direction, on: { click: (event) => { event.preventDefault(); this.point(n); }, focus: () => this.point(n, false) } }, el("q", { text: claim.quote }));
    const buttons = Object.entries(ANSWERS).map(([key, answer]) => [answer, keyed(key, t(`work.assist.${answer}`), { class: "pick", "aria-pressed": "false", on: { click: () => { this.point(n, false); this.say(key); } } })]);
    const root = el("li", { tabindex: "-1" }, el("div", {}, where, link, el("span", { class: "claim-text", dir: direction, text: claim.text })), el("div", { class: "row", role: "group", "aria-label": `${t("work.assist.answer")}: ${claim.quote}` }, ...buttons.map(([, button]) => button)));
    this.rows.push({ claim, root, buttons });
    return root;
  }

  /** The claims, once there was a first look; then the next of them. */
  async next() {
    if (!this.given) { this.ctx.hint(this.ctx.t("work.assist.no_study")); return; }
    if (this.open) { if (this.rows.length) { this.point((this.at + 1) % this.rows.length); this.rows[this.at].root.focus({ preventScroll: true }); } return; }
    const { ctx } = this, answer = ctx.firstAnswer(), wait = Math.ceil((this.ready - performance.now()) / 1000);
    if (answer === null && wait > 0) { ctx.hint(ctx.t("work.assist.wait", { seconds: wait }), true); return; }
    try {
      const { claims } = await ctx.post("/claims", { view: ctx.view.view, lease: ctx.view.lease, active_seconds: ctx.seconds(), answer });
      if (!ctx.here()) return;
      this.given.claims = claims;
      ctx.rebuild();
      ctx.say(ctx.t(claims.length ? "work.assist.count" : "work.assist.none", { count: claims.length }));
      if (claims.length) this.next();
    } catch (error) { ctx.hint(error.body?.error ?? ctx.t("work.unreached"), true); }
  }

  /** y, n or x about the claim that was gone to; the same again takes it back. Whether the key meant one. */
  say(key) {
    const row = this.rows?.[this.at];
    if (!row || !ANSWERS[key]) return false;
    const said = this.claims.map((_, n) => this.ctx.said()[n] ?? null), { n } = row.claim;
    said[n] = said[n] === ANSWERS[key] ? null : ANSWERS[key];
    this.ctx.setSaid(said, this.ctx.t(said[n] ? `work.assist.told.${said[n]}` : "work.assist.told.open"));
    return true;
  }

  /** Show the passage of a claim, and go there. */
  point(n, go = true) {
    this.at = n;
    const { claim } = this.rows[n];
    this.rows.forEach(({ root }, other) => root.classList.toggle("current", other === n));
    const card = (this.ctx.cards ?? []).find((one) => one.id === claim.option);
    let range = passage(card.inner, claim);
    if (!range && go && card.inner.querySelector(".content")) { turnOver(card.inner); range = passage(card.inner, claim); }
    if (globalThis.Highlight) CSS.highlights.set("claim", new Highlight(...(range ? [range] : [])));
    else if (go && range) { getSelection().removeAllRanges(); getSelection().addRange(range); }
    if (!go) return;
    if (range) {
      const { top, bottom } = range.getBoundingClientRect();
      if (top < 120 || bottom > innerHeight - 180) scrollBy({ top: top - innerHeight / 3 });
      this.ctx.hint(claim.text);
    } else this.ctx.hint(`${claim.text} ${this.ctx.t("work.assist.hidden")}`);
  }

  /** Nothing is pointed at any more: another item comes. */
  static clear() { if (globalThis.Highlight) CSS.highlights.delete("claim"); }
}

const letter = /[\p{L}\p{N}]/u;

/** Where a claim's quote stands, by its letters and digits (Markdown takes away nothing else); null where it does not. */
function passage(root, claim) {
  const places = [], walk = document.createTreeWalker(root, NodeFilter.SHOW_TEXT);
  for (let node = walk.nextNode(); node; node = walk.nextNode()) {
    if (!node.parentElement.closest(".content, .marking") || node.parentElement.closest(".katex")) continue;
    let at = 0;
    for (const one of node.data) { if (letter.test(one)) places.push({ one, node, at, end: at + one.length }); at += one.length; }
  }
  const wanted = [...claim.quote].filter((one) => letter.test(one));
  let left = claim.before;
  for (let at = 0; at + wanted.length <= places.length; at += 1) {
    if (!wanted.every((one, n) => places[at + n].one === one)) continue;
    if (left > 0) { left -= 1; continue; }
    const range = document.createRange(), last = places[at + wanted.length - 1];
    range.setStart(places[at].node, places[at].at);
    range.setEnd(last.node, last.end);
    return range;
  }
  return null;
}
