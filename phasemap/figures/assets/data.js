"use strict";
/* The data model: what the packed content of a report says of each point, trial and step. Knows nothing of drawing. */

const PhaseData = (() => {
  let codes = null; // what stands for no number and for zero, and the highest code of a number: the content says

  /** Inflate a packed array into a typed array. */
  async function unpack(block) {
    const text = atob(block.data);
    const bytes = new Uint8Array(text.length);
    for (let i = 0; i < text.length; i++) bytes[i] = text.charCodeAt(i);
    const stream = new Blob([bytes]).stream().pipeThrough(new DecompressionStream("deflate"));
    const buffer = await new Response(stream).arrayBuffer();
    return block.type === "u8" ? new Uint8Array(buffer) : new Uint16Array(buffer);
  }

  /** Turn a code into its number; null where it is undefined. */
  function decode(code, scale) {
    if (code === codes.none) return null;
    if (scale.log && code === codes.zero) return 0;
    return placed(code / codes.levels, scale);
  }

  /** The number that lies at a share of a scale. */
  function placed(share, scale) {
    if (!scale.log) return scale.low + share * (scale.high - scale.low);
    const low = Math.log(scale.low);
    return Math.exp(low + share * (Math.log(scale.high) - low));
  }

  /** Write a number to three digits. */
  function digits(value) {
    if (value === null || value === undefined) return "–";
    if (value === 0) return "0";
    const size = Math.abs(value);
    return size >= 1e5 || size < 1e-3 ? value.toExponential(2) : String(Number(value.toPrecision(3)));
  }

  class Model {
    /** Unpack all but the curves, which are unpacked when they are first asked for. */
    static async load(content) {
      const model = new this();
      const { points, trials, frontiers, bands } = content;
      model.content = content;
      model.words = content.page;
      codes = content.page.codes;
      model.axes = content.axes;
      model.marks = content.marks;
      model.steps = content.steps;
      model.seeds = content.seeds;
      model.size = content.axes.reduce((size, axis) => size * axis.values.length, 1);
      model.labels = await unpack(content.labels);
      model.counts = await unpack(points.counts);
      model.wins = await unpack(points.wins);
      model.inferred = await unpack(points.inferred);
      model.shares = await unpack(points.shares);
      model.quantities = [];
      for (const q of points.quantities) {
        model.quantities.push({ ...q, mean: await unpack(q.codes), spread: await unpack(q.spread_codes) });
      }
      model.ids = await unpack(trials.ids);
      model.trialMarks = await unpack(trials.marks);
      model.times = await unpack(trials.times.codes);
      model.errorOf = new Map(trials.error_of.map(([slot, text]) => [slot, trials.errors[text]]));
      model.lines = linesOf(frontiers, await unpack(frontiers.lines), await unpack(frontiers.vertices), frontiers.grid);
      model.bands = linesOf(bands, await unpack(bands.lines), await unpack(bands.vertices), frontiers.grid);
      return model;
    }

    get searched() { return this.content.searched; }
    axis(name) { return this.axes.find((axis) => axis.name === name); }
    quantity(name) { return this.quantities.find((q) => q.name === name); }
    /** Why a trial has no curve. */
    get nothingRecorded() {
      const { grids, recorded } = this.content.curves;
      return grids.length || !recorded ? "No curve was recorded here." : "The curves don't fit into this file.";
    }

    get last() { return this.steps.length - 1; }

    /** The number of a point from its place along each axis, {name: index}. */
    point(places) {
      return this.axes.reduce((number, axis) => number * axis.values.length + places[axis.name], 0);
    }

    /** The places along each axis of a point. */
    places(point) {
      const found = {};
      for (const axis of [...this.axes].reverse()) {
        found[axis.name] = point % axis.values.length;
        point = Math.floor(point / axis.values.length);
      }
      return found;
    }

    /** The number of a point's mark: its subphase, or its phase, at a step of the slider. */
    mark(point, step, metric) {
      const mark = this.labels[step * this.size + point];
      return metric === "phase" ? this.marks[mark].phase : mark;
    }

    /** A point's mean and its spread over seeds at the end, or its mean at an earlier step where curves are loaded. */
    value(point, name, step = this.last) {
      if (step < this.last && this.overSteps(name)) return this.earlier(point, name, this.steps[step]);
      const q = this.quantity(name);
      return q ? decode(q.mean[point], q.scale) : null;
    }
    spread(point, name) {
      const q = this.quantity(name);
      return decode(q.spread[point], q.spread_scale);
    }

    /** Whether a quantity is known at earlier steps. */
    overSteps(name) { return this.content.curves.grids.length > 0 && this.content.curves.names.includes(name); }

    earlier(point, name, step) {
      const values = [];
      for (const trial of this.trials(point)) {
        if (["failed", "diverged"].includes(trial.mark.status)) continue;
        const curve = this.curve(trial.slot);
        if (!curve) continue;
        let at = curve.steps.findIndex((recorded) => recorded > step);
        at = at === -1 ? curve.steps.length - 1 : at - 1;
        if (at >= 0 && curve[name][at] !== null) values.push(curve[name][at]);
      }
      return values.length ? values.reduce((a, b) => a + b) / values.length : null;
    }

    seedCounts(point) {
      const [ok, failed, diverged] = [0, 1, 2].map((row) => this.counts[row * this.size + point]);
      return { ok, failed, diverged, missing: this.seeds.length - ok - failed - diverged };
    }
    agreement(point) { return decode(this.shares[point], { low: 0, high: 1 }); }
    confidence(point) { return decode(this.shares[this.size + point], { low: 0, high: 1 }); }
    /** What a test says of a point, in words; null where there is no test. */
    verdict(point) { return this.words.verdicts[this.content.points.verdicts[this.wins[point]]] || null; }

    /** Whether what is shown is a label, and not a quantity. */
    isLabel(metric) { return this.words.labels.includes(metric); }

    /** The sign in a cell's corner: some seeds lost, not trained yet, or of another phase. */
    note(point) {
      const seeds = this.seedCounts(point);
      if (!seeds.ok) return null;
      if (seeds.failed || seeds.diverged) return "lost";
      if (seeds.missing && !this.content.searched) return "partial"; // a search leaves out seeds where one tells enough
      const agreement = this.agreement(point);
      return agreement !== null && agreement < 1 ? "split" : null;
    }

    /** The trials of a point: slot, id, seed, mark, error and step times by name. */
    trials(point) {
      const { names, scale } = this.content.trials.times;
      const slots = this.size * this.seeds.length;
      return this.seeds.map((seed, number) => {
        const slot = point * this.seeds.length + number;
        const id = [...this.ids.subarray(8 * slot, 8 * slot + 8)].map((b) => b.toString(16).padStart(2, "0")).join("");
        const times = Object.fromEntries(names.map((name, row) => [name, decode(this.times[row * slots + slot], scale)]));
        return { slot, id, seed, mark: this.marks[this.trialMarks[slot]], error: this.errorOf.get(slot), times };
      });
    }

    /** Unpack the curves: where each trial's begin, and their changes from record to record. */
    async loadCurves() {
      if (this.codes) return;
      const { curves } = this.content;
      const gridOf = await unpack(curves.grid_of);
      const bytes = await unpack(curves.codes);
      const half = bytes.length / 2;
      this.begins = new Map();
      let begin = 0;
      curves.grids.forEach((grid, number) => {
        for (let slot = 0; slot < gridOf.length; slot++) {
          if (gridOf[slot] !== number) continue;
          this.begins.set(slot, { begin, steps: grid });
          begin += curves.names.length * grid.length;
        }
      });
      this.codes = new Uint16Array(half);
      for (let i = 0; i < half; i++) this.codes[i] = bytes[i] | (bytes[half + i] << 8);
    }

    /** A trial's curve as {steps, quantity: values}; null if it has none. */
    curve(slot) {
      const found = this.begins.get(slot);
      if (!found) return null;
      const { names, levels, scales } = this.content.curves;
      const curve = { steps: found.steps };
      names.forEach((name, row) => {
        let code = 0;
        curve[name] = found.steps.map((_, i) => {
          code = (code + this.codes[found.begin + row * found.steps.length + i]) & 0xffff;
          return code === codes.none ? null : placed(code / levels, scales[name]);
        });
      });
      return curve;
    }

    /** The frontiers in one panel as [{kind, points: [[x, y]]}] in shares of the panel. */
    frontier(lines, x, y, held, step) {
      const { pairs } = lines;
      let pair = pairs.findIndex((names) => names[0] === x && names[1] === y);
      const swapped = pair === -1;
      if (swapped) pair = pairs.findIndex((names) => names[0] === y && names[1] === x);
      const panel = this.axes.filter((axis) => axis.name !== x && axis.name !== y)
        .reduce((number, axis) => number * axis.values.length + held[axis.name], 0);
      const found = lines.at.get(`${pair} ${step} ${panel}`) || [];
      return found.map(({ kind, points }) => ({ kind, points: swapped ? points.map(([a, b]) => [b, a]) : points }));
    }
  }

  /** Lines by pair of axes, step and panel. */
  function linesOf(packed, rows, vertices, grid) {
    const at = new Map();
    let vertex = 0;
    for (let row = 0; row < rows.length; row += 5) {
      const [pair, step, kind, panel, n] = rows.subarray(row, row + 5);
      const points = [];
      for (let i = 0; i < n; i++, vertex++) points.push([vertices[2 * vertex] / grid, vertices[2 * vertex + 1] / grid]);
      const key = `${pair} ${step} ${panel}`;
      if (!at.has(key)) at.set(key, []);
      at.get(key).push({ kind, points });
    }
    return { pairs: packed.pairs, at };
  }

  return { Model, digits };
})();
