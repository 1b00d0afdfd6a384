"use strict";
/* Two runs beside each other: the verdict, the picture, the points that changed and how far the frontiers moved. */

(() => {
  const { html, given } = PhaseDraw;
  const by = (id) => document.getElementById(id);
  const MOST_ROWS = 200;

  async function compare() {
    const [a, b] = [by("a").value, by("b").value];
    if (!a || !b) return;
    history.replaceState(null, "", `/compare?a=${a}&b=${b}`);
    Api.show(by("problem"), "");
    by("verdict").textContent = "Comparing …";
    by("found").replaceChildren();
    try {
      show(a, b, await Api.ask(`/diff?a=${a}&b=${b}`));
    } catch (error) {
      by("verdict").textContent = "";
      Api.show(by("problem"), error.message);
    }
  }

  function show(a, b, found) {
    by("verdict").replaceChildren(html("strong", {}, found.verdict), ": ", given(found.reason));
    const facts = [`${found.n_points} points compared; ${found.n_only_a} only in A, ${found.n_only_b} only in B`,
      ...Object.entries(found.transitions).map(([level, t]) => `${level}: ${(100 * t.agreement).toFixed(1)} % of the labels agree`),
      ...found.differences];
    const src = `/api/v1/diff.svg?a=${a}&b=${b}`;
    const picture = html("picture", {}, html("source", { srcset: `${src}&columns=1`, media: "(max-width: 700px)" }),
      html("img", { src, alt: `The maps of ${a} and ${b}, and where they differ` }));
    by("found").replaceChildren(
      html("ul", {}, ...facts.map((text) => html("li", {}, given(text)))),
      html("a", { href: src, class: "picture" }, picture),
      ...table("Points with a different label", found.changed_points), ...table("Shift of the frontiers from A to B", found.shifts));
  }

  function table(title, rows) {
    if (!rows.length) return [html("h2", {}, title), html("p", {}, "none")];
    const told = (value) => value !== null && value !== false;
    const names = Object.keys(rows[0]).filter((key) => key !== "changed" && rows.some((row) => told(row[key])));
    const head = html("tr", {}, ...names.map((key) => html("th", { scope: "col" }, heading(key))));
    const body = rows.slice(0, MOST_ROWS).map((row) => html("tr", {}, ...names.map((key) => html("td", {}, words(row[key])))));
    const cut = rows.length > MOST_ROWS ? [html("p", {}, `The first ${MOST_ROWS} of ${rows.length}; the API has all.`)] : [];
    return [html("h2", {}, title), html("div", { class: "scroll", tabindex: 0, role: "region", "aria-label": title },
      html("table", {}, html("thead", {}, head), html("tbody", {}, ...body))), ...cut];
  }

  const HEADINGS = { p_value: "p value", adjusted: "adjusted p value", low: "95 % from", high: "to", unit: "shift as" };

  /** A column's name in words, with its side as a capital: phase_a is phase A. */
  const heading = (key) => HEADINGS[key] ?? key.replaceAll("_", " ").replace(/(^| )[ab]$/, (side) => side.toUpperCase());

  function words(value) {
    if (typeof value === "number") return PhaseData.digits(value);
    if (typeof value === "boolean") return value ? "yes" : "no";
    return value === null ? "–" : given(String(value).replaceAll("_", " "), 60);
  }

  Api.ask("/runs?limit=1000").then(({ runs }) => {
    const asked = new URLSearchParams(location.search), names = runs.map((run) => run.name);
    const unknown = [...asked.values()].filter((name) => !names.includes(name));
    Api.show(by("problem"), unknown.length ? `There is no run ${unknown.map((name) => PhaseDraw.short(name, 64)).join(" and no run ")}.` : "");
    for (const id of ["a", "b"]) {
      by(id).append(html("option", { value: "" }, "choose a run"), ...names.map((name) => html("option", { value: name }, name)));
      by(id).value = names.includes(asked.get(id)) ? asked.get(id) : "";
      by(id).addEventListener("change", compare);
    }
    by("tools").addEventListener("submit", (event) => event.preventDefault());
    return compare();
  }, (error) => Api.show(by("problem"), error.message));
})();
