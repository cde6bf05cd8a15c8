// Two clips side by side, played together, judged like two responses.
import { el, keyed } from "../dom.js";
import { cards } from "./cards.js";
import comparison, { drawVerdict, strengthBar } from "./comparison.js";

const PICTURE = /\.(gif|png|apng|jpe?g|webp)$/i;

function clip(option, t, failed) {
  const label = t("task.clip_n", { n: option.id });
  const node = PICTURE.test(option.src) ? el("img", { class: "clip hideable", src: option.src, alt: label })
    : el("video", { class: "clip hideable", src: option.src, muted: true, playsinline: true, preload: "auto", "aria-label": label });
  node.muted = true;
  node.addEventListener("error", () => { failed(label); node.replaceWith(el("p", { class: "hint", text: t("task.clip_failed", { clip: label }) })); });
  return node;
}

export default {
  ...comparison,
  actions: (ctx) => [
    ...comparison.actions(ctx),
    { key: "p", label: ctx.t("key.play"), hidden: true, press: () => { ctx.player?.toggle(); return undefined; } },
    { key: "r", label: ctx.t("key.restart"), hidden: true, press: () => { ctx.player?.seek(0); return undefined; } },
  ],
  mount(ctx) {
    const nodes = ctx.view.options.map((option) => clip(option, ctx.t, (label) => ctx.hint(ctx.t("task.clip_failed", { clip: label }), true)));
    const { grid, made } = cards(ctx, (place) => ctx.press(place), ctx.view.options, (option) => [nodes[ctx.view.options.indexOf(option)]]);
    grid.classList.add("clips");
    ctx.cards = made;
    const videos = nodes.filter((node) => node instanceof HTMLVideoElement);
    if (videos.length) ctx.host.append(player(ctx, videos));
    ctx.host.append(grid);
    const strength = strengthBar(ctx);
    return (s) => { drawVerdict(made, s, ctx.t); strength(s); };
  },
};

/** One button and one slider for all clips: they start, stop and jump together; the longest sets the length. */
function player(ctx, videos) {
  const length = () => Math.max(0.01, ...videos.map((v) => (Number.isFinite(v.duration) ? v.duration : 0)));
  const now = () => Math.max(...videos.map((v) => v.currentTime));
  const slider = el("input", { type: "range", min: "0", max: "1000", value: "0", step: "1", "aria-label": ctx.t("task.position") });
  const button = keyed("p", ctx.t("task.play"), { on: { click: () => ctx.player.toggle() } });
  const again = keyed("r", ctx.t("task.restart"), { class: "quiet", on: { click: () => ctx.player.seek(0) } });
  let playing = false;
  const name = () => { button.lastChild.textContent = ctx.t(playing ? "task.pause" : "task.play"); };
  ctx.player = {
    toggle() { playing = !playing; if (playing && now() >= length() - 0.05) this.seek(0); for (const v of videos) if (playing) v.play().catch(() => { playing = false; name(); }); else v.pause(); name(); },
    seek(to) { for (const v of videos) v.currentTime = Math.min(to, v.duration || to); slider.value = String((1000 * to) / length()); },
  };
  slider.addEventListener("input", () => ctx.player.seek((Number(slider.value) / 1000) * length()));
  for (const v of videos) {
    v.addEventListener("timeupdate", () => { if (playing) slider.value = String((1000 * now()) / length()); });
    v.addEventListener("ended", () => { if (videos.every((w) => w.ended)) { playing = false; name(); } });
  }
  return el("div", { class: "player", role: "group", "aria-label": ctx.t("task.player") }, button, again, slider);
}
