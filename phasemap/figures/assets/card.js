"use strict";
/* The study card: what was asked, trained and claimed, what failed, and how to do it again. */

const PhaseCard = (() => {
  const { html, given } = PhaseDraw;
  const { by } = PhaseWords;

  function fill(model) {
    const { card: content, trials } = model.content;
    const parts = content.sections.map((section) => html("section", {}, html("h3", {}, section.title), html("dl", {},
      ...section.rows.flatMap(([name, text]) => [html("dt", {}, name), html("dd", {}, given(text))]))));
    by("card").append(html("div", { class: "sections" }, ...parts), claims(content.claims), lost(model, trials), again(content),
      ...(content.citation ? [html("section", {}, html("h3", {}, "Citation"), html("p", {}, content.citation))] : []));
  }

  function claims(found) {
    if (!found) return "";
    if (!found.length) return html("section", {}, html("h3", {}, "Claims"), html("p", {}, "The study makes no claims."));
    const items = found.map((claim) => html("li", {}, html("strong", { class: `verdict ${claim.verdict}` }, claim.verdict), " ",
      html("code", {}, given(claim.text)), ...claim.numbers.map((text) => html("p", {}, text)),
      ...(claim.reason ? [html("p", {}, given(claim.reason))] : [])));
    const count = (verdict) => found.filter((claim) => claim.verdict === verdict).length;
    return html("section", {}, html("h3", {}, "Claims"),
      html("p", {}, `${count("holds")} of ${found.length} hold, ${count("fails")} fail, ${count("undecided")} are undecided.`), html("ul", {}, ...items));
  }

  /** The trials that failed, with their errors. */
  function lost(model, trials) {
    if (!trials.error_of.length) return "";
    const items = trials.error_of.slice(0, 50).map(([slot, text]) => {
      const point = Math.floor(slot / model.seeds.length);
      const trial = model.trials(point)[slot % model.seeds.length];
      return html("li", {}, html("code", {}, trial.id), ` (seed ${trial.seed}): `, given(trials.errors[text]));
    });
    return html("section", {}, html("h3", {}, "Failed trials"), html("ul", {}, ...items),
      ...(trials.error_of.length > 50 ? [html("p", {}, `The first 50 of ${trials.error_of.length}.`)] : []));
  }

  function again(content) {
    const link = html("a", { download: content.study_name, href: URL.createObjectURL(new Blob([content.study_file], { type: "text/yaml" })) },
      `Save ${content.study_name}`);
    return html("section", { class: "again" }, html("h3", {}, "How to reproduce it"),
      html("p", {}, content.again),
      html("pre", { tabindex: 0, role: "region", "aria-label": "Commands" }, content.commands.join("\n")),
      html("p", {}, link), html("pre", { tabindex: 0, role: "region", "aria-label": "Study file", class: "study" }, given(content.study_file)));
  }

  return { fill };
})();
