// The work page: fetch an item, show it, keep what is entered, send it, take it back.
import { Assist } from "./assist.js";
import { Beside, START } from "./beside.js";
import { Clock } from "./clock.js";
import * as dialogs from "./dialogs.js";
import { el, inField, keyed, messages, offered, pressed, randomKey, store, translator, turnOver } from "./dom.js";
import { passing, post, Refused } from "./net.js";
import { Outbox } from "./outbox.js";
import { tasks } from "./tasks/index.js";
import { Veil } from "./veil.js";

const config = JSON.parse(document.getElementById("config").textContent);
const { settings, base, preferences } = config;
const t = translator(config.texts);
const task = tasks[settings.task];
const $ = (id) => document.getElementById(id);
const screen = $("screen"), bar = $("actions"), notice = $("notice");
const clock = new Clock(config.idle_seconds);
const outbox = new Outbox(`accord:outbox:${config.person}:${base}`, base, tellDelivery);
const veil = new Veil(settings, preferences, t);
const rtl = document.documentElement.dir === "rtl";

let item = null; // what is on the screen: {view, ctx, state, history, beside, draw, actions, inputs}
let busy = true;
let last = null; // {answer, until} of the last answer sent
let retry = null;

// --- saying things -----------------------------------------------------------------------------------------------------
function say(text) { if (text) { $("say").textContent = ""; requestAnimationFrame(() => { $("say").textContent = text; }); } }

let hintTimer = 0;
function hint(text, bad = false) {
  const line = $("hint");
  clearTimeout(hintTimer);
  if (line) { line.textContent = text; line.className = `hintline${bad ? " bad" : text ? " told" : ""}`; }
  if (text) { say(text); hintTimer = setTimeout(() => hint(""), 6000); }
}

function notify(text, ...buttons) { notice.replaceChildren(...(text ? [el("p", { text }), ...buttons] : [])); }

function tellDelivery(what, wait) {
  if (what === null) { notify(""); return; }
  if (what === "signed_out") notify(t("work.signed_out"), el("a", { href: `/login?next=${encodeURIComponent(location.pathname)}`, text: t("work.sign_in") }));
  else notify(t("work.kept", { seconds: wait }), el("button", { type: "button", class: "quiet", text: t("work.try_now"), on: { click: () => outbox.now?.() } }));
}

// --- one item ----------------------------------------------------------------------------------------------------------
const draftName = (view) => `accord:draft:${config.person}:${view}`;

function show(view) {
  const ctx = {
    view, settings, t, say, hint, direction: settings.direction,
    get: () => item.state.main, beside: () => item.state.beside,
    set: (main, told = "", quiet = false) => veil.covers || change({ ...item.state, main }, told, quiet ? "quiet" : null),
    type: (main) => change({ ...item.state, main }, "", "text"),
    setBeside: (beside, told = "", merge = null) => change({ ...item.state, beside }, told, merge),
    press: (key) => pressKey(key), post: (path, body) => post(base + path, body), keep: saveDraft,
    redraw: () => item.draw?.(), here: () => item?.ctx === ctx, // false once the item was sent or skipped
    said: () => item.state.said, setSaid: (said, told) => veil.covers || change({ ...item.state, said }, told),
    firstAnswer: () => (unanswered() === null ? answered() : null), seconds: () => { clock.tick(); return Math.round(clock.active * 100) / 100; },
    rebuild: () => { build(); if (document.activeElement === document.body) screen.focus({ preventScroll: true }); },
    again: (main) => {
      item.history = []; item.state = { ...item.state, main }; keepHere(); build(); saveDraft();
      if (document.activeElement === document.body) screen.focus({ preventScroll: true });
    },
  };
  item = { view, ctx, history: [], inputs: {}, sent: false };
  item.beside = new Beside(ctx);
  item.assist = new Assist(ctx);
  Assist.clear();
  item.state = begin(view, ctx);
  clock.begin(view.active_seconds);
  busy = false;
  delete screen.dataset.nothing;
  build();
  screen.setAttribute("aria-busy", "false");
  scrollTo(0, 0);
  screen.querySelector(".earlier ~ .turn:last-child")?.scrollIntoView({ block: "nearest" });
  screen.focus({ preventScroll: true });
  say(view.resumed ? t("work.again") : t("work.new_item"));
}

/** What was entered before: here, or kept by the server, or an answer that was taken back. */
function begin(view, ctx) {
  const fresh = { main: task.start(ctx), beside: START, said: [] };
  const here = store.get(draftName(view.view));
  const kept = here ?? view.draft?.state;
  try {
    if (kept) return { main: { ...fresh.main, ...(task.mend ? task.mend(kept.main, ctx) : kept.main) }, beside: { ...START, ...kept.beside }, said: kept.said ?? [] };
    if (view.draft?.answer) return { main: task.from(view.draft.answer, ctx), beside: item.beside.from(view.draft.answer), said: view.draft.answer.claims ?? [] };
  } catch { hint(t("work.draft_lost"), true); }
  return fresh;
}

const LONG = 6, LATEST = 3;

/** A long conversation is opened at its end; what was said before is folded. */
function folded(turns) {
  if (turns.length <= LONG) return turns;
  const earlier = el("details", { class: "offered earlier" }, el("summary", { text: t("work.earlier", { count: turns.length - LATEST }) }), ...turns.slice(0, -LATEST));
  return [earlier, ...turns.slice(-LATEST)];
}

function build() {
  const { ctx, view } = item;
  const clips = view.options.length > 0 && view.options.every((option) => !option.messages.length);
  const alone = clips && !settings.question && view.prompt.length === 1; // of clips the prompt is what is asked, and nobody says it
  const said = messages(view.prompt, t, ctx.direction, clips);
  const prompt = [...offered(view, t), ...(alone ? [] : folded(said))];
  ctx.host = el("div", { class: "stage" });
  ctx.bar = el("div", { class: "choices", role: "group", "aria-label": t("work.answer") });
  ctx.cards = [];
  item.actions = task.actions(ctx);
  const drawTask = task.mount(ctx), drawBeside = item.beside.mount(), drawAssist = item.assist.mount();
  const question = alone ? el("div", { class: "question" }, ...said)
    : el("p", { class: "question", dir: settings.question ? ctx.direction : null, text: settings.question || t(`task.question.${settings.task}`) });
  const source = clips && !view.prompt.length ? [] : [keyed("v", t("work.source"), { class: "quiet", on: { click: turnSource } })];
  screen.replaceChildren(...(prompt.length ? [el("section", { class: "prompt", "aria-label": t("work.prompt") }, ...prompt)] : []),
    el("div", { class: "asked" }, question, ...source), ctx.host);
  screen.tabIndex = -1;
  const drawBar = buildBar();
  item.draw = () => { drawTask(item.state.main); drawBeside(item.state.beside); drawAssist(item.state.said); drawBar(); };
  item.draw();
  veil.cover(view, screen, () => skip(), hint);
}

function buildBar() {
  const { ctx } = item;
  const choices = item.actions.filter((action) => !action.hidden).map((action) => ({ action, button: keyed(action.key, action.label, { class: `pick ${action.kind ?? ""}`, ...(action.on ? { "aria-pressed": "false" } : {}), on: { click: () => pressKey(action.key) } }) }));
  ctx.bar.prepend(...choices.map((choice) => choice.button));
  const undo = keyed("z", t("work.undo"), { class: "quiet", on: { click: undoOrTakeBack } });
  const send = keyed("↵", t("work.send"), { class: "primary", id: "send", on: { click: submit } }, "Enter");
  const aside = el("div", { class: "aside", role: "group", "aria-label": t("work.more") }, undo,
    keyed("s", t("work.skip"), { class: "quiet", on: { click: () => skip() } }), keyed("g", t("work.guideline"), { class: "quiet", on: { click: showGuideline } }), keyed("?", t("work.keys"), { class: "quiet", on: { click: showHelp } }));
  const hintline = el("p", { class: "hintline", id: "hint" });
  bar.replaceChildren(el("div", { class: "inner" }, aside, ctx.bar, el("div", { class: "send" }, keyed("u", t("work.unsure"), { class: "quiet", on: { click: () => skip("unsure") } }), send), hintline));
  bar.className = `actions${settings.strength ? " wide" : ""}`;
  bar.hidden = false;
  return () => {
    for (const { action, button } of choices) if (action.on) pressed(button, action.on(item.state.main));
    send.setAttribute("aria-disabled", String(busy || missing() !== null));
    const canTake = !touched() && canTakeBack();
    undo.lastChild.textContent = canTake ? t("work.take_back") : t("work.undo");
    undo.setAttribute("aria-disabled", String(busy || !(canTake || item.history.length)));
  };
}

function touched() { return task.touched(item.state.main, item.ctx) || item.beside.touched(item.state.beside) || item.assist.touched(item.state.said); }
function unanswered() { return task.missing(item.state.main, item.ctx) ?? item.beside.missing(item.state.beside); }
function missing() { return unanswered() ?? item.assist.missing(); }
function answered() { return { ...task.answer(item.state.main, item.ctx), ...item.beside.answer(item.state.beside) }; }

/** A change of state: into the history (typing makes one step), onto the screen, into the draft. */
function change(state, told = "", merge = null) {
  if (busy || item.sent) return;
  clock.act();
  const before = item.history.at(-1);
  if (merge !== "quiet" && !(merge && before?.merge === merge)) item.history.push({ state: item.state, merge });
  item.state = state;
  item.draw();
  if (told) say(told);
  keepHere();
}

let draftTimer = 0;
function keepHere() {
  store.set(draftName(item.view.view), item.state);
  clearTimeout(draftTimer);
  draftTimer = setTimeout(saveDraft, 1500);
}

/** One draft is on its way at a time: a newer one, or the answer itself, takes its place. */
let drafting = null;
async function saveDraft(leaving = false) {
  clearTimeout(draftTimer);
  if (!item || busy || !touched()) return;
  const mine = item;
  drafting?.abort();
  drafting = new AbortController();
  try { await post(`${base}/draft`, { view: item.view.view, lease: item.view.lease, state: item.state }, { keepalive: leaving, signal: drafting.signal }); }
  catch (error) { if (mine === item && !item.sent && error instanceof Refused && error.status === 409) notify(t("work.elsewhere"), el("button", { type: "button", class: "quiet", text: t("work.reload"), on: { click: () => next() } })); }
}

// --- keys --------------------------------------------------------------------------------------------------------------
function pressKey(key) {
  const action = item?.actions.find((a) => a.key === key);
  if (!action || busy || veil.covers) return false;
  const before = item.state.main, after = action.press(before);
  if (after !== undefined) {
    change({ ...item.state, main: after }, action.tell?.(after, before) ?? action.told ?? "");
    if (preferences.send_at_once && ["comparison", "thumb"].includes(settings.task) && missing() === null) submit();
  }
  return true;
}

function move(step) {
  const cards = (item.ctx.cards ?? []).filter((card) => card.button || card.root);
  if (task.move) { change({ ...item.state, main: task.move(item.state.main, step, item.ctx) }, "", "quiet"); return; }
  if (!cards.length) return;
  const focused = cards.findIndex((card) => card.root.contains(document.activeElement));
  const target = cards[Math.min(Math.max(focused < 0 ? (step > 0 ? 0 : cards.length - 1) : focused + step, 0), cards.length - 1)];
  const button = target.button ?? target.root.querySelector("button");
  if (button) button.focus({ preventScroll: true }); else { target.root.tabIndex = -1; target.root.focus({ preventScroll: true }); }
  target.root.scrollIntoView({ block: "nearest" });
}

const COMMANDS = {
  Enter: () => submit(), z: () => undoOrTakeBack(), s: () => skip(), u: () => skip("unsure"), g: () => showGuideline(), "?": () => showHelp(), b: () => veil.reveal(), v: () => turnSource(),
  c: () => veil.covers || item.assist.next(), y: () => item.assist.say("y"), n: () => item.assist.say("n"), x: () => item.assist.say("x"),
  j: () => move(1), k: () => move(-1), ArrowRight: () => move(rtl ? -1 : 1), ArrowLeft: () => move(rtl ? 1 : -1),
  f: () => item.beside.chips?.buttons[0].focus(), e: () => (task.edit ? task.edit(item.ctx) : item.beside.area?.focus()),
};

/** The key as it is called here: on a layout without Latin letters by its place. */
function named({ key, code }) {
  return key.length === 1 && key > "\x7f" && /^Key[A-Z]$/.test(code) ? code.slice(3).toLowerCase() : key;
}

document.addEventListener("keydown", (event) => {
  const { target } = event, key = named(event);
  if (dialogs.isOpen() || event.isComposing) return;
  if (inField(target)) {
    if (key === "Escape") { target.blur(); screen.focus({ preventScroll: true }); event.preventDefault(); }
    else if (key === "Enter" && (event.ctrlKey || event.metaKey)) { event.preventDefault(); device("keyboard"); submit(); }
    return;
  }
  if (event.ctrlKey || event.metaKey || event.altKey || (event.repeat && !["j", "k", "ArrowLeft", "ArrowRight"].includes(key))) return;
  if (!item) { if (key === "z") { event.preventDefault(); undoOrTakeBack(); } return; }
  if (key === "Enter" && target instanceof HTMLElement && target.matches("a, summary, button:not([aria-pressed=true])") && target.id !== "send") return; // does what it says
  if (target.matches?.("input[type=radio], input[type=range]") && key.startsWith("Arrow")) return;
  if (key === "Escape") { screen.focus({ preventScroll: true }); return; }
  device("keyboard");
  const inFlags = target.closest?.("[data-keys=flags]") && settings.task !== "flags";
  if ((inFlags && item.beside.key(key)) || (!veil.covers && item.beside.stopKey(key)) || pressKey(key)) event.preventDefault();
  else if (Object.hasOwn(COMMANDS, key)) { event.preventDefault(); COMMANDS[key](); }
});
document.addEventListener("pointerdown", (event) => device(event.pointerType === "touch" || event.pointerType === "pen" ? "touch" : "mouse"), { capture: true });

function device(kind) { if (item) item.inputs[kind] = (item.inputs[kind] ?? 0) + 1; }
function mainDevice() { return Object.entries(item.inputs).sort((a, b) => b[1] - a[1])[0]?.[0] ?? null; }

// --- sending, taking back, skipping ------------------------------------------------------------------------------------
async function submit() {
  if (!item || busy || veil.covers) return;
  const open = missing();
  if (open !== null) { hint(open, true); return; }
  busy = true; item.sent = true;
  drafting?.abort();
  item.draw();
  screen.setAttribute("aria-busy", "true");
  const body = {
    key: randomKey(), view: item.view.view, lease: item.view.lease,
    answer: { ...answered(), ...item.assist.answer(item.state.said) }, timing: clock.timing(mainDevice(), config.interface),
  };
  outbox.add(body);
  try {
    const receipt = await outbox.deliver(body);
    store.drop(draftName(item.view.view));
    last = { answer: receipt.answer_id, until: performance.now() + receipt.undo_seconds * 1000 };
    if (receipt.extra) say(t("work.extra"));
    await next();
    say(t("work.sent"));
  } catch (error) { await refused(error); }
}

/** The server said no: stay with the item when it can be mended, else go on, and say why. */
async function refused(error) {
  if (!(error instanceof Refused)) throw error;
  busy = false; item.sent = false;
  screen.setAttribute("aria-busy", "false");
  if (error.status === 409 || error.status === 404) { store.drop(draftName(item.view.view)); await next(); notify(error.message, dismiss()); }
  else { item.draw(); hint(error.message, true); }
}
const dismiss = () => el("button", { type: "button", class: "quiet", text: t("work.close"), on: { click: () => notify("") } });

function canTakeBack() { return last !== null && performance.now() < last.until; }

async function undoOrTakeBack() {
  if (busy) return;
  if (item?.history.length) {
    item.state = item.history.pop().state;
    item.draw(); keepHere(); say(t("work.undone"));
    return;
  }
  if (item && touched()) { hint(t("work.nothing_to_undo"), true); return; }
  if (!canTakeBack()) { hint(t(last ? "work.too_late" : "work.nothing_to_undo"), true); return; }
  busy = true;
  try {
    await post(`${base}/undo`, { answer: last.answer });
    last = null;
    await next();
    say(t("work.taken_back"));
  } catch (error) { busy = false; hint(error instanceof Refused ? error.message : t("work.unreached"), true); }
}

async function skip(chosen = null) {
  if (!item || busy) return;
  const said = await dialogs.askSkip(t, config.skips, chosen);
  if (said === null || busy) return;
  busy = true;
  drafting?.abort();
  try {
    await post(`${base}/skip`, { view: item.view.view, lease: item.view.lease, ...said });
    store.drop(draftName(item.view.view));
    await next();
    say(t("work.skipped"));
  } catch (error) {
    busy = false;
    if (error instanceof Refused && error.status === 409) { await next(); notify(error.message, dismiss()); } else hint(error instanceof Refused ? error.message : t("work.unreached"), true);
  }
}

// --- what comes next ---------------------------------------------------------------------------------------------------
const AGAIN_MS = 15000, LOOKS_AGAIN = ["all_leased", "done"]; // what there is none of now may come
let rounds = 0; // "try now" may ask again while an answer is awaited: the newest counts
async function next() {
  clearTimeout(retry);
  busy = true;
  const round = (rounds += 1);
  screen.setAttribute("aria-busy", "true");
  try {
    const found = await post(`${base}/next`);
    if (round !== rounds) return;
    standing(found.standing);
    notify("");
    if (found.nothing) nothing(found.nothing); else show({ ...found.item, since: found.now });
  } catch (error) {
    if (round !== rounds) return;
    if (error instanceof Refused && error.body.csrf) { location.reload(); return; }
    if (!passing(error)) { item = null; bar.hidden = true; delete screen.dataset.nothing; screen.replaceChildren(el("div", { class: "done" }, el("p", { text: error.message }))); return; }
    if (error.status === 401) tellDelivery("signed_out");
    else notify(t("work.unreached"), el("button", { type: "button", class: "quiet", text: t("work.try_now"), on: { click: next } }));
    retry = setTimeout(next, 5000);
  }
}

function nothing({ reason, retry_at: at, why }) {
  item = null; busy = false;
  bar.hidden = true;
  screen.setAttribute("aria-busy", "false");
  // A run that learns meanwhile asks more; a page that nobody sees would only take items from others.
  if (LOOKS_AGAIN.includes(reason)) retry = setTimeout(function look() { if (document.hidden) retry = setTimeout(look, AGAIN_MS); else next(); }, AGAIN_MS);
  if (screen.dataset.nothing === reason) return; // said and shown already: focus stays where it is
  screen.dataset.nothing = reason;
  const again = el("button", { type: "button", text: t("work.look_again"), on: { click: () => { delete screen.dataset.nothing; next(); } } });
  const back = canTakeBack() ? keyed("z", t("work.take_back"), { class: "quiet", on: { click: undoOrTakeBack } }) : null;
  const when = at && reason === "cap" ? el("p", { class: "soft", text: t("work.retry_at", { time: new Date(at * 1000).toLocaleString(document.documentElement.lang) }) }) : null;
  screen.replaceChildren(el("div", { class: "done" }, el("h2", { text: t(`work.nothing.${reason}`) }), el("p", { class: "soft", text: t(`work.nothing.${reason}.text`) }), ...(why && reason === "paused" ? [el("p", { class: "preline", text: why })] : []), ...(when ? [when] : []), el("p", { class: "row centred" }, again, ...(back ? [back] : []), el("a", { href: "/", class: "button quiet", text: t("work.home") }))));
  say(t(`work.nothing.${reason}`));
}

function standing({ answers: done, left, more, seconds_today: seconds }) {
  const minutes = Math.round(seconds / 60);
  $("standing").textContent = more ? t("work.standing_more", { done, left, minutes }) : t("work.standing", { done, total: done + left, minutes });
}

// --- while it is open --------------------------------------------------------------------------------------------------
async function beat() {
  if (!item || busy || document.hidden) return;
  const mine = item;
  try {
    const said = await post(`${base}/heartbeat`, { view: item.view.view, lease: item.view.lease, active_seconds: Math.round(clock.active * 100) / 100 });
    if (mine === item && !item.sent && !said.held) notify(t("work.lease_lost"), dismiss());
  } catch { /* the lease outlives a lost beat; sending says what is wrong */ }
}
setInterval(beat, Math.max(2000, Math.min(30000, (settings.lease_minutes * 60000) / 3)));
document.addEventListener("visibilitychange", () => { if (document.hidden) saveDraft(true); else beat(); });
addEventListener("pagehide", () => saveDraft(true));

let proposed = false;
clock.onTick = async () => {
  const minutes = preferences.break_minutes ?? settings.break_every_minutes;
  if (item && !busy && canExpireUndo()) item.draw();
  if (!minutes || proposed || clock.sinceBreak < minutes * 60 || dialogs.isOpen()) return;
  proposed = true;
  if (await dialogs.proposeBreak(t, Math.round(clock.sinceBreak / 60))) { await saveDraft(); await dialogs.rest(t); }
  clock.sinceBreak = 0; clock.tick(); proposed = false;
};
function canExpireUndo() { if (last && !canTakeBack()) { last = null; return true; } return false; }

/** Texts as they were written: of the response that has the focus, else of all. */
function turnSource() {
  const card = (item.ctx.cards ?? []).find((one) => one.root.contains(document.activeElement));
  say(t(turnOver(card?.root ?? screen) ? "work.as_written" : "work.as_read"));
}

function showGuideline() { dialogs.guideline(t, `${base}/guideline`); }

async function showHelp() {
  const rule = t("work.time_rule", { minutes: Math.round(config.idle_seconds / 60) });
  const keys = [...item.actions.filter((a, n, all) => !a.group || all.findIndex((b) => b.group === a.group) === n).map((a) => [a.group ? "0–9" : a.key, a.label]),
    ["j k", t("key.move")], ["e", t("key.edit")], ["f", t("key.flag")], ...(item.beside.stoppable.length ? [["x", t("key.stop")]] : []), ["u", t("key.unsure")], ["s", t("key.skip")], ["z", t("key.undo")], ["g", t("key.guideline")], ["b", t("key.reveal")], ...(item.view.assist ? [["c", t("key.claims")], ["y n x", t("key.claim")]] : []), ["v", t("key.source")], ["Esc", t("key.leave")], ["↵", t("key.send")]];
  const question = await dialogs.help(t, keys, rule);
  if (!question) return;
  try { await post(`${base}/question`, { text: question, view: item?.view.view ?? null }); hint(t("work.asked")); } catch (error) { hint(error instanceof Refused ? error.message : t("work.unreached"), true); }
}

async function start() {
  for (const body of outbox.list()) {
    try { const receipt = await outbox.deliver(body); store.drop(draftName(body.view)); last = { answer: receipt.answer_id, until: performance.now() + receipt.undo_seconds * 1000 }; }
    catch (error) { notify(t("work.old_refused", { why: error.message }), dismiss()); }
  }
  await next();
}
start();
