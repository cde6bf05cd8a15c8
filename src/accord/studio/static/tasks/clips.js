// Clips in place of responses: played together, judged as their task judges responses. What cannot be shown cannot be judged.
import { el } from "../dom.js";
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

const isClip = (option) => Boolean(option.drawing || option.src);

/** A task whose options may be clips: they are cards' bodies, with one player, and the answer waits until all are there. */
export function withClips(task) {
  return {
    ...task,
    missing(s, ctx) {
      const shown = ctx.view.options.filter(isClip), broken = shown.find((option) => ctx.clips?.[option.id] === "broken");
      if (broken) return ctx.t("task.clip_failed", { clip: ctx.t("task.clip_n", { n: broken.id }) });
      return task.missing(s, ctx) ?? (shown.every((option) => ctx.clips?.[option.id] === "there") ? null : ctx.t("task.missing.clips"));
    },
    actions(ctx) {
      const key = (key, name, does) => ({ key, label: ctx.t(name), hidden: true, press: () => { if (ctx.player) does(ctx.player); return undefined; } });
      const playing = [
        key("p", "key.play", (player) => player.toggle()), key("r", "key.restart", (player) => player.seek(0)),
        key("l", "task.loop", (player) => player.again()), key(",", "task.slower", (player) => player.faster(-1)), key(".", "task.faster", (player) => player.faster(1)),
      ];
      return [...task.actions(ctx), ...(ctx.view.options.some(isClip) ? playing : [])];
    },
    mount(ctx) {
      const shown = ctx.view.options.filter(isClip);
      ctx.clips = {};
      ctx.nodes = Object.fromEntries(shown.map((option) => [option.id, clip(option, ctx.t, (state, node) => tell(ctx, option, state, node))]));
      const draw = task.mount(ctx);
      if (!shown.length) return draw;
      const grid = ctx.host.querySelector(".options"), nodes = Object.values(ctx.nodes);
      grid.classList.add("clips");
      const films = nodes.filter((node) => node instanceof HTMLVideoElement || node instanceof HTMLCanvasElement);
      if (films.length) { ctx.player = new Player(films, ctx.t, ctx.say); grid.before(ctx.player.root); }
      return draw;
    },
  };
}

/** How far a clip is: there, or broken for good. */
function tell(ctx, option, state, node) {
  ctx.clips[option.id] = state;
  if (!ctx.here()) return;
  const failed = () => ctx.t("task.clip_failed", { clip: ctx.t("task.clip_n", { n: option.id }) });
  if (state === "broken" && node.isConnected) node.replaceWith(el("p", { class: "wrong", text: failed() }));
  if (state === "broken") { ctx.player?.drop(node); ctx.hint(failed(), true); }
  ctx.redraw();
}
