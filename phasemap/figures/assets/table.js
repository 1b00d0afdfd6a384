"use strict";
/* The table behind the picture, for those who can't see it. */

const PhaseTable = (() => {
  const { html, given, short } = PhaseDraw;
  const { by } = PhaseWords;
  const { digits } = PhaseData;

  return (Base) => class extends Base {
    table() {
      const { model, state } = this;
      const across = model.axis(state.x), up = state.y ? model.axis(state.y) : null;
      const tables = this.maps.map((map) => {
        const rows = [];
        for (let row = map.rows - 1; row >= 0; row--) {
          const cells = across.values.map((_, column) => html("td", {}, this.cellWords(map.point(column, row))));
          rows.push(html("tr", {}, ...(up ? [html("th", { scope: "row" }, given(short(up.values[row], 60)))] : []), ...cells));
        }
        const head = [...(up ? [html("th", { scope: "col" }, `${up.label} \\ ${across.label}`)] : []),
          ...across.values.map((text) => html("th", { scope: "col" }, given(short(text, 60))))];
        return html("table", {}, html("caption", {}, map.box.getAttribute("aria-label")), html("thead", {}, html("tr", {}, ...head)), html("tbody", {}, ...rows));
      });
      const area = html("div", { class: "scroll", tabindex: 0, role: "region", "aria-label": "Table of the diagram" }, ...tables);
      by("table").replaceChildren(by("table").querySelector("summary"), area);
    }

    cellWords(point) {
      const { model, state } = this;
      const mark = model.marks[model.mark(point, state.step, state.metric === "phase" ? "phase" : "subphase")];
      const note = state.step === model.last && model.note(point);
      const value = model.isLabel(state.metric) ? "" : `, ${digits(model.value(point, state.metric, state.step))}`;
      return mark.title + value + (note ? ` (${model.words.notes[note]})` : "");
    }
  };
})();
