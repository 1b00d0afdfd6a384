"use strict";
/* The panel of one cell: its curves, trials and numbers. */

const PhaseCell = (() => {
  const { html, given, short } = PhaseDraw;
  const { by, readable } = PhaseWords;

  return (Base) => class extends Base {
    async open(point, focus = false) {
      this.state.open = point;
      this.state.seed = "all";
      await this.model.loadCurves(point);
      this.render();
      this.fillCell();
      if (focus || innerWidth < 900) { by("cell").focus(); by("cell").scrollIntoView({ block: "nearest" }); }
    }

    mark(point) {
      for (const map of this.maps) {
        for (let row = 0; row < map.rows; row++) {
          for (let column = 0; column < map.columns; column++) {
            if (map.point(column, row) === point) { map.cursor = [column, row]; map.select(column, row); }
          }
        }
      }
    }

    close() {
      const point = this.state.open;
      this.state.open = null;
      this.render();
      this.mark(point);
      (this.maps.find((map) => map.cursor) || this.maps[0]).box.focus();
    }

    fillCell() {
      const { model, state } = this;
      const trials = model.trials(state.open);
      const shut = html("button", { type: "button", class: "shut", "aria-label": "Close this cell" }, "×");
      shut.addEventListener("click", () => this.close());
      const amounts = model.inferred[state.open] ? "predicted ± its uncertainty" : trials.length > 1 ? "mean ± deviation over seeds" : "value";
      const rows = model.quantities.map((q) => html("tr", {}, html("th", { scope: "row" }, q.label), html("td", {}, this.amount(state.open, q.name))));
      by("cell").replaceChildren(shut,
        html("h3", { id: "cell-title" }, given(short(this.where(state.open), 300))),
        html("p", {}, this.verdict(state.open, model.last)), this.seedChoice(trials), html("div", { id: "curves" }), html("h4", {}, "Trials"),
        this.trialTable(trials), html("h4", {}, "At the end"),
        html("table", { class: "numbers" }, html("thead", {}, html("tr", {}, html("th", { scope: "col" }, "quantity"),
          html("th", { scope: "col" }, amounts))), html("tbody", {}, ...rows)));
      this.drawCurves(trials);
    }

    seedChoice(trials) {
      if (trials.length < 2) return "";
      const select = html("select", { id: "seed" }, html("option", { value: "all" }, "all seeds (thick: their mean)"),
        ...trials.map((trial, i) => html("option", { value: i }, `seed ${trial.seed}`)));
      select.addEventListener("change", () => { this.state.seed = select.value; this.drawCurves(trials); });
      return html("div", { class: "choice" }, html("label", { for: "seed" }, "Curves of"), select);
    }

    drawCurves(trials) {
      const { model, state } = this;
      const ok = (trial) => trial.mark.status === "ok";
      const shown = state.seed === "all" ? (trials.some(ok) ? trials.filter(ok) : trials) : [trials[Number(state.seed)]];
      const { records, recorded } = model.content.curves;
      if (!shown.some((trial) => model.curve(trial.slot))) {
        by("curves").replaceChildren(html("p", {}, model.nothingRecorded));
        return;
      }
      const pictures = Object.entries(model.words.kinds).map(([kind, words]) => this.picture(shown, kind, words)).filter(Boolean);
      const times = model.content.step_times.map((time) => [time, PhaseDraw.median(shown.map((trial) => trial.times[time.name]))])
        .filter(([, at]) => at !== null).map(([time, at]) => html("span", {}, PhaseDraw.lineSample(time.style), `${time.letter}: ${time.label} at step ${Math.round(at)}`));
      const thinned = records < recorded ? [html("p", { class: "quiet" },
        `Curves are kept at ${records} of ${recorded} records, so that this file stays small; the run has all of them.`)] : [];
      by("curves").replaceChildren(...pictures.flat(), html("p", { class: "keys" }, ...times), ...thinned);
    }

    /** The curves of one kind of quantity with their key; null where there are none. */
    picture(shown, kind, words) {
      const { model, state } = this;
      const strokes = Object.fromEntries(Object.entries(model.content.strokes).filter(([name, stroke]) => stroke.kind === kind &&
        shown.some((trial) => model.curve(trial.slot)?.[name].some((value) => value !== null))));
      const names = Object.keys(strokes);
      if (!names.length) return null;
      const picture = PhaseDraw.curves(model, shown, strokes, kind, by("cell").clientWidth - 26);
      const ends = names.map((name) => `${readable(name)} ends at ${this.amount(state.open, name)}`).join("; ");
      picture.setAttribute("aria-label", `${words[0].toUpperCase()}${words.slice(1)} over the steps: ${ends}`);
      return [picture, html("p", { class: "keys" }, ...names.map((name) =>
        html("span", {}, PhaseDraw.lineSample(strokes[name].style, strokes[name].colour), strokes[name].label)))];
    }

    trialTable(trials) {
      const rows = trials.map((trial) => html("tr", {}, html("td", {}, String(trial.seed)), html("td", {}, trial.mark.title),
        html("td", {}, html("code", {}, trial.mark.status === "missing" ? trial.id : `${this.model.content.card.replay} ${trial.id}`),
          ...(trial.error ? [html("p", { class: "error" }, given(trial.error))] : []))));
      return html("table", {}, html("thead", {}, html("tr", {}, ...["seed", "label", "train it again, alone"].map((text) => html("th", { scope: "col" }, text)))), html("tbody", {}, ...rows));
    }
  };
})();
