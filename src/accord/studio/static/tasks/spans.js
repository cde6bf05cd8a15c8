// Marked passages: by mouse, or with the keyboard word by word. Places are counted in code points of the text shown.
import { el, keyed } from "../dom.js";
import { cards } from "./cards.js";

function tokens(text, language) {
  const made = [];
  let at = 0;
  for (const { segment, isWordLike } of new Intl.Segmenter(language, { granularity: "word" }).segment(text)) {
    const length = [...segment].length;
    made.push({ text: segment, start: at, end: at + length, word: isWordLike || /\S/.test(segment) });
    at += length;
  }
  return made;
}

const same = (a, b) => a.start === b.start && a.end === b.end && a.label === b.label;

export default {
  start: () => ({ spans: [], none: false }),
  from: (answer) => ({ spans: answer.spans.map(({ start, end, label }) => ({ start, end, label })), none: !answer.spans.length }),
  touched: (s) => s.spans.length > 0 || s.none,
  missing: (s, ctx) => (s.spans.length || s.none ? null : ctx.t("task.missing.spans")),
  answer: (s) => ({ spans: s.spans }),
  actions: (ctx) => [
    ...ctx.settings.spans.map((label, n) => ({
      key: String(n + 1), label, kind: ["", "good", "bad", "okay"][n] ?? "",
      press(s) { const span = ctx.chosen?.(); if (!span) { ctx.hint(ctx.t("task.spans_select")); return undefined; } const made = { ...span, label }; return { none: false, spans: [...s.spans.filter((x) => !same(x, made)), made] }; },
      told: ctx.t("task.told.marked", { label }),
    })),
    { key: "0", label: ctx.t("task.nothing_to_mark"), press: (s) => ({ spans: [], none: !s.none }), on: (s) => s.none, told: ctx.t("task.nothing_to_mark") },
  ],
  edit: (ctx) => ctx.text.focus(),
  mount(ctx) {
    const words = tokens(ctx.view.options[0].text, ctx.settings.language), points = words.filter((w) => w.word);
    for (const word of words) word.node = el("span", { text: word.text, "data-start": String(word.start) });
    const text = el("div", { class: "marking hideable", tabindex: "0", role: "group", dir: ctx.direction, "aria-label": ctx.t("task.text_to_mark"), "aria-describedby": "marking-hint" }, ...words.map((w) => w.node));
    ctx.text = text;
    const list = el("ul", { class: "marks", "aria-label": ctx.t("task.marks") });
    const { grid, made } = cards(ctx, null, ctx.view.options, () => [text, el("p", { class: "hint", id: "marking-hint", text: ctx.t("task.spans_hint") }), list]);
    ctx.host.append(grid);
    ctx.cards = made;
    let cursor = -1, anchor = -1;
    const range = () => (cursor < 0 ? null : { start: points[Math.min(cursor, anchor)].start, end: points[Math.max(cursor, anchor)].end });
    ctx.chosen = () => selected(text, words) ?? range();
    const mark = () => {
      const chosen = range();
      words.forEach((w) => {
        w.node.classList.toggle("cursor", cursor >= 0 && w === points[cursor]);
        w.node.classList.toggle("chosen", Boolean(chosen) && w.start >= chosen.start && w.end <= chosen.end);
      });
    };
    text.addEventListener("focus", () => { if (cursor < 0 && points.length && !selected(text, words)) { cursor = anchor = 0; mark(); } });
    text.addEventListener("pointerdown", () => { cursor = anchor = -1; mark(); });
    text.addEventListener("keydown", (event) => {
      const rtl = getComputedStyle(text).direction === "rtl";
      const step = { ArrowRight: rtl ? -1 : 1, ArrowLeft: rtl ? 1 : -1, ArrowDown: 8, ArrowUp: -8, Home: -1e9, End: 1e9 }[event.key];
      if (step === undefined || event.ctrlKey || event.metaKey || event.altKey || !points.length) return;
      event.preventDefault(); event.stopPropagation();
      getSelection().removeAllRanges();
      cursor = Math.min(Math.max((cursor < 0 ? 0 : cursor) + step, 0), points.length - 1);
      if (!event.shiftKey || anchor < 0) anchor = cursor;
      mark();
      points[cursor].node.scrollIntoView({ block: "nearest" });
      const chosen = range();
      ctx.say([...ctx.view.options[0].text].slice(chosen.start, chosen.end).join(""));
    });
    return (s) => {
      for (const w of words) {
        const over = s.spans.filter((span) => w.start < span.end && w.end > span.start);
        const kind = over.length ? el("mark", { "data-label": String(ctx.settings.spans.indexOf(over.at(-1).label) + 1), title: over.map((o) => o.label).join(", "), text: w.text }) : document.createTextNode(w.text);
        w.node.replaceChildren(kind);
      }
      list.replaceChildren(...s.spans.map((span) => {
        const quote = [...ctx.view.options[0].text].slice(span.start, span.end).join("");
        const out = keyed("", ctx.t("task.remove"), { class: "quiet", "aria-label": `${ctx.t("task.remove")}: ${span.label}, ${quote}`, on: { click: () => ctx.set({ ...ctx.get(), spans: ctx.get().spans.filter((x) => !same(x, span)) }) } });
        return el("li", {}, el("strong", { text: span.label }), el("q", { text: quote, dir: ctx.direction }), out);
      }));
    };
  },
};

/** What is selected with the mouse, grown to whole words; null for nothing. */
function selected(text, words) {
  const selection = getSelection();
  if (!selection.rangeCount || selection.isCollapsed) return null;
  const range = selection.getRangeAt(0);
  if (!text.contains(range.commonAncestorContainer)) return null;
  let inside = words.filter((w) => range.intersectsNode(w.node) && touches(range, w.node));
  while (inside.length && !inside[0].word) inside = inside.slice(1);
  while (inside.length && !inside.at(-1).word) inside = inside.slice(0, -1);
  return inside.length ? { start: inside[0].start, end: inside.at(-1).end } : null;
}

function touches(range, node) {
  const whole = document.createRange();
  whole.selectNodeContents(node);
  return range.compareBoundaryPoints(Range.END_TO_START, whole) < 0 && range.compareBoundaryPoints(Range.START_TO_END, whole) > 0;
}
