// One player for several films: they start, stop, jump, slow down and loop together. The longest sets the length; a film
// that runs ahead of the slowest goes slower, then waits, so that a film that has to be fetched keeps the others back.
import { el, keyed, pressed, store } from "../dom.js";

const RATES = [0.25, 0.5, 1, 1.5, 2];
const NEAR = 0.04, FAR = 0.25; // seconds ahead: go slower, wait
const END = 0.03; // this close to its end a film is over
const KEPT = "accord:player"; // speed and loop stay as they were chosen

export class Player {
  constructor(films, t, say) {
    const kept = store.get(KEPT) ?? {};
    this.films = films; this.t = t; this.say = say; this.playing = false; this.timer = null;
    this.rate = RATES.includes(kept.rate) ? kept.rate : 1;
    this.loop = Boolean(kept.loop);
    for (const film of films) {
      film.addEventListener("loadedmetadata", () => measure(film));
      for (const event of ["durationchange", "seeked", "timeupdate", "ended"]) film.addEventListener(event, () => this.draw());
    }
    this.root = this.build();
    this.draw();
  }

  get length() { return Math.max(0, ...this.films.map(lengthOf)); }
  get now() { return Math.max(0, ...this.films.map((film) => film.currentTime)); }

  /** A film that cannot be shown is waited for no longer. */
  drop(film) { this.films = this.films.filter((other) => other !== film); this.root.hidden = !this.films.length; this.draw(); }

  toggle() {
    this.playing = !this.playing;
    if (this.playing && this.films.every(over)) this.seek(0);
    if (this.playing) this.run(); else this.stop();
    this.draw();
  }

  stop() {
    this.playing = false;
    clearInterval(this.timer);
    for (const film of this.films) film.pause();
    const now = Math.min(...this.films.filter((film) => !over(film)).map((film) => film.currentTime)); // stopped at one place
    for (const film of this.films) if (!over(film)) film.currentTime = now;
    this.draw();
  }

  run() {
    clearInterval(this.timer);
    this.timer = setInterval(() => this.tick(), 40);
    this.tick();
  }

  /** Bring what is to what should be. */
  tick() {
    if (!this.films.some((film) => film.isConnected)) { clearInterval(this.timer); return; } // another item is shown
    const open = this.films.filter((film) => !over(film));
    if (!open.length) { if (this.loop) this.seek(0); else this.stop(); return; }
    const slowest = Math.min(...open.map((film) => film.currentTime)), unready = open.some((film) => film.seeking || film.readyState < 2);
    for (const film of open) {
      const ahead = film.currentTime - slowest;
      if (unready || ahead > FAR) { film.pause(); continue; }
      const rate = ahead > NEAR ? this.rate * 0.9 : this.rate;
      if (film.playbackRate !== rate) film.playbackRate = rate;
      if (film.paused) film.play().catch((error) => { if (error.name === "NotAllowedError") this.stop(); });
    }
    this.draw();
  }

  seek(to) {
    for (const film of this.films) film.currentTime = Math.min(Math.max(to, 0), lengthOf(film));
    this.draw();
  }

  faster(step) {
    this.rate = RATES[Math.min(Math.max(RATES.indexOf(this.rate) + step, 0), RATES.length - 1)];
    for (const film of this.films) film.playbackRate = this.rate;
    this.keep(this.t("task.speed", { rate: this.rate.toLocaleString(document.documentElement.lang) }));
  }

  again() { this.loop = !this.loop; this.keep(this.t(this.loop ? "task.loop_on" : "task.loop_off")); }
  keep(told) { store.set(KEPT, { rate: this.rate, loop: this.loop }); this.draw(); this.say(told); }

  build() {
    const { t } = this;
    this.slider = el("input", { type: "range", min: "0", max: "100", value: "0", step: "1", "aria-label": t("task.position"), on: { input: () => this.seek((Number(this.slider.value) / 100) * this.length) } });
    this.button = keyed("p", t("task.play"), { on: { click: () => this.toggle() } });
    this.time = el("span", { class: "soft tabular", dir: "ltr", "aria-hidden": "true" });
    this.rateShown = el("span", { class: "soft tabular", dir: "ltr", "aria-hidden": "true" });
    this.loops = keyed("l", t("task.loop"), { class: "quiet", "aria-pressed": "false", on: { click: () => this.again() } });
    return el("div", { class: "player", role: "group", "aria-label": t("task.player") }, this.button, this.slider, this.time,
      el("span", { class: "row" }, keyed("r", t("task.restart"), { class: "quiet", on: { click: () => this.seek(0) } }), this.loops,
        keyed(",", t("task.slower"), { class: "quiet", on: { click: () => this.faster(-1) } }), this.rateShown, keyed(".", t("task.faster"), { class: "quiet", on: { click: () => this.faster(1) } })));
  }

  draw() {
    if (!this.root) return;
    const { now, length } = this, name = this.t(this.playing ? "task.pause" : "task.play");
    if (this.button.lastChild.textContent !== name) this.button.lastChild.textContent = name;
    this.slider.value = String(length ? (100 * now) / length : 0);
    this.slider.setAttribute("aria-valuetext", this.t("task.position_of", { now: now.toFixed(1), length: length.toFixed(1) }));
    this.time.textContent = `${now.toFixed(1)} / ${length.toFixed(1)} s`;
    this.rateShown.textContent = `${this.rate.toLocaleString(document.documentElement.lang)}×`;
    pressed(this.loops, this.loop);
  }
}

/** Seconds of a film; 0 while unknown. */
function lengthOf(film) { return Number.isFinite(film.duration) ? film.duration : 0; }
function over(film) { return film.ended || (lengthOf(film) > 0 && film.currentTime >= lengthOf(film) - END); }

/** A recording without a length in its head (a browser's own, say) tells it once its end was looked for. */
function measure(film) {
  if (Number.isFinite(film.duration)) return;
  film.addEventListener("durationchange", () => { film.currentTime = 0; }, { once: true });
  film.currentTime = 1e7;
}
