"use strict";
(() => {
  const XMLNS = "http://www.w3.org/2000/svg";

  /** An element with attributes; functions become listeners, texts stay texts. */
  function element(name, attributes = {}, ...children) {
    const made = name === "svg" || element.drawn.has(name) ? document.createElementNS(XMLNS, name) : document.createElement(name);
    for (const [key, value] of Object.entries(attributes)) {
      if (typeof value === "function") made.addEventListener(key, value);
      else if (value !== null && value !== false) made.setAttribute(key, value === true ? "" : value);
    }
    made.append(...children);
    return made;
  }
  element.drawn = new Set(["path", "line", "text", "g", "rect", "circle", "clipPath", "title"]);

  const shown = (value) =>
    value === null || !Number.isFinite(value) ? "–"
      : value !== 0 && (Math.abs(value) < 1e-3 || Math.abs(value) >= 1e6) ? value.toExponential(2)
        : String(Number(value.toPrecision(4)));

  /** Even steps of 1, 2 or 5 times a power of ten. */
  function even(low, high, most) {
    const rough = (high - low) / most, power = 10 ** Math.floor(Math.log10(rough));
    const step = [1, 2, 5, 10].map((m) => m * power).find((s) => s >= rough);
    const found = [];
    for (let i = Math.ceil(low / step - 1e-9); i * step <= high * (1 + 1e-9) && found.length < 50; i++) found.push(i * step);
    return found;
  }

  function ticks(axis, most) {
    if (!axis.log) return even(axis.low, axis.high, most);
    const first = Math.ceil(Math.log10(axis.low) - 1e-9), last = Math.floor(Math.log10(axis.high) + 1e-9);
    if (last - first >= 2) {
      const step = Math.ceil((last - first + 1) / most), found = [];
      for (let e = first; e <= last; e += step) found.push(10 ** e);
      return found;
    }
    const fine = [];
    for (let e = first - 1; e <= last; e++) for (const m of [1, 2, 5]) fine.push(m * 10 ** e);
    const within = fine.filter((t) => t >= axis.low * (1 - 1e-9) && t <= axis.high * (1 + 1e-9));
    return within.length >= 3 ? within : even(axis.low, axis.high, most);
  }

  /** From values to pixels; on a log axis what is not positive stands at the low end. */
  function scale(axis, from, to) {
    const bend = axis.log ? (v) => Math.log10(Math.max(v, axis.low)) : (v) => v;
    const low = bend(axis.low), high = bend(axis.high);
    const place = (v) => from + ((bend(v) - low) / (high - low || 1)) * (to - from);
    place.back = (pixel) => {
      const v = low + ((pixel - from) / (to - from)) * (high - low);
      return axis.log ? 10 ** v : v;
    };
    return place;
  }

  /** The d of a path through points, broken where a value is missing. Far beyond the axes it is cut off. */
  function line(xs, ys, x, y) {
    let d = "", open = false;
    for (let i = 0; i < xs.length; i++) {
      if (xs[i] === null || ys[i] === null) { open = false; continue; }
      const up = Math.max(-1e4, Math.min(1e4, y(ys[i])));
      d += `${open ? "L" : "M"}${x(xs[i]).toFixed(1)} ${up.toFixed(1)}`;
      open = true;
    }
    return d;
  }

  class Curves {
    constructor(figure, data) {
      this.figure = figure;
      this.data = data;
      this.hidden = new Set();
      this.state = { x: 0, metric: data.first, log: data.metrics[data.first].isLog, seeds: true, zoom: null };
      this.id = figure.dataset.from;
      this.build();
      this.draw();
      new ResizeObserver(() => { if (this.width !== this.room()) this.draw(); }).observe(figure);
    }

    room() { return Math.max(260, Math.floor(this.figure.clientWidth)); }

    choice(name, options, selected, chosen) {
      const select = element("select", { name, change: () => { chosen(Number(select.value)); this.draw(); } });
      options.forEach((text, i) => select.append(element("option", { value: i, selected: i === selected }, text)));
      return element("label", {}, name, select);
    }

    build() {
      const { data, state } = this;
      this.logBox = element("input", { type: "checkbox", name: "log", change: () => { state.log = this.logBox.checked; this.unzoom(); } });
      const seedsBox = element("input", { type: "checkbox", name: "seeds", checked: true, change: () => { state.seeds = seedsBox.checked; this.draw(); } });
      const controls = element("div", { class: "controls", role: "group", "aria-label": "What is drawn" },
        this.choice("metric", data.metrics.map((m) => m.name), state.metric, (i) => {
          state.metric = i; state.log = data.metrics[i].isLog; state.zoom = null;
        }),
        this.choice("over", data.xs.map((x) => x.key), 0, (i) => { state.x = i; state.zoom = null; }),
        element("label", {}, this.logBox, "log scale"));
      if (data.arms.some((arm) => arm.count > 1)) controls.append(element("label", {}, seedsBox, "seeds"));
      if (data.arms.length > 1) controls.append(element("button", { type: "button", name: "all", click: () => this.all() }, "all / none"));
      this.whole = element("button", { type: "button", name: "whole", click: () => this.unzoom() }, "zoom out");
      controls.append(this.whole);
      const key = element("ul", { class: "key", "aria-label": "Arms; press one to hide or show it" });
      this.buttons = data.arms.map((arm, i) => {
        const sample = element("svg", { width: 26, height: 10, "aria-hidden": "true" },
          element("line", { class: `sample c${arm.colour} d${arm.dash}`, x1: 0, x2: 26, y1: 5, y2: 5 }));
        const button = element("button", { type: "button", "aria-pressed": "true", title: arm.name, click: () => this.toggle(i) },
          sample, element("span", { class: "name" }, arm.name));
        if (arm.note) button.append(element("span", { class: "note" }, `(${arm.note})`));
        key.append(element("li", {}, button));
        return button;
      });
      this.place = element("div", { class: "place" });
      this.tip = element("div", { class: "tip", hidden: true });
      this.figure.prepend(controls, key, this.place, this.tip);
      if (data.thinned) this.figure.querySelector("figcaption").append(" There are too many marks for a page: lines join only some of them.");
    }

    toggle(i) {
      if (!this.hidden.delete(i)) this.hidden.add(i);
      this.draw();
    }

    all() {
      if (this.hidden.size) this.hidden.clear();
      else this.data.arms.forEach((_, i) => this.hidden.add(i));
      this.draw();
    }

    unzoom() {
      this.state.zoom = null;
      this.draw();
    }

    /** The name of the x axis in lines: on a narrow screen what stands in its last brackets has a line of its own. */
    below(name, width) {
      const parts = 7 * name.length > width - 60 ? name.match(/^(.*) (\([^()]*\))$/) : null;
      return parts ? parts.slice(1) : [name];
    }

    draw() {
      const { data, state } = this, { pool } = data;
      const metric = data.metrics[state.metric], over = data.xs[state.x];
      const log = state.log && metric.log !== null;
      this.logBox.disabled = metric.log === null;
      this.logBox.checked = log;
      this.whole.hidden = state.zoom === null;
      this.buttons.forEach((button, i) => button.setAttribute("aria-pressed", String(!this.hidden.has(i))));
      const width = (this.width = this.room()), height = Math.round(Math.max(280, Math.min(460, width * 0.55)));
      const box = { left: 62, right: width - 14, top: 12, bottom: height - 50 };
      const [low, high] = log ? metric.log : metric.linear;
      const across = state.zoom ? { ...over, low: state.zoom[0], high: state.zoom[1] } : over;
      const up = { log, low: state.zoom ? state.zoom[2] : low, high: state.zoom ? state.zoom[3] : high };
      const x = scale(across, box.left, box.right), y = scale(up, box.bottom, box.top);
      const clip = `clip-${this.id}`, zero = across.log && !state.zoom;
      const svg = element("svg", {
        class: "chart", viewBox: `0 0 ${width} ${height}`, role: "img",
        "aria-label": `${metric.name} over ${over.name}: ${data.arms.filter((_, i) => !this.hidden.has(i)).map((arm) => arm.name).join(", ")}`,
      });
      svg.append(element("clipPath", { id: clip }, element("rect", { x: box.left, y: box.top, width: box.right - box.left, height: box.bottom - box.top })));
      for (const tick of ticks(up, 7)) {
        svg.append(element("line", { class: "grid", x1: box.left, x2: box.right, y1: y(tick), y2: y(tick) }),
          element("text", { x: box.left - 7, y: y(tick) + 4, "text-anchor": "end" }, shown(tick)));
      }
      let free = zero ? box.left + 6 : 0;  // where the name of the next tick may begin
      for (const tick of ticks(across, Math.max(4, Math.floor(width / 90)))) {
        svg.append(element("line", { class: "grid", x1: x(tick), x2: x(tick), y1: box.top, y2: box.bottom }));
        const half = 3.5 * shown(tick).length;
        if (x(tick) - half < free) continue;
        free = x(tick) + half + 4;
        svg.append(element("text", { x: x(tick), y: box.bottom + 17, "text-anchor": "middle" }, shown(tick)));
      }
      if (zero) svg.append(element("text", { x: box.left, y: box.bottom + 17, "text-anchor": "middle" }, "0"));
      svg.append(element("line", { class: "axis", x1: box.left, x2: box.right, y1: box.bottom, y2: box.bottom }),
        element("line", { class: "axis", x1: box.left, x2: box.left, y1: box.top, y2: box.bottom }),
        ...this.below(over.name, width).map((line, i, lines) => element("text", {
          class: "label", x: (box.left + box.right) / 2, y: height - 10 + 14 * i - 7 * (lines.length - 1), "text-anchor": "middle",
        }, line)),
        element("text", { class: "label", x: 0, y: 0, "text-anchor": "middle", transform: `translate(13 ${(box.top + box.bottom) / 2}) rotate(-90)` }, metric.name));
      const lines = element("g", { "clip-path": `url(#${clip})` }), ends = element("g");
      if (data.goal && data.goal.metric === state.metric && data.goal.value >= up.low && data.goal.value <= up.high) {
        const goal = y(data.goal.value);
        lines.append(element("line", { class: "goal", x1: box.left, x2: box.right, y1: goal, y2: goal },
          element("title", {}, `goal ${metric.key}=${data.goal.value}`)));
      }
      const crowd = Math.max(1, data.arms.length / 4);
      const visible = data.arms.map((arm, i) => [arm, i]).filter(([, i]) => !this.hidden.has(i));
      for (const [arm, i] of visible) {
        const faint = Math.max(0.08, Math.min(0.45, 1.3 / Math.sqrt(arm.seeds.length * crowd))).toFixed(2);
        for (const [seed, status, xs, ys] of arm.seeds) {
          const sx = pool[xs[state.x]], sy = pool[ys[state.metric]];
          if (state.seeds && arm.count > 1) {
            lines.append(element("path", { class: `seed c${arm.colour}`, "data-arm": i, "stroke-opacity": faint, d: line(sx, sy, x, y) },
              element("title", {}, `${arm.name}, seed ${seed}${status === "finished" ? "" : `, ${status}`}`)));
          }
          if (status === "diverged" || status === "failed") {
            let last = sy.length - 1;
            while (last >= 0 && sy[last] === null) last--;
            const px = last < 0 ? -1 : x(sx[last]);
            if (last < 0 || px < box.left - 1 || px > box.right + 1) continue;
            const py = Math.max(box.top, Math.min(box.bottom, y(sy[last])));
            const d = status === "diverged" ? "M-4-4L4 4M-4 4L4-4" : "M-5 0H5M0-5V5";
            ends.append(element("path", { class: `end c${arm.colour}`, d, transform: `translate(${px.toFixed(1)} ${py.toFixed(1)})` },
              element("title", {}, `${arm.name}, seed ${seed}, ${status}`)));
          }
        }
      }
      for (const [arm, i] of visible.slice().reverse()) {
        const mx = pool[arm.x[state.x]], my = pool[arm.y[state.metric]];
        lines.append(element("path", { class: `median c${arm.colour} d${arm.dash}`, "data-arm": i, d: line(mx, my, x, y) }));
        if (my.filter((v) => v !== null).length < 3) {
          mx.forEach((v, k) => { if (my[k] !== null) lines.append(element("circle", { class: `dot c${arm.colour}`, cx: x(v), cy: y(my[k]), r: 3.5 })); });
        }
      }
      svg.append(lines, ends);
      this.follow(svg, box, x, y, visible);
      this.place.replaceChildren(svg);
      this.tip.hidden = true;
    }

    /** The values under the pointer, and a rectangle drawn with it to look closer. */
    follow(svg, box, x, y, visible) {
      const { data, state } = this, { pool } = data;
      const cursor = element("line", { class: "cursor", y1: box.top, y2: box.bottom, visibility: "hidden" });
      const frame = element("rect", { class: "zoom", visibility: "hidden" });
      svg.append(cursor, frame);
      let from = null;
      const at = (event) => {
        const seen = svg.getBoundingClientRect(), ratio = this.width / seen.width;
        return [Math.max(box.left, Math.min(box.right, (event.clientX - seen.left) * ratio)),
          Math.max(box.top, Math.min(box.bottom, (event.clientY - seen.top) * ratio))];
      };
      const rectangle = (a, b) => [Math.min(a[0], b[0]), Math.min(a[1], b[1]), Math.abs(a[0] - b[0]), Math.abs(a[1] - b[1])];
      svg.addEventListener("pointerdown", (event) => {
        if (event.button !== 0 || event.pointerType === "touch") return;
        from = at(event);
        svg.setPointerCapture(event.pointerId);
      });
      svg.addEventListener("pointerup", (event) => {
        if (from === null) return;
        const [left, top, wide, high] = rectangle(from, at(event));
        from = null;
        frame.setAttribute("visibility", "hidden");
        if (wide < 8 || high < 8) return;
        state.zoom = [x.back(left), x.back(left + wide), y.back(top + high), y.back(top)];
        this.draw();
      });
      svg.addEventListener("dblclick", () => this.unzoom());
      svg.addEventListener("pointerleave", () => { this.tip.hidden = true; cursor.setAttribute("visibility", "hidden"); });
      svg.addEventListener("pointermove", (event) => {
        const here = at(event);
        if (from !== null) {
          const [left, top, wide, high] = rectangle(from, here);
          for (const [key, value] of Object.entries({ x: left, y: top, width: wide, height: high, visibility: "visible" })) frame.setAttribute(key, value);
        }
        const rows = visible.map(([arm]) => {
          const xs = pool[arm.x[state.x]];
          let best = -1;
          xs.forEach((v, k) => { if (v !== null && (best < 0 || Math.abs(x(v) - here[0]) < Math.abs(x(xs[best]) - here[0]))) best = k; });
          return best < 0 ? null : [arm, xs[best], pool[arm.y[state.metric]][best]];
        }).filter((row) => row !== null).slice(0, 16);
        if (!rows.length) return;
        const body = rows.map(([arm, at_, value]) => element("tr", {},
          element("td", {}, element("svg", { width: 16, height: 8 }, element("line", { class: `sample c${arm.colour} d${arm.dash}`, x1: 0, x2: 16, y1: 4, y2: 4 }))),
          element("th", { scope: "row" }, arm.name), element("td", { class: "n" }, shown(value)), element("td", { class: "n" }, `at ${shown(at_)}`)));
        this.tip.replaceChildren(element("div", {}, `median ${data.metrics[state.metric].name}`), element("table", {}, ...body));
        this.tip.hidden = false;
        cursor.setAttribute("visibility", "visible");
        cursor.setAttribute("x1", here[0]);
        cursor.setAttribute("x2", here[0]);
        const seen = this.place.getBoundingClientRect(), ratio = seen.width / this.width, outer = this.figure.getBoundingClientRect();
        const wide = this.tip.offsetWidth, px = here[0] * ratio;
        this.tip.style.left = `${px + 16 + wide < outer.width ? px + 16 : Math.max(0, px - 16 - wide)}px`;
        this.tip.style.top = `${seen.top - outer.top + 16}px`;
      });
    }
  }

  /** A number where the cell has one, else its text; what is missing comes last. */
  const key = (row, column) => {
    const { v } = row.cells[column].dataset;
    return v === undefined ? row.cells[column].textContent : v === "nan" ? NaN : v.endsWith("inf") ? (v[0] === "-" ? -Infinity : Infinity) : Number(v);
  };

  function compare(a, b) {
    if (typeof a === "string" || typeof b === "string") return String(a).localeCompare(String(b), undefined, { numeric: true });
    return a === b ? 0 : a - b;
  }

  function sortable(table) {
    const heads = [...table.tHead.rows[0].cells], body = table.tBodies[0];
    heads.forEach((head, column) => {
      if (body.rows.length && body.rows[0].cells[column].classList.contains("n")) head.classList.add("n");
      head.setAttribute("aria-sort", "none");
      const button = element("button", { type: "button", click: () => {
        const down = head.getAttribute("aria-sort") === "ascending";
        heads.forEach((other) => other.setAttribute("aria-sort", "none"));
        head.setAttribute("aria-sort", down ? "descending" : "ascending");
        const rows = [...body.rows].map((row) => [key(row, column), row]);
        const missing = rows.filter(([value]) => Number.isNaN(value)), known = rows.filter(([value]) => !Number.isNaN(value));
        known.sort((a, b) => (down ? -1 : 1) * compare(a[0], b[0]));
        body.replaceChildren(...[...known, ...missing].map(([, row]) => row));
      } }, head.textContent);
      head.replaceChildren(button);
    });
  }

  document.querySelectorAll("main table").forEach(sortable);
  document.querySelectorAll(".scroll").forEach((region) => {
    region.tabIndex = 0;
    region.setAttribute("role", "region");
    region.setAttribute("aria-label", region.querySelector("caption").textContent);
  });
  document.querySelectorAll("figure.curves").forEach((figure) => {
    new Curves(figure, JSON.parse(document.getElementById(figure.dataset.from).textContent));
  });
})();
