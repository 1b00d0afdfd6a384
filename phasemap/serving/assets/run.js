"use strict";
/* One run's page: its state and buttons, the report's map that fills while the run goes on, failures and log. */

(() => {
  const { html, given } = PhaseDraw;
  const by = (id) => document.getElementById(id);
  const name = by("status").dataset.run;
  const LEAST_MS = 1500;
  const MAPPED = ["controls", "diagram", "card"];  // what is empty until there is a map
  let page = null, drawn = "", drawing = false, drawnAt = 0, latest = null;

  function state(run) {
    latest = run;
    by("state").textContent = run.state;
    by("state").className = `state ${run.state}`;
    Api.bar(by("progress"), run);
    const words = [Api.progress(run), Api.phases(run)].filter(Boolean).join("; ");
    if (by("progress-words").textContent !== words) by("progress-words").textContent = words;
    const place = run.place_in_queue ? `number ${run.place_in_queue} in the queue` : "";
    const left = run.eta_seconds === null ? "" : `about ${Api.duration(run.eta_seconds)} left`;
    by("eta").textContent = [place, left].filter(Boolean).join(", ");
    Api.show(by("error"), run.error ?? "");
    by("waiting").hidden = Boolean(run.version || run.error);
    for (const link of document.querySelectorAll("#status .actions a")) link.hidden = !run.version;
    if (by("cancel")) by("cancel").hidden = !["queued", "running"].includes(run.state);
    const unfinished = ["interrupted", "lost", "failed"].includes(run.state) || (run.state === "done" && run.n_failed);
    if (by("resume")) by("resume").hidden = !(run.resumable && unfinished);
    draw();
  }

  /** Draw the newest map, not more often than LEAST_MS, and never two at once. */
  async function draw() {
    if (drawing || !latest.version || drawn === latest.version + latest.state) return;
    drawing = true;
    const wait = drawnAt + LEAST_MS - Date.now();
    if (wait > 0) await new Promise((done) => setTimeout(done, wait));
    const wanted = latest.version + latest.state;
    try {
      if (latest.scattered) picture(); else await map();
      drawn = wanted;
      await details();
      Api.show(by("problem"), "");
    } catch (error) {
      Api.show(by("problem"), `The map can't be shown: ${error.message}`);
    }
    drawing = false;
    drawnAt = Date.now();
    if (drawn && drawn !== latest.version + latest.state) draw();
  }

  function reveal() {
    for (const id of MAPPED) by(id).hidden = false;
  }

  async function map() {
    const model = await ServedModel.of(name);
    if (!page) start(model); else if (model.size === page.model.size) await page.update(model).then(steps); else location.reload();
  }

  /** Points on no grid make no cells to open: their picture stands in place of the maps. */
  function picture() {
    reveal();
    for (const id of ["controls", "keys", "table", "card"]) by(id).hidden = true;
    by("question").replaceChildren(given(latest.question));
    by("diagram-title").textContent = "Map";
    by("shown").textContent = "The points lie on no grid: each is drawn where it was measured.";
    const src = `/api/v1/runs/${name}/diagram.svg?v=${latest.version}`;
    by("maps").replaceChildren(html("a", { class: "picture", href: src }, html("img", { src, alt: `The points of ${name} with their labels` })));
  }

  function start(model) {
    for (const id of ["name", "question", "setting"]) by(id).replaceChildren();
    reveal();
    page = new PhasePage.Page(model);
    steps();
    by("footer").textContent = `phasemap, ${model.content.made_by.replace("phasemap ", "release ")}`;
  }

  /** A run that is under way, or very large, is shown at its last step only. */
  function steps() {
    by("step").parentElement.hidden = page.model.last === 0;
  }

  async function details() {
    const found = await Api.ask(`/runs/${name}`);
    by("failures").hidden = !found.failures.length || Boolean(page?.model.content.trials.error_of.length);  // the card names them
    by("failures").querySelector("ul").replaceChildren(...found.failures.map((trial) =>
      html("li", {}, html("code", {}, trial.trial_id), ` (seed ${trial.seed}): `, given(trial.error ?? "no error was recorded", 500))));
    if (by("log").open) await log();
  }

  async function log() {
    const found = await Api.ask(`/runs/${name}/log`);
    const text = by("log").querySelector("pre"), atEnd = text.scrollHeight - text.scrollTop - text.clientHeight < 20;
    text.textContent = [found.log, found.output].filter(Boolean).join("\n--- output of the process ---\n") || "nothing yet";
    if (atEnd) text.scrollTop = text.scrollHeight;
  }

  /** Send a change, and show what came of it. */
  function button(id, question) {
    by(id)?.addEventListener("click", async () => {
      if (question && !confirm(question)) return;
      by(id).disabled = true;
      try {
        state((await Api.post(`/runs/${name}/${id}`)).summary);
      } catch (error) {
        Api.show(by("error"), error.message);
      }
      by(id).disabled = false;
    });
  }

  by("name").textContent = name;
  for (const id of MAPPED) by(id).hidden = true;
  button("cancel", `Cancel ${name}? What is finished is kept, and the run can be resumed.`);
  button("resume");
  by("log").addEventListener("toggle", () => { if (by("log").open) log(); });
  setInterval(() => { if (by("log").open && latest && latest.state === "running") log(); }, 5000);

  function gone() {
    for (const node of [by("cancel"), by("resume"), ...document.querySelectorAll("#status .actions a")]) if (node) node.hidden = true;
    Api.show(by("lost"), `There is no run ${name} any more: its folder was moved or deleted.`);
  }

  const answers = (there) => Api.show(by("lost"), there ? "" : "The service does not answer; trying again. The run may go on meanwhile.");
  Api.ask(`/runs/${name}`).then((found) => state(found.summary), (error) => Api.show(by("error"), error.message))
    .then(() => Api.follow(`/runs/${name}/events`, state, answers, (_, source) => { source.close(); gone(); }));
})();
