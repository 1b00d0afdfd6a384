"use strict";
/* Drawing: a map of one panel, the curves of one point, hatches and keys, as SVG. Knows the model, not the page. */

const PhaseDraw = (() => {
  const SVG = "http://www.w3.org/2000/svg";
  /** A line style as lengths of marks and gaps: dashdotN has N dots. */
  function dashes(style) {
    const dots = style.startsWith("dashdot") ? Number(style.slice(7) || 1) : 0;
    return { solid: "", dashed: "7 4", dotted: "1.8 3" }[style] ?? ["8 3", ...Array(dots).fill("1.8 3")].join(" ");
  }
  const LETTER_FROM = 11, NUMBER_FROM = 26, TICK_GAP = 5;

  function svg(name, attributes = {}, ...children) {
    const node = document.createElementNS(SVG, name);
    for (const [key, value] of Object.entries(attributes)) node.setAttribute(key, value);
    node.append(...children);
    return node;
  }

  function html(name, attributes = {}, ...children) {
    const node = document.createElement(name);
    for (const [key, value] of Object.entries(attributes)) {
      if (value !== null && value !== false) node.setAttribute(key, value === true ? "" : value);
    }
    node.append(...children);
    return node;
  }

  /** A text that came with the data: kept apart from its surroundings whatever direction it is written in. */
  function given(text, most = Infinity) {
    return html("bdi", {}, short(text, most));
  }

  /** A text whose marks that turn the direction of what follows are shown, not obeyed. */
  function plain(text) {
    return text.replace(/[\u202a-\u202e\u2066-\u2069]/g, (mark) => `\\u${mark.charCodeAt(0).toString(16)}`);
  }

  /** A text cut to so many letters, none of them halved. */
  function short(text, most) {
    const letters = text.length > most ? [...plain(text)] : [];
    return letters.length > most ? `${letters.slice(0, most - 1).join("")}…` : plain(text);
  }

  /** The hatches of labels that have one, for fills by url(#...). */
  function hatches(marks) {
    const drawn = { "/": "M0 6L6 0", x: "M0 6L6 0M0 0L6 6", ".": "M2.5 3h1", "\\": "M0 0L6 6", "|": "M3 0V6", o: "M1.5 3a1.5 1.5 0 1 0 3 0a1.5 1.5 0 1 0 -3 0", "-": "M0 3H6" };
    const patterns = marks.filter((mark) => mark.hatch).map((mark) =>
      svg("pattern", { id: `hatch-${mark.name}`, width: 6, height: 6, patternUnits: "userSpaceOnUse" },
        svg("rect", { width: 6, height: 6, fill: mark.colour }),
        svg("path", { d: drawn[mark.hatch], stroke: "#666", "stroke-width": mark.hatch === "." ? 1.6 : 0.8 })));
    const inferred = [["label", "#fff", 1.4, 0.5], ["dark", "#fff", 0.9, 0], ["bright", "#000", 0.9, 0]].map(([over, stroke, wide, fog]) =>
      svg("pattern", { id: `hatch-inferred-${over}`, width: 12, height: 12, patternUnits: "userSpaceOnUse" },
        svg("rect", { width: 12, height: 12, fill: "#fff", "fill-opacity": fog }),
        svg("path", { d: "M0 12L12 0", stroke, "stroke-width": wide, "stroke-opacity": fog ? 1 : 0.6 })));
    return svg("svg", { width: 0, height: 0, "aria-hidden": "true", class: "defs" }, svg("defs", {}, ...patterns, ...inferred));
  }
  const fillOf = (mark) => (mark.hatch ? `url(#hatch-${mark.name})` : mark.colour);

  /** A small sample of a label for legends. */
  function sample(mark) {
    return svg("svg", { width: 18, height: 18, viewBox: "0 0 18 18", "aria-hidden": "true" },
      svg("rect", { x: 0.5, y: 0.5, width: 17, height: 17, fill: fillOf(mark), stroke: "#888" }), letter(mark, 9, 9, 11));
  }

  function letter(mark, x, y, size, text = mark.letter, ground = "none") {
    const look = { "font-size": size, fill: mark.ink, stroke: ground, class: mark.hatch ? "letter haloed" : "letter" };
    const node = svg("text", { x, y, ...look });
    node.textContent = text;
    return node;
  }

  function lineSample(style, colour = "currentColor") {
    return svg("svg", { width: 30, height: 10, viewBox: "0 0 30 10", "aria-hidden": "true" },
      svg("path", { d: "M1 5H29", stroke: colour, "stroke-width": 2, "stroke-dasharray": dashes(style), fill: "none" }));
  }

  /** How a quantity becomes a colour: limits over all points, from dark to light. */
  function ramp(model, name) {
    const q = model.quantity(name);
    const { low, high, log } = q.scale;
    const colours = model.content.ramp;
    const place = (value) => {
      const share = log ? Math.log(Math.max(value, low) / low) / Math.log(high / low) : (value - low) / (high - low || 1);
      return Math.min(1, Math.max(0, share));
    };
    return { low, high, log, colour: (value) => colours[Math.round(place(value) * (colours.length - 1))],
             ink: (value) => (place(value) > 0.62 ? "#000" : "#fff"), colours };
  }

  /** Which ticks fit: every n-th, so that their labels don't touch. */
  function everyTick(labels, length, perLabel) {
    return Math.max(1, Math.ceil((labels.length * perLabel) / Math.max(length, 1)));
  }

  /**
   * One map. `view` has model, x, y (null on a strip), held, step, metric, passes(point), width. Returns {node, at(px,
   * py) -> [column, row], select(column, row), point(column, row)}.
   */
  function map(view) {
    const { model, x, y, width } = view;
    const across = model.axis(x), up = y ? model.axis(y) : { label: "", values: [""], edges: [0, 1], middles: [0.5] };
    const [columns, rows] = [across.values.length, up.values.length];
    const labels = up.values.map((text) => short(text, width < 600 ? 9 : 20));
    const left = y ? 26 + Math.max(...labels.map((text) => PhaseNames.wide(text, 11))) : 8;
    const inner = Math.max(60, width - left - 8);
    const fits = Math.floor(inner / columns / 6.6) - 1;  // letters of a label that has its column for itself
    const across_labels = across.values.map((text) => short(text, Math.min(24, Math.max(9, fits))));
    const longest = Math.max(...across_labels.map((text) => PhaseNames.wide(text, 11) / 6.4));
    const height = Math.min(Math.max((inner / columns) * rows * 0.9, y ? 90 : 34), Math.max(0.72 * inner, 120), Math.max(0.62 * innerHeight, 320));
    const turned = longest > 4 && longest * 6.4 + TICK_GAP > inner / Math.min(columns, 8);
    const bottom = turned ? 24 + longest * 5 : 36;
    const [wide, high] = [left + inner + 8, height + bottom + 6];
    const root = svg("svg", { width: wide, height: high, viewBox: `0 0 ${wide} ${high}`, "aria-hidden": "true", class: "map" });
    const px = (share) => left + share * inner, py = (share) => 4 + (1 - share) * height;
    const point = (column, row) => model.point({ ...view.held, [x]: column, ...(y ? { [y]: row } : {}) });

    const cells = svg("g", { class: "cells" });
    const colours = model.isLabel(view.metric) ? null : ramp(model, view.metric);
    for (let row = 0; row < rows; row++) {
      for (let column = 0; column < columns; column++) {
        const box = { left: px(across.edges[column]), right: px(across.edges[column + 1]),
                      top: py(up.edges[row + 1]), bottom: py(up.edges[row]) };
        cell(cells, view, point(column, row), box, colours);
      }
    }
    root.append(cells);
    for (const band of model.frontier(model.bands, x, y, view.held, view.step)) {
      root.append(svg("path", { d: path(band.points, px, py, true), class: `band band-${band.kind}` }));
    }
    if (!colours && !view.cells) root.append(...names(view, point, across.edges.map(px), up.edges.map(py), px, py));
    for (const line of model.frontier(model.lines, x, y, view.held, view.step)) {
      const d = path(line.points, px, py);
      const dash = dashes(model.content.frontiers.kinds[line.kind].style);
      if (colours) root.append(svg("path", { d, class: "line-halo" }));  // over a quantity's darkest colours, too
      root.append(svg("path", { d, class: `line line-${line.kind}`, "stroke-dasharray": dash }));
    }
    root.append(...cells.querySelectorAll(".letter"));  // above the lines
    root.append(svg("rect", { x: left, y: 4, width: inner, height, class: "frame" }));
    ticks(root, across, across_labels, px, height + 4, inner, turned, longest);
    if (y) sideTicks(root, up, labels, py, left, height);
    title(root, left + inner / 2, height + bottom + 1, across.label);
    if (y) title(root, 10, 4 + height / 2, up.label, true);
    const cursor = svg("rect", { class: "cursor", visibility: "hidden" });
    root.append(cursor);

    const index = (edges, share) => edges.findIndex((edge, i) => i + 1 < edges.length && share >= edge && share < edges[i + 1]);
    return {
      node: root, columns, rows, point,
      at(x0, y0) { return [index(across.edges, (x0 - left) / inner), index(up.edges, 1 - (y0 - 4) / height)]; },
      middle(column, row) { return [px(across.middles[column]), py(up.middles[row])]; },
      select(column, row) {
        const box = { x: px(across.edges[column]), y: py(up.edges[row + 1]), visibility: "visible",
                      width: (across.edges[column + 1] - across.edges[column]) * inner,
                      height: (up.edges[row + 1] - up.edges[row]) * height };
        for (const [key, value] of Object.entries(box)) cursor.setAttribute(key, value);
      },
      unselect() { cursor.setAttribute("visibility", "hidden"); },
    };
  }

  function cell(parent, view, point, box, colours) {
    const { model } = view;
    const mark = model.marks[model.mark(point, view.step, colours ? "subphase" : view.metric)];
    const value = colours ? model.value(point, view.metric, view.step) : null;
    const [wide, high] = [box.right - box.left, box.bottom - box.top];
    const least = Math.min(wide, high), gap = least > 7 ? 0.5 : 0;
    const faded = view.passes(point) ? "" : "faded", fill = value === null ? fillOf(mark) : colours.colour(value);
    parent.append(svg("rect", {
      x: box.left + gap, y: box.top + gap, width: Math.max(wide - 2 * gap, 0.1), height: Math.max(high - 2 * gap, 0.1),
      fill, class: faded, "data-point": point, "data-mark": mark.name,
    }));
    if (faded) return;
    const [x, y] = [(box.left + box.right) / 2, (box.top + box.bottom) / 2];
    const inferred = view.step === model.last && model.inferred[point];
    if (inferred) {
      const over = value === null ? "label" : colours.ink(value) === "#fff" ? "dark" : "bright";
      parent.append(svg("rect", { x: box.left + gap, y: box.top + gap, width: Math.max(wide - 2 * gap, 0.1),
                                  height: Math.max(high - 2 * gap, 0.1), class: "inferred", fill: `url(#hatch-inferred-${over})` }));
    }
    if (value !== null) {
      if (Math.min(wide, 1.6 * high) >= NUMBER_FROM) {
        const text = PhaseData.digits(Number(value.toPrecision(2))).replace(/^0\./, ".");
        if (text.length < 5) parent.append(letter({ ink: colours.ink(value) }, x, y, Math.min(11, least * 0.4), text, fill));
      }
      return;
    }
    if (view.cells && mark.letter && least >= LETTER_FROM) {
      const look = inferred ? { ...mark, ink: "#000" } : mark;
      parent.append(letter(look, x, y, Math.min(14, least * 0.52), inferred ? mark.letter.toLowerCase() : mark.letter));
    }
    if (!inferred && view.step === model.last && model.searched && mark.status !== "missing") {
      parent.append(svg("circle", { cx: x, cy: y, r: Math.min(1.6, least * 0.15), fill: "#222", class: "measured" }));
    }
    const note = view.step === model.last && least >= LETTER_FROM ? model.note(point) : null;
    const inset = Math.min(7, least * 0.17);
    if (note) parent.append(sign(note, box.right - inset, box.top + inset, inset * 0.42, mark.ink));
  }

  /** The regions' names, each once. */
  function names(view, point, xs, ys, px, py) {
    const { model } = view;
    const marks = ys.slice(1).map((_, row) => xs.slice(1).map((_, column) =>
      view.passes(point(column, row)) ? model.mark(point(column, row), view.step, view.metric) : null));
    const lines = model.frontier(model.lines, view.x, view.y, view.held, view.step)
      .map((line) => line.points.map(([a, b]) => [px(a), py(b)]));
    for (const [row, column] of model.searched ? marks.flatMap((found, r) => found.map((_, c) => [r, c])) : []) {
      if (model.inferred[point(column, row)]) continue;  // the dot of a measured point
      const middle = [(xs[column] + xs[column + 1]) / 2, (ys[row] + ys[row + 1]) / 2];
      lines.push([middle, middle]);
    }
    const name = (mark) => [model.marks[mark].title, model.marks[mark].letter];
    return PhaseNames.place(marks, xs, ys, name, lines).flatMap(({ mark, form, x, y }) => {
      const { ink, hatch, colour } = model.marks[mark];
      const node = svg("text", { x, y, "font-size": form.size, fill: ink, class: hatch ? "name haloed" : "name" });
      form.lines.forEach((line, i) => node.append(svg("tspan", { x, dy: i ? 1.15 * form.size : -0.575 * form.size * (form.lines.length - 1) }, line)));
      if (hatch || model.searched) return [node];
      const box = { x: x - form.wide / 2 - 2, y: y - form.high / 2, width: form.wide + 4, height: form.high };
      return [svg("rect", { ...box, fill: colour, class: "ground" }), node];  // covers the borders of the cells
    });
  }

  /** The sign in a corner: a dot (seeds disagree), a ring (not all trained), a cross (some lost). */
  function sign(note, x, y, r, ink) {
    if (note === "lost") {
      return svg("path", { d: `M${x - r} ${y - r}l${2 * r} ${2 * r}m0 ${-2 * r}l${-2 * r} ${2 * r}`, stroke: ink, fill: "none" });
    }
    return svg("circle", { cx: x, cy: y, r, fill: note === "split" ? ink : "none", stroke: ink, "stroke-width": 0.8 });
  }

  function path(points, px, py, closed = false) {
    const d = points.map(([a, b], i) => `${i ? "L" : "M"}${px(a).toFixed(1)} ${py(b).toFixed(1)}`).join("");
    return closed ? `${d}Z` : d;
  }

  function ticks(root, axis, labels, px, bottom, inner, turned, longest) {
    const every = everyTick(labels, inner, turned ? 15 : longest * 6.4 + TICK_GAP);
    labels.forEach((text, i) => {
      if (i % every) return;
      const at = px(axis.middles[i]);
      root.append(svg("path", { d: `M${at} ${bottom}v3`, class: "tick" }));
      const place = turned ? { transform: `translate(${at + 3} ${bottom + 10}) rotate(-40)`, class: "tick-label end" }
        : { x: at, y: bottom + 14, class: "tick-label" };
      root.append(svg("text", place, text));
    });
  }

  function sideTicks(root, axis, labels, py, left, height) {
    const every = everyTick(labels, height, 13);
    labels.forEach((text, i) => {
      if (i % every) return;
      const at = py(axis.middles[i]);
      root.append(svg("path", { d: `M${left} ${at}h-3`, class: "tick" }));
      root.append(svg("text", { x: left - 5, y: at + 3.5, class: "tick-label end" }, text));
    });
  }

  function title(root, x, y, text, turned = false) {
    const place = turned ? { transform: `translate(${x} ${y}) rotate(-90)` } : { x, y };
    root.append(svg("text", { ...place, class: "axis-title" }, short(text, 40)));
  }

  /** The numbers beside the curves of a kind of quantity, and where a value lies between the ends: accuracies from 0 to
      1, losses on a logarithmic scale, numbers from the least to the most. */
  function upright(kind, values) {
    if (kind === "accuracy") return { ticks: [0, 0.25, 0.5, 0.75, 1], share: (value) => value };
    const log = kind === "loss", known = log ? values.filter((value) => value > 0) : values;
    let [low, high] = known.length ? [known.reduce((a, b) => Math.min(a, b)), known.reduce((a, b) => Math.max(a, b))] : [1, 1];
    if (low === high) [low, high] = log ? [low / 2, high * 2] : [low - 1, high + 1];
    const at = (share) => (log ? low * (high / low) ** share : low + share * (high - low));
    const share = (value) => (log ? Math.log(Math.max(value, low) / low) / Math.log(high / low) : (value - low) / (high - low));
    return { ticks: [0, 0.25, 0.5, 0.75, 1].map(at), share };
  }

  /** The curves of some trials' quantities of one kind: the mean over those that are shown, single seeds thin, step
      times as vertical lines. */
  function curves(model, shown, strokes, kind, width) {
    const [left, top, height] = [kind === "accuracy" ? 34 : 52, 16, 190];
    const inner = Math.max(120, width - left - 18);
    const root = svg("svg", { width: left + inner + 18, height: top + height + 34, role: "img", class: "curves" });
    const all = shown.map((trial) => model.curve(trial.slot)).filter(Boolean);
    const steps = [...new Set(all.flatMap((curve) => curve.steps))].sort((a, b) => a - b);
    const [first, last] = [Math.log(steps[0]), Math.log(steps[steps.length - 1])];
    const px = (step) => left + ((Math.log(step) - first) / (last - first || 1)) * inner;
    const numbers = all.flatMap((curve) => Object.keys(strokes).flatMap((name) => curve[name].filter((value) => value !== null)));
    const { ticks: beside, share } = upright(kind, numbers);
    const py = (value) => top + (1 - share(value)) * height;
    for (const value of beside) {
      root.append(svg("path", { d: `M${left} ${py(value)}h${inner}`, class: "grid" }));
      root.append(svg("text", { x: left - 5, y: py(value) + 3.5, class: "tick-label end" }, kind === "accuracy" ? String(value) : PhaseData.digits(value)));
    }
    const end = steps[steps.length - 1], marked = [];
    for (let decade = 1; decade <= end; decade *= 10) if (decade >= steps[0]) marked.push(decade);
    if (!marked.length || px(end) - px(marked[marked.length - 1]) > 32) marked.push(end);
    for (const step of marked) {
      root.append(svg("path", { d: `M${px(step)} ${top}v${height + 3}`, class: "grid" }));
      root.append(svg("text", { x: px(step), y: top + height + 14, class: "tick-label" }, String(step)));
    }
    root.append(svg("rect", { x: left, y: top, width: inner, height, class: "frame" }));
    title(root, left + inner / 2, top + height + 30, "step");
    for (const time of model.content.step_times) {
      const at = median(shown.map((trial) => trial.times[time.name]));
      if (at === null) continue;
      root.append(svg("path", { d: `M${px(at)} ${top}v${height}`, class: "time", "stroke-dasharray": dashes(time.style), "data-time": time.name }));
      root.append(svg("text", { x: px(at), y: top - 4, class: "tick-label" }, time.letter));
    }
    for (const [name, stroke] of Object.entries(strokes)) {
      const known = all.filter((curve) => curve[name].some((value) => value !== null));
      if (!known.length) continue;
      const look = { stroke: stroke.colour, "stroke-dasharray": dashes(stroke.style), "data-quantity": name };
      if (known.length > 1) for (const curve of known) root.append(svg("path", { ...look, d: trace(curve.steps, curve[name]), class: "seed" }));
      root.append(svg("path", { ...look, d: trace(...mean(known, name)), class: "curve" }));
    }
    function trace(at, values) {
      let d = "";
      values.forEach((value, i) => { if (value !== null) d += `${d ? "L" : "M"}${px(at[i]).toFixed(1)} ${py(value).toFixed(1)}`; });
      return d;
    }
    return root;
  }

  /** The mean over trials at the steps that all of them have. */
  function mean(known, name) {
    const steps = known.map((curve) => curve.steps).reduce((a, b) => (a.length <= b.length ? a : b));
    const values = steps.map((step, i) => {
      const found = known.filter((curve) => curve.steps[i] === step).map((curve) => curve[name][i]).filter((v) => v !== null);
      return found.length ? found.reduce((a, b) => a + b) / found.length : null;
    });
    return [steps, values];
  }

  /** The median, with what is not reached as later than all; null where that is the median. */
  function median(values) {
    const sorted = values.map((value) => value ?? Infinity).sort((a, b) => a - b);
    const half = sorted.length >> 1;
    const middle = sorted.length % 2 ? sorted[half] : (sorted[half - 1] + sorted[half]) / 2;
    return Number.isFinite(middle) ? middle : null;
  }

  return { svg, html, given, short, hatches, sample, lineSample, sign, ramp, map, curves, median };
})();
