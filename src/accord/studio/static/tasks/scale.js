// One scale for one attribute: radio buttons, so that arrows and screen readers work as they know it.
import { el } from "../dom.js";

let count = 0;

export function scale(attribute, t, change) {
  const name = `scale-${(count += 1)}`;
  const points = [];
  for (let score = attribute.low; score <= attribute.high; score += 1) {
    const label = attribute.labels?.[score];
    const input = el("input", { type: "radio", name, value: String(score), "aria-label": label ? `${score}: ${label}` : String(score), on: { change: () => change(score) } });
    points.push({ score, input, root: el("label", { class: "point", title: label ?? null }, input, el("span", { text: String(score), "aria-hidden": "true" })) });
  }
  const ends = attribute.labels?.[attribute.low] || attribute.labels?.[attribute.high]
    ? el("div", { class: "ends", "aria-hidden": "true" }, el("span", { text: attribute.labels[attribute.low] ?? "" }), el("span", { text: attribute.labels[attribute.high] ?? "" })) : null;
  const root = el("fieldset", { class: "scale" }, el("legend", { text: attribute.label ?? attribute.name }), el("div", { class: "points" }, ...points.map((p) => p.root)), ends);
  return { root, draw(value) { for (const p of points) p.input.checked = p.score === value; }, focus: () => (points.find((p) => p.input.checked) ?? points[0]).input.focus() };
}

/** The score that a digit stands for: itself where the scale has it, else its place. */
export function scoreOf(attribute, digit) {
  const score = attribute.low >= 0 && attribute.high <= 9 ? digit : attribute.low + digit - 1;
  return score >= attribute.low && score <= attribute.high ? score : null;
}
