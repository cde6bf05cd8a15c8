// Dragging with a mouse, a pen or a finger, as one more way beside keys and buttons: something is carried to a place.
import { el } from "../dom.js";

const FAR = 6; // pixels after which a press is a drag

/** Dragging begins at a press on what `carried(target)` names (null: nothing). over(x, y) shows and returns where it would
 *  fall, null for nowhere; drop(what, where) is told at the end, unless it was called off (Esc, a second finger). */
export function draggable(root, { carried, over, drop }) {
  root.addEventListener("pointerdown", (down) => {
    const what = down.button === 0 && down.isPrimary ? carried(down.target) : null;
    if (what === null) return;
    down.preventDefault(); // no selection of text
    let ghost = null;
    const stop = new AbortController(), { signal } = stop;
    const end = () => { stop.abort(); ghost?.remove(); document.documentElement.classList.remove("dragging"); };
    const mine = (does) => (event) => { if (event.pointerId === down.pointerId) does(event); };
    document.addEventListener("pointermove", mine((event) => {
      if (!ghost) {
        if (Math.hypot(event.clientX - down.clientX, event.clientY - down.clientY) < FAR) return;
        ghost = document.body.appendChild(el("span", { class: "ghost", "aria-hidden": "true", text: what }));
        document.documentElement.classList.add("dragging");
      }
      ghost.style.translate = `${event.clientX}px ${event.clientY}px`;
      over(event.clientX, event.clientY);
    }), { signal });
    document.addEventListener("pointerup", mine((event) => {
      const where = ghost ? over(event.clientX, event.clientY) : undefined;
      over(-1, -1);
      end();
      if (where !== undefined) drop(what, where);
    }), { signal });
    const off = () => { over(-1, -1); end(); };
    document.addEventListener("pointercancel", mine(off), { signal });
    document.addEventListener("pointerdown", off, { signal, capture: true });
    document.addEventListener("keydown", (event) => { if (ghost && event.key === "Escape") { event.preventDefault(); event.stopImmediatePropagation(); off(); } }, { signal, capture: true });
  });
}
