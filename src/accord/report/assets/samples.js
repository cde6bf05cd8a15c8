// The samples of a page: unpacked in the browser, searched, sorted, filtered, a few rows drawn at a time.
(function () {
  "use strict";
  const place = document.getElementById("samples-panel");
  if (!place) return;
  const PAGE = 20, DEEP = 0.7; // samples a page; nats at which a token has two thirds of the full colour
  const $ = (name) => document.getElementById("samples-" + name);
  const make = (tag, text, className) => {
    const made = document.createElement(tag);
    if (text !== undefined) made.textContent = text;
    if (className) made.className = className;
    return made;
  };

  async function unpack(id) {
    const text = document.getElementById(id).textContent.trim();
    const bytes = Uint8Array.fromBase64 ? Uint8Array.fromBase64(text) : Uint8Array.from(atob(text), (one) => one.charCodeAt(0));
    return new Response(new Blob([bytes]).stream().pipeThrough(new DecompressionStream("gzip"))).json();
  }

  let prompts, arms, c, count, marks = null, lower = null, lowerPrompts = null, change = {};
  let shown = [], page = 0, onlyPrompt = -1;
  const known = (column) => column.some((value) => value !== null);
  const number = (value, sign) => {
    if (value === null) return "–";
    const text = value.toFixed(2);
    return Number(text) === 0 ? "0.00" : (sign && value > 0 ? "+" : "") + text.replace("-", "−");
  };

  const SORTS = {
    worst: { name: "worst first", up: true, of: () => (known(change.gold) ? change.gold : change.proxy) },
    proxyChange: { name: "largest change of reward", of: () => change.proxy.map((value) => (value === null ? null : Math.abs(value))), when: () => known(change.proxy) },
    proxy: { name: "reward", of: () => c.proxy, when: () => known(c.proxy) },
    gold: { name: "gold", of: () => c.gold, when: () => known(c.gold) },
    kl: { name: "KL", of: () => c.kl, when: () => known(c.kl) },
    tokens: { name: "length", of: () => c.tokens, when: () => known(c.tokens) },
    label: { name: "how often chosen", of: () => c.label.map((label) => (label ? label[0] / label[1] : null)), when: () => known(c.label) },
    order: { name: "as written", up: true, of: () => c.arm.map((_, row) => row) },
  };

  function start(data) {
    prompts = data.prompts; arms = data.arms; c = data.columns; count = c.arm.length;
    for (const name of ["gold", "proxy"]) {
      change[name] = c[name].map((value, row) => {
        const base = c.base[row] < 0 ? null : c[name][c.base[row]];
        return value === null || base === null ? null : value - base;
      });
    }
    for (const [key, sort] of Object.entries(SORTS)) if (!sort.when || sort.when()) $("sort").add(new Option(sort.name, key));
    $("arm").add(new Option("tuned policies", "tuned"));
    $("arm").add(new Option("all", "all"));
    arms.forEach((name, arm) => $("arm").add(new Option(name, String(arm))));
    if (!c.base.some((base) => base >= 0)) $("arm").value = "all";
    $("step").add(new Option("last", "last"));
    $("step").add(new Option("all", "all"));
    [...new Set(c.step)].filter((step) => step > 0).sort((a, b) => a - b).forEach((step) => $("step").add(new Option(String(step), String(step))));
    place.hidden = false;
    for (const name of ["arm", "step", "sort"]) $(name).addEventListener("change", () => choose());
    let waiting;
    $("search").addEventListener("input", () => { clearTimeout(waiting); waiting = setTimeout(choose, 120); });
    $("reverse").addEventListener("click", () => { press($("reverse")); choose(); });
    $("numbers").addEventListener("change", () => $("list").classList.toggle("with-numbers", $("numbers").checked));
    $("all-prompts").addEventListener("click", () => { onlyPrompt = -1; choose(); $("search").focus(); });
    $("before").addEventListener("click", () => turn(-1));
    $("after").addEventListener("click", () => turn(1));
    place.querySelector("form").addEventListener("submit", (event) => event.preventDefault());
    document.addEventListener("keydown", keys);
    choose();
    setTimeout(() => unpack("samples-marks").then((found) => { marks = found; draw(); }), 0);
  }

  const press = (button) => button.setAttribute("aria-pressed", String(button.getAttribute("aria-pressed") !== "true"));

  function keys(event) {
    const typing = /^(INPUT|SELECT|TEXTAREA)$/.test(event.target.tagName);
    if (event.ctrlKey || event.metaKey || event.altKey || typing) return;
    if (event.key === "/") { event.preventDefault(); $("search").focus(); }
    if (event.key === "n") turn(1);
    if (event.key === "p") turn(-1);
  }

  function choose() {
    const words = $("search").value.toLowerCase().trim(), arm = $("arm").value, step = $("step").value;
    if (words && !lower) { lower = c.response.map((text) => text.toLowerCase()); lowerPrompts = prompts.map((text) => text.toLowerCase()); }
    shown = [];
    for (let row = 0; row < count; row++) {
      if (onlyPrompt >= 0 && c.prompt[row] !== onlyPrompt) continue;
      if (onlyPrompt < 0 && arm === "tuned" && c.base[row] < 0) continue;
      if (arm === "tuned" && onlyPrompt < 0 && c.rank[row] > 1) continue;
      if (arm !== "tuned" && arm !== "all" && c.arm[row] !== Number(arm)) continue;
      if (step === "last" ? c.step[row] > 0 && c.rank[row] !== 0 : step !== "all" && c.step[row] !== Number(step)) continue;
      if (words && !lower[row].includes(words) && !lowerPrompts[c.prompt[row]].includes(words)) continue;
      shown.push(row);
    }
    const sort = SORTS[$("sort").value], by = sort.of(), turned = $("reverse").getAttribute("aria-pressed") === "true";
    const sign = (sort.up ? 1 : -1) * (turned ? -1 : 1);
    shown.sort((a, b) => (by[a] === null ? 1 : 0) - (by[b] === null ? 1 : 0) || sign * (by[a] - by[b]) || a - b);
    page = 0;
    draw();
  }

  function turn(by) {
    const next = page + by;
    if (next < 0 || next * PAGE >= shown.length) return;
    page = next;
    draw();
    $("status").scrollIntoView({ block: "nearest" });
  }

  function draw() {
    const first = page * PAGE, rows = shown.slice(first, first + PAGE), open = new Set();
    for (const one of $("list").querySelectorAll("details[open]")) open.add(Number(one.dataset.row));
    $("list").replaceChildren(...rows.map((row) => item(row, open.has(row))));
    const all = shown.length.toLocaleString("en");
    $("status").textContent = shown.length
      ? `${(first + 1).toLocaleString("en")} to ${(first + rows.length).toLocaleString("en")} of ${all} samples, sorted by: ${SORTS[$("sort").value].name}`
      : "No sample fits.";
    $("before").disabled = page === 0;
    $("after").disabled = first + PAGE >= shown.length;
    $("all-prompts").hidden = onlyPrompt < 0;
    place.dataset.ready ||= String(Math.round(performance.now()));
  }

  function told(row) {
    const parts = [arms[c.arm[row]] + (c.step[row] ? `, step ${c.step[row]}` : "")];
    const score = (name, key) => {
      if (c[key][row] === null) return;
      parts.push(`${name} ${number(c[key][row])}` + (change[key][row] === null ? "" : ` (${number(change[key][row], true)})`));
    };
    score("gold", "gold");
    score("reward", "proxy");
    if (c.kl[row] !== null && c.base[row] >= 0) parts.push(`KL ${number(c.kl[row])} nats`);
    if (c.tokens[row] !== null) parts.push(`${c.tokens[row]} tokens`);
    if (c.finished[row] === false) parts.push("cut off");
    if (c.label[row]) parts.push(`chosen in ${c.label[row][0]} of ${c.label[row][1]} comparisons`);
    return parts.join(" · ");
  }

  function item(row, open) {
    const one = make("details"), head = make("summary"), line = make("li");
    one.dataset.row = row;
    const excerpt = make("span", undefined, "said");
    excerpt.append(make("span", shortened(prompts[c.prompt[row]], 90, true) + " ", "soft"), make("span", shortened(c.response[row], 260)));
    head.append(excerpt, make("span", told(row), "tag"));
    one.append(head);
    const fill = () => { if (one.open && one.childElementCount === 1) one.append(whole(row)); };
    one.addEventListener("toggle", fill);
    one.open = open;
    if (open) fill();
    line.append(one);
    return line;
  }

  const shortened = (text, most, end) => (text.length <= most ? text : end ? "… " + text.slice(-most) : text.slice(0, most) + " …");

  function whole(row) {
    const made = make("div", undefined, "card"), base = c.base[row];
    made.append(make("div", prompts[c.prompt[row]], "prompt"));
    const pair = make("div", undefined, base >= 0 ? "pair" : "");
    if (base >= 0) pair.append(side(base, false));
    pair.append(side(row, true));
    made.append(pair);
    if (onlyPrompt < 0) {
      const only = make("button", "all answers to this prompt");
      only.type = "button";
      only.addEventListener("click", () => { onlyPrompt = c.prompt[row]; $("arm").value = "all"; choose(); $("all-prompts").focus(); });
      made.append(only);
    }
    return made;
  }

  function side(row, coloured) {
    const made = make("div"), text = c.response[row];
    made.append(make("div", told(row), "tag"));
    const mark = coloured && marks ? marks[row] : "";
    if (!mark) {
      made.append(make("div", text, "text"));
      if (coloured && c.base[row] >= 0) made.append(make("div", marks ? "KL per token: not recorded for this sample, or left out." : "KL per token: unpacking …", "tag"));
      return made;
    }
    const [lengths, kls] = mark.split("|").map((part) => part.split(" ").map(Number));
    const said = make("div", undefined, "text");
    let at = 0;
    lengths.forEach((length, token) => {
      const kl = kls[token] / 100, piece = text.slice(at, at + length);
      at += length;
      const span = make("span", piece || "∎", "token");
      span.style.setProperty("--kl", Math.round((1 - Math.exp(-kl / DEEP)) * 60) + "%");
      span.title = `KL ${kl.toFixed(2)} nats` + (piece ? "" : ": the end, or part of a character");
      said.append(span, make("span", kl.toFixed(2), "nats"));
    });
    said.append(text.slice(at));
    made.append(said);
    return made;
  }

  function failed(error) {
    $("note").textContent = typeof DecompressionStream === "undefined"
      ? "This browser is too old to unpack the samples: they lie in the files of its directory."
      : "The samples could not be unpacked: " + error;
  }
  unpack("samples-table").then(start).catch(failed);
})();
