"use strict";
/* The choosers of the page: quantity, axes, held values, step and filter. */

const PhaseChoosers = (() => {
  const { html, short } = PhaseDraw;
  const { by } = PhaseWords;

  return (Base) => class extends Base {
    controls() {
      const { model, state } = this;
      const names = model.axes.map((axis) => axis.name);
      const choose = (label, id, options, onChange) => {
        const select = html("select", { id }, ...options.map(([value, text]) => html("option", { value }, short(text, 40))));
        select.addEventListener("change", () => onChange(select.value));
        return html("div", { class: "choice" }, html("label", { for: id }, short(label, 40)), select);
      };
      const axes = model.axes.map((axis) => [axis.name, axis.label]);
      const quantities = model.quantities.map((q) => [q.name, q.label]);
      const items = [
        choose("Show", "metric", [...model.words.labels.map((name) => [name, name]), ...quantities], (metric) => this.change({ metric })),
        choose("Right", "x", axes, (x) => this.change(x === state.y ? { x, y: state.x } : { x })),
      ];
      if (names.length > 1) items.push(choose("Up", "y", axes, (y) => this.change(y === state.x ? { y, x: state.y } : { y })));
      for (const axis of names.length > 2 ? model.axes : []) {
        const values = axis.values.map((text, i) => [String(i), text]);
        items.push(choose(axis.label, `hold-${axis.name}`, [["all", "each (panels)"], ...values], (value) =>
          this.change({ hold: { ...state.hold, [axis.name]: value === "all" ? "all" : Number(value) } })));
      }
      items.push(this.slider(), this.filter(quantities, choose), this.lettering());
      by("controls").append(...items);
      by("controls").addEventListener("submit", (event) => event.preventDefault());
    }

    slider() {
      const { model } = this;
      const range = html("input", { id: "step", type: "range", min: 0, max: model.last, value: model.last });
      range.addEventListener("input", () => {
        cancelAnimationFrame(this.frame);
        this.frame = requestAnimationFrame(() => this.change({ step: Number(range.value) }));
      });
      return html("div", { class: "choice wide" }, html("label", { for: "step" }, "Step"), range,
        html("output", { id: "step-words", for: "step" }));
    }

    lettering() {
      const box = html("input", { id: "cells", type: "checkbox" });
      box.checked = this.state.cells;
      box.addEventListener("change", () => this.change({ cells: box.checked }));
      return html("div", { class: "choice" }, html("label", { for: "cells" }, "A letter in each cell"), box);
    }

    filter(quantities, choose) {
      const changed = () => {
        const [name, least, text] = [by("filter").value, by("filter-side").value === "least", by("filter-value").value];
        this.change({ where: name === "none" || text === "" ? null : { name, least, value: Number(text) } });
      };
      const box = choose("Only cells with", "filter", [["none", "any value"], ...quantities], changed);
      const side = html("select", { id: "filter-side", "aria-label": "At least or at most" },
        html("option", { value: "least" }, "≥"), html("option", { value: "most" }, "≤"));
      const value = html("input", { id: "filter-value", type: "number", step: "any", "aria-label": "Value of the filter" });
      side.addEventListener("change", changed);
      value.addEventListener("input", changed);
      box.classList.add("wide");
      box.append(side, value);
      return box;
    }

    syncControls(free) {
      const { model, state } = this;
      by("metric").value = state.metric;
      by("x").value = state.x;
      if (state.y) by("y").value = state.y;
      for (const axis of model.axes) {
        const hold = by(`hold-${axis.name}`);
        if (!hold) continue;
        hold.value = String(state.hold[axis.name]);
        hold.parentElement.hidden = axis.name === state.x || axis.name === state.y;
      }
      const still = !model.isLabel(state.metric) && !model.overSteps(state.metric);
      const end = state.step === model.last;
      const words = `${model.steps[state.step]}${end ? (still ? " (this quantity is kept for the end only)" : " (the end)") : ""}`;
      by("cells").parentElement.hidden = !model.isLabel(state.metric);
      by("step").disabled = still || model.last === 0;
      by("step").value = state.step;
      by("step").setAttribute("aria-valuetext", `step ${words}`);
      by("step-words").textContent = words;
    }
  };
})();
