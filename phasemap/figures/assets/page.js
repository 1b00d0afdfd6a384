"use strict";
/* The page: the state of the view and the maps; the parts around them are in files of their own. */

const PhasePage = (() => {
  const { html, given, short } = PhaseDraw;
  const { by, readable } = PhaseWords;
  const { digits } = PhaseData;
  const FIRST_PANELS = 12, PAPER = 690;  // pixels: what A4 and Letter leave between their margins

  /** Build the page for a model, and draw it again whenever a choice changes. */
  class Page extends PhaseTable(PhaseCell(PhaseLegend(PhaseChoosers(Object)))) {
    constructor(model) {
      super();
      this.model = model;
      const names = model.axes.map((axis) => axis.name);
      this.state = { metric: model.words.first, x: names[0], y: names[1] || null, hold: firstHolds(model), step: model.last, cells: false,
                     off: new Set(), where: null, open: null, seed: "all" };
      this.maps = [];
      document.body.prepend(PhaseDraw.hatches(model.marks));
      heading(model.content);
      this.controls();
      this.listen();
      PhaseCard.fill(model);
      this.render();
    }

    change(update) {
      Object.assign(this.state, update);
      const asked = !this.model.isLabel(this.state.metric) && this.state.step < this.model.last;
      if (asked && !this.model.overSteps(this.state.metric)) this.state.step = this.model.last;
      if (asked && !this.model.codes) return this.model.loadCurves().then(() => this.render());
      return this.render();
    }

    /** Show newer results of the same study; what was chosen stays, and so does the focus. */
    async update(model) {
      const { state } = this;
      const names = (of) => of.quantities.map((q) => q.name).join();
      const again = names(model) !== names(this.model) || model.last !== this.model.last;
      const focus = this.maps.findIndex((map) => map.box === document.activeElement);
      const cursors = this.maps.map((map) => map.cursor);
      if (state.step === this.model.last || state.step > model.last) state.step = model.last;
      this.model = model;
      if (again) {
        by("controls").replaceChildren();
        this.controls();
      }
      by("card").replaceChildren(by("card-title"));
      PhaseCard.fill(model);
      if (state.open !== null) await model.loadCurves(state.open);
      this.render();
      this.maps.forEach((map, i) => { map.cursor = cursors[i] ?? null; });
      if (focus >= 0) this.maps[focus].box.focus();
      if (state.open !== null) this.fillCell();
    }

    /** The axes that vary between panels, and the panels as places along them. */
    facets() {
      const { x, y, hold } = this.state;
      const others = this.model.axes.filter((axis) => axis.name !== x && axis.name !== y);
      const held = Object.fromEntries(others.filter((a) => hold[a.name] !== "all").map((a) => [a.name, hold[a.name]]));
      const free = others.filter((axis) => hold[axis.name] === "all");
      let panels = [{}];
      for (const axis of free) {
        panels = panels.flatMap((panel) => axis.values.map((_, i) => ({ ...panel, [axis.name]: i })));
      }
      return { free, held, panels };
    }

    passes(point) {
      const { off, where, step, metric } = this.state;
      if (off.has(this.model.mark(point, step, metric === "phase" ? "phase" : "subphase"))) return false;
      if (!where) return true;
      const value = this.model.value(point, where.name);
      return value !== null && (where.least ? value >= where.value : value <= where.value);
    }

    /** Draw all panels into a width, by default that of the page. */
    render(width = null) {
      const { free, held, panels } = this.facets();
      this.shown = panels.slice(0, this.model.words.most_panels);
      by("stage").classList.toggle("split", this.state.open !== null);
      by("cell").hidden = this.state.open === null;
      const room = width ?? by("maps").clientWidth;
      const columns = Math.max(1, Math.min(this.shown.length, Math.floor(room / 260), free.length === 2 ? free[1].values.length : 4));
      this.maps = this.shown.map((panel) => this.panel(panel, held, free, Math.floor(room / columns) - 12));
      by("maps").replaceChildren(...this.maps.map((map) => map.figure));
      this.drawLegend();
      this.say(panels.length);
      this.syncControls(free);
      if (this.state.open !== null) this.mark(this.state.open);
      if (by("table").open) this.table();
    }

    panel(places, held, free, width) {
      const { model, state } = this;
      const map = PhaseDraw.map({ model, x: state.x, y: state.y, held: { ...held, ...places }, step: state.step,
                                  metric: state.metric, cells: state.cells, passes: (point) => this.passes(point), width });
      const words = free.map((axis) => `${axis.label} ${axis.values[places[axis.name]]}`).join(", ");
      const name = `Map of ${readable(state.metric)}${words ? `, ${words}` : ""}: ${map.columns} by ${map.rows} cells`;
      const box = html("div", { class: "box", tabindex: 0, role: "application", "aria-label": name,
                                "aria-roledescription": "phase map", "aria-describedby": "keys" }, map.node);
      const figure = html("figure", {}, ...(words ? [html("figcaption", {}, given(short(words, 80)))] : []), box);
      const found = { ...map, figure, box, cursor: null };
      this.watch(found);
      return found;
    }

    /** Pointer and keys of one map. */
    watch(map) {
      const cellAt = (event) => {
        const frame = map.node.getBoundingClientRect();
        const [column, row] = map.at(event.clientX - frame.left, event.clientY - frame.top);
        return column < 0 || row < 0 ? null : [column, row];
      };
      map.node.addEventListener("pointermove", (event) => {
        const place = event.pointerType === "touch" ? null : cellAt(event);
        if (place) this.hover(map.point(...place), event.clientX, event.clientY); else by("tip").hidden = true;
      });
      map.node.addEventListener("pointerleave", () => { by("tip").hidden = true; });
      map.node.addEventListener("click", (event) => {
        const place = cellAt(event);
        if (place) this.open(map.point(...place));
      });
      const moves = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, 1], ArrowDown: [0, -1],
                      Home: [-1e6, 0], End: [1e6, 0], PageUp: [0, 1e6], PageDown: [0, -1e6] };
      map.box.addEventListener("keydown", (event) => {
        const [column, row] = map.cursor || [0, map.rows - 1];
        if (moves[event.key]) {
          const [dx, dy] = map.cursor ? moves[event.key] : [0, 0];
          const clamp = (value, most) => Math.min(most - 1, Math.max(0, value));
          this.move(map, clamp(column + dx, map.columns), clamp(row + dy, map.rows));
          event.preventDefault();
        } else if ((event.key === "Enter" || event.key === " ") && map.cursor) {
          this.open(map.point(column, row), true);
          event.preventDefault();
        }
      });
      map.box.addEventListener("focus", () => { if (map.cursor) map.select(...map.cursor); });
      map.box.addEventListener("blur", () => { by("tip").hidden = true; });
    }

    move(map, column, row) {
      map.cursor = [column, row];
      map.select(column, row);
      const point = map.point(column, row);
      const frame = map.node.getBoundingClientRect();
      const [x, y] = map.middle(column, row);
      this.hover(point, frame.left + x, frame.top + y);
      by("said").textContent = `${this.where(point)}: ${this.verdict(point)}`;
    }

    where(point) {
      const places = this.model.places(point);
      return this.model.axes.map((axis) => `${axis.label} ${axis.values[places[axis.name]]}`).join(", ");
    }

    /** What a point is at the step of the slider, in words. */
    verdict(point, step = this.state.step) {
      const { model } = this;
      const mark = model.marks[model.mark(point, step, "subphase")];
      const seeds = model.seedCounts(point);
      const parts = model.words.labels.length || mark.status !== "ok" ? [mark.title] : [];
      if (step < model.last) return [...parts, `at step ${model.steps[step]}`].join(" ");
      if (model.inferred[point]) {
        const sure = model.confidence(point);
        parts.push(`predicted by the search${sure === null ? "" : ` with confidence ${digits(sure)}`}, not measured`);
      }
      const agreement = model.agreement(point);
      if (agreement !== null) parts.push(`${Math.round(agreement * seeds.ok)} of ${seeds.ok} seeds have its phase`);
      for (const [what, words] of [["failed", "failed"], ["diverged", "diverged"], ["missing", "not trained yet"]]) {
        if (seeds[what] && seeds.ok) parts.push(`${seeds[what]} ${words}`);
      }
      if (!model.isLabel(this.state.metric)) parts.push(`${readable(this.state.metric)} ${digits(model.value(point, this.state.metric))}`);
      return parts.join(", ");
    }

    hover(point, x, y) {
      const tip = by("tip"), { model, state } = this;
      const rows = model.quantities.map((q) => html("tr", {}, html("td", {}, q.label), html("td", {}, this.amount(point, q.name))));
      const wins = model.verdict(point);
      tip.replaceChildren(html("strong", {}, given(short(this.where(point), 300))), html("p", {}, this.verdict(point)),
        ...(state.step < model.last ? [html("p", {}, `At the end: ${this.verdict(point, model.last)}`)] : []),
        ...(wins ? [html("p", {}, wins)] : []),
        html("table", {}, ...rows));
      tip.hidden = false;
      const [wide, high] = [tip.offsetWidth, tip.offsetHeight];
      tip.style.left = `${Math.max(4, x + 16 + wide > innerWidth ? x - wide - 12 : x + 16)}px`;
      tip.style.top = `${Math.max(4, Math.min(y + 12, innerHeight - high - 4))}px`;
    }

    /** A quantity at the end with its spread over the seeds. */
    amount(point, name) {
      const spread = this.model.spread(point, name);
      return digits(this.model.value(point, name)) + (spread === null ? "" : ` ± ${digits(spread)}`);
    }

    listen() {
      by("table").addEventListener("toggle", () => { if (by("table").open) this.table(); });
      document.addEventListener("keydown", (event) => {
        if (event.key !== "Escape") return;
        by("tip").hidden = true;
        if (this.state.open !== null) this.close();
      });
      addEventListener("beforeprint", () => this.render(PAPER));
      addEventListener("afterprint", () => this.render());
      let width = innerWidth;
      addEventListener("resize", () => { if (innerWidth !== width) { width = innerWidth; this.render(); if (this.state.open !== null) this.fillCell(); } });
    }
  }

  /** Show other axes as panels while these are few; hold the rest at their first value. */
  function firstHolds(model) {
    let panels = 1;
    const hold = {};
    model.axes.forEach((axis, i) => {
      const fits = panels * axis.values.length <= FIRST_PANELS;
      hold[axis.name] = i < 2 || fits ? "all" : 0;
      if (i >= 2 && fits) panels *= axis.values.length;
    });
    return hold;
  }

  function heading(content) {
    by("name").append(given(content.name));
    if (!content.page.labels.length) by("diagram-title").textContent = "Map";
    by("question").append(given(content.question, 300));
    by("setting").append(given(content.setting, 400));
    by("footer").textContent = `Made by ${content.made_by}. This file asks nothing of any other place.`;
  }

  return { Page };
})();
