"use strict";
/* The page: choosers, legend, maps, the panel of one cell, the table and the study card. Holds the state of the view. */

const PhasePage = (() => {
  const { html, given, short, digits } = { ...PhaseDraw, digits: PhaseData.digits };
  const MOST_PANELS = 36, FIRST_PANELS = 12, LABELS = ["subphase", "phase"];
  const NOTES = { split: "seeds disagree", lost: "some seeds failed or diverged", partial: "some seeds not trained yet" };
  const by = (id) => document.getElementById(id);
  const readable = (name) => name.replaceAll("_", " ");

  /** Build the page for a model, and draw it again whenever a choice changes. */
  class Page {
    constructor(model) {
      this.model = model;
      const names = model.axes.map((axis) => axis.name);
      this.state = { metric: "subphase", x: names[0], y: names[1] || null, hold: firstHolds(model), step: model.last,
                     off: new Set(), where: null, open: null, seed: "all" };
      this.maps = [];
      document.body.prepend(PhaseDraw.hatches(model.marks));
      heading(model.content);
      this.controls();
      this.listen();
      card(model);
      this.render();
    }

    change(update) {
      Object.assign(this.state, update);
      const asked = !LABELS.includes(this.state.metric) && this.state.step < this.model.last;
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
      card(model);
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

    render() {
      const { free, held, panels } = this.facets();
      this.shown = panels.slice(0, MOST_PANELS);
      by("stage").classList.toggle("split", this.state.open !== null);
      by("cell").hidden = this.state.open === null;
      const room = by("maps").clientWidth;
      const columns = Math.max(1, Math.min(this.shown.length, Math.floor(room / 260), free.length === 2 ? free[1].values.length : 4));
      const width = Math.min(Math.floor(room / columns) - 12, 720);
      this.maps = this.shown.map((panel) => this.panel(panel, held, free, width));
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
                                  metric: state.metric, passes: (point) => this.passes(point), width });
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
      const parts = [mark.title];
      if (step < model.last) return `${parts[0]} at step ${model.steps[step]}`;
      if (model.inferred[point]) {
        const sure = model.confidence(point);
        parts.push(`predicted by the search${sure === null ? "" : ` with confidence ${digits(sure)}`}, not measured`);
      }
      const agreement = model.agreement(point);
      if (agreement !== null) parts.push(`${Math.round(agreement * seeds.ok)} of ${seeds.ok} seeds have its phase`);
      for (const [what, words] of [["failed", "failed"], ["diverged", "diverged"], ["missing", "not trained yet"]]) {
        if (seeds[what] && seeds.ok) parts.push(`${seeds[what]} ${words}`);
      }
      if (!LABELS.includes(this.state.metric)) parts.push(`${readable(this.state.metric)} ${digits(model.value(point, this.state.metric))}`);
      return parts.join(", ");
    }

    hover(point, x, y) {
      const tip = by("tip"), { model, state } = this;
      const rows = model.quantities.map((q) => html("tr", {}, html("td", {}, q.label), html("td", {}, this.amount(point, q.name))));
      const wins = model.verdict(point);
      tip.replaceChildren(html("strong", {}, given(short(this.where(point), 300))), html("p", {}, this.verdict(point)),
        ...(state.step < model.last ? [html("p", {}, `At the end: ${this.verdict(point, model.last)}`)] : []),
        ...(wins ? [html("p", {}, `generalization ${wins === "undetermined" ? "against memorization: undetermined" : `${wins} against memorization`}`)] : []),
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

    // --- choosers

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
        choose("Show", "metric", [["subphase", "subphase"], ["phase", "phase"], ...quantities], (metric) => this.change({ metric })),
        choose("Right", "x", axes, (x) => this.change(x === state.y ? { x, y: state.x } : { x })),
      ];
      if (names.length > 1) items.push(choose("Up", "y", axes, (y) => this.change(y === state.x ? { y, x: state.y } : { y })));
      for (const axis of names.length > 2 ? model.axes : []) {
        const values = axis.values.map((text, i) => [String(i), text]);
        items.push(choose(axis.label, `hold-${axis.name}`, [["all", "each (panels)"], ...values], (value) =>
          this.change({ hold: { ...state.hold, [axis.name]: value === "all" ? "all" : Number(value) } })));
      }
      items.push(this.slider(), this.filter(quantities, choose));
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
      const still = !LABELS.includes(state.metric) && !model.overSteps(state.metric);
      const end = state.step === model.last;
      const words = `${model.steps[state.step]}${end ? (still ? " (this quantity is kept for the end only)" : " (the end)") : ""}`;
      by("step").disabled = still || model.last === 0;
      by("step").value = state.step;
      by("step").setAttribute("aria-valuetext", `step ${words}`);
      by("step-words").textContent = words;
    }

    // --- legend and words

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
      const labelled = LABELS.includes(state.metric);
      const buttons = model.marks.map((mark, number) => [mark, number]).filter(([, number]) => counts.has(number)).map(([mark, number]) => {
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
      const signs = ["split", "lost", "partial"].filter((note) => labelled && notes.has(note)).map((note) => {
        const icon = PhaseDraw.svg("svg", { width: 14, height: 14, viewBox: "0 0 14 14", "aria-hidden": "true" }, PhaseDraw.sign(note, 7, 7, 3, "currentColor"));
        return html("span", {}, icon, NOTES[note]);
      });
      if (inferred) signs.push(html("span", {}, "light, hatched, small letter: predicted by the search, not measured"));
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
      if (nPanels > MOST_PANELS) parts.push(`The first ${MOST_PANELS} of ${nPanels} panels are drawn; choose a value for an axis to see others.`);
      if (state.step < model.last) parts.push(`The map as it was at step ${model.steps[state.step]}.`);
      if (state.step < model.content.frontiers.first_step) parts.push("The frontiers are kept for the last step only.");
      by("shown").textContent = parts.join(" ");
    }

    // --- the panel of one cell

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
      const rows = model.quantities.map((q) => html("tr", {}, html("th", { scope: "row" }, q.label), html("td", {}, this.amount(state.open, q.name))));
      by("cell").replaceChildren(shut,
        html("h3", { id: "cell-title" }, given(short(this.where(state.open), 300))),
        html("p", {}, this.verdict(state.open, model.last)), this.seedChoice(trials), html("div", { id: "curves" }), html("h4", {}, "Trials"),
        this.trialTable(trials), html("h4", {}, "At the end"),
        html("table", { class: "numbers" }, html("thead", {}, html("tr", {}, html("th", { scope: "col" }, "quantity"),
          html("th", { scope: "col" }, trials.length > 1 ? "mean ± deviation over seeds" : "value"))), html("tbody", {}, ...rows)));
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
      const ok = (trial) => !["failed", "missing", "diverged"].includes(trial.mark.name);
      const shown = state.seed === "all" ? (trials.some(ok) ? trials.filter(ok) : trials) : [trials[Number(state.seed)]];
      const { records, recorded } = model.content.curves;
      if (!shown.some((trial) => model.curve(trial.slot))) {
        by("curves").replaceChildren(html("p", {}, model.nothingRecorded));
        return;
      }
      const picture = PhaseDraw.curves(model, shown, by("cell").clientWidth - 26);
      const seen = Object.entries(model.content.strokes).filter(([name]) => picture.querySelector(`[data-quantity="${name}"]`));
      picture.setAttribute("aria-label", `Accuracies over the steps: ${seen.map(([name]) => `${readable(name)} ends at ${this.amount(state.open, name)}`).join("; ")}`);
      const times = model.content.step_times.map((time) => [time, PhaseDraw.median(shown.map((trial) => trial.times[time.name]))])
        .filter(([, at]) => at !== null).map(([time, at]) => html("span", {}, PhaseDraw.lineSample(time.style), `${time.letter}: ${time.label} at step ${Math.round(at)}`));
      const thinned = records < recorded ? [html("p", { class: "quiet" },
        `Curves are kept at ${records} of ${recorded} records, so that this file stays small; the run has all of them.`)] : [];
      by("curves").replaceChildren(picture,
        html("p", { class: "keys" }, ...seen.map(([, stroke]) => html("span", {}, PhaseDraw.lineSample(stroke.style, stroke.colour), stroke.label)), ...times), ...thinned);
    }

    trialTable(trials) {
      const rows = trials.map((trial) => html("tr", {}, html("td", {}, String(trial.seed)), html("td", {}, trial.mark.title),
        html("td", {}, html("code", {}, trial.mark.name === "missing" ? trial.id : `${this.model.content.card.replay} ${trial.id}`),
          ...(trial.error ? [html("p", { class: "error" }, given(trial.error))] : []))));
      return html("table", {}, html("thead", {}, html("tr", {}, ...["seed", "label", "train it again, alone"].map((text) => html("th", { scope: "col" }, text)))), html("tbody", {}, ...rows));
    }

    // --- the table behind the picture

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
      const value = LABELS.includes(state.metric) ? "" : `, ${digits(model.value(point, state.metric, state.step))}`;
      return mark.title + value + (note ? ` (${NOTES[note]})` : "");
    }

    listen() {
      by("table").addEventListener("toggle", () => { if (by("table").open) this.table(); });
      document.addEventListener("keydown", (event) => {
        if (event.key !== "Escape") return;
        by("tip").hidden = true;
        if (this.state.open !== null) this.close();
      });
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
    by("question").append(given(content.question, 300));
    by("setting").append(given(content.setting, 400));
    by("footer").textContent = `Made by ${content.made_by}. This file asks nothing of any other place.`;
  }

  // --- the study card

  function card(model) {
    const { card: content, trials } = model.content;
    const parts = content.sections.map((section) => html("section", {}, html("h3", {}, section.title), html("dl", {},
      ...section.rows.flatMap(([name, text]) => [html("dt", {}, name), html("dd", {}, given(text))]))));
    by("card").append(html("div", { class: "sections" }, ...parts), claims(content.claims), lost(model, trials), again(content),
      html("section", {}, html("h3", {}, "Citation"), html("p", {}, content.citation)));
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
      html("p", {}, "Save the study file below, then run these commands; the diagram and this page come out again."),
      html("pre", { tabindex: 0, role: "region", "aria-label": "Commands" }, content.commands.join("\n")),
      html("p", {}, link), html("pre", { tabindex: 0, role: "region", "aria-label": "Study file", class: "study" }, given(content.study_file)));
  }

  return { Page };
})();
