// Asks for news every two seconds and puts them into the page; what has not changed stays as it is.
(function () {
  const EVERY = 2000;
  const news = document.getElementById("news"), list = document.getElementById("runs");
  const cards = new Map();
  const make = (tag, text, name) => {
    const node = document.createElement(tag);
    if (text !== undefined) node.textContent = text;
    if (name) node.className = name;
    return node;
  };
  const number = (value) => (value === null || value === undefined ? "–" : Number(value).toPrecision(3));

  function stageRow(stage) {
    const row = make("tr");
    row.append(make("td", stage.name));
    row.append(make("td", stage.state, { failed: "gamed", stopped: "inconclusive", done: "worked" }[stage.state] || ""));
    const how = make("td", undefined, "n");
    if (stage.total) {
      const bar = make("progress");
      bar.max = stage.total;
      bar.value = stage.done;
      bar.setAttribute("aria-label", stage.name);
      how.append(bar, ` ${stage.done.toLocaleString("en")} / ${stage.total.toLocaleString("en")}`);
    }
    row.append(how, make("td", stage.left, "n"), make("td", stage.note, "soft note"));
    return row;
  }

  function card(key) {
    const one = { box: make("section"), charts: new Map(), open: new Map() };
    for (const [name, tag] of [["head", "h2"], ["line", "p"], ["alarms", "div"], ["stages", "div"], ["curves", "div"], ["samples", "div"]]) {
      one[name] = make(tag);
      one.box.append(one[name]);
    }
    one.line.className = "soft";
    one.stages.className = "scroll";
    one.stages.tabIndex = 0;
    one.stages.setAttribute("role", "region");
    one.stages.setAttribute("aria-label", "stages of " + key);
    list.append(one.box);
    cards.set(key, one);
    return one;
  }

  function showStages(one, run) {
    const table = make("table"), head = make("tr");
    for (const [name, side] of [["stage", ""], ["state", ""], ["done", "n"], ["left", "n"], ["what came out", ""]]) {
      const cell = make("th", name, side);
      cell.scope = "col";
      head.append(cell);
    }
    table.append(head, ...run.stages.map(stageRow));
    one.stages.replaceChildren(table);
  }

  function showAlarms(one, run) {
    const told = run.stages.filter((stage) => stage.alarm).map((stage) => `alarm in ${stage.name}: ${stage.alarm}`);
    if (run.broken) told.push(`${run.broken} lines of metrics.jsonl cannot be read`);
    if (one.told === told.join("\n")) return;
    one.told = told.join("\n");
    one.alarms.replaceChildren(...told.map((text) => {
      const line = make("p", text, "gamed");
      line.setAttribute("role", "alert");
      return line;
    }));
  }

  function showCurves(one, run, figures) {
    for (const stage of run.stages) {
      if (!stage.charts.length) continue;
      let part = one.charts.get(stage.name);
      if (!part) {
        part = { box: make("details"), grid: make("div", undefined, "grid small"), ids: new Set() };
        part.box.append(make("summary", stage.name), part.grid);
        one.charts.set(stage.name, part);
        one.curves.append(part.box);
      }
      // The stage at work is open; whoever opens or closes one is not overruled.
      if (part.state !== stage.state) part.box.open = stage.state !== "done" || run.stages.every((other) => other.state === "done");
      part.state = stage.state;
      for (const chart of stage.charts) {
        figures[chart.id] = chart.figure;
        if (part.ids.has(chart.id)) continue;
        part.ids.add(chart.id);
        const figure = make("figure"), place = make("div", undefined, "chart");
        place.id = chart.id;
        place.setAttribute("role", "img");
        place.setAttribute("aria-label", `${chart.title} of ${stage.name} over steps`);
        figure.append(make("figcaption", chart.title), place);
        part.grid.append(figure);
      }
    }
  }

  function showSamples(one, run) {
    const samples = run.samples, version = samples && `${samples.stage} ${samples.step} ${samples.count}`;
    if (!samples || one.version === version) return;
    one.version = version;
    const shown = samples.rows.map((row) => {
      const box = make("li");
      box.append(make("div", row.prompt, "prompt"), make("div", row.response, "text"));
      box.append(make("div", `reward ${number(row.reward)}, gold ${number(row.gold)}, KL ${number(row.kl)} nats`, "tag"));
      return box;
    });
    const all = make("ul", undefined, "samples");
    all.append(...shown);
    const box = make("details");
    box.open = one.samples.firstChild ? one.samples.firstChild.open : run.busy;
    const some = shown.length < samples.count ? `the first ${shown.length} of ${samples.count}` : samples.count;
    box.append(make("summary", `Latest samples: ${samples.stage}, step ${samples.step} (${some})`), all);
    one.samples.replaceChildren(box);
  }

  function show(told) {
    news.textContent = told.error || `as of ${new Date().toLocaleTimeString()}; ${told.runs.filter((run) => run.busy).length} of ${told.runs.length} at work`;
    const figures = {};
    for (const run of told.runs) {
      const one = cards.get(run.folder) || card(run.folder);
      one.head.textContent = run.title;
      one.line.textContent = run.headline;
      if (run.report) {
        const link = make("a", "report");
        link.href = run.report;
        one.line.append(" ", link);
      }
      showAlarms(one, run);
      showStages(one, run);
      showCurves(one, run, figures);
      showSamples(one, run);
    }
    window.showFigures(figures);
  }

  async function ask() {
    try {
      const answer = await fetch("state");
      if (!answer.ok) throw new Error(answer.statusText);
      show(await answer.json());
    } catch (error) {
      news.textContent = `accord watch does not answer (${error.message}); this page goes on when it is started again`;
    }
    setTimeout(ask, EVERY);
  }
  addEventListener("load", ask);
})();
