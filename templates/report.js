// Adds a shared cursor with values, zoom and switches for series to the charts. The page is complete without this script: it creates
// all of its controls. It reads the attributes that src/report/charts/mod.rs describes. It sets text from the result only as text.
'use strict';
(() => {
  const make = (name, attributes, text) => {
    const element = document.createElement(name);
    for (const [key, value] of Object.entries(attributes)) element.setAttribute(key, value);
    if (text !== undefined) element.textContent = text;
    return element;
  };
  const clamp = (value, low, high) => Math.min(Math.max(value, low), high);
  const shown = element => element.getClientRects().length > 0;
  const number = (element, name) => Number(element.getAttribute(name));

  // The time of the cursor, and the range of time that the charts show, in seconds. All charts share both.
  const state = {time: null, range: null};
  let whole = [0, 0];
  const charts = [];
  const range = () => state.range || whole;

  const clock = (seconds, step) => {
    const tenths = Math.round(seconds * 10), whole_s = Math.floor(tenths / 10);
    const two = value => String(value).padStart(2, '0');
    const hours = Math.floor(whole_s / 3600), minutes = Math.floor(whole_s / 60) % 60;
    const start = hours > 0 ? `${hours}:${two(minutes)}` : String(minutes);
    return `${start}:${two(whole_s % 60)}` + (step < 1 ? `.${tenths % 10}` : '');
  };

  // Returns the index of the reading at a time. Undefined if the chart has no reading there, such as between its bars.
  const reading = (times, time) => {
    if (times.length === 0) return undefined;
    let low = 0, high = times.length - 1;
    while (high - low > 1) {
      const middle = (low + high) >> 1;
      if (times[middle] <= time) low = middle; else high = middle;
    }
    const nearest = time - times[low] <= times[high] - time ? low : high;
    return Math.abs(times[nearest] - time) <= times.step * 0.75 ? nearest : undefined;
  };
  const withStep = times => {
    const gaps = times.slice(1).map((time, index) => time - times[index]).sort((a, b) => a - b);
    return Object.assign(times, {step: gaps.length > 0 ? gaps[gaps.length >> 1] : 1});
  };

  // ---- Series: each entry of a legend becomes a switch.

  // Returns the elements for the values of the series. A chart that is not over time has no such elements.
  const switches = (figure, data, isOverTime) => {
    const values = new Map(), keys = [...figure.querySelectorAll('.key')];
    const legend = figure.querySelector('.legend') || make('span', {class: 'legend'});
    if (!legend.isConnected) figure.querySelector('figcaption .unit').after(' ', legend);
    for (const series of isOverTime ? data.series : []) {
      if (!keys.some(one => one.dataset.key === series.id)) {
        const key = make('span', {class: 'key', 'data-key': series.id}, data.series.length > 1 ? series.label : undefined);
        legend.append(key);
        keys.push(key);
      }
    }
    const drawn = [...figure.querySelectorAll('svg [data-series]')];
    const hasKey = id => keys.some(key => key.dataset.key === id);
    for (const key of keys) {
      const id = key.dataset.key, value = make('span', {class: 'value'});
      // The uncertain end of a line belongs to the line, unless it has a key of its own.
      const own = drawn.filter(({dataset: {series}}) => series === id || (series === `${id}-tail` && !hasKey(series)));
      if (isOverTime && data.series.some(series => series.id === id)) values.set(id, value);
      if (keys.length === 1 || own.length === 0) {
        if (values.has(id)) key.append(value);
        continue;
      }
      const button = make('button', {type: 'button', class: 'key', 'aria-pressed': 'true', 'data-key': id});
      button.append(...key.childNodes);
      // A legend must not break between a key and its value.
      const entry = make('span', {class: 'entry'});
      key.replaceWith(entry);
      entry.append(button);
      if (values.has(id)) entry.append(value);
      button.addEventListener('click', () => {
        const on = button.getAttribute('aria-pressed') !== 'true';
        button.setAttribute('aria-pressed', String(on));
        for (const element of own) element.classList.toggle('off', !on);
      });
    }
    return values;
  };

  // ---- Zoom: stretches the contents of each plot, and labels the time axis again.

  const SVG = 'http://www.w3.org/2000/svg';
  const svgMake = (name, attributes) => {
    const element = document.createElementNS(SVG, name);
    for (const [key, value] of Object.entries(attributes)) element.setAttribute(key, value);
    return element;
  };

  // Moves the horizontal coordinates of a path, which has only the commands M, L, H, V and z, or of a dot.
  const place = (element, map) => {
    const name = element.localName === 'circle' ? 'cx' : 'd';
    if (!element.dataset.original) element.dataset.original = element.getAttribute(name);
    const round = x => String(Math.round(map(Number(x)) * 10) / 10);
    const moved = name === 'cx' ? round(element.dataset.original)
      : element.dataset.original.replace(/([MLH])(-?[\d.]+)/g, (_, command, x) => command + round(x));
    element.setAttribute(name, moved);
  };

  let clips = 0;
  // Sorts the parts of a visible chart: shapes inside the plots, labels that move with them, and the time axis below.
  const prepare = svg => {
    const plots = [...svg.querySelectorAll('.plot')].map(plot => {
      const [x0, x1, y0, y1] = ['data-x0', 'data-x1', 'data-y0', 'data-y1'].map(name => number(plot, name));
      return {plot, x0, x1, y0, y1};
    });
    const {x0, x1} = plots[0], bottom = plots[plots.length - 1].y1;
    const parts = {x0, x1, shapes: [], labels: [], added: svgMake('g', {})};
    parts.axis = [...svg.children].filter(child => child.localName === 'path' || child.getAttribute('text-anchor') === 'middle');
    const id = `clip-${++clips}`, clip = svgMake('clipPath', {id});
    clip.append(svgMake('rect', {x: x0, y: 0, width: x1 - x0, height: bottom + 1}));
    svg.append(clip, parts.added);
    for (const {plot, y0} of plots) {
      for (const element of plot.querySelectorAll('path,circle,text')) {
        const box = element.getBBox(), x = number(element, 'x');
        if (element.localName !== 'text') {
          if (box.x + box.width <= x0 + 0.5) continue; // the vertical axis
          element.setAttribute('clip-path', `url(#${id})`);
          parts.shapes.push(element);
        } else if (x > x0) {
          const before = element.previousElementSibling, isMarker = before !== null && before.classList.contains('line');
          parts.labels.push({element, x, width: box.width, kind: box.y + box.height / 2 < y0 ? 'phase' : isMarker ? 'marker' : 'limit'});
        }
      }
    }
    return parts;
  };

  const STEPS = [0.1, 0.2, 0.5, 1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200, 21600, 86400];
  const draw = chart => {
    const svg = chart.svgs.find(shown);
    if (!svg) return;
    if (!chart.parts.has(svg)) {
      if (!state.range) return;
      chart.parts.set(svg, prepare(svg));
    }
    const parts = chart.parts.get(svg);
    const {x0, x1} = parts, [from, to] = range(), [start, end] = chart.time, zoomed = state.range !== null;
    const at = time => x0 + (time - from) / (to - from) * (x1 - x0);
    const map = x => at(start + (x - x0) / (x1 - x0) * (end - start));
    for (const element of parts.shapes) place(element, map);
    for (const {element, x, width, kind} of parts.labels) {
      const to_x = map(x);
      // The label of a limit stays at the right end of its line, and the name of a phase that began earlier at the left edge.
      const limit = kind === 'limit', phase = kind === 'phase';
      const shown_x = limit ? Math.min(to_x, Math.max(x1 - 4, x)) : phase ? Math.max(to_x, x0 + 3) : to_x;
      element.setAttribute('x', shown_x);
      const phaseEnd = () => Math.min(map(number(element, 'data-until')), x1 + 14);
      const inside = limit ? to_x - width > x0 - 4 : phase ? shown_x + width <= phaseEnd() : to_x >= x0 - 4 && to_x <= x1 + 14;
      element.classList.toggle('off', zoomed && !inside);
    }
    for (const element of parts.axis) element.classList.toggle('off', zoomed);
    parts.added.replaceChildren();
    const model = parts.axis.find(element => element.localName === 'text');
    if (!zoomed || !model) return;
    const step = STEPS.find(one => (to - from) / one <= (x1 - x0) / 90) || STEPS[STEPS.length - 1];
    for (let tick = Math.ceil(from / step - 1e-9); tick * step <= to + 1e-9; tick += 1) {
      const label = model.cloneNode(false);
      label.classList.remove('off');
      label.setAttribute('x', at(tick * step));
      label.textContent = clock(tick * step, step);
      parts.added.append(label);
    }
  };

  // ---- The cursor: a line over each chart, and the values beside the legend.

  const showCursor = () => {
    for (const chart of charts) {
      const svg = chart.svgs.find(shown);
      const [from, to] = range(), time = state.time;
      const visible = svg && time !== null && time >= from && time <= to;
      chart.line.hidden = !visible;
      if (visible) {
        const plot = svg.querySelector('.plot'), box = svg.viewBox.baseVal;
        const [x0, x1] = [number(plot, 'data-x0'), number(plot, 'data-x1')];
        chart.line.style.left = `${(x0 + (time - from) / (to - from) * (x1 - x0)) / box.width * 100}%`;
        chart.line.dataset.time = clock(time, chart.step);
      }
      const texts = [];
      for (const series of chart.data.series) {
        const value = time === null ? '' : series.values[reading(chart.data.times[series.times], time)];
        const text = value === null || value === undefined ? '–' : value;
        const element = chart.values.get(series.id);
        if (element) element.textContent = text;
        if (text) texts.push(`${series.label} ${text}`);
      }
      chart.pad.setAttribute('aria-valuenow', String(time === null ? whole[0] : time));
      chart.pad.setAttribute('aria-valuetext', time === null ? 'no time selected' : [clock(time, chart.step), ...texts].join(', '));
    }
  };

  const moveTo = time => {
    state.time = time === null ? null : clamp(time, ...range());
    showCursor();
  };

  const zoomTo = (from, to) => {
    const least = Math.min(charts[0].step * 4, whole[1] - whole[0]);
    const length = Math.max(to - from, least), middle = (from + to) / 2;
    const start = clamp(middle - length / 2, whole[0], Math.max(whole[0], whole[1] - length));
    const end = Math.min(start + length, whole[1]);
    state.range = end - start > (whole[1] - whole[0]) * 0.999 ? null : [start, end];
    if (state.time !== null) state.time = clamp(state.time, ...range());
    charts.forEach(draw);
    showCursor();
    for (const button of document.querySelectorAll('.tools [data-needs-zoom]')) button.disabled = !state.range;
    status.textContent = state.range ? `Shown: ${clock(state.range[0], 0.1)} to ${clock(state.range[1], 0.1)}` : 'Shown: the whole run';
  };
  const reset = () => zoomTo(...whole);
  const zoomBy = factor => {
    const [from, to] = range(), around = state.time === null ? (from + to) / 2 : state.time;
    zoomTo(around - (around - from) * factor, around + (to - around) * factor);
  };

  const onKey = (chart, event) => {
    const [from, to] = range(), now = state.time === null ? from : state.time;
    const step = chart.step * (event.shiftKey ? 10 : 1);
    const acts = {
      ArrowRight: () => moveTo(state.time === null ? from : now + step),
      ArrowLeft: () => moveTo(state.time === null ? to : now - step),
      PageUp: () => moveTo(now + chart.step * 10),
      PageDown: () => moveTo(now - chart.step * 10),
      Home: () => moveTo(from),
      End: () => moveTo(to),
      '+': () => zoomBy(0.5),
      '=': () => zoomBy(0.5),
      '-': () => zoomBy(2),
      Escape: () => state.range ? reset() : moveTo(null),
    };
    const act = event.ctrlKey || event.metaKey || event.altKey ? null : acts[event.key];
    if (!act) return;
    event.preventDefault();
    act();
  };

  // A transparent layer over the chart, which receives the pointer and the keyboard.
  const layer = (chart, frame) => {
    const {pad, line} = chart;
    const selection = make('div', {class: 'selection'});
    selection.hidden = line.hidden = true;
    pad.append(line, selection);
    frame.append(pad);
    let pressed = null;
    const locate = event => {
      const svg = chart.svgs.find(shown), box = svg.getBoundingClientRect(), plot = svg.querySelector('.plot');
      const units = svg.viewBox.baseVal.width / box.width;
      const x0 = number(plot, 'data-x0') / units, x1 = number(plot, 'data-x1') / units;
      const x = clamp(event.clientX - box.left, x0, x1), [from, to] = range();
      return {x, time: from + (x - x0) / (x1 - x0) * (to - from)};
    };
    pad.addEventListener('pointerdown', event => {
      if (event.button === 0 && event.pointerType !== 'touch') pressed = locate(event);
    });
    pad.addEventListener('pointermove', event => {
      const now = locate(event);
      moveTo(now.time);
      selection.hidden = pressed === null || Math.abs(now.x - pressed.x) < 5;
      selection.style.left = `${Math.min(now.x, pressed === null ? 0 : pressed.x)}px`;
      selection.style.width = `${pressed === null ? 0 : Math.abs(now.x - pressed.x)}px`;
    });
    pad.addEventListener('pointerup', event => {
      const [first, now] = [pressed, locate(event)];
      pressed = null;
      selection.hidden = true;
      if (first === null) moveTo(now.time);
      else if (Math.abs(now.x - first.x) >= 5) zoomTo(Math.min(first.time, now.time), Math.max(first.time, now.time));
    });
    pad.addEventListener('pointerleave', () => {
      pressed = null;
      selection.hidden = true;
      if (document.activeElement !== pad) moveTo(null);
    });
    pad.addEventListener('dblclick', reset);
    pad.addEventListener('keydown', event => onKey(chart, event));
    pad.addEventListener('focus', () => { if (state.time === null && pad.matches(':focus-visible')) moveTo(range()[0]); });
    pad.addEventListener('blur', () => moveTo(null));
  };

  const status = make('span', {class: 'shown', role: 'status'}, 'Shown: the whole run');
  const tools = () => {
    const bar = make('div', {class: 'tools', role: 'group', 'aria-label': 'Time range of the charts'});
    for (const [text, needsZoom, act] of [['Zoom in', false, () => zoomBy(0.5)], ['Zoom out', true, () => zoomBy(2)], ['Reset', true, reset]]) {
      const button = make('button', {type: 'button', ...(needsZoom ? {'data-needs-zoom': '', disabled: ''} : {})}, text);
      button.addEventListener('click', act);
      bar.append(button);
    }
    bar.append(status, make('span', {class: 'hint'}, 'Point at a chart for values, drag to zoom, Esc resets; or use the arrow keys, + and −.'));
    return bar;
  };

  // ---- Start: a figure with unusable data keeps its static chart.

  const start = figure => {
    const block = figure.querySelector('script[type="application/json"]');
    const svgs = [...figure.querySelectorAll('svg.chart')];
    if (!block || svgs.length === 0) return;
    const data = JSON.parse(block.textContent), plot = svgs[0].querySelector('.plot[data-t1]');
    const values = switches(figure, data, plot !== null);
    if (!plot) return;
    const time = [number(plot, 'data-t0'), number(plot, 'data-t1')];
    if (!(time[1] > time[0])) return;
    data.times.forEach(withStep);
    const longest = data.times.reduce((a, b) => b.length > a.length ? b : a, withStep([]));
    const frame = make('div', {class: 'frame'});
    svgs[0].before(frame);
    frame.append(...svgs);
    const title = figure.querySelector('.title').textContent;
    const pad = make('div', {
      class: 'pad', role: 'slider', tabindex: '0', 'aria-label': `Time in the chart ${title}`,
      'aria-valuemin': String(time[0]), 'aria-valuemax': String(time[1]), 'aria-valuenow': String(time[0]),
      'aria-valuetext': 'no time selected',
    });
    const chart = {figure, svgs, data, values, time, step: Math.max(longest.step, 0.1), pad, line: make('div', {class: 'cursor'}), parts: new Map()};
    layer(chart, frame);
    charts.push(chart);
  };

  for (const figure of document.querySelectorAll('figure')) {
    try { start(figure); } catch (error) { console.warn('a chart stays static:', error); }
  }
  if (charts.length > 0) {
    whole = charts[0].time;
    charts[0].figure.after(tools());
    addEventListener('resize', () => { charts.forEach(draw); showCursor(); });
    document.documentElement.classList.add('scripted');
  }
})();
