"use strict";
/* The list of runs: a small map, state and counts of each, live; two of them can be chosen to be compared. */

(() => {
  const { html, given } = PhaseDraw;
  const by = (id) => document.getElementById(id);
  const STATES = ["queued", "running", "stopping", "done", "interrupted", "lost", "failed"];
  const ACTIVE = ["running", "stopping", "queued"];
  const runs = new Map(), cards = new Map(), chosen = new Set();

  function picture(run) {
    if (!run.version) return html("span", { class: "thumbnail" });
    const src = `/api/v1/runs/${run.name}/thumbnail.svg?v=${run.version}`;
    return html("img", { class: "thumbnail", src, width: 120, height: 84, alt: `Map of ${run.name}`, loading: "lazy" });
  }

  function card(run) {
    const box = html("input", { type: "checkbox", "aria-label": `compare ${run.name}` });
    box.checked = chosen.has(run.name);
    box.addEventListener("change", () => {
      if (box.checked) chosen.add(run.name); else chosen.delete(run.name);
      by("compare").disabled = chosen.size !== 2;
    });
    const eta = run.eta_seconds === null ? "" : `, about ${Api.duration(run.eta_seconds)} left`;
    const place = run.place_in_queue ? `, number ${run.place_in_queue} in the queue` : "";
    return html("li", { class: "run", "data-run": run.name }, picture(run),
      html("div", { class: "words" },
        html("div", { class: "row" }, html("a", { href: `/runs/${run.name}` }, run.name),
          html("span", { class: `state ${run.state}` }, run.state), html("label", { class: "end quiet" }, box, " compare")),
        Api.bar(html("progress", { "aria-label": `Trials of ${run.name} that ended` }), run),
        html("p", { class: "quiet" }, Api.progress(run) + eta + place),
        html("p", { class: "quiet" }, Api.phases(run)),
        ...(run.question ? [html("p", {}, given(run.question, 160))] : []),
        ...(run.error ? [html("p", { class: "warning" }, given(run.error, 300))] : [])));
  }

  /** Put a run's card in place of its old one, keeping the focus inside it. */
  function draw(run) {
    const old = cards.get(run.name), made = card(run);
    cards.set(run.name, made);
    if (!old) return;
    const focused = [...old.querySelectorAll("a, input")].indexOf(document.activeElement);
    const shown = old.querySelector("img"), next = made.querySelector("img");
    if (shown && next && shown.getAttribute("src") === next.getAttribute("src")) next.replaceWith(shown);
    old.replaceWith(made);
    made.hidden = old.hidden;
    if (focused >= 0) made.querySelectorAll("a, input")[focused].focus();
  }

  function arrange() {
    const rank = (run) => (ACTIVE.includes(run.state) ? ACTIVE.indexOf(run.state) : ACTIVE.length);
    const order = [...runs.values()].sort((a, b) => rank(a) - rank(b) || (b.started ?? "").localeCompare(a.started ?? ""));
    order.forEach((run, i) => {
      const node = cards.get(run.name);
      if (by("runs").children[i] !== node) by("runs").insertBefore(node, by("runs").children[i] ?? null);
    });
    filter();
  }

  function filter() {
    const text = by("find").value.toLowerCase(), state = by("state").value;
    let shown = 0;
    for (const [name, run] of runs) {
      const fits = (!text || `${name} ${run.question}`.toLowerCase().includes(text)) && (!state || run.state === state);
      cards.get(name).hidden = !fits;
      shown += fits;
    }
    const hint = Api.maySubmit ? "No runs yet: begin with New study." : "No runs yet.";
    Api.show(by("count"), runs.size ? `${shown} of ${runs.size} runs` : hint);
  }

  function take(run) {
    const before = runs.get(run.name);
    runs.set(run.name, run);
    draw(run);
    if (!before || before.state !== run.state || before.started !== run.started) arrange();
  }

  function remove(name) {
    cards.get(name)?.remove();
    for (const kept of [runs, cards, chosen]) kept.delete(name);
    by("compare").disabled = chosen.size !== 2;
    filter();
  }

  by("state").append(...STATES.map((state) => html("option", { value: state }, state)));
  by("find").addEventListener("input", filter);
  by("state").addEventListener("change", filter);
  by("tools").addEventListener("submit", (event) => event.preventDefault());
  by("compare").addEventListener("click", () => {
    const [a, b] = [...chosen];
    location.assign(`/compare?a=${a}&b=${b}`);
  });
  const lost = (there) => Api.show(by("problem"), there ? "" : "The service does not answer; trying again.");
  Api.ask("/runs?limit=1000").then((found) => { found.runs.forEach(take); filter(); }, (error) => Api.show(by("problem"), error.message))
    .then(() => Api.follow("/events", take, lost, remove));
})();
