// What another range, observer or dtype would make of an observed value: the panel in its details,
// and the formulas, for pages that no kernel answers.

const FLOAT_EPS = 2 ** -23; // torch's smallest scale
const OWN_RANGE = "a range of my own";
const AS_IT_IS = "";
const NEEDS_A_NOTEBOOK =
  "This page does not hold what that is computed from: it takes a notebook.";

// Formulas: the same as in snapshots/qparams.py and snapshots/grid.py -------------------------------

/** Halves to the even integer, as torch rounds. */
function roundHalfEven(value) {
  const below = Math.floor(value);
  const rest = value - below;
  if (rest !== 0.5) return Math.round(value);
  return below % 2 === 0 ? below : below + 1;
}

function clamp(value, low, high) {
  return Math.max(low, Math.min(value, high));
}

/** What torch makes of a range, in single precision: {scale, zeroPoint}. */
function gridOf(low, high, { quantMin, quantMax, dtype, isSymmetric }) {
  const single = Math.fround;
  const [from, to] = [Math.min(single(low), 0), Math.max(single(high), 0)];
  const steps = quantMax - quantMin;
  const step = isSymmetric
    ? single(Math.max(-from, to) / single(steps / 2))
    : single(single(to - from) / single(steps));
  const scale = Math.max(step, FLOAT_EPS);
  const middle = dtype === "quint8" ? 128 : 0;
  const point = quantMin - roundHalfEven(single(from / scale));
  const zeroPoint = isSymmetric ? middle : clamp(point, quantMin, quantMax);
  return { scale, zeroPoint };
}

/** The edges of so many bins. */
function edgesOf({ low, high, counts }) {
  const edge = (_, at) => low + ((high - low) * at) / counts.length;
  return Array.from({ length: counts.length + 1 }, edge);
}

/** Edges and counts of a histogram, in its `fine` bins where there are some. */
function binsOf(histogram) {
  const coarse = edgesOf(histogram);
  const [edges, counts] = [[histogram.low], []];
  histogram.counts.forEach((count, at) => {
    const part = histogram.fine[at] ?? [count];
    counts.push(...part);
    edges.push(...edgesOf({ low: coarse[at], high: coarse[at + 1], counts: part }).slice(1));
  });
  return { edges, counts };
}

/**
 * What rounding the values of a histogram {low, high, counts, fine} costs, to the integers from
 * `least` to `most`.
 */
function costOf(histogram, { scale, zeroPoint }, [least, most]) {
  const { edges, counts } = binsOf(histogram);
  const [first, last] = [least - zeroPoint, most - zeroPoint];
  const nearest = (x) => clamp(roundHalfEven(x / scale), first, last);
  const integral = (x) => {
    const whole = nearest(x);
    return (whole * scale ** 3) / 12 + (x - whole * scale) ** 3 / 3;
  };
  let [noise, power, sum] = [0, 0, 0];
  const sums = [0];
  counts.forEach((count, at) => {
    const [a, b] = [edges[at], edges[at + 1]];
    const error = b > a ? (integral(b) - integral(a)) / (b - a) : (a - nearest(a) * scale) ** 2;
    noise += count * error;
    power += (count * (a * a + a * b + b * b)) / 3;
    sum += count;
    sums.push(sum);
  });
  const upTo = (x) => {
    if (x <= edges[0]) return 0;
    if (x >= edges.at(-1)) return sum;
    const at = edges.findIndex((edge) => edge > x) - 1;
    return sums[at] + (counts[at] * (x - edges[at])) / (edges[at + 1] - edges[at]);
  };
  const ends = { low: first * scale, high: last * scale };
  const inside = upTo(ends.high + scale / 2) - upTo(ends.low - scale / 2);
  const sqnr = noise > 0 ? 10 * Math.log10(power / noise) : Infinity;
  const words = { scale: String(Number(scale.toPrecision(5))), zeroPoint: String(zeroPoint) };
  return { ...words, ...ends, clipped: sum ? 1 - inside / sum : 0, sqnr };
}

/** The answer to a wish, computed from an offer {present, predicted, ranges, histogram, …}. */
function whatIfHere(offer, { observer, low, high, dtype, per_channel: perChannel }) {
  const name = perChannel ? "PerChannelMinMax" : observer;
  const known = dtype ? undefined : offer.predicted[name];
  const told = { asked: name ?? "", modules: offer.modules, code: "", problem: "" };
  if (known) return { ...told, present: offer.present, predicted: known };
  const { histogram } = offer;
  const isSearched = observer === "Histogram";
  const { present } = offer;
  const range = observer ? offer.ranges[observer] : [low ?? offer.range[0], high ?? offer.range[1]];
  if (!histogram || !range || isSearched || perChannel) return { problem: NEEDS_A_NOTEBOOK };
  const [quantMin, quantMax] = dtype ? offer.dtypes[dtype] : [offer.quantMin, offer.quantMax];
  const wanted = { ...offer, quantMin, quantMax, dtype: dtype ?? offer.dtype };
  const now = { scale: Number(present.scale), zeroPoint: Number(present.zeroPoint) };
  const stored = dtype ? offer.dtypes[dtype] : offer.stored;
  return {
    ...told,
    note: "Computed in this page, from a coarser histogram than a notebook has.",
    present: costOf(histogram, now, offer.stored),
    predicted: costOf(histogram, gridOf(range[0], range[1], wanted), stored),
  };
}

// The panel ----------------------------------------------------------------------------------------

/**
 * `on.ask(wish)` answers; `on.apply(wish)`, null where nothing can be run, starts a run with it;
 * `on.toggle(isOpen)` hears that it was opened or closed.
 */
class WhatIfPanel {
  constructor(section, isOpen, on) {
    this.value = section.value;
    this.on = on;
    this.wish = {};
    this.body = make("div", { class: "jitq-what-if" });
    this.element = make(
      "details",
      { class: "jitq-section jitq-more", ontoggle: () => this.toggle() },
      make("summary", { text: section.title }),
      make("p", { class: "jitq-quiet jitq-hint", text: section.hint }),
      this.body,
    );
    this.element.open = isOpen;
  }

  async toggle() {
    const { open } = this.element;
    this.on.toggle(open);
    if (!open || this.offer) return;
    this.offer = await this.on.ask({ value: this.value });
    const problem = this.offer.error ?? this.offer.problem;
    if (problem) this.body.replaceChildren(make("p", { class: "jitq-quiet", text: problem }));
    else this.makeParts();
  }

  makeParts() {
    const { offer } = this;
    const isNow = (name) => (offer.isNow.includes(name) ? " (as now)" : "");
    const names = Object.keys(offer.predicted).map((name) => [name, `${name}${isNow(name)}`]);
    this.observer = makeSelect(
      "Observer",
      [[AS_IT_IS, "as it is"], ...names, [OWN_RANGE, OWN_RANGE]],
      () => this.chooseObserver(),
    );
    const integers = Object.entries(offer.dtypes).map(([name, [least, most]]) => [
      name,
      `${name}, ${least} … ${most}`,
    ]);
    const present = `${offer.dtype}, ${offer.quantMin} … ${offer.quantMax} (as now)`;
    this.dtype = makeSelect("Integers", [["", present], ...integers], () => this.answer());
    this.picture = make("div");
    this.low = this.slider("low");
    this.high = this.slider("high");
    this.result = make("div", { role: "status" });
    this.foot = make("div");
    const choices = [labelled("observer", this.observer), labelled("integers", this.dtype)];
    const form = make("div", { class: "jitq-bar" }, ...choices);
    const sliders = [this.low.element, this.high.element];
    this.body.replaceChildren(form, this.picture, ...sliders, this.result, this.foot);
    this.setRange(offer.range);
    this.show({ present: offer.present, predicted: null });
  }

  /** How far a range may be moved: a quarter beyond what was seen, and beyond what it is now. */
  span() {
    const { range, histogram } = this.offer;
    const low = Math.min(histogram?.low ?? 0, range[0], 0);
    const high = Math.max(histogram?.high ?? 0, range[1], 0);
    return { low: 1.25 * low, high: 1.25 * high };
  }

  slider(end) {
    const { low, high } = this.span();
    const [min, max] = end === "low" ? [low, 0] : [0, high];
    const slide = make("input", {
      type: "range",
      min,
      max,
      step: (max - min) / 400 || 1,
      "aria-label": `${end} end of the range`,
      disabled: max === min,
      oninput: () => this.moveEnd(end, slide.value),
    });
    const field = make("input", {
      type: "number",
      class: "jitq-field",
      step: "any",
      "aria-label": `${end} end of the range, as a number`,
      onchange: () => this.moveEnd(end, field.value),
    });
    const name = make("span", { text: end });
    const element = make("div", { class: "jitq-slider" }, name, slide, field);
    return { element, slide, field, value: 0 };
  }

  setEnd(end, value) {
    const { slide, field } = this[end];
    this[end].value = value;
    slide.value = String(value);
    slide.setAttribute("aria-valuetext", shortNumber(value));
    field.value = shortNumber(value);
  }

  setRange([low, high]) {
    this.setEnd("low", low);
    this.setEnd("high", high);
  }

  moveEnd(end, text) {
    const value = Number(text);
    if (text === "" || !Number.isFinite(value)) return;
    this.setEnd(end, end === "low" ? Math.min(value, 0) : Math.max(value, 0));
    this.observer.value = OWN_RANGE;
    this.answer();
  }

  chooseObserver() {
    const { ranges, range } = this.offer;
    const chosen = this.observer.value;
    if (Object.hasOwn(ranges, chosen)) this.setRange(ranges[chosen]);
    else if (chosen === AS_IT_IS) this.setRange(range);
    this.answer();
  }

  wished() {
    const dtype = this.dtype.value || null;
    // Other integers are given to an observer of the kind that there is.
    const [now = OWN_RANGE] = this.offer.isNow;
    const chosen = this.observer.value === AS_IT_IS ? now : this.observer.value;
    if (this.observer.value === AS_IT_IS && !dtype) return null;
    const named = chosen === "PerChannelMinMax" ? { per_channel: true } : { observer: chosen };
    const range = { low: this.low.value, high: this.high.value };
    const asked = chosen === OWN_RANGE ? range : named;
    return { value: this.value, ...asked, ...(dtype && { dtype }) };
  }

  /** Ask for the newest wish; while an answer is awaited the next one waits. */
  async answer() {
    this.isStale = true;
    if (this.isAsking) return;
    this.isAsking = true;
    while (this.isStale) {
      this.isStale = false;
      const wish = this.wished();
      const answer = wish
        ? await this.on.ask(wish)
        : { present: this.offer.present, predicted: null };
      this.show(answer, wish);
    }
    this.isAsking = false;
  }

  show(answer, wish = null) {
    const { present, predicted, note = "", modules = [], code = "" } = answer;
    const said = answer.error || answer.problem;
    this.draw(!said && predicted ? [this.low.value, this.high.value] : null);
    if (said) {
      this.result.replaceChildren(make("p", { class: "jitq-quiet", text: said }));
      this.foot.replaceChildren();
      return;
    }
    this.result.replaceChildren(comparisonOf(present, predicted));
    const notes = note ? [make("p", { class: "jitq-quiet jitq-hint", text: note })] : [];
    this.foot.replaceChildren(...notes, ...(predicted ? this.remedy(wish, modules, code) : []));
  }

  /** How to have it so. */
  remedy(wish, modules, code) {
    const { others, role } = this.offer;
    const where = modules.map((path) => path || "the model itself").join(", ");
    const isOne = others === 1;
    const also = `${plural(others, role)} more, which ${isOne ? "changes" : "change"} with it`;
    const more = others ? `. That decides on ${also}` : "";
    const said = `This takes another qconfig for ${where}${more}.`;
    const start = makeButton("Run with this, and compare", () => this.on.apply(wish), {
      class: "jitq-button jitq-primary",
    });
    const python = make("pre", {
      class: "jitq-wrap jitq-python",
      tabindex: "0",
      role: "group",
      "aria-label": "Python",
      text: code,
    });
    const { runnable } = this.offer;
    if (wish.dtype && wish.dtype !== runnable) {
      const text = `This can be predicted, not run: torch's kernels take ${runnable} here.`;
      return [make("p", { class: "jitq-quiet jitq-hint", text })];
    }
    const hint = make("p", { class: "jitq-quiet jitq-hint", text: said });
    const write = code ? [makeCopy(code, "Python"), python] : [];
    return [hint, ...(this.on.apply ? [start] : []), ...write];
  }

  draw(wanted) {
    const { histogram, range } = this.offer;
    if (!histogram) {
      this.picture.replaceChildren();
      return;
    }
    const shown = pictureOfRanges(histogram, this.span(), range, wanted);
    this.picture.replaceChildren(...shown);
  }
}

/** A histogram within a span, and two ranges in it; the second may be missing. */
function pictureOfRanges({ low, high, counts }, span, range, wanted) {
  const [wide, tall, foot] = [320, 96, 16];
  const [from, to] = [Math.min(span.low, low), Math.max(span.high, high)];
  const along = (value) => (clamp(value, from, to) - from) / (to - from);
  const x = (value) => (to > from ? wide * along(value) : wide / 2);
  // Few values are to be seen beside very many: the heights are logarithmic.
  const most = Math.log1p(Math.max(...counts, 1));
  const edges = edgesOf({ low, high, counts });
  const bars = counts.map((count, at) => {
    const height = (tall * Math.log1p(count)) / most;
    const width = Math.max(x(edges[at + 1]) - x(edges[at]), 0.5);
    return makeSvg("rect", { class: "jitq-bin", x: x(edges[at]), y: tall - height, width, height });
  });
  const lines = (name, ends) =>
    ends.map((end) =>
      makeSvg("line", { class: `jitq-range ${name}`, x1: x(end), x2: x(end), y1: 0, y2: tall }),
    );
  const text = (value, attributes) =>
    makeSvg("text", { y: tall + foot - 3, text: shortNumber(value), ...attributes });
  const svg = makeSvg(
    "svg",
    {
      class: "jitq-histogram",
      viewBox: `-6 -2 ${wide + 12} ${tall + foot + 2}`,
      role: "img",
      "aria-label": `Histogram of the values from ${shortNumber(low)} to ${shortNumber(high)}`,
    },
    ...bars,
    makeSvg("line", { class: "jitq-axis", x1: 0, x2: wide, y1: tall, y2: tall }),
    ...lines("jitq-old", range),
    ...(wanted ? lines("", wanted) : []),
    text(from, { x: 0 }),
    text(to, { x: wide, "text-anchor": "end" }),
  );
  const what = wanted ? "range now: grey · what if: dashed" : "range now: grey";
  const said = `${what} · heights are logarithmic`;
  return [svg, make("div", { class: "jitq-quiet jitq-hint", text: said })];
}

/** Two predictions side by side; the second may be missing. */
function comparisonOf(present, predicted) {
  const range = ({ low, high }) => `${shortNumber(low)} … ${shortNumber(high)}`;
  const percent = ({ clipped }) => `${Number((100 * clipped).toPrecision(3))} %`;
  const sqnr = ({ sqnr: value }) =>
    Number.isFinite(value) ? `${value.toFixed(2)} dB` : `${value} dB`.replace("Infinity", "∞");
  const rows = [
    ["scale", ({ scale }) => scale],
    ["zero point", ({ zeroPoint }) => zeroPoint],
    ["represents", range],
    ["cut off", percent],
    ["SQNR", sqnr],
  ];
  const heads = ["now", ...(predicted ? ["what if"] : [])].map((text) =>
    make("th", { scope: "col", text }),
  );
  const lines = rows.map(([name, text]) =>
    make(
      "tr",
      {},
      make("th", { scope: "row", text: name }),
      make("td", { text: text(present) }),
      predicted ? make("td", { text: text(predicted) }) : null,
    ),
  );
  const table = make(
    "table",
    { class: "jitq-compared", "aria-label": "Now and what if" },
    make("thead", {}, make("tr", {}, make("td"), ...heads)),
    make("tbody", {}, ...lines),
  );
  const gain = predicted ? predicted.sqnr - present.sqnr : Number.NaN;
  if (!Number.isFinite(gain)) return table;
  const size = Math.abs(gain).toFixed(2);
  const sign = gain > 0 ? "▲ +" : "▼ −";
  const what = Number(size) ? `${sign}${size} dB` : "No gain and no loss";
  const text = `${what} predicted at this value`;
  return make("div", {}, table, make("div", { class: "jitq-gain", text }));
}
