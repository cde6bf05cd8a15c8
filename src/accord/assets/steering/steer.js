// The page of accord control steer: an episode is looked through, taken over, driven, gone back in, watched, and kept.
import { el, inField } from "./dom.js";
import { Hands } from "./hands.js";
import { get, post, Refused } from "./net.js";
import { drawPose } from "./pose.js";

const at = (id) => document.getElementById(id);
const MOST = 100; // steps of one request
const SLOW = 0.25; // how fast is watched where one drives step by step
const ENDS = { task: "the task ended it", time: "its time was over" };
const still = matchMedia("(prefers-reduced-motion: reduce)").matches;

let now = null; // what the server told: the episode, its drawing, what is driven
let path = []; // poses of what is driven, those before it was taken over among them
let step = 0; // that is seen
let hands = null, running = false, watching = false, unkept = false, taking = false;
let turn = Promise.resolve(), waiting = 0; // requests under way
let clock = 0; // which loop time goes on in: one that was stopped does not begin again beside the next

const head = () => (now.drive ? now.drive.at + now.drive.driven : null);
const rate = () => Number(at("speed").value);
const last = () => Math.max(now.drawing.frames.length, path.length) - 1;
const steps = (count) => `${count.toLocaleString("en")} ${count === 1 ? "step" : "steps"}`;

function tell(text, kind = "") { at("told").textContent = text; at("told").className = kind; }
function said(error) { return error instanceof Refused ? error.message : "accord control steer does not answer: is it still at work in the terminal?"; }

/** Ask the server, one request after the other; what it refuses is told. body: made when its turn comes, null where there is
    nothing to ask any more. Whether it was done. */
function ask(where, body, then) {
  waiting += 1;
  const asked = turn.then(async () => {
    const wanted = body();
    if (wanted === null) return false;
    try {
      then(await post(where, wanted));
      return true;
    } catch (error) {
      pause();
      tell(said(error), "wrong");
      if (error instanceof Refused && error.status === 409) take(await get("state"));
      return false;
    }
  });
  turn = asked.catch(() => false).finally(() => { waiting -= 1; });
  return asked;
}

/** What is driven, as the server told it. */
function drove({ drive }) {
  const before = now.drive;
  now.drive = drive;
  if (drive) path = (before && drive.since ? path.slice(0, drive.at + 1 + drive.since) : now.drawing.frames.slice(0, drive.at + 1)).concat(drive.frames);
  else path = [];
  step = drive ? head() : step;
  if (drive?.ended) { pause(); tell(`${drive.ended === "task" ? "The task ended it" : "Its time is over"}: go back, or keep it.`); }
  draw();
}

/** An episode, and everything of it. */
function take(told) {
  now = { ...now, ...told };
  step = Math.min(now.step, now.episode.steps - 1);
  unkept = Boolean(now.drive?.driven);
  listKept();
  drove({ drive: now.drive ? { ...now.drive, since: 0 } : null });
}

function draw() {
  const { drawing, drive, episode } = now, was = drawing.frames.length - 1;
  drawPose(at("before"), drawing, Math.min(step, was));
  at("was").textContent = step >= was ? (ENDS[episode.ended] ?? "it was cut") : "";
  at("mine").hidden = !drive;
  at("looking").hidden = at("about").hidden = Boolean(drive);
  at("driving").hidden = !drive;
  at("moment").max = String(last());
  at("moment").value = String(step);
  const seconds = (step * drawing.dt).toFixed(2);
  at("moment").setAttribute("aria-valuetext", `step ${step} of ${last()}, ${seconds} seconds`);
  at("at").textContent = `step ${step} / ${last()} · ${seconds} s`;
  at("watch").lastChild.textContent = watching ? "Stop" : "Watch";
  at("take").disabled = step >= episode.steps;
  if (!drive) return;
  drawPose(at("after"), { ...drawing, frames: path }, Math.min(step, path.length - 1));
  const left = drive.most - head();
  at("goes").textContent = drive.ended ? ENDS[drive.ended].replace("was", "is") : `${steps(drive.driven)}, ${left.toLocaleString("en")} left`;
  at("run").lastChild.textContent = running ? "Pause" : "Drive";
  at("run").disabled = at("one").disabled = Boolean(drive.ended);
  for (const name of ["back", "back10", "again"]) at(name).disabled = !drive.driven;
  at("here").disabled = step < drive.at || step >= head();
  at("keep").disabled = !unkept;
  hands.done(drive.action);
}

// --- looking ---------------------------------------------------------------------------------------------------------------
function look(to) { step = Math.min(Math.max(to, 0), last()); draw(); }

function watch() {
  watching = !watching;
  if (watching) {
    running = false;
    if (step >= last()) step = now.drive?.at ?? 0;
    let then = performance.now(), seen = step;
    const mine = ++clock;
    const go = (time) => {
      if (!watching || mine !== clock) return;
      seen += (Math.max(0, time - then) / 1000 / now.drawing.dt) * (rate() || SLOW);
      then = time;
      if (seen >= last()) watching = false;
      look(Math.floor(seen));
      if (watching) requestAnimationFrame(go);
    };
    requestAnimationFrame(go);
  }
  draw();
}

function pause() { running = watching = false; if (now) draw(); }
function dropped() { return !unkept || confirm("What you drove is not kept, and would be gone. Go on?"); }

// --- driving ---------------------------------------------------------------------------------------------------------------
async function takeOver() {
  pause();
  tell("");
  const from = step;
  taking = true;
  const taken = await ask("take-over", () => ({ step: from }), (told) => { unkept = false; drove(told); });
  taking = false;
  if (taken) at("driving").focus({ preventScroll: true });
}

function drive(count) {
  watching = false;
  tell("");
  const held = hands.held(Number(at("strength").value) / 100, running), rest = document.querySelector("[name=rest]:checked").value;
  const body = () => (now.drive && !now.drive.ended ? { driven: now.drive.driven, count, held, rest } : null);
  return ask("drive", body, (told) => { unkept = true; drove(told); });
}

function run() {
  if (!now.drive || now.drive.ended) return;
  running = !running;
  watching = false;
  if (running && !rate()) at("speed").value = String(SLOW);
  hands.fresh = [];
  if (running) {
    let then = performance.now(), owed = 1;
    const mine = ++clock;
    const go = (time) => {
      if (!running || mine !== clock) return;
      owed = Math.min(owed + (Math.max(0, time - then) / 1000 / now.drawing.dt) * rate(), MOST);
      then = time;
      const count = Math.floor(owed);
      if (count && !waiting) { owed -= count; drive(count); }
      requestAnimationFrame(go);
    };
    requestAnimationFrame(go);
  }
  draw();
}

/** to: from the steps that were driven to those that stay. */
function back(to) {
  pause();
  tell("");
  ask("back", () => {
    const driven = now.drive?.driven;
    return driven ? { driven, to: Math.max(to(driven), 0) } : null;
  }, (told) => { unkept = told.drive.driven > 0; drove(told); });
}

function keep() {
  if (at("keep").disabled) return;
  pause();
  ask("keep", () => ({ driven: now.drive.driven }), ({ kept }) => {
    unkept = false;
    now.kept.push(kept);
    listKept();
    tell(`Kept: ${kept.id}, taken over at step ${kept.at}. Drive on, go back, or leave it for another.`, "said");
    draw();
  });
}

function leave() {
  pause();
  if (!dropped()) return;
  tell("");
  ask("leave", () => ({}), (told) => { unkept = false; step = now.drive.at; drove(told); at("take").focus(); });
}

// --- the page --------------------------------------------------------------------------------------------------------------
function listKept() {
  at("kept").replaceChildren(...now.kept.map((one) => el("li", { text: `${one.id}: taken over at step ${one.at}, ${steps(one.steps)} in all` })));
}

function build() {
  const ended = (one) => ENDS[one.ended] ?? "cut";
  const options = now.episodes.some((one) => one.id === now.episode.id) ? now.episodes : [now.episode, ...now.episodes];
  at("episode").append(...options.map((one) => el("option", { value: one.id, text: `${one.id} · ${steps(one.steps)}, ${ended(one)}` })));
  at("episode").value = now.episode.id;
  at("more").textContent = now.more ? `and ${now.more.toLocaleString("en")} more: --episode names one` : "";
  at("where").textContent = `In ${now.out}, as the answer of ${now.annotator} to “${now.question}”: what you drove, rather than what was done.`;
  hands = new Hands(now);
  at("hands").append(...hands.roots);
  const rests = [...(now.policy ? [["policy", "the policy"]] : []), ["before", "what was done before"], ["zero", "nothing (0)"]];
  at("rest").append(...rests.map(([value, text], first) => el("label", { class: "check" }, el("input", { type: "radio", name: "rest", value, checked: first === 0 }), text)));
  at("speed").value = still ? "0" : String(SLOW);
  const strong = () => { at("strong").textContent = `${at("strength").value} %`; };
  strong();
  at("strength").addEventListener("input", strong);
}

function listen() {
  const does = {
    watch: () => watch(), take: takeOver, run, one: () => drive(1), back: () => back((driven) => driven - 1), back10: () => back((driven) => driven - 10),
    here: () => { const to = step - now.drive.at; back(() => to); }, again: () => back(() => 0), keep, leave,
  };
  for (const [name, act] of Object.entries(does)) at(name).addEventListener("click", (event) => {
    act();
    if (event.detail > 0 && now.drive) at("driving").focus({ preventScroll: true }); // the space bar then takes a step, not this button
  });
  at("moment").addEventListener("input", () => { const to = Number(at("moment").value); pause(); look(to); });
  at("episode").addEventListener("change", async () => {
    const wanted = at("episode").value;
    pause();
    if (!dropped() || !(await ask("open", () => ({ episode: wanted }), (told) => { tell(""); take(told); }))) at("episode").value = now.episode.id;
  });
  addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey || inField(event.target)) return;
    if ([" ", "Enter"].includes(event.key) && event.target.matches("button, a, [type=radio]")) return;
    const keys = now.drive || taking ? {
      v: () => watch(), p: run, " ": () => drive(1), ".": () => drive(1), ",": () => back((driven) => driven - 1), Backspace: () => back((driven) => driven - (event.shiftKey ? 10 : 1)), Enter: keep,
    } : { v: () => watch(), x: takeOver, ",": () => { pause(); look(step - 1); }, ".": () => { pause(); look(step + 1); } };
    const act = keys[event.key];
    if (act && !(event.repeat && ["v", "p", "x", "Enter"].includes(event.key))) { event.preventDefault(); act(); } else if (hands.keyDown(event)) event.preventDefault();
  });
  addEventListener("keyup", (event) => hands.keyUp(event));
  addEventListener("blur", () => { hands.releaseAll(); pause(); });
  document.addEventListener("visibilitychange", () => { if (document.hidden) { hands.releaseAll(); pause(); } });
  addEventListener("beforeunload", (event) => { if (unkept) event.preventDefault(); });
  new ResizeObserver(draw).observe(at("views"));
  at("theme").addEventListener("click", () => setTimeout(draw));
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", draw);
}

try {
  now = await get("state");
  build();
  take(now);
  listen();
} catch (error) {
  tell(said(error), "wrong");
  throw error;
}
at("main").setAttribute("aria-busy", "false");
