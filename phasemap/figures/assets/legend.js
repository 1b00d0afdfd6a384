"use strict";
/* The legend below the choosers, and what is said of the maps in words. */

const PhaseLegend = (() => {
  const { html, short } = PhaseDraw;
  const { by, readable } = PhaseWords;
  const { digits } = PhaseData;

  return (Base) => class extends Base {
    drawLegend() {
      const { model, state } = this;
      const counts = new Map();
      let passing = 0, all = 0;
      const notes = new Set();
      let inferred = false;
      for (const map of this.maps) {
        for (let row = 0; row < map.rows; row++) {
          for (let column = 0; column < map.columns; column++) {
            const point = map.point(column, row);
            const mark = model.mark(point, state.step, state.metric === "phase" ? "phase" : "subphase");
            counts.set(mark, (counts.get(mark) || 0) + 1);
            all += 1;
            if (this.passes(point)) passing += 1;
            if (state.step === model.last) { notes.add(model.note(point)); inferred ||= model.inferred[point] === 1; }
          }
        }
      }
      this.counts = { passing, all };
      const labelled = model.isLabel(state.metric);
      const told = (mark) => model.words.labels.length > 0 || mark.status !== "ok";  // without labels all are alike
      const buttons = model.marks.map((mark, number) => [mark, number]).filter(([mark, number]) => counts.has(number) && told(mark)).map(([mark, number]) => {
        const button = html("button", { type: "button", "aria-pressed": String(!state.off.has(number)) },
          labelled || mark.hatch ? PhaseDraw.sample(mark) : "", `${mark.title} ${counts.get(number)}`);
        button.addEventListener("click", () => {
          const off = new Set(state.off);
          if (!off.delete(number)) off.add(number);
          this.change({ off });
          by("legend").querySelector(`[data-number="${number}"]`)?.focus();
        });
        button.dataset.number = number;
        return button;
      });
      by("legend").replaceChildren(...(labelled ? [] : [this.rampKey()]), ...buttons);
      const signs = Object.keys(model.words.notes).filter((note) => labelled && notes.has(note)).map((note) => {
        const icon = PhaseDraw.svg("svg", { width: 14, height: 14, viewBox: "0 0 14 14", "aria-hidden": "true" }, PhaseDraw.sign(note, 7, 7, 3, "currentColor"));
        return html("span", {}, icon, model.words.notes[note]);
      });
      const inferredKey = labelled ? "light, hatched: predicted by the search; dots in the middle: measured" : "hatched: predicted by the search";
      if (inferred) signs.push(html("span", {}, inferredKey));
      by("frontiers").replaceChildren(...this.frontierKey(), ...signs);
    }

    rampKey() {
      const { low, high, log, colours } = PhaseDraw.ramp(this.model, this.state.metric);
      const bar = PhaseDraw.svg("svg", { width: 130, height: 14, "aria-hidden": "true" }, ...colours.map((fill, i) =>
        PhaseDraw.svg("rect", { x: (i * 130) / colours.length, width: 130 / colours.length + 0.5, height: 14, fill })));
      return html("span", { class: "ramp" }, `${readable(this.state.metric)}: ${digits(low)} `, bar, ` ${digits(high)}${log ? " (log)" : ""}`);
    }

    frontierKey() {
      const { model, state } = this;
      const drawn = new Set(), banded = new Set();
      const { held } = this.facets();
      for (const panel of this.shown) {
        const places = { ...held, ...panel };
        model.frontier(model.lines, state.x, state.y, places, state.step).forEach((line) => drawn.add(line.kind));
        model.frontier(model.bands, state.x, state.y, places, state.step).forEach((line) => banded.add(line.kind));
      }
      return model.content.frontiers.kinds.map((kind, i) => [kind, i]).filter(([, i]) => drawn.has(i)).map(([kind, i]) =>
        html("span", {}, PhaseDraw.lineSample(kind.style), `frontier: ${kind.label}${banded.has(i) ? " (shaded: its band)" : ""}`));
    }

    say(nPanels) {
      const { model, state } = this;
      const parts = [];
      const { held } = this.facets();  // in print the choosers are gone
      const at = model.axes.filter((a) => a.name in held).map((a) => `${a.label} ${a.values[held[a.name]]}`);
      if (at.length) parts.push(`At ${at.map((words) => short(words, 80)).join(", ")}.`);
      if (this.counts.passing < this.counts.all) parts.push(`${this.counts.passing} of ${this.counts.all} cells pass the filter; the others are faded.`);
      if (nPanels > model.words.most_panels) parts.push(`The first ${model.words.most_panels} of ${nPanels} panels are drawn; choose a value for an axis to see others.`);
      if (state.step < model.last) parts.push(`The map as it was at step ${model.steps[state.step]}.`);
      if (state.step < model.content.frontiers.first_step) parts.push("The frontiers are kept for the last step only.");
      by("shown").textContent = parts.join(" ");
    }
  };
})();
