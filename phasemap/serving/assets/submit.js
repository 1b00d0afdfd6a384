"use strict";
/* The form for a new study: a plain editor with line numbers, checked while one writes; the plan; the submit. */

(() => {
  const { html, given } = PhaseDraw;
  const by = (id) => document.getElementById(id);
  const YAML = "application/yaml", QUIET_MS = 400;
  const text = by("study");
  if (!text) return;
  const KEPT = "study";  // what was typed outlives a reload, and a login that became necessary meanwhile
  text.value = sessionStorage.getItem(KEPT) ?? text.value;
  let timer = null, asked = 0;

  function numbers() {
    const lines = text.value.split("\n").length;
    by("numbers").textContent = Array.from({ length: lines }, (_, i) => i + 1).join("\n");
    by("numbers").scrollTop = text.scrollTop;
  }

  function changed() {
    sessionStorage.setItem(KEPT, text.value);
    numbers();
    by("plan").disabled = by("send").disabled = true;
    by("planned").replaceChildren();
    clearTimeout(timer);
    timer = setTimeout(check, QUIET_MS);
  }

  async function check() {
    const number = ++asked;
    try {
      const found = await Api.post("/studies/validate", text.value, YAML);
      if (number === asked) show(found);
    } catch (error) {
      if (number === asked) by("checked").textContent = error.message;
    }
  }

  function show(found) {
    by("problems").replaceChildren(...found.problems.map(problem));
    const ready = found.valid && !found.conflict;
    by("plan").disabled = by("send").disabled = !ready;
    if (!found.valid) {
      by("checked").textContent = found.problems.length === 1 ? "1 mistake" : `${found.problems.length} mistakes`;
      return;
    }
    const size = `${found.n_points} points, ${found.n_trials} trials`;
    const changes = found.changes.length ? ` It continues the run ${found.name}: ${found.changes.join("; ")}.` : "";
    by("checked").textContent = found.conflict ?? `The study is valid: ${size}.${changes}`;
  }

  function problem(found) {
    const words = [found.path ? html("code", {}, found.path) : "", " ", given(found.message, 400)];
    if (!found.line) return html("li", {}, ...words);
    const button = html("button", { type: "button" }, `line ${found.line}`);
    button.addEventListener("click", () => goTo(found.line));
    return html("li", {}, button, " ", ...words);
  }

  function goTo(line) {
    const lines = text.value.split("\n");
    const start = lines.slice(0, line - 1).reduce((sum, one) => sum + one.length + 1, 0);
    text.focus();
    text.setSelectionRange(start, start + (lines[line - 1] ?? "").length);
    text.scrollTop = (line - 4) * (text.scrollHeight / Math.max(lines.length, 1));
  }

  async function plan() {
    by("plan").disabled = true;
    Api.show(by("problem"), "");
    by("planned").replaceChildren(html("dt", {}, "plan"), html("dd", {}, "measuring …"));
    try {
      const found = await Api.post("/studies/plan", text.value, YAML);
      const rows = [["trials", `${found.n_reused} reused, ${found.n_missing} to train`], ["packs", String(found.n_packs)],
        ["time", `about ${Api.duration(found.wall_seconds)}, ${found.slots} ${found.slots === 1 ? "pack" : "packs"} at a time`],
        ["core-hours", PhaseData.digits(found.core_hours)], ["memory", `${PhaseData.digits(found.memory_bytes / 1e9)} GB`]];
      by("planned").replaceChildren(...rows.flatMap(([name, words]) => [html("dt", {}, name), html("dd", {}, words)]));
    } catch (error) {
      by("planned").replaceChildren();
      Api.show(by("problem"), error.message);
    }
    by("plan").disabled = false;
  }

  async function send() {
    by("send").disabled = true;
    Api.show(by("problem"), "");
    try {
      const { run } = await Api.post("/studies", text.value, YAML);
      sessionStorage.removeItem(KEPT);
      location.assign(`/runs/${run}`);
    } catch (error) {
      by("problems").replaceChildren(...error.problems.map(problem));
      Api.show(by("problem"), error.problems.length ? "" : error.message);
      by("send").disabled = false;
    }
  }

  text.addEventListener("input", changed);
  text.addEventListener("scroll", () => { by("numbers").scrollTop = text.scrollTop; });
  by("plan").addEventListener("click", plan);
  by("send").addEventListener("click", send);
  numbers();
  check();
})();
