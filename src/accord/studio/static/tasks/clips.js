// Two clips side by side, played together, judged like two responses. What cannot be shown cannot be judged.
import { el } from "../dom.js";
import { cards } from "./cards.js";
import comparison, { drawVerdict, strengthBar } from "./comparison.js";
import { drawn } from "./drawn.js";
import { Player } from "./player.js";

const PICTURE = /\.(gif|png|apng|jpe?g|webp)$/i;

/** A picture, a film, or what is drawn here; `state` is told "there" or "broken". */
function clip(option, t, state) {
  const label = t("task.clip_n", { n: option.id });
  if (option.drawing) return drawn(option.drawing, label, state);
  const picture = PICTURE.test(option.src);
  const node = picture ? el("img", { class: "clip hideable", alt: label }) : el("video", { class: "clip hideable", muted: true, playsinline: true, preload: "auto", "aria-label": label });
  node.muted = true;
  node.addEventListener(picture ? "load" : "loadeddata", () => state("there"));
  node.addEventListener("error", () => state("broken", node));
  node.src = option.src;
  return node;
}

export default {
  ...comparison,
  missing(s, ctx) {
    const broken = ctx.view.options.find((option) => ctx.clips?.[option.id] === "broken");
    if (broken) return ctx.t("task.clip_failed", { clip: ctx.t("task.clip_n", { n: broken.id }) });
    return comparison.missing(s, ctx) ?? (ctx.view.options.every((option) => ctx.clips?.[option.id] === "there") ? null : ctx.t("task.missing.clips"));
  },
  actions(ctx) {
    const key = (key, name, does) => ({ key, label: ctx.t(name), hidden: true, press: () => { if (ctx.player) does(ctx.player); return undefined; } });
    return [
      ...comparison.actions(ctx), key("p", "key.play", (player) => player.toggle()), key("r", "key.restart", (player) => player.seek(0)),
      key("l", "task.loop", (player) => player.again()), key(",", "task.slower", (player) => player.faster(-1)), key(".", "task.faster", (player) => player.faster(1)),
    ];
  },
  mount(ctx) {
    ctx.clips = {};
    const nodes = ctx.view.options.map((option) => clip(option, ctx.t, (state, node) => {
      ctx.clips[option.id] = state;
      if (!ctx.here()) return;
      if (state === "broken" && node.isConnected) node.replaceWith(el("p", { class: "wrong", text: ctx.t("task.clip_failed", { clip: ctx.t("task.clip_n", { n: option.id }) }) }));
      if (state === "broken") { ctx.player?.drop(node); ctx.hint(ctx.t("task.clip_failed", { clip: ctx.t("task.clip_n", { n: option.id }) }), true); }
      ctx.redraw();
    }));
    const { grid, made } = cards(ctx, (place) => ctx.press(place), ctx.view.options, (option) => [nodes[ctx.view.options.indexOf(option)]]);
    grid.classList.add("clips");
    ctx.cards = made;
    const films = nodes.filter((node) => node instanceof HTMLVideoElement || node instanceof HTMLCanvasElement);
    if (films.length) { ctx.player = new Player(films, ctx.t, ctx.say); ctx.host.append(ctx.player.root); }
    ctx.host.append(grid);
    const strength = strengthBar(ctx);
    return (s) => { drawVerdict(made, s, ctx.t); strength(s); };
  },
};
