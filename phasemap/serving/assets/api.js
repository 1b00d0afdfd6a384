"use strict";
/* What every page needs: asking the API, following events, and words for numbers. */

const Api = (() => {
  const AGAIN_MS = 4000;
  const meta = (name) => document.querySelector(`meta[name="${name}"]`)?.content ?? "";
  const maySubmit = meta("may-submit") === "yes";

  class Refused extends Error {
    constructor(status, body) {
      super(body.error ?? `the service answered ${status}`);
      this.status = status;
      this.problems = body.problems ?? [];
    }
  }

  /** Ask the API and return its JSON; Refused with its message where it refuses. */
  async function ask(path, options = {}) {
    const headers = { ...options.headers };
    if (options.method === "POST") headers["X-CSRF-Token"] = meta("csrf");
    const answer = await fetch(`/api/v1${path}`, { ...options, headers });
    if (answer.status === 401) location.assign(`/login?next=${encodeURIComponent(location.pathname + location.search)}`);
    if (!answer.ok) throw new Refused(answer.status, await answer.json().catch(() => ({})));
    return answer.json();
  }

  const post = (path, body, type) => ask(path, { method: "POST", body, headers: type ? { "Content-Type": type } : {} });

  /** Follow events for as long as the page is open; `onLine` is told whether the service is there, `onGone` of runs that are not. */
  function follow(path, onRun, onLine, onGone) {
    const source = new EventSource(`/api/v1${path}`);
    source.addEventListener("run", (event) => onRun(JSON.parse(event.data)));
    source.addEventListener("gone", (event) => onGone(event.data, source));
    source.addEventListener("open", () => onLine(true));
    source.addEventListener("error", () => {
      onLine(false);
      if (source.readyState === EventSource.CLOSED) setTimeout(() => follow(path, onRun, onLine, onGone), AGAIN_MS);
    });
    addEventListener("pagehide", () => source.close());
  }

  function duration(seconds) {
    if (seconds < 90) return `${Math.round(seconds)} s`;
    return seconds < 5400 ? `${Math.round(seconds / 60)} min` : `${(seconds / 3600).toFixed(1)} h`;
  }

  /** How far a run is, in words. */
  function progress(run) {
    const most = run.searched ? `at most ${run.n_trials}` : run.n_trials;
    const parts = [run.searched && run.state === "done" ? `${run.n_done} trials, chosen by a search` : `${run.n_done} of ${most} trials`];
    if (run.n_failed) parts.push(`${run.n_failed} failed`);
    if (run.n_stopped) parts.push(`${run.n_stopped} stopped early`);
    if (run.n_diverged) parts.push(`${run.n_diverged} diverged`);
    return parts.join(", ");
  }

  /** Set a bar to the share of a run's trials that ended; a search may be done before it has used up all of its trials. */
  function bar(node, run) {
    const ended = run.n_done + run.n_failed + run.n_stopped;
    node.max = Math.max(run.searched && run.state === "done" ? ended : run.n_trials, 1);
    node.value = ended;
    return node;
  }

  const phases = (run) => Object.entries(run.phase_counts).map(([name, n]) => `${name.replaceAll("_", " ")} ${n}`).join(", ");

  function show(node, text) {
    node.textContent = text;
    node.hidden = !text;
  }

  return { ask, post, follow, duration, progress, bar, phases, show, maySubmit };
})();
