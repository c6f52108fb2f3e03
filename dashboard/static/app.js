"use strict";
/* The page: menu, figures, tables, definitions. Data reach the document as text nodes only. */
(() => {
  const BUILD = document.currentScript.dataset.build;
  const UI = {
    skip: ["Skip to content", "跳到正文"],
    menu: ["Pages", "页面"],
    asOf: ["Data to", "数据截至"],
    published: ["published", "发布于"],
    version: ["version", "版本"],
    live: ["live board to", "实时看板至"],
    lang: ["中文", "English"],
    langLabel: ["切换到中文", "Switch to English"],
    toDark: ["Dark", "深色"],
    toLight: ["Light", "浅色"],
    definition: ["Definition", "口径"],
    table: ["Table", "表格"],
    close: ["Close", "关闭"],
    to: ["to", "截至"],
    of: ["of", "/"],
    rows: ["rows", "行"],
    topOf: ["the first {n} of {m}", "前 {n} 条，共 {m} 条"],
    search: ["Search", "搜索"],
    previous: ["Previous", "上一页"],
    next: ["Next", "下一页"],
    range: ["{a}–{b} of {n}", "第 {a}–{b} 条，共 {n} 条"],
    nothing: ["Nothing matches.", "没有匹配项。"],
    loading: ["Loading …", "加载中……"],
    incomplete: ["Dashed or hatched: the period or its window is not whole, the number will change.",
      "虚线或斜线：周期或其窗口不完整，数字仍会变化。"],
    unobservable: ["—: not observable (or nobody to count); it is not 0.",
      "—：不可观测（或无人可计），并非 0。"],
    noValue: ["not observable", "不可观测"],
    incompleteMark: ["not whole", "不完整"],
    missing: ["The published file has no {what}. Update Tandem where it builds, then run `tandem build`.",
      "已发布文件中没有 {what}。请在构建端更新 Tandem，再运行 `tandem build`。"],
    unreadable: ["The published file was built by another version of Tandem. Run `tandem build`, then look again.",
      "已发布文件由其他版本的 Tandem 生成。请运行 `tandem build` 后再看。"],
    emptyLogs: ["Nothing to show: no records of {what} up to this date. Land some, then run `tandem build`.",
      "暂无数据：截至此日没有 {what} 的记录。请落地数据后运行 `tandem build`。"],
    empty: ["Nothing to show yet.", "暂无数据。"],
    period: ["Daily figures", "日数据范围"],
    days: ["last {n} days", "近 {n} 天"],
    formula: ["Formula", "公式"],
    numerator: ["Numerator", "分子"],
    denominator: ["Denominator", "分母"],
    window: ["Window", "窗口"],
    exclusions: ["Left out", "排除"],
    null_rule: ["When empty", "空值"],
    additivity: ["Additivity", "可加性"],
    mart: ["Mart", "集市表"],
    columnsAbout: ["Columns", "字段"],
    counts: ["a count, no denominator", "计数，无分母"],
    dividedBy: ["How it is counted", "如何计数"],
    than: ["against", "对比"],
    chartOf: ["Chart: {title}. {what}. The table below has the numbers.",
      "图表：{title}。{what}。数字见下方表格。"],
    series: ["{n} series, {m} points", "{n} 个系列，{m} 个点"],
    notYet: ["Not observable yet: no window of it is over.", "尚不可观测：还没有窗口结束。"],
    weekOf: ["the week of {date}", "{date} 当周"],
    points: ["{n} pp", "{n} 个百分点"],
    dayN: ["Day {n}", "第 {n} 天"],
    yes: ["yes", "是"],
    no: ["no", "否"],
    sources: ["Everything here is read from the published marts.", "全部数字读自已发布的集市表。"],
    loadFailed: ["This page's data could not be read. Run `tandem dashboard --out DIR` again.",
      "无法读取本页数据。请重新运行 `tandem dashboard --out DIR`。"],
    choose: ["Choose", "选择"],
  };

  const store = new Map();
  const waiting = new Map();
  window.tandemData = (name, data) => store.set(name, data);

  const remembered = (key) => { try { return localStorage.getItem(`tandem.${key}`); } catch { return null; } };
  const remember = (key, value) => { try { localStorage.setItem(`tandem.${key}`, value); } catch { /* private mode */ } };

  const state = {
    lang: ["en", "zh"].includes(remembered("lang")) ? remembered("lang")
      : (navigator.language || "en").toLowerCase().startsWith("zh") ? "zh" : "en",
    theme: ["light", "dark"].includes(remembered("theme")) ? remembered("theme") : null,
    days: Number(remembered("days")) || 90,
    chosen: new Map(),
    open: new Set(),
  };
  const index = () => (state.lang === "zh" ? 1 : 0);
  const locale = () => (state.lang === "zh" ? "zh-CN" : "en-GB");
  const say = (key, values = {}) => fill(UI[key][index()], values);
  const t = (words) => (words ? words[index()] : "");
  const fill = (text, values) => text.replace(/\{(\w+)\}/g, (whole, key) => (key in values ? values[key] : whole));

  /** An element: attributes, listeners under `on…`, children as nodes or text. */
  function el(tag, attributes = {}, ...children) {
    const node = document.createElement(tag);
    for (const [key, value] of Object.entries(attributes)) {
      if (value === null || value === undefined || value === false) continue;
      if (key.startsWith("on")) node.addEventListener(key.slice(2), value);
      else node.setAttribute(key, value === true ? "" : value);
    }
    node.append(...children.flat(Infinity).filter((child) => child !== null && child !== undefined));
    return node;
  }

  /** Text with `code` between back-ticks, as elements. */
  const prose = (text) => text.split("`").map((part, i) => (i % 2 ? el("code", {}, part) : part));

  function load(path) {
    if (!waiting.has(path)) {
      waiting.set(path, new Promise((resolve, reject) => {
        const script = el("script", { src: `${BUILD}/${path}` });
        script.onload = resolve;
        script.onerror = () => { waiting.delete(path); reject(new Error(path)); };
        document.head.append(script);
      }));
    }
    return waiting.get(path);
  }
  async function data(name) {
    if (!store.has(name)) await load(`data/${name}.js`);
    return store.get(name);
  }

  // ---- how values are written ----

  const formats = new Map();
  function intl(kind, options) {
    const key = `${locale()} ${kind} ${JSON.stringify(options)}`;
    if (!formats.has(key)) {
      formats.set(key, kind === "date" ? new Intl.DateTimeFormat(locale(), options)
        : new Intl.NumberFormat(locale(), options));
    }
    return formats.get(key);
  }
  const site = () => store.get("site");
  const utc = (text) => new Date(text.length > 10 ? `${text.replace(" ", "T")}Z` : `${text}T00:00:00Z`);
  const day = (text, options) => intl("date", { timeZone: "UTC", ...options }).format(utc(text));
  const LENGTHS = [[86400, "day"], [3600, "hour"], [60, "minute"], [1, "second"]];

  function length(seconds) {
    const [size, unit] = LENGTHS.find(([least]) => Math.abs(seconds) >= least) || LENGTHS[3];
    return intl("number", { style: "unit", unit, unitDisplay: "short", maximumSignificantDigits: 3 }).format(seconds / size);
  }
  function money(value, compact) {
    const { currency, exponent } = site();
    const digits = compact ? { notation: "compact", maximumFractionDigits: 1, minimumFractionDigits: 0 }
      : { minimumFractionDigits: exponent, maximumFractionDigits: exponent };
    return intl("number", { style: "currency", currency, currencyDisplay: "narrowSymbol", ...digits })
      .format(value / 10 ** exponent);
  }

  /** A value as people read it; what cannot be observed is a dash. */
  function write(value, column, row, compact = false) {
    if (value === null || value === undefined) return "—";
    let format = column.format;
    if (format.startsWith("@")) format = row(format.slice(1));
    switch (format) {
      case "count": return intl("number", compact ? { notation: "compact" } : {}).format(value);
      case "number": return intl("number", compact ? { notation: "compact", maximumSignificantDigits: 3 }
        : Math.abs(value) >= 1000 ? { maximumFractionDigits: 0 } : { maximumSignificantDigits: 3 }).format(value);
      case "p": return value < 0.0001 && value > 0
        ? intl("number", { notation: "scientific", maximumFractionDigits: 1 }).format(value)
        : intl("number", { maximumFractionDigits: 4 }).format(value);
      case "ratio": return intl("number", { style: "percent", maximumFractionDigits: compact ? 1 : Math.abs(value) < 0.1 ? 2 : 1 }).format(value);
      case "points": return say("points", { n: intl("number", { maximumSignificantDigits: compact ? 2 : 3 }).format(value * 100) });
      case "money": return money(value, compact);
      case "seconds": return length(value);
      case "ms": return value < 1000 ? intl("number", { style: "unit", unit: "millisecond", unitDisplay: "short", maximumFractionDigits: 0 }).format(value) : length(value / 1000);
      case "date": return day(value, compact ? { month: "short", day: "numeric" } : { year: "numeric", month: "short", day: "numeric" });
      case "month": return day(value, { year: "numeric", month: "short" });
      case "moment": return day(value, compact ? { month: "short", day: "numeric", hour: "2-digit", minute: "2-digit", hourCycle: "h23" }
        : { year: "numeric", month: "short", day: "numeric", hour: "2-digit", minute: "2-digit", hourCycle: "h23" });
      case "bool": return say(value ? "yes" : "no");
      default: {
        const known = column.values && Object.hasOwn(column.values, value) && column.values[value];
        return known ? t(known) : String(value);
      }
    }
  }
  const isNumeric = (column) => !["text", "date", "month", "moment", "bool"].includes(column.format);
  const isTime = (column) => ["date", "month", "moment"].includes(column.format);

  // ---- a figure's rows, chosen and cut ----

  /** Columns by name, and the rows that the reader's choices leave. */
  function view(page, figure, rows) {
    const columns = new Map(figure.columns.map((column, i) => [column.name, { ...column, data: rows[i] }]));
    const chosen = choices(page, figure, columns);
    let kept = [...(rows[0] || []).keys()];
    for (const [name, value] of chosen) {
      const values = columns.get(name).data;
      kept = kept.filter((i) => values[i] === value);
    }
    const x = columns.get(figure.chart.x);
    if (x && figure.chart.x === "date" && site().as_of) {
      const from = new Date(utc(site().as_of) - (state.days - 1) * 86400000).toISOString().slice(0, 10);
      kept = kept.filter((i) => x.data[i] >= from);
    }
    return {
      columns,
      rows: kept,
      chosen,
      at: (name, i) => columns.get(name)?.data[i],
      complete: (i) => !columns.has("is_complete") || columns.get("is_complete").data[i] !== false,
      text: (name, i, compact) => write(columns.get(name).data[i], columns.get(name), (other) => columns.get(other).data[i], compact),
      axis: (name, value, compact, unit = "number") => write(value, columns.get(name), () => unit, compact),
      label: (name) => t(columns.get(name).label),
    };
  }

  /** Facet to the value that is chosen, within those chosen before it. */
  function choices(page, figure, columns) {
    const chosen = new Map();
    let kept = [...(columns.values().next().value?.data.keys() || [])];
    for (const name of figure.facets) {
      const values = columns.get(name).data;
      const there = [...new Set(kept.map((i) => values[i]))];
      const key = `${page}/${figure.id}/${name}`;
      let value = state.chosen.get(key);
      if (!there.includes(value)) value = there.includes(figure.first[name]) ? figure.first[name] : there[0];
      chosen.set(name, value);
      kept = kept.filter((i) => values[i] === value);
      columns.get(name).there = there;
    }
    return chosen;
  }

  // ---- tables ----

  const PAGE_ROWS = 50;

  /** A table of the view: sorted by a column, paged, and searched where the chart names columns. */
  function table(figure, shown, { search = [], caption, rows = PAGE_ROWS }) {
    const columns = [...shown.columns.values()].filter((column) => !column.hidden
      && !figure.facets.includes(column.name) && column.name !== "is_complete");
    let sorted = shown.rows;
    let order = null;
    let page = 0;
    const keys = new Map();
    const lower = (name) => {
      if (!keys.has(name)) {
        const column = shown.columns.get(name);
        keys.set(name, column.data.map((value) => write(value, column, () => "text").toLowerCase()));
      }
      return keys.get(name);
    };
    const body = el("tbody");
    const status = el("span", { role: "status" });
    const back = el("button", { type: "button", onclick: () => turn(-1) }, say("previous"));
    const on = el("button", { type: "button", onclick: () => turn(1) }, say("next"));
    const pager = el("div", { class: "pager" }, back, on, status);
    const heads = columns.map((column) => {
      const button = el("button", { type: "button", onclick: () => sort(column.name) }, t(column.label));
      return el("th", { scope: "col", class: isNumeric(column) ? "number" : null }, button);
    });

    function sort(name) {
      order = order && order.name === name ? { name, up: !order.up } : { name, up: !isNumeric(shown.columns.get(name)) };
      const column = shown.columns.get(name);
      const values = column.format === "text" ? lower(name) : column.data;
      const sign = order.up ? 1 : -1;
      sorted = [...shown.rows].sort((a, b) => {
        const none = (column.data[a] === null) - (column.data[b] === null);
        if (none) return none;
        return values[a] < values[b] ? -sign : values[a] > values[b] ? sign : a - b;
      });
      heads.forEach((head, i) => {
        if (columns[i].name === name) head.setAttribute("aria-sort", order.up ? "ascending" : "descending");
        else head.removeAttribute("aria-sort");
      });
      page = 0;
      show();
    }
    let words = "";
    function found() {
      if (!words) return sorted;
      const looked = search.map(lower);
      return sorted.filter((i) => looked.some((values) => values[i].includes(words)));
    }
    function turn(step) { page += step; show(); }
    function show() {
      const hits = found();
      const pages = Math.max(1, Math.ceil(hits.length / rows));
      page = Math.min(Math.max(page, 0), pages - 1);
      const from = page * rows;
      body.replaceChildren(...hits.slice(from, from + rows).map((i) => {
        const complete = shown.complete(i);
        return el("tr", { class: complete ? null : "incomplete" }, columns.map((column, nth) => {
          const value = column.data[i];
          const text = shown.text(column.name, i);
          const tag = nth === 0 ? "th" : "td";
          const worded = column.format === "text";
          const cell = el(tag, { scope: nth === 0 ? "row" : null, class: isNumeric(column) ? "number" : worded ? null : "short" },
            worded ? el("span", { class: "cell", dir: "auto" }, text) : text);
          if (value === null) { cell.classList.add("none"); cell.append(el("span", { class: "hidden" }, ` ${say("noValue")}`)); }
          if (column.format === "bool") cell.classList.add(`is-${column.name}`, value ? "yes" : "no");
          if (nth === 0 && !complete) cell.append(el("span", { class: "mark" }, say("incompleteMark")));
          return cell;
        }));
      }));
      back.disabled = page === 0;
      on.disabled = page >= pages - 1;
      status.textContent = hits.length ? say("range", { a: write(from + 1, COUNT), b: write(Math.min(from + rows, hits.length), COUNT), n: write(hits.length, COUNT) }) : say("nothing");
      back.hidden = on.hidden = pages === 1;
    }
    show();
    const field = search.length && shown.rows.length > 8
      ? el("label", { class: "search" }, el("span", {}, say("search")), el("input", {
        type: "search", oninput: (event) => { words = event.target.value.trim().toLowerCase(); page = 0; show(); },
      })) : null;
    return el("div", { class: `table${figure.chart.fine ? " fine" : ""}` }, field,
      el("div", { class: "scroll", role: "region", tabindex: "0", "aria-label": caption },
        el("table", {}, el("caption", { class: "hidden" }, caption), el("thead", {}, el("tr", {}, heads)), body)),
      pager);
  }
  const COUNT = { format: "count" };

  // ---- figures ----

  function figureNode(page, figure) {
    const id = `figure-${figure.id}`;
    const head = el("div", { class: "figure-head" }, el("h2", { id: `${id}-title` }, t(figure.title)), definitionButton(figure));
    const meta = el("p", { class: "meta" });
    const body = el("div", { class: "figure-body" });
    const node = el("section", { class: `figure${figure.wide ? " wide" : ""}`, id, "aria-labelledby": `${id}-title` }, head, meta, body);
    const draw = async () => {
      if (figure.state !== "ok") {
        meta.replaceChildren(...metaText(figure, null));
        body.replaceChildren(trouble(figure));
        return;
      }
      let rows = figure.data;
      if (figure.deferred) {
        body.replaceChildren(el("p", { class: "note" }, say("loading")));
        rows = await data(figure.deferred);
      }
      fillFigure(page, figure, rows, node, meta, body);
    };
    draw().catch(() => body.replaceChildren(el("p", { class: "trouble" }, prose(say("loadFailed")))));
    return node;
  }

  function fillFigure(page, figure, rows, node, meta, body) {
    const focus = body.contains(document.activeElement) ? document.activeElement.dataset.facet : null;
    const shown = view(page, figure, rows);
    meta.replaceChildren(...metaText(figure, shown));
    const title = t(figure.title);
    const parts = [];
    if (figure.facets.length) {
      parts.push(el("div", { class: "facets" }, figure.facets.map((name) => {
        const column = shown.columns.get(name);
        return el("label", {}, el("span", {}, shown.label(name)), el("select", {
          "data-facet": name,
          onchange: (event) => {
            state.chosen.set(`${page}/${figure.id}/${name}`, column.there[event.target.selectedIndex]);
            fillFigure(page, figure, rows, node, meta, body);
          },
        }, column.there.map((value) => el("option", { selected: value === shown.chosen.get(name) }, shown.axis(name, value)))));
      })));
    }
    const kind = figure.chart.kind;
    const note = figure.note ? [el("p", { class: "note" }, prose(t(figure.note)))] : [];
    if (kind === "list") {
      parts.push(table(figure, shown, { search: figure.chart.search || [], caption: title, rows: figure.deferred ? 20 : 12 }));
    } else if (kind === "cards") {
      parts.push(cards(figure, shown));
    } else {
      const drawn = [...(Array.isArray(figure.chart.y) ? figure.chart.y : []), figure.chart.value, figure.chart.mid].filter(Boolean);
      if (!shown.rows.length) parts.push(el("p", { class: "trouble" }, say("empty")));
      else if (drawn.length && drawn.every((name) => shown.rows.every((i) => shown.at(name, i) === null))) parts.push(el("p", { class: "trouble" }, say("notYet")));
      else if (kind === "heat") parts.push(heat(figure, shown, title));
      else parts.push(chart(figure, shown, title));
    }
    const drawn = kind === "list" ? [...shown.columns.keys()] : [...(Array.isArray(figure.chart.y) ? figure.chart.y : []), ...(figure.chart.steps || []), figure.chart.value, figure.chart.mid].filter((name) => shown.columns.has(name));
    if (shown.rows.some((i) => !shown.complete(i) && (!drawn.length || drawn.some((name) => shown.at(name, i) !== null)))) note.push(el("p", { class: "note key-incomplete" }, say("incomplete")));
    if (drawn.some((name) => shown.rows.some((i) => shown.at(name, i) === null))) note.push(el("p", { class: "note" }, say("unobservable")));
    if (figure.total > rows[0].length) {
      note.push(el("p", { class: "note" }, say("topOf", { n: write(rows[0].length, COUNT), m: write(figure.total, COUNT) })));
    }
    parts.push(...note);
    if (!["list", "cards"].includes(kind) && shown.rows.length) {
      const key = `${page}/${figure.id}`;
      const id = `table-${figure.id}`;
      const place = el("div", { id, hidden: !state.open.has(key) });
      const button = el("button", {
        type: "button", class: "more", "aria-expanded": String(state.open.has(key)), "aria-controls": id,
        "aria-label": `${say("table")}: ${title}`,
        onclick: () => {
          const open = place.hidden;
          state.open[open ? "add" : "delete"](key);
          place.hidden = !open;
          button.setAttribute("aria-expanded", String(open));
          if (open) place.replaceChildren(table(figure, shown, { caption: title, rows: 15 }));
        },
      }, say("table"));
      if (state.open.has(key)) place.append(table(figure, shown, { caption: title, rows: 15 }));
      parts.push(button, place);
    }
    disposeIn(body);
    body.replaceChildren(...parts);
    if (focus) body.querySelector(`[data-facet="${focus}"]`)?.focus();
    watchIn(body);
  }

  function metaText(figure, shown) {
    const x = shown && figure.chart.x && shown.columns.get(figure.chart.x);
    const clock = figure.clock === "published" ? site().published_at.slice(0, 10) : site().as_of;
    let date = clock ? write(clock, { format: "date" }) : null;
    if (x && isTime(x) && shown.rows.length) {
      const last = shown.rows.reduce((most, i) => (x.data[i] > most ? x.data[i] : most), "");
      if (x.name === "month" || x.format === "moment" || last > "") {
        date = x.name === "week_start" ? say("weekOf", { date: write(last, x) }) : write(last, x);
      }
    }
    return [...(date ? [el("span", { class: "date" }, `${say("to")} ${date}`), " · "] : []), t(figure.per)];
  }

  function trouble(figure) {
    const list = (names) => names.map((name) => `\`${name}\``).join(", ");
    const text = figure.state === "missing" ? say("missing", { what: list(figure.missing) })
      : figure.state === "unreadable" ? say("unreadable")
        : figure.logs && figure.logs.length ? say("emptyLogs", { what: list(figure.logs) }) : say("empty");
    const note = figure.note && figure.state === "empty" ? [" ", ...prose(t(figure.note))] : [];
    return el("p", { class: "trouble" }, prose(text), note);
  }

  function heat(figure, shown, title) {
    const { x, y, value, den, names } = figure.chart;
    const xs = [...new Set(shown.rows.map((i) => shown.at(x, i)))];
    const ys = [...new Set(shown.rows.map((i) => shown.at(y, i)))];
    if (names) ys.forEach((name) => { if (!xs.includes(name)) xs.push(name); });
    const order = names ? ys : xs;
    const cells = new Map(shown.rows.map((i) => [`${shown.at(y, i)}\u0000${shown.at(x, i)}`, i]));
    const most = Math.max(...shown.rows.map((i) => shown.at(value, i) ?? 0), 0);
    const head = el("tr", {}, el("th", { scope: "col" }, names ? "" : shown.label(y)),
      order.map((name, nth) => el("th", { scope: "col", title: names ? shown.axis(x, name) : null },
        names ? [el("span", { "aria-hidden": "true" }, String(nth + 1)), el("span", { class: "hidden" }, shown.axis(x, name))] : x === "day_n" ? say("dayN", { n: name }) : shown.axis(x, name))));
    const body = ys.map((row, nth) => el("tr", {},
      el("th", { scope: "row", dir: "auto" }, names ? `${nth + 1}  ${shown.axis(y, row)}` : shown.axis(y, row)),
      order.map((column) => {
        const i = cells.get(`${row}\u0000${column}`);
        if (i === undefined) return el("td", { class: names ? "self" : "none" }, names ? "" : "—");
        const found = shown.at(value, i);
        const cell = el("td", {}, found === null ? "—" : names && !found ? "·" : shown.text(value, i, true));
        if (found === null) { cell.classList.add("none"); cell.append(el("span", { class: "hidden" }, ` ${say("noValue")}`)); return cell; }
        const share = most > 0 ? Math.max(found, 0) / most : 0;
        cell.style.setProperty("--heat", share.toFixed(3));
        if (!shown.complete(i)) cell.classList.add("incomplete");
        if (den) cell.title = `${shown.label(den)}: ${shown.text(den, i)}`;
        return cell;
      })));
    return el("div", { class: `scroll heat${names ? " names" : ""}`, role: "region", tabindex: "0", "aria-label": title },
      el("table", { class: "chart" }, el("caption", { class: "hidden" }, title), el("thead", {}, head), el("tbody", {}, body)));
  }

  function cards(figure, shown) {
    const { title, badge } = figure.chart;
    return el("ul", { class: "cards" }, shown.rows.map((i) => el("li", { class: `card status-${String(shown.at(badge, i)).replace(/\W/g, "")}` },
      el("h3", { dir: "auto" }, shown.text(title, i)), el("span", { class: "badge" }, shown.text(badge, i)),
      el("dl", {}, [...shown.columns.values()].filter((column) => ![title, badge].includes(column.name) && !column.hidden).map((column) => [
        el("dt", {}, t(column.label)), el("dd", { dir: "auto" }, shown.text(column.name, i))])))));
  }

  // ---- charts, drawn when they come into sight ----

  const pending = new WeakMap();
  const sight = new IntersectionObserver((entries) => {
    for (const entry of entries) {
      if (!entry.isIntersecting || !pending.has(entry.target)) continue;
      const make = pending.get(entry.target);
      pending.delete(entry.target);
      sight.unobserve(entry.target);
      make();
    }
  }, { rootMargin: "300px" });
  const sizes = new ResizeObserver((entries) => {
    for (const entry of entries) window.echarts?.getInstanceByDom(entry.target)?.resize();
  });
  function watchIn(node) { for (const place of node.querySelectorAll(".canvas")) sight.observe(place); }
  function disposeIn(node) {
    for (const place of node.querySelectorAll(".canvas")) {
      sight.unobserve(place);
      sizes.unobserve(place);
      window.echarts?.getInstanceByDom(place)?.dispose();
    }
  }

  function chart(figure, shown, title) {
    const kind = figure.chart.kind;
    const place = el("div", { class: `canvas ${kind}`, role: "img" });
    const marks = ["hbar", "interval", "steps"].includes(kind) ? new Set(shown.rows.map((i) => shown.at(figure.chart.x || figure.chart.label, i))).size : 0;
    if (marks) place.style.height = `${Math.max(150, 64 + marks * (kind === "hbar" ? 12 + 16 * (figure.chart.stack ? 1 : figure.chart.y.length) : 34))}px`;
    const many = figure.chart.by ? new Set(shown.rows.map((i) => shown.at(figure.chart.by, i))).size : (figure.chart.y || [1]).length || 1;
    place.setAttribute("aria-label", say("chartOf", { title, what: say("series", { n: many, m: shown.rows.length }) }));
    pending.set(place, async () => {
      await Promise.all([load("vendor/echarts.min.js"), load("charts.js")]);
      if (!place.isConnected) return;
      const drawn = window.echarts.init(place, null, { renderer: "canvas" });
      drawn.setOption(window.tandemCharts(figure.chart, shown, tools(place)));
      sizes.observe(place);
      place.dataset.drawn = "yes";
    });
    return place;
  }

  const tools = (place) => {
    const style = getComputedStyle(document.documentElement);
    const colour = (name) => style.getPropertyValue(`--${name}`).trim();
    return {
      palette: [1, 2, 3, 4, 5, 6, 7, 8].map((n) => colour(`series-${n}`)),
      ink: colour("ink"), faint: colour("faint"), line: colour("line"), paper: colour("paper"),
      good: colour("good"), bad: colour("bad"), warn: colour("warn"),
      narrow: place.clientWidth < 480,
      still: matchMedia("(prefers-reduced-motion: reduce)").matches,
      incomplete: say("incompleteMark"),
      // Isolated, so that a right-to-left name does not turn its neighbours around.
      isolate: (text) => `\u2068${text}\u2069`,
      tooltip: (head, lines) => el("div", { class: "tip" }, el("strong", { dir: "auto" }, head),
        lines.map(([mark, name, value]) => {
          const dot = el("i", {});
          if (mark) dot.style.background = mark;
          return el("div", {}, dot, el("span", { dir: "auto" }, name), el("b", {}, value));
        })),
    };
  };

  // ---- definitions ----

  function definitionButton(item) {
    return el("button", {
      type: "button", class: "info", "aria-haspopup": "dialog", "aria-label": `${say("definition")}: ${t(item.title)}`,
      title: say("definition"), onclick: (event) => define(item, event.currentTarget),
    }, "i");
  }
  function define(item, from) {
    const dialog = document.getElementById("definition");
    const parts = item.metrics.map((id) => site().metrics[id]).filter(Boolean).map((metric) => {
      const pairs = [
        ["formula", metric.formula], ["numerator", metric.numerator], ["denominator", metric.denominator || say("counts")],
        ["window", metric.window], ["exclusions", metric.exclusions], ["null_rule", metric.null_rule],
        ["additivity", metric.additivity], ["version", metric.version], ["mart", metric.mart],
      ];
      const [mine, other] = index() ? [metric.name_zh, metric.name_en] : [metric.name_en, metric.name_zh];
      return el("section", {}, el("h3", {}, mine, " ", el("small", {}, other)),
        el("dl", {}, pairs.filter(([, value]) => value).map(([key, value]) => [el("dt", {}, say(key)), el("dd", {}, String(value))]),
          metric.about.length ? [el("dt", {}, say("columnsAbout")), el("dd", {}, metric.about.map(([name, words]) => el("p", {}, el("code", {}, name), " ", part(words))))] : []));
    });
    if (!parts.length) parts.push(el("dl", {}, el("dt", {}, say("dividedBy")), el("dd", {}, t(item.per)), ...(item.marts ? [el("dt", {}, say("mart")), el("dd", {}, item.marts.join(", "))] : [])));
    const close = el("button", { type: "button", class: "close", onclick: () => dialog.close() }, say("close"));
    dialog.setAttribute("aria-labelledby", "definition-title");
    dialog.replaceChildren(el("div", { class: "dialog-head" }, el("h2", { id: "definition-title" }, t(item.title)), close),
      el("p", { class: "meta" }, t(item.per)), ...parts);
    dialog.onclose = () => from.focus();
    dialog.showModal();
    dialog.scrollTop = 0;
  }
  /** A description's half in the reader's language. */
  const part = (words) => { const halves = words.split(" | "); return halves[index()] || halves[0]; };

  // ---- tiles ----

  function tileNode(tile) {
    const column = { format: tile.format };
    const plain = () => "number";
    const head = el("div", { class: "tile-head" }, el("h2", {}, t(tile.title)), definitionButton(tile));
    if (tile.state !== "ok") {
      return el("section", { class: "tile" }, head, el("p", { class: "value none" }, "—", el("span", { class: "hidden" }, say("noValue"))),
        el("p", { class: "meta" }, prose(tile.state === "missing" ? say("missing", { what: tile.missing.map((name) => `\`${name}\``).join(", ") }) : say("unreadable"))));
    }
    const none = tile.value === null || tile.value === undefined;
    const value = el("p", { class: `value${none ? " none" : ""}`, title: none ? say("noValue") : write(tile.value, column, plain) },
      write(tile.value, column, plain, tile.format === "money" && Math.abs(tile.value) >= 10 ** (site().exponent + 5)));
    if (none) value.append(el("span", { class: "hidden" }, say("noValue")));
    const lines = [];
    if (!none && tile.previous !== null && tile.previous !== undefined && tile.than) {
      const change = tile.format === "ratio" ? tile.value - tile.previous : tile.previous ? tile.value / tile.previous - 1 : null;
      if (change !== null) {
        const text = tile.format === "ratio"
          ? say("points", { n: intl("number", { maximumFractionDigits: 1, signDisplay: "exceptZero" }).format(change * 100) })
          : intl("number", { style: "percent", maximumFractionDigits: 1, signDisplay: "exceptZero" }).format(change);
        const good = tile.up_is_good === null || Math.abs(change) < 0.0005 ? "" : (change > 0) === tile.up_is_good ? "good" : "bad";
        lines.push(el("p", { class: "change" }, el("b", { class: good }, text), ` ${say("than")} ${t(tile.than)} (${write(tile.previous, column, plain, true)})`));
      }
    }
    const num = tile.numerator ?? null;
    const den = tile.denominator ?? null;
    const share = den === null ? "" : num === null ? `${write(den, COUNT)} ` : state.lang === "zh" ? `${write(num, COUNT)} ÷ ${write(den, COUNT)} · ` : `${write(num, COUNT)} of ${write(den, COUNT)} · `;
    const date = tile.at ? `${say("to")} ${write(tile.at, { format: "date" })}` : site().as_of ? `${say("to")} ${write(site().as_of, { format: "date" })}` : "";
    return el("section", { class: "tile" }, head, value, spark(tile.trend), lines,
      el("p", { class: "meta" }, share, t(tile.per), el("br"), el("span", { class: "date" }, date)));
  }

  function spark(numbers) {
    if (!numbers || numbers.length < 3) return null;
    const ns = "http://www.w3.org/2000/svg";
    const low = Math.min(...numbers);
    const span = Math.max(...numbers) - low || 1;
    const svg = document.createElementNS(ns, "svg");
    svg.setAttribute("viewBox", "0 0 100 24");
    svg.setAttribute("preserveAspectRatio", "none");
    svg.setAttribute("class", "spark");
    svg.setAttribute("aria-hidden", "true");
    const line = document.createElementNS(ns, "polyline");
    line.setAttribute("points", numbers.map((n, i) => `${(i * 100 / (numbers.length - 1)).toFixed(1)},${(22 - 20 * (n - low) / span).toFixed(1)}`).join(" "));
    svg.append(line);
    return svg;
  }

  // ---- the frame ----

  const dark = () => (state.theme ? state.theme === "dark" : matchMedia("(prefers-color-scheme: dark)").matches);
  function applyTheme() { document.documentElement.dataset.theme = dark() ? "dark" : "light"; }

  function frame() {
    const about = site();
    document.documentElement.lang = state.lang === "zh" ? "zh-CN" : "en";
    applyTheme();
    const current = pageId();
    const header = el("header", {},
      el("a", { class: "skip", href: "#main", onclick: (event) => { event.preventDefault(); document.querySelector("h1")?.focus(); } }, say("skip")),
      el("a", { class: "brand", href: "#/overview" }, "Tandem"),
      el("p", { class: "stamp" }, about.as_of ? `${say("asOf")} ${write(about.as_of, { format: "date" })}` : "", " ",
        el("small", {}, `${say("version")} ${about.version} · ${say("published")} ${write(about.published_at, { format: "moment" })} UTC${about.live_as_of ? ` · ${say("live")} ${write(about.live_as_of, { format: "moment" })} UTC` : ""}`)),
      el("div", { class: "switches" },
        el("button", { type: "button", id: "theme", "aria-pressed": String(dark()), onclick: () => { state.theme = dark() ? "light" : "dark"; remember("theme", state.theme); render("theme"); } }, say(dark() ? "toLight" : "toDark")),
        el("button", { type: "button", id: "lang", lang: state.lang === "zh" ? "en" : "zh-CN", "aria-label": say("langLabel"), onclick: () => { state.lang = state.lang === "zh" ? "en" : "zh"; remember("lang", state.lang); render("lang"); } }, say("lang"))));
    const nav = el("nav", { "aria-label": say("menu") }, el("ul", {}, about.pages.map((page) => el("li", {},
      el("a", { href: `#/${page.id}`, "aria-current": page.id === current ? "page" : null }, t(page.title))))));
    return [header, nav];
  }

  const pageId = () => {
    const id = location.hash.replace(/^#\//, "").split("/")[0];
    return site().pages.some((page) => page.id === id) ? id : site().pages[0].id;
  };

  let turn = 0;
  /** Draw all of it; `focus` is the id that keeps the focus, or `title` after a change of page. */
  async function render(focus) {
    const mine = ++turn;
    const id = pageId();
    const about = site().pages.find((page) => page.id === id);
    document.title = `${t(about.title)} · Tandem`;
    disposeIn(document.body);
    const main = el("main", { id: "main" }, el("h1", { tabindex: "-1" }, t(about.title)), el("p", { class: "lead" }, t(about.lead)));
    const footer = el("footer", {}, el("p", {}, say("sources")));
    document.body.replaceChildren(...frame(), main, footer, el("dialog", { id: "definition" }));
    document.querySelector("nav [aria-current]")?.scrollIntoView({ block: "nearest", inline: "center" });
    if (focus === "title") { document.querySelector("h1").focus({ preventScroll: true }); scrollTo(0, 0); }
    else if (focus) document.getElementById(focus)?.focus();
    let page;
    try {
      page = await data(id);
    } catch {
      main.append(el("p", { class: "trouble" }, prose(say("loadFailed"))));
      return;
    }
    if (mine !== turn) return;
    if (page.figures.some((figure) => figure.chart.x === "date")) main.append(periods());
    if (page.tiles.length) main.append(el("div", { class: "tiles" }, page.tiles.map(tileNode)));
    main.append(el("div", { class: "figures" }, page.figures.map((figure) => figureNode(id, figure))));
    main.dataset.page = id;
  }

  function periods() {
    return el("div", { class: "facets period" }, el("label", {}, el("span", {}, say("period")), el("select", {
      id: "period", onchange: (event) => { state.days = [28, 90, 400][event.target.selectedIndex]; remember("days", state.days); render("period"); },
    }, [28, 90, 400].map((n) => el("option", { selected: n === state.days }, say("days", { n }))))));
  }

  addEventListener("hashchange", () => render("title"));
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => { if (!state.theme && site()) render(); });
  addEventListener("DOMContentLoaded", () => {
    if (!site()) { document.body.append(el("p", { class: "trouble" }, prose(say("loadFailed")))); return; }
    render();
    // Beside the page's data, not after it.
    for (const path of ["vendor/echarts.min.js", "charts.js"]) load(path).catch(() => {});
  });
})();
