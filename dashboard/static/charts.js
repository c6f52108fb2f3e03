"use strict";
/* What ECharts draws for each kind of figure; words and numbers come written from app.js. */
window.tandemCharts = (spec, shown, tools) => {
  const { palette, ink, faint, line, paper, isolate } = tools;
  const unique = (name) => [...new Set(shown.rows.map((i) => shown.at(name, i)))];
  /** The x values in order; a date or week without a row keeps its place. */
  const times = () => {
    const found = unique(spec.x).sort((a, b) => (a < b ? -1 : a > b ? 1 : 0));
    const step = { date: 1, week_start: 7 }[spec.x];
    if (!step || found.length < 2) return found;
    const filled = [];
    for (let at = Date.parse(found[0]); at <= Date.parse(found[found.length - 1]); at += step * 86400000) {
      filled.push(new Date(at).toISOString().slice(0, 10));
    }
    return filled;
  };
  const font = { color: faint, fontSize: 12 };
  const short = (text, most) => (text.length > most ? `${text.slice(0, most - 1)}…` : text);
  const hatch = { symbol: "rect", dashArrayX: [1, 0], dashArrayY: [3, 4], rotation: -Math.PI / 4, color: paper };
  const base = (extra) => ({
    animation: !tools.still,
    animationDuration: 250,
    color: palette,
    textStyle: { fontFamily: getComputedStyle(document.body).fontFamily, color: ink },
    grid: { left: 8, right: 14, top: extra.legend ? 40 : 16, bottom: 8, containLabel: true },
    ...extra,
  });
  const legend = (names) => (names.length > 1 || spec.by
    ? { type: "scroll", data: names.map((name) => ({ name })), top: 0, left: 0, right: 0, icon: "roundRect", itemWidth: 12, itemHeight: 8, textStyle: { color: ink }, pageTextStyle: { color: faint }, pageIconColor: ink, pageIconInactiveColor: line }
    : undefined);
  const tooltip = (extra) => ({
    confine: true, backgroundColor: paper, borderColor: line, textStyle: { color: ink, fontSize: 13 }, extraCssText: "box-shadow:0 4px 16px rgba(0,0,0,.18)", ...extra,
  });
  const category = (name, values, extra = {}) => ({
    type: "category",
    data: values.map((value) => String(value)),
    axisLabel: { ...font, hideOverlap: true, formatter: (text, i) => isolate(short(shown.axis(name, values[i], true), 22)) },
    axisLine: { lineStyle: { color: line } }, axisTick: { show: false }, ...extra,
  });
  const value = (name, extra = {}) => ({
    type: "value",
    axisLabel: { ...font, hideOverlap: true, formatter: (number) => shown.axis(name, number, true) },
    splitLine: { lineStyle: { color: line } }, splitNumber: 4,
    ...extra,
  });
  /** A share does not go beyond all: the axis of a measure whose greatest value is `most`. */
  const whole = (name, most) => (shown.columns.get(name).format === "ratio" && (most <= 0 || (most <= 1.000001 && most > 0.82)) ? { max: 1, interval: 0.25 } : {});
  const most = (all, xs) => Math.max(0, ...xs.map((x) => {
    const found = all.map((one) => { const i = one.rows.get(x); return (i === undefined ? 0 : shown.at(one.column, i)) ?? 0; });
    return spec.stack ? found.reduce((sum, n) => sum + Math.max(n, 0), 0) : Math.max(...found);
  }));
  // Names stay, dates make room for each other.
  const few = (name, values) => (!/^\d{4}-/.test(String(values[0])) && values.length <= 10
    ? { axisLabel: { ...font, fontSize: 11, interval: 0, rotate: tools.narrow && values.length > 4 && values.some((one) => shown.axis(name, one, true).length > 3) ? 35 : 0, formatter: (text, i) => isolate(short(shown.axis(name, values[i], true), 16)) } } : {});

  /** One series a value of `by` and measure: name, column, and x to row. */
  function groups() {
    const bys = spec.by ? unique(spec.by) : [null];
    return bys.flatMap((by) => spec.y.map((column) => ({
      name: spec.by ? isolate(shown.axis(spec.by, by)) : shown.label(column),
      column,
      rows: new Map(shown.rows.filter((i) => !spec.by || shown.at(spec.by, i) === by).map((i) => [shown.at(spec.x, i), i])),
    })));
  }
  const tip = (all, xs) => tooltip({
    trigger: "axis",
    axisPointer: { type: spec.kind === "line" ? "line" : "shadow", lineStyle: { color: faint }, shadowStyle: { color: line, opacity: 0.4 } },
    formatter: (items) => {
      const at = items[0].dataIndex;
      const x = xs[at];
      const rows = all.map((one) => one.rows.get(x));
      const some = rows.find((i) => i !== undefined);
      const over = some === undefined || rows.every((i) => i === undefined || shown.complete(i)) ? "" : ` (${tools.incomplete})`;
      return tools.tooltip(shown.axis(spec.x, x) + over, all.map((one, nth) => [
        palette[nth % palette.length], one.name, rows[nth] === undefined ? "—" : shown.text(one.column, rows[nth])]));
    },
  });

  function lines() {
    const xs = times();
    const all = groups();
    const at = (one, x) => { const i = one.rows.get(x); const found = i === undefined ? null : shown.at(one.column, i); return spec.log && found <= 0 ? null : found; };
    const open = (one, x) => { const i = one.rows.get(x); return i !== undefined && !shown.complete(i); };
    const points = xs.length < 3 || spec.dots;
    const series = all.flatMap((one, nth) => {
      const colour = palette[nth % palette.length];
      const common = { type: "line", name: one.name, showSymbol: points, symbolSize: 6, color: colour, connectNulls: false, emphasis: { focus: "none" } };
      const area = spec.area ? { stack: "all", areaStyle: { opacity: 0.55 }, lineStyle: { width: 1 } } : {};
      const lone = (from) => (x, k) => {
        const alone = from[k] !== null && (k === 0 || from[k - 1] === null) && (k === from.length - 1 || from[k + 1] === null);
        return alone ? { value: from[k], symbol: "circle", symbolSize: 7 } : from[k];
      };
      const done = xs.map((x) => (open(one, x) ? null : at(one, x)));
      const found = [{ ...common, ...area, data: xs.map(lone(done)), lineStyle: { width: 2, ...(area.lineStyle || {}) }, showAllSymbol: points }];
      if (spec.mark && nth === 0) {
        found[0].markLine = { silent: true, symbol: "none", label: { formatter: shown.axis(one.column, spec.mark), color: tools.bad, position: "insideEndTop" }, lineStyle: { color: tools.bad, type: "solid" }, data: [{ yAxis: spec.mark }] };
      }
      if (xs.some((x) => open(one, x))) {
        // To its whole neighbours, so that the dashes begin and end where the line does.
        const dashed = xs.map((x, k) => (open(one, x) || (k + 1 < xs.length && open(one, xs[k + 1])) || (k > 0 && open(one, xs[k - 1])) ? at(one, x) : null));
        // A whole neighbour has its own mark already.
        const marked = xs.map((x, k) => (dashed[k] === null ? null : { value: dashed[k], symbol: open(one, x) ? "emptyCircle" : "none" }));
        found.push({ ...common, ...area, stack: undefined, areaStyle: undefined, data: marked, showSymbol: xs.filter((x) => open(one, x)).length < 10, lineStyle: { width: 2, type: [5, 4] } });
      }
      return found;
    });
    return base({
      legend: legend(all.map((one) => one.name)),
      tooltip: tip(all, xs),
      xAxis: category(spec.x, xs, { boundaryGap: xs.length < 2 || Boolean(spec.dots) }),
      // Base 60: seconds, minutes, hours.
      yAxis: value(spec.y[0], spec.log ? { type: "log", logBase: 60 } : whole(spec.y[0], most(all, xs))),
      series,
    });
  }

  function bars(lying) {
    const xs = lying ? unique(spec.x) : spec.x === "model" || !/^\d{4}-/.test(String(unique(spec.x)[0])) ? unique(spec.x) : times();
    const all = groups();
    const series = all.map((one, nth) => ({
      type: "bar",
      name: one.name,
      stack: spec.stack ? "all" : undefined,
      barMaxWidth: 34,
      barMinHeight: spec.stack ? 0 : 1,
      barGap: "10%",
      data: xs.map((x) => {
        const i = one.rows.get(x);
        const found = i === undefined ? null : shown.at(one.column, i);
        return { value: found, itemStyle: i !== undefined && !shown.complete(i) ? { decal: hatch, opacity: 0.75 } : undefined };
      }),
      itemStyle: { color: spec.x === "stage" ? [tools.good, palette[1], tools.bad][nth] : palette[nth % palette.length], borderRadius: spec.stack ? 0 : lying ? [0, 3, 3, 0] : [3, 3, 0, 0] },
      label: lying && !spec.stack ? { show: true, position: "right", color: ink, fontSize: 12, formatter: (item) => { const i = one.rows.get(xs[item.dataIndex]); return i === undefined ? "" : shown.text(one.column, i, true); } } : undefined,
    }));
    if (lying) {
      // Nothing is drawn for what cannot be observed; it says so where the bar would begin.
      const none = xs.filter((x) => all.every((one) => one.rows.get(x) === undefined || shown.at(one.column, one.rows.get(x)) === null));
      if (none.length) series.push({ type: "scatter", symbolSize: 1, itemStyle: { color: "transparent" }, silent: true, data: none.map((x) => [0, String(x)]), label: { show: true, position: "right", formatter: "—", color: faint, fontSize: 13 } });
    }
    const names = category(spec.x, xs, lying ? { inverse: true, axisLabel: { color: ink, fontSize: 12, interval: 0, formatter: (text, i) => isolate(short(shown.axis(spec.x, xs[i]), tools.narrow ? 24 : 30)) } } : few(spec.x, xs));
    const sizes = value(spec.y[0], { ...(lying ? { splitNumber: 3, ...(spec.stack ? {} : { axisLabel: { show: false } }) } : {}), ...whole(spec.y[0], most(all, xs)) });
    const option = base({ legend: legend(all.map((one) => one.name)), tooltip: tip(all, xs), xAxis: lying ? sizes : names, yAxis: lying ? names : sizes, series });
    if (lying) option.grid.right = 56;
    return option;
  }

  function steps() {
    const labels = shown.rows.map((i) => shown.at(spec.x, i));
    return base({
      tooltip: tooltip({ trigger: "item", formatter: (item) => { const i = shown.rows[item.dataIndex]; return tools.tooltip(shown.text(spec.x, i), [...shown.columns.values()].filter((column) => ["count", "ratio"].includes(column.format)).map((column) => [null, shown.label(column.name), shown.text(column.name, i)])); } }),
      grid: { left: 8, right: 110, top: 8, bottom: 8, containLabel: true },
      xAxis: value(spec.y, { show: false }),
      yAxis: category(spec.x, labels, { inverse: true, axisLine: { show: false }, axisLabel: { color: ink, fontSize: 12, interval: 0, formatter: (text, i) => isolate(shown.axis(spec.x, labels[i])) } }),
      series: [{
        type: "bar", barMaxWidth: 24, barMinHeight: 2, data: shown.rows.map((i) => shown.at(spec.y, i)), itemStyle: { color: palette[0], borderRadius: [0, 3, 3, 0] },
        label: { show: true, position: "right", color: ink, formatter: (item) => { const i = shown.rows[item.dataIndex]; return `${shown.text(spec.y, i)} · ${shown.text(spec.rate, i, true)}`; } },
      }],
    });
  }

  function bridge() {
    // The rows of one choice add up: money and memberships do, over sources.
    const total = spec.steps.map((column) => shown.rows.reduce((sum, i) => sum + (shown.at(column, i) ?? 0), 0));
    const last = spec.steps.length - 1;
    let level = 0;
    const bars = spec.steps.map((column, nth) => {
      const ends = nth === 0 || nth === last;
      const from = ends ? 0 : level;
      level = ends ? total[nth] : level + total[nth];
      return { low: Math.min(from, level), size: Math.abs(level - from), ends, value: total[nth] };
    });
    const over = shown.rows.every((i) => shown.complete(i));
    const names = spec.steps.map((column) => shown.label(column));
    return base({
      tooltip: tooltip({ trigger: "item", formatter: (item) => tools.tooltip(names[item.dataIndex], [[null, "", shown.axis(spec.steps[item.dataIndex], total[item.dataIndex])]]) }),
      xAxis: { type: "category", data: names, axisLabel: { ...font, interval: 0, rotate: tools.narrow ? 35 : 0 }, axisLine: { lineStyle: { color: line } }, axisTick: { show: false } },
      yAxis: value(spec.steps[0]),
      series: [
        { type: "bar", stack: "all", silent: true, itemStyle: { color: "transparent" }, data: bars.map((bar) => bar.low), barMaxWidth: 46 },
        {
          type: "bar", stack: "all", barMaxWidth: 46,
          data: bars.map((bar, nth) => ({ value: bar.size, itemStyle: { color: bar.ends ? palette[0] : bar.value < 0 ? tools.bad : tools.good, borderRadius: 2, decal: nth === last && !over ? hatch : undefined } })),
          label: { show: true, position: "top", color: ink, fontSize: 11, formatter: (item) => shown.axis(spec.steps[item.dataIndex], total[item.dataIndex], true) },
        },
      ],
    });
  }

  function sankey() {
    const order = ["core", "active", "lurker", "dormant", "(new)"];
    const tint = Object.fromEntries(order.map((name, i) => [name, palette[i]]));
    const place = (name) => (order.indexOf(name) + 1 || 9);
    const nodes = [...unique(spec.from).sort((a, b) => place(a) - place(b)).map((name) => ({ name: `from ${name}`, depth: 0, itemStyle: { color: tint[name] } })),
      ...unique(spec.to).sort((a, b) => place(a) - place(b)).map((name) => ({ name: `to ${name}`, depth: 1, itemStyle: { color: tint[name] }, label: { position: "left" } }))];
    const word = (name) => shown.axis(spec.from, name.slice(name.indexOf(" ") + 1));
    return base({
      tooltip: tooltip({ trigger: "item", formatter: (item) => tools.tooltip(item.dataType === "edge" ? `${word(item.data.source)} → ${word(item.data.target)}` : word(item.name), [[null, shown.label(spec.value), shown.axis(spec.value, item.value)]]) }),
      series: [{
        type: "sankey", animation: false, left: 4, right: 4, top: 10, bottom: 10, nodeGap: 12, nodeWidth: 14, layoutIterations: 0, draggable: false, emphasis: { focus: "adjacency" },
        data: nodes,
        links: shown.rows.map((i) => ({ source: `from ${shown.at(spec.from, i)}`, target: `to ${shown.at(spec.to, i)}`, value: shown.at(spec.value, i) })),
        label: { color: ink, fontSize: 12, formatter: (item) => `${word(item.name)} ${shown.axis(spec.value, item.value)}` },
        lineStyle: { color: "source", opacity: 0.3, curveness: 0.5 },
      }],
    });
  }

  function intervals() {
    const labels = shown.rows.map((i) => shown.at(spec.label, i));
    const rows = shown.rows.map((i) => [shown.at(spec.mid, i), shown.at(spec.low, i), shown.at(spec.high, i), shown.at(spec.valid, i)]);
    const all = rows.flatMap((row) => row.slice(0, 3)).filter((x) => x !== null);
    const [up, down] = spec.down_is_good ? [tools.bad, tools.good] : [tools.good, tools.bad];
    const sure = (row) => row[1] !== null && row[2] !== null;
    const colour = (row) => (!row[3] ? faint : sure(row) && row[1] > 0 ? up : sure(row) && row[2] < 0 ? down : palette[0]);
    const first = shown.rows[0];
    return base({
      tooltip: tooltip({ trigger: "item", formatter: (item) => { const i = shown.rows[item.dataIndex]; return tools.tooltip(shown.text(spec.label, i), [spec.mid, spec.low, spec.high, spec.valid].map((name) => [null, shown.label(name), shown.text(name, i)])); } }),
      grid: { left: 8, right: 18, top: 12, bottom: 8, containLabel: true },
      xAxis: value(spec.mid, { min: 1.08 * Math.min(0, ...all), max: 1.08 * Math.max(0, ...all), axisLabel: { ...font, hideOverlap: true, showMinLabel: false, showMaxLabel: false, formatter: (number) => writeLike(number) }, scale: false }),
      yAxis: category(spec.label, labels, { inverse: true, axisLabel: { color: ink, fontSize: 12, interval: 0, formatter: (text, i) => isolate(short(shown.axis(spec.label, labels[i]), tools.narrow ? 24 : 30)) } }),
      series: [{
        type: "custom",
        data: rows.map((row, nth) => [row[0] ?? 0, nth]),
        encode: { x: 0, y: 1 },
        markLine: { silent: true, symbol: "none", label: { show: false }, lineStyle: { color: faint, type: "solid" }, data: [{ xAxis: 0 }] },
        renderItem: (params, api) => {
          const row = rows[params.dataIndex];
          const nth = params.dataIndex;
          const mid = api.coord([row[0] ?? 0, nth]);
          if (row[0] === null) return { type: "text", x: mid[0] + 6, y: mid[1], style: { text: "—", fill: faint, verticalAlign: "middle" } };
          const parts = [];
          if (sure(row)) {
            const [a, b] = [api.coord([row[1], nth]), api.coord([row[2], nth])];
            const style = { stroke: colour(row), lineWidth: 2, lineDash: row[3] ? null : [4, 3] };
            parts.push({ type: "line", shape: { x1: a[0], y1: a[1], x2: b[0], y2: b[1] }, style },
              ...[a, b].map((end) => ({ type: "line", shape: { x1: end[0], y1: end[1] - 5, x2: end[0], y2: end[1] + 5 }, style: { ...style, lineDash: null } })));
          }
          parts.push({ type: "circle", shape: { cx: mid[0], cy: mid[1], r: 5 }, style: { fill: row[3] ? colour(row) : paper, stroke: colour(row), lineWidth: 2 } });
          return { type: "group", children: parts };
        },
      }],
    });
    function writeLike(number) {
      const column = shown.columns.get(spec.mid);
      const unit = column.format.startsWith("@") ? shown.at(column.format.slice(1), first) : column.format;
      return shown.axis(spec.mid, number, true, unit);
    }
  }

  switch (spec.kind) {
    case "line": return lines();
    case "bar": return bars(false);
    case "hbar": return bars(true);
    case "steps": return steps();
    case "bridge": return bridge();
    case "sankey": return sankey();
    case "interval": return intervals();
    default: throw new Error(`no chart of kind ${spec.kind}`);
  }
};
