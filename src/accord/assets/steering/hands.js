// What a person holds: for each number of an action a pair of keys, and of buttons that do the same.
import { el, pressed } from "./dom.js";

const PAIRS = ["qa", "ws", "ed", "rf", "tg", "yh", "uj", "ik", "ol"]; // up and down; further numbers have buttons alone

export class Hands {
  /** form: {names, low, high} of the numbers. */
  constructor(form) {
    this.form = form;
    this.down = new Map(); // what holds, a key or a button -> [number, 1 or -1]
    this.fresh = []; // what was held since the last step, however shortly
    this.buttons = new Map();
    this.rows = form.names.map((name, number) => this.row(name, number));
    this.roots = this.rows.map((row) => row.root);
  }

  row(name, number) {
    const pair = PAIRS[number] ?? "", value = el("span", { class: "tabular value", text: "–" }), fill = el("i", {});
    const bar = el("span", { class: "level", "aria-hidden": "true" }, fill);
    const root = el("div", { class: "hand" }, el("span", { class: "name", text: name }), this.button(name, number, -1, pair[1]), bar, value, this.button(name, number, 1, pair[0]));
    return { root, value, fill };
  }

  button(name, number, way, key) {
    const said = way > 0 ? "up" : "down", source = `${number} ${way}`;
    const made = el("button", { type: "button", class: "pick", "aria-label": `${name} ${said}`, "aria-keyshortcuts": key, "aria-pressed": "false" },
      key ? el("kbd", { text: key, "aria-hidden": "true" }) : null, el("span", { text: way > 0 ? "+" : "−", "aria-hidden": "true" }));
    const press = () => this.press(source, number, way), release = () => this.release(source);
    made.addEventListener("pointerdown", (event) => { made.setPointerCapture(event.pointerId); press(); });
    for (const over of ["pointerup", "pointercancel", "lostpointercapture", "blur"]) made.addEventListener(over, release);
    made.addEventListener("contextmenu", (event) => event.preventDefault()); // a long touch
    made.addEventListener("keydown", (event) => { if (event.key === " " || event.key === "Enter") { event.preventDefault(); press(); } });
    made.addEventListener("keyup", release);
    this.buttons.set(source, made);
    return made;
  }

  press(source, number, way) {
    if (this.down.has(source)) return;
    this.down.set(source, [number, way]);
    this.fresh.push([number, way]);
    this.show();
  }

  release(source) { if (this.down.delete(source)) this.show(); }

  releaseAll() { this.down.clear(); this.fresh = []; this.show(); }

  /** A key that went down; whether it drives. */
  keyDown(event) {
    const key = event.key.toLowerCase(), number = PAIRS.findIndex((pair) => pair.includes(key));
    if (key.length !== 1 || number < 0 || number >= this.rows.length) return false;
    this.press(event.code || key, number, PAIRS[number][0] === key ? 1 : -1);
    return true;
  }

  keyUp(event) { this.release(event.code || event.key.toLowerCase()); }

  /** How far each number is driven, null where nothing holds it; two that pull both ways hold it in the middle. What was held
      shortly since the last step counts once where time goes on. */
  held(strength, running) {
    const all = [...this.down.values(), ...(running ? this.fresh.filter(([number]) => ![...this.down.values()].some(([other]) => other === number)) : [])];
    this.fresh = [];
    return this.rows.map((_, number) => {
      const ways = new Set(all.filter(([one]) => one === number).map(([, way]) => way));
      return ways.size ? strength * [...ways].reduce((sum, way) => sum + way, 0) : null;
    });
  }

  show() {
    const held = new Set([...this.down.values()].map(([number, way]) => `${number} ${way}`));
    for (const [source, button] of this.buttons) pressed(button, held.has(source));
  }

  /** The numbers of the last step; null before the first. */
  done(action) {
    this.rows.forEach(({ value, fill }, number) => {
      const low = this.form.low[number], high = this.form.high[number], at = action?.[number];
      value.textContent = at === undefined ? "–" : at.toFixed(2).replace("-", "−");
      const share = (to) => Math.min(Math.max((to - low) / (high - low), 0), 1), still = share(0), here = at === undefined ? still : share(at);
      fill.style.setProperty("inset-inline-start", `${100 * Math.min(still, here)}%`);
      fill.style.setProperty("inline-size", `${100 * Math.abs(here - still)}%`);
    });
  }
}
