// A clip that is drawn, poses or frames on a sheet, with the ways of a film: it plays, stops, jumps, and goes slower.
import { drawPose } from "../pose.js";
import { el } from "../dom.js";

/** A canvas that the player takes for a film. `state` is told "there" or "broken". */
export function drawn(drawing, label, state) {
  const node = el("canvas", { class: "clip drawn hideable", role: "img", "aria-label": label });
  const sheet = drawing.kind === "frames" ? new Image() : null;
  const count = drawing.kind === "frames" ? drawing.count : drawing.frames.length;
  let at = 0, rate = 1, began = null, last = -1;
  const paint = (again = false) => {
    const frame = Math.min(Math.floor(at / drawing.dt + 1e-6), count - 1);
    if (!node.isConnected || (frame === last && !again)) return;
    last = frame;
    if (sheet === null) drawPose(node, drawing, frame);
    else {
      if (node.width !== drawing.width) { node.width = drawing.width; node.height = drawing.height; }
      const x = (frame % drawing.columns) * drawing.width, y = Math.floor(frame / drawing.columns) * drawing.height;
      node.getContext("2d").drawImage(sheet, x, y, drawing.width, drawing.height, 0, 0, drawing.width, drawing.height);
    }
  };
  const settle = (now = performance.now()) => { // the time that has come since
    if (began !== null) { at = Math.min(at + Math.max(0, now - began) / 1000 * rate, node.duration); began = now; }
  };
  const told = (name) => node.dispatchEvent(new Event(name));
  const run = (now) => {
    if (began === null) return;
    settle(now);
    paint();
    if (node.ended) { began = null; told("ended"); } else requestAnimationFrame(run);
  };
  Object.defineProperties(node, {
    duration: { value: count * drawing.dt },
    readyState: { get: () => (sheet === null || sheet.complete ? 4 : 0) },
    seeking: { value: false },
    paused: { get: () => began === null },
    ended: { get: () => at >= node.duration - 1e-6 },
    currentTime: { get: () => { settle(); return at; }, set: (to) => { settle(); at = Math.min(Math.max(to, 0), node.duration); paint(); told("seeked"); } },
    playbackRate: { get: () => rate, set: (to) => { settle(); rate = to; } },
    play: { value: async () => { if (began === null) { began = performance.now(); requestAnimationFrame(run); } } },
    pause: { value: () => { settle(); began = null; paint(); } },
  });
  new ResizeObserver(() => paint(true)).observe(node); // and once when it is there
  if (sheet === null) queueMicrotask(() => state("there"));
  else {
    sheet.onload = () => { paint(true); state("there"); told("loadedmetadata"); };
    sheet.onerror = () => state("broken", node);
    sheet.src = `data:${drawing.type};base64,${drawing.sheet}`;
  }
  return node;
}
