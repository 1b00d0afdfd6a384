"use strict";
/* Where a map's labels stand: each connected region's name once, at its widest place that no line crosses. The page's
   twin of figures/regions.py. Knows boxes in pixels, not the model. */

const PhaseNames = (() => {
  const PAD = 3, MOST_REGIONS = 60, MOST_TRIED = 40, LETTER = 13, CLEAR = 3;
  const SHARES = [0.5, 0.3, 0.7, 0.12, 0.88, 0, 1];
  const measured = document.createElement("canvas").getContext("2d");

  function wide(text, size) {
    measured.font = `${size}px system-ui, sans-serif`;
    return measured.measureText(text).width;
  }

  /** The cells of each connected region of equal marks, the largest first; `marks` is [row][column], null for none. */
  function regions(marks) {
    const seen = marks.map((row) => row.map((mark) => mark === null)), found = [];
    marks.forEach((row, j) => row.forEach((mark, i) => {
      if (seen[j][i]) return;
      const cells = [], open = [[j, i]];
      seen[j][i] = true;
      while (open.length) {
        const [r, c] = open.pop();
        cells.push([r, c]);
        for (const [y, x] of [[r + 1, c], [r - 1, c], [r, c + 1], [r, c - 1]]) {
          if (marks[y]?.[x] === mark && !seen[y][x]) { seen[y][x] = true; open.push([y, x]); }
        }
      }
      found.push({ mark, cells });
    }));
    return found.sort((a, b) => b.cells.length - a.cells.length);
  }

  /** Blocks of a region's cells that no further column fits to, as {left, right, top, bottom} in pixels. */
  function blocks(cells, px, py) {
    const rows = new Map(), found = [];
    for (const [r, c] of cells) (rows.get(r) ?? rows.set(r, new Set()).get(r)).add(c);
    for (const low of rows.keys()) {
      let whole = [...rows.get(low)].sort((a, b) => a - b);
      for (let high = low; rows.has(high); high++) {
        const here = rows.get(high);
        whole = whole.filter((c) => here.has(c));
        if (!whole.length) break;
        for (let start = 0, i = 0; i < whole.length; i++) {
          if (whole[i + 1] === whole[i] + 1) continue;
          found.push({ left: px[whole[start]], right: px[whole[i] + 1], top: py[high + 1], bottom: py[low] });
          start = i + 1;
        }
      }
    }
    return found.sort((a, b) => (b.right - b.left) * (b.bottom - b.top) - (a.right - a.left) * (a.bottom - a.top));
  }

  /** The ways to write a name: in one line or more, also a little smaller, else its letter. */
  function forms(title, letter) {
    const words = title.split(" "), texts = [[title]];
    for (let at = 1; at < words.length; at++) texts.push([words.slice(0, at).join(" "), words.slice(at).join(" ")]);
    const made = (lines, size) => ({ lines, size, wide: Math.max(...lines.map((line) => wide(line, size))), high: size * (1.15 * lines.length) });
    return [...[14, 11.5].flatMap((size) => texts.map((lines) => made(lines, size))), ...(letter ? [made([letter], LETTER)] : [])];
  }

  /** Places along lines of pixels, close enough that no text slips between. */
  function dense(lines) {
    return lines.flatMap((line) => line.slice(1).flatMap(([x, y], i) => {
      const [a, b] = line[i], steps = Math.max(1, Math.ceil(Math.hypot(x - a, y - b) / 3));
      return Array.from({ length: steps + 1 }, (_, k) => [a + ((x - a) * k) / steps, b + ((y - b) * k) / steps]);
    }));
  }

  /** Place the names: [{mark, form, x, y}]. `px`, `py` are the cells' borders, `name(mark)` gives [title, letter]. */
  function place(marks, px, py, name, lines) {
    const busy = dense(lines), found = [], ways = new Map();
    for (const region of regions(marks).slice(0, MOST_REGIONS)) {
      if (!ways.has(region.mark)) ways.set(region.mark, forms(...name(region.mark)));
      const best = placed(blocks(region.cells, px, py), ways.get(region.mark), busy);
      if (best) found.push({ mark: region.mark, ...best });
    }
    return found;
  }

  function placed(boxes, ways, busy) {
    if (!ways.some((form) => boxes.some((box) => box.right - box.left >= form.wide + 2 * PAD && box.bottom - box.top >= form.high + 2 * PAD))) return null;
    let best = null;
    const ends = boxes.reduce((a, b) => ({ left: Math.min(a.left, b.left), right: Math.max(a.right, b.right),
                                           top: Math.min(a.top, b.top), bottom: Math.max(a.bottom, b.bottom) }));
    const within = (places, box) => places.filter(([u, v]) => u > box.left && u < box.right && v > box.top && v < box.bottom);
    const near = within(busy, ends);
    for (const form of ways) {
      const fits = boxes.filter((box) => box.right - box.left >= form.wide + 2 * PAD && box.bottom - box.top >= form.high + 2 * PAD);
      for (const box of fits.slice(0, MOST_TRIED)) {
        const here = within(near, box);
        const [free, above] = [box.right - box.left - form.wide - 2 * PAD, box.bottom - box.top - form.high - 2 * PAD];
        for (const a of SHARES) {
          for (const b of SHARES) {
            const x = box.left + PAD + form.wide / 2 + a * free, y = box.top + PAD + form.high / 2 + b * above;
            const hits = here.filter(([u, v]) => Math.abs(u - x) < form.wide / 2 + CLEAR && Math.abs(v - y) < form.high / 2 + CLEAR).length;
            if (best === null || hits < best.hits) best = { form, x, y, hits };
            if (!best.hits) return best;
          }
        }
      }
    }
    return best;
  }

  return { place, wide };
})();
