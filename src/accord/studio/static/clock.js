// Active time, by a rule that is shown to everybody: time counts while the page is visible; a stretch without key,
// pointer or scroll counts up to `idle` seconds (reading is work), the rest of it does not; hidden time never counts.

const EVENTS = ["keydown", "pointerdown", "pointermove", "wheel", "scroll", "touchstart", "input"];
const PAUSE = 300; // this long away is a break

export class Clock {
  constructor(idle, now = () => performance.now() / 1000) {
    this.idle = idle; this.now = now; this.sinceBreak = 0; this.onTick = () => {};
    this.begin(0);
    for (const event of EVENTS) addEventListener(event, () => this.touch(), { passive: true, capture: true });
    document.addEventListener("visibilitychange", () => this.tick());
    setInterval(() => this.tick(), 1000);
  }

  /** A new item; `before` seconds were spent on it already. */
  begin(before) {
    const now = this.now();
    this.active = before; this.hidden = 0; this.shownAt = now; this.firstKey = null;
    this.last = now; this.touched = now; this.wasHidden = document.hidden;
  }

  touch() { this.tick(); this.touched = this.now(); }

  tick() {
    const now = this.now(), passed = now - this.last;
    if (this.wasHidden) this.hidden += passed;
    else if (passed < 10) { // more: the machine slept
      const counted = Math.max(0, Math.min(now, this.touched + this.idle) - this.last);
      this.active += counted; this.sinceBreak += counted;
    }
    if (now - this.touched > PAUSE) this.sinceBreak = 0;
    this.last = now; this.wasHidden = document.hidden;
    this.onTick();
  }

  /** The first thing done about an item. */
  act() { if (this.firstKey === null) this.firstKey = this.now() - this.shownAt; }

  timing(input, face) {
    this.tick();
    const round = (x) => Math.round(x * 100) / 100;
    return { active_seconds: round(this.active), first_key_seconds: this.firstKey === null ? null : round(this.firstKey), hidden_seconds: round(this.hidden), input, interface: face };
  }
}
