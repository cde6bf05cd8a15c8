// Responses as cards, with the button that chooses each.
import { el, keyed, messages, pressed } from "../dom.js";

/** Cards for the view's options. choose(place): what its button, named by `verb`, does; null for cards without one. */
export function cards(ctx, choose, options = ctx.view.options, body = undefined, verb = "task.choose") {
  const count = options.length;
  const grid = el("div", { class: `options ${count === 1 ? "one" : count === 2 ? "two" : count === 4 ? "four" : ""}` });
  const made = options.map((option) => {
    const clip = ctx.nodes?.[option.id]; // in place of what was written
    const name = clip ? ctx.t("task.clip_n", { n: option.id }) : count === 1 ? ctx.t("task.response") : ctx.t("task.response_n", { n: option.id });
    const title = el("h2", { text: name, id: `option-${option.id}` });
    const mark = el("span", { class: "mark" });
    const button = choose ? keyed(option.id, ctx.t(verb), { class: "choose", "aria-pressed": "false", on: { click: () => choose(option.id) } }) : null;
    button?.setAttribute("aria-label", `${ctx.t(verb)}: ${name}`);
    const inner = el("div", { class: "body" }, ...(clip ? [clip] : body ? body(option) : messages(option.messages, ctx.t, ctx.direction, true)));
    const root = el("article", { class: "option", "aria-labelledby": title.id }, el("header", {}, title, mark, ...(button ? [button] : [])), inner);
    grid.append(root);
    return { id: option.id, name, root, mark, button, inner, header: root.firstChild };
  });
  return { grid, made };
}

/** Show a card's state: class, words, whether its button is pressed. */
export function show(card, kind, words, isPressed = Boolean(kind)) {
  card.root.className = `option ${kind}`;
  if (card.mark.textContent !== words) card.mark.textContent = words;
  if (card.button) pressed(card.button, isPressed);
}
