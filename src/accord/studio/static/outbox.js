// Answers on their way. Each is kept here, under a key of its own, until the server has it for good; sent again with the
// same key it is the same answer.
import { post, passing, Refused } from "./net.js";
import { store } from "./dom.js";

const WAITS = [1, 2, 4, 8, 15, 30];

export class Outbox {
  constructor(name, base, tell) { this.name = name; this.base = base; this.tell = tell; this.memory = []; }

  list() { return store.get(this.name) ?? this.memory; }
  save(list) { this.memory = list; if (list.length) store.set(this.name, list); else store.drop(this.name); }
  add(body) { this.save([...this.list(), body]); }
  drop(key) { this.save(this.list().filter((body) => body.key !== key)); }

  /** Send until it is there. Returns the receipt; throws Refused when trying again cannot help. */
  async deliver(body) {
    for (let tries = 0; ; tries += 1) {
      try {
        const receipt = await post(`${this.base}/submit`, body);
        this.drop(body.key);
        this.tell(null);
        return receipt;
      } catch (error) {
        if (error instanceof Refused && error.body.csrf) { location.reload(); await new Promise(() => {}); }
        if (!passing(error)) { this.drop(body.key); this.tell(null); throw error; }
        const wait = WAITS[Math.min(tries, WAITS.length - 1)];
        this.tell(error instanceof Refused && error.status === 401 ? "signed_out" : "unreached", wait);
        await this.pause(wait);
      }
    }
  }

  /** Until the time is up, the network is back, somebody looks at the page again or asks for it. */
  pause(seconds) {
    return new Promise((resolve) => {
      const stop = () => { clearTimeout(timer); removeEventListener("online", stop); removeEventListener("focus", stop); this.now = null; resolve(); };
      const timer = setTimeout(stop, seconds * 1000);
      addEventListener("online", stop);
      addEventListener("focus", stop);
      this.now = stop;
    });
  }
}
