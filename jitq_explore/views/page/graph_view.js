// The graph view of the explorer's page: drawings that are panned, zoomed, searched and folded.
//
// Python makes the drawings (SVG); here they are shown, and what is done to them is told to the
// `handlers`. Nothing here asks for an answer or knows of stages. No import, no export: this file
// and `explorer.js` are joined into one module.

const GRAPH_SIGNS = { added: "+", removed: "−", changed: "~", same: "" };
const GRAPH_LINES = { float: "float", quantized: "quantized", packed: "packed", removed: "no more" };
const GRAPH_SVG = "http://www.w3.org/2000/svg";

// Below this scale the small lines in the boxes are hard to read (9.5 points).
const GRAPH_LEGIBLE = 0.75;
const GRAPH_LARGEST = 4;
const GRAPH_MARGIN = 16;

const GRAPH_PREPARED = new WeakMap();

// Drawings hold these elements and no others: what can run or load something is not among them.
const GRAPH_ELEMENTS = new Set([
  "svg", "g", "path", "rect", "text", "tspan", "title", "circle", "ellipse", "polygon", "polyline",
  "line",
]);

// An SVG that Python made, as an element. Throws where it holds what a drawing has no need of.
function graphSvg(text) {
  const parsed = new DOMParser().parseFromString(text, "image/svg+xml");
  const svg = parsed.documentElement;
  if (svg.localName !== "svg" || svg.namespaceURI !== GRAPH_SVG || parsed.querySelector("parsererror")) {
    throw new Error("the drawing is not well-formed SVG");
  }
  for (const element of [svg, ...svg.querySelectorAll("*")]) {
    if (!GRAPH_ELEMENTS.has(element.localName)) {
      throw new Error(`the drawing holds <${element.localName}>, which is refused`);
    }
    for (const { name, value } of element.attributes) {
      if (/^on|href$|^style$|^src$/i.test(name) || /url\s*\(/i.test(value)) {
        throw new Error(`the drawing holds the attribute ${name}, which is refused`);
      }
    }
  }
  return document.adoptNode(svg);
}

function graphElement(tag, className = "", text = "") {
  const element = document.createElement(tag);
  element.className = className;
  element.textContent = text;
  return element;
}

function graphShape(tag, attributes) {
  const element = document.createElementNS(GRAPH_SVG, tag);
  for (const [name, value] of Object.entries(attributes)) element.setAttribute(name, value);
  return element;
}

// The sign beside the colour, and the word.
function graphStatus(status) {
  return `${GRAPH_SIGNS[status]} ${status}`.trim();
}

function graphClamp(value, low, high) {
  return Math.max(Math.min(value, high), Math.min(low, high));
}

function graphMiddle(rect) {
  return [rect.x + rect.width / 2, rect.y + rect.height / 2];
}

function graphAround(rects) {
  const left = Math.min(...rects.map((r) => r.x));
  const top = Math.min(...rects.map((r) => r.y));
  const right = Math.max(...rects.map((r) => r.x + r.width));
  const bottom = Math.max(...rects.map((r) => r.y + r.height));
  return { x: left, y: top, width: right - left, height: bottom - top };
}

const GRAPH_LOSS_CLASSES = [0, 1, 2, 3, 4, 5].map((band) => `jitq-graph-loss-${band}`);

// A number of an answer, which is a text where it is not finite.
function graphDecibels(value) {
  return typeof value === "number" ? value : value === "∞" ? Infinity : -Infinity;
}

// A number on the upper right corner of a box.
function graphBadge(right, top, words) {
  const width = 8 + 6.2 * words.length;
  const badge = graphShape("g", { class: "jitq-graph-badge" });
  const [left, middle] = [right + 12 - width, top - 4];
  const text = graphShape("text", { x: left + width / 2, y: middle + 3.5, "font-size": 10.5, "text-anchor": "middle" });
  text.textContent = words;
  badge.append(graphShape("rect", { x: left, y: middle - 7, width, height: 14, rx: 7 }), text);
  return badge;
}

// The id of the box that an element of a drawing belongs to, if it does.
function graphBoxAt(element) {
  return element.closest(".node")?.dataset.box ?? null;
}

function graphIsIn(module, path) {
  return module === path || module.startsWith(`${path}.`);
}

// Where the paper lies under the window: a point p of it is seen at (x, y) + scale * p.
class GraphCamera {
  constructor(draw, settle) {
    this.draw = draw;
    this.settle = settle;
    this.view = { width: 0, height: 0 };
    this.paper = { width: 1, height: 1 };
    Object.assign(this, { x: 0, y: 0, scale: 1, isHome: true });
    Object.assign(this, { frame: 0, flight: 0, timer: 0, isSmooth: true });
  }

  get smallest() {
    return Math.min(this.#whole(), 0.25);
  }

  // The scale at which all of the paper is seen.
  #whole() {
    const { view, paper } = this;
    const [width, height] = [view.width - 2 * GRAPH_MARGIN, view.height - 2 * GRAPH_MARGIN];
    return Math.max(Math.min(width / paper.width, height / paper.height, 1.25), 0.02);
  }

  // All of the paper; where that is not legible, its upper part in a scale that is.
  home() {
    const whole = this.#whole();
    const wide = (this.view.width - 2 * GRAPH_MARGIN) / this.paper.width;
    const place = this.#centred(whole >= GRAPH_LEGIBLE ? whole : graphClamp(wide, GRAPH_LEGIBLE, 1));
    if (place.scale > whole) place.y = Math.max(place.y, GRAPH_MARGIN);
    this.set(place);
    this.isHome = true;
  }

  fit() {
    this.glide(this.#centred(this.#whole()));
  }

  #centred(scale) {
    const { view, paper } = this;
    return {
      scale,
      x: (view.width - scale * paper.width) / 2,
      y: (view.height - scale * paper.height) / 2,
    };
  }

  // Puts the point of the paper at the point of the window.
  hold([px, py], [x, y], scale = this.scale) {
    this.set({ scale, x: x - scale * px, y: y - scale * py });
  }

  set({ x, y, scale }) {
    cancelAnimationFrame(this.flight);
    this.#put({ x, y, scale });
  }

  #put({ x, y, scale }) {
    const { view, paper } = this;
    const rest = 60;
    this.scale = graphClamp(scale, this.smallest, GRAPH_LARGEST);
    this.x = graphClamp(x, rest - this.scale * paper.width, view.width - rest);
    this.y = graphClamp(y, rest - this.scale * paper.height, view.height - rest);
    this.isHome = false;
    this.frame ||= requestAnimationFrame(() => {
      this.frame = 0;
      this.draw();
      clearTimeout(this.timer);
      this.timer = setTimeout(this.settle, 160);
    });
  }

  // Goes there in a few frames, so that the eye can follow.
  glide(place) {
    cancelAnimationFrame(this.flight);
    if (!this.isSmooth || matchMedia("(prefers-reduced-motion: reduce)").matches) {
      this.#put(place);
      return;
    }
    const from = { x: this.x, y: this.y, scale: this.scale };
    const begin = performance.now();
    const step = (now) => {
      const part = graphClamp((now - begin) / 180, 0, 1);
      const way = 1 - (1 - part) ** 3;
      const between = (key) => from[key] + (place[key] - from[key]) * way;
      this.#put({ x: between("x"), y: between("y"), scale: between("scale") });
      if (part < 1) this.flight = requestAnimationFrame(step);
    };
    this.flight = requestAnimationFrame(step);
  }

  pan(dx, dy) {
    this.set({ x: this.x + dx, y: this.y + dy, scale: this.scale });
  }

  // As a scroll bar would: not beyond the paper's edges. False where there is no further.
  scroll(dx, dy) {
    const along = (place, step, paper, view) => {
      const low = view - GRAPH_MARGIN - this.scale * paper;
      if (low > GRAPH_MARGIN) return place;
      return graphClamp(place + step, Math.min(low, place), Math.max(GRAPH_MARGIN, place));
    };
    const x = along(this.x, dx, this.paper.width, this.view.width);
    const y = along(this.y, dy, this.paper.height, this.view.height);
    if (x === this.x && y === this.y) return false;
    this.set({ x, y, scale: this.scale });
    return true;
  }

  zoom(factor, point = [this.view.width / 2, this.view.height / 2]) {
    const scale = graphClamp(this.scale * factor, this.smallest, GRAPH_LARGEST);
    this.hold(this.toPaper(point), point, scale);
  }

  toPaper([x, y]) {
    return [(x - this.x) / this.scale, (y - this.y) / this.scale];
  }

  toView(rect) {
    return {
      x: this.x + this.scale * rect.x,
      y: this.y + this.scale * rect.y,
      width: this.scale * rect.width,
      height: this.scale * rect.height,
    };
  }

  // Into the middle, and legible.
  centre(rect) {
    const scale = this.scale < GRAPH_LEGIBLE ? 1 : this.scale;
    const [x, y] = graphMiddle(rect);
    this.glide({
      scale,
      x: this.view.width / 2 - scale * x,
      y: this.view.height / 2 - scale * y,
    });
  }

  // Only as far as it takes to have it in the window; whether that is any way at all.
  reveal(rect) {
    const [dx, dy] = this.#wayTo(rect);
    if (dx || dy) this.glide({ x: this.x + dx, y: this.y + dy, scale: this.scale });
    return dx !== 0 || dy !== 0;
  }

  // Whether it is in the window, with room around it.
  isInside(rect) {
    return this.#wayTo(rect).every((way) => way === 0);
  }

  #wayTo(rect) {
    const seen = this.toView(rect);
    const room = 32;
    const along = (place, size, view) => {
      if (size + 2 * room > view) return view / 2 - place - size / 2;
      return Math.max(room - place, 0) + Math.min(view - room - place - size, 0);
    };
    return [along(seen.x, seen.width, this.view.width), along(seen.y, seen.height, this.view.height)];
  }

  end() {
    cancelAnimationFrame(this.frame);
    cancelAnimationFrame(this.flight);
    clearTimeout(this.timer);
  }
}

// One drawing in its window.
class GraphPane {
  constructor() {
    this.element = graphElement("div", "jitq-graph-pane");
    this.element.tabIndex = 0;
    this.element.setAttribute("role", "application");
    this.element.setAttribute("aria-roledescription", "graph");
    this.sheet = graphElement("div", "jitq-graph-sheet");
    this.label = graphElement("div", "jitq-graph-label");
    this.problem = graphElement("div", "jitq-graph-problem");
    this.element.append(this.sheet, this.label, this.problem);
    this.clear();
  }

  clear() {
    this.drawing = null;
    Object.assign(this, { svg: null, boxes: new Map(), frames: new Map(), edges: [], about: new Map() });
    this.rects = null;
  }

  // Takes the place of what was shown before, in one step.
  mount(drawing, label, isAlone) {
    this.clear();
    this.drawing = drawing;
    this.label.textContent = label;
    this.label.hidden = isAlone;
    const name = ["Graph", label].filter(Boolean).join(", ");
    this.element.setAttribute("aria-label", `${name}; the arrow keys up and down go along its lines`);
    const problem = this.#takeUp(drawing);
    this.problem.textContent = problem;
    this.problem.hidden = this.svg !== null;
    this.sheet.replaceChildren(...(this.svg ? [this.svg] : []));
  }

  // What was made of a drawing is kept as long as the drawing is: to parse a large one takes time.
  #takeUp(drawing) {
    const known = GRAPH_PREPARED.get(drawing);
    const isFree = known && [null, this.sheet].includes(known.svg.parentNode);
    if (isFree) Object.assign(this, known);
    if (isFree) return "";
    if (!drawing.svg) return drawing.error || drawing.problem || "nothing to draw";
    try {
      this.svg = graphSvg(drawing.svg);
    } catch (error) {
      return error.message;
    }
    this.#prepare(this.svg);
    return "";
  }

  // Keeps what was prepared, for the next time that the drawing is shown.
  #keep() {
    const { svg, boxes, frames, edges, about, rects } = this;
    if (svg) GRAPH_PREPARED.set(this.drawing, { svg, boxes, frames, edges, about, rects });
  }

  #prepare(svg) {
    svg.setAttribute("width", this.drawing.width);
    svg.setAttribute("height", this.drawing.height);
    svg.setAttribute("role", "group");
    for (const element of svg.querySelectorAll("[id]")) {
      element.dataset.box = element.id;
      element.removeAttribute("id");
    }
    for (const box of svg.querySelectorAll(".node")) this.#prepareBox(box);
    for (const edge of svg.querySelectorAll(".edge")) this.#prepareEdge(edge);
    for (const frame of svg.querySelectorAll(".cluster")) this.#prepareFrame(frame);
  }

  #prepareBox(element) {
    const about = this.#takeTitle(element);
    this.boxes.set(element.dataset.box, element);
    element.setAttribute("role", "img");
    element.setAttribute("aria-label", about.split("\n").slice(0, 2).join(", "));
  }

  #prepareEdge(element) {
    this.#takeTitle(element);
    element.setAttribute("aria-hidden", "true");
    this.edges.push({ from: element.dataset.from, to: element.dataset.to, element });
  }

  #prepareFrame(element) {
    const rect = element.querySelector("rect");
    const caption = element.querySelector("text");
    const path = element.dataset.path;
    if (path === undefined || !rect || !caption) return;
    const number = (name) => Number(rect.getAttribute(name));
    const room = { x: number("x"), y: number("y"), width: number("width"), height: number("height") };
    this.frames.set(path, { element, rect: room });
    caption.classList.add("jitq-graph-caption");
    caption.dataset.fold = path;
    element.append(this.#control("−", room.x - 3, room.y + 10, `fold ${caption.textContent}`, { fold: path }));
  }

  // The browser's own tip would lie over the hover card.
  #takeTitle(element) {
    const title = element.querySelector("title");
    const text = title ? title.textContent : "";
    this.about.set(element, text);
    title?.remove();
    return text;
  }

  #control(sign, x, y, label, data) {
    const control = graphShape("g", { class: "jitq-graph-control", role: "button", "aria-label": label });
    Object.assign(control.dataset, data);
    const text = graphShape("text", { x, y: y + 3.8, "font-size": 12, "text-anchor": "middle" });
    text.textContent = sign;
    control.append(graphShape("rect", { x: x - 6, y: y - 6, width: 12, height: 12, rx: 2 }), text);
    return control;
  }

  // Where the boxes are. Only what is in the page can be measured.
  measure() {
    if (this.rects) return;
    this.rects = new Map();
    for (const [box, element] of this.boxes) {
      const { x, y, width, height } = element.getBBox();
      this.rects.set(box, { x, y, width, height });
    }
    for (const box of Object.keys(this.drawing?.groups || {})) {
      const rect = this.rects.get(box);
      if (!rect) continue;
      const label = `unfold ${this.drawing.groups[box].join(", ")}`;
      this.boxes.get(box).append(this.#control("+", rect.x, rect.y + 10, label, { unfold: box }));
    }
    this.#keep();
  }
}

// What is told of the box under the pointer, or of the one that keys went to.
class GraphCard {
  constructor(room) {
    this.room = room;
    this.element = graphElement("div", "jitq-graph-card");
    this.element.setAttribute("aria-hidden", "true"); // the live region says it
    this.element.hidden = true;
    room.append(this.element);
  }

  hide() {
    this.element.hidden = true;
  }

  // `lines`: [{ text, status, kind }]; the first is the heading.
  fill(lines) {
    this.element.replaceChildren(...lines.map(({ text, status, kind }) => {
      const line = graphElement("div", `jitq-graph-card-${kind}`);
      const chip = kind === "status" ? graphStatus(status) : GRAPH_SIGNS[status] || "=";
      if (status) line.append(graphElement("span", `jitq-graph-chip ${status}`, chip));
      line.append(text);
      return line;
    }));
    this.element.hidden = false;
  }

  // Beside a rectangle of the room, on the side where there is space.
  stand(rect, gap) {
    const { clientWidth: width, clientHeight: height } = this.room;
    const [wide, high] = [this.element.offsetWidth, this.element.offsetHeight];
    const right = rect.x + rect.width + gap;
    const x = right + wide <= width ? right : rect.x - gap - wide;
    const below = rect.y + rect.height + gap;
    const beside = rect.width ? rect.y : below;
    const y = beside + high <= height ? beside : rect.y - (rect.width ? high - rect.height : gap + high);
    this.element.style.left = `${graphClamp(x, 4, width - wide - 4)}px`;
    this.element.style.top = `${graphClamp(y, 4, height - high - 4)}px`;
  }
}

// All boxes in small, and which part of them is in the window.
class GraphMinimap {
  constructor(room, camera) {
    this.camera = camera;
    this.element = graphElement("div", "jitq-graph-minimap");
    this.element.setAttribute("aria-hidden", "true");
    this.svg = graphShape("svg", {});
    this.lens = graphElement("div", "jitq-graph-lens");
    this.element.append(this.svg, this.lens);
    room.append(this.element);
    const go = (event) => {
      if (event.buttons !== 1) return;
      event.preventDefault();
      const { left, top } = this.svg.getBoundingClientRect();
      const point = [(event.clientX - left) / this.scale, (event.clientY - top) / this.scale];
      camera.hold(point, [camera.view.width / 2, camera.view.height / 2]);
    };
    this.element.addEventListener("pointerdown", (event) => {
      this.element.setPointerCapture(event.pointerId);
      go(event);
    });
    this.element.addEventListener("pointermove", go);
  }

  // `boxes`: [{ rect, status }]
  fill(boxes) {
    const { width, height } = this.camera.paper;
    this.boxes = boxes;
    this.svg.setAttribute("viewBox", `0 0 ${width} ${height}`);
    const order = (box) => (box.status === "same" ? 0 : 1);
    const sorted = [...boxes].sort((a, b) => order(a) - order(b));
    this.svg.replaceChildren(...sorted.map(({ rect, status }) => graphShape("rect", { ...rect, class: status })));
  }

  place() {
    const { camera } = this;
    const { paper, view } = camera;
    const seen = camera.toView({ x: 0, y: 0, ...paper });
    const isWhole = seen.x >= 0 && seen.y >= 0
      && seen.x + seen.width <= view.width && seen.y + seen.height <= view.height;
    this.element.hidden = isWhole || view.width < 420 || view.height < 200;
    if (this.element.hidden) return;
    this.scale = Math.min(96 / paper.width, (0.4 * view.height) / paper.height);
    this.svg.setAttribute("width", this.scale * paper.width);
    this.svg.setAttribute("height", this.scale * paper.height);
    const part = this.scale / camera.scale;
    const { style } = this.lens;
    style.transform = `translate(${-camera.x * part}px, ${-camera.y * part}px)`;
    style.width = `${view.width * part}px`;
    style.height = `${view.height * part}px`;
  }
}

// What is in the drawings shown (one, or two of one size): which nodes are in which box, what feeds
// what, and where it is.
class GraphIndex {
  constructor(panes, nodes) {
    this.panes = panes;
    const drawings = panes.map((pane) => pane.drawing).filter((drawing) => drawing?.svg);
    const merged = (key) => Object.assign(Object.create(null), ...drawings.map((d) => d[key] || {}));
    this.paper = drawings[0] || null;
    this.home = { nodes: merged("boxes"), gone: merged("gone") };
    this.groups = new Map(Object.entries(merged("groups")));
    this.nodes = nodes.filter((node) => this.elements(this.boxOf(node)).length);
    this.content = new Map();
    for (const node of this.nodes) {
      const box = this.boxOf(node);
      if (!this.content.has(box)) this.content.set(box, []);
      this.content.get(box).push(node);
    }
    this.feeds = new Map();
    this.fedBy = new Map();
    const link = (map, one, other) => map.set(one, (map.get(one) || new Set()).add(other));
    for (const { from, to } of this.edges) {
      link(this.feeds, from, to);
      link(this.fedBy, to, from);
    }
    this.rects = new Map();
    this.frameOf = new Map();
  }

  get edges() {
    return this.panes.flatMap((pane) => pane.edges);
  }

  get boxes() {
    return [...new Set(this.panes.flatMap((pane) => [...pane.boxes.keys()]))];
  }

  // Drawings of one fold state are alike in this.
  get size() {
    return this.paper && JSON.stringify([this.paper.folds, this.paper.width, this.paper.height]);
  }

  frame(path) {
    return this.panes.map((pane) => pane.frames.get(path)).find(Boolean);
  }

  // Once the drawings are in the page.
  measure() {
    const frames = new Map();
    for (const pane of this.panes) {
      pane.measure();
      for (const [box, rect] of pane.rects) this.rects.set(box, rect);
      for (const [path, { rect }] of pane.frames) frames.set(path, rect);
    }
    const inwards = [...frames].sort(([, a], [, b]) => a.width * a.height - b.width * b.height);
    for (const [box, rect] of this.rects) {
      const [x, y] = graphMiddle(rect);
      const isAround = ([, r]) => x > r.x && x < r.x + r.width && y > r.y && y < r.y + r.height;
      this.frameOf.set(box, inwards.find(isAround)?.[0] || "");
    }
  }

  // The box of a node; undefined where it has none.
  boxOf(node) {
    return (node.gone ? this.home.gone : this.home.nodes)[node.id];
  }

  // The boxes of nodes.
  homes({ nodes, gone }) {
    return [...nodes.map((id) => this.home.nodes[id]), ...gone.map((id) => this.home.gone[id])];
  }

  elements(box) {
    return this.panes.map((pane) => pane.boxes.get(box)).filter(Boolean);
  }

  statusOf(box) {
    const found = this.elements(box).map((element) => this.#statusIn(element));
    return found.find((status) => status !== "same") || "same";
  }

  #statusIn(element) {
    return Object.keys(GRAPH_SIGNS).find((status) => element.classList.contains(status)) || "same";
  }

  nodesOf(box) {
    const found = { box, nodes: [], gone: [] };
    for (const node of this.content.get(box) || []) (node.gone ? found.gone : found.nodes).push(node.id);
    return found;
  }

  isInModule(box, module) {
    if (!module) return true;
    const paths = this.groups.get(box) || [];
    return paths.some((path) => graphIsIn(path, module))
      || (this.content.get(box) || []).some((node) => graphIsIn(node.module, module));
  }

  // The boxes at most so many lines from a change; null where nothing changed.
  within(hops) {
    const changed = this.boxes.filter((box) => this.statusOf(box) !== "same");
    if (!changed.length) return null;
    const near = new Set(changed);
    let rim = changed;
    for (let hop = 0; hop < hops; hop += 1) {
      const next = rim.flatMap((box) => [...(this.feeds.get(box) || []), ...(this.fedBy.get(box) || [])]);
      rim = next.filter((box) => !near.has(box));
      for (const box of rim) near.add(box);
    }
    return near;
  }

  rectOf({ box, nodes, gone, path }) {
    const frame = path && this.frame(path);
    if (frame) return frame.rect;
    const group = path && [...this.groups].find(([, paths]) => paths.some((each) => graphIsIn(path, each)));
    if (group) return this.rects.get(group[0]);
    return [box, ...this.homes({ nodes, gone })].map((each) => this.rects.get(each)).find(Boolean);
  }

  // Where a step leads: along a line, or to the next on the same level. Null for nowhere.
  neighbour(box, direction) {
    const here = this.rects.get(box);
    const [x, y] = graphMiddle(here);
    if (direction === "up" || direction === "down") {
      const next = (direction === "up" ? this.fedBy : this.feeds).get(box) || [];
      return this.#nearest(next, (rect) => Math.hypot(graphMiddle(rect)[0] - x, (graphMiddle(rect)[1] - y) / 4));
    }
    const side = direction === "left" ? -1 : 1;
    return this.#nearest(this.rects.keys(), (rect) => {
      const isLevel = rect.y < here.y + here.height && rect.y + rect.height > here.y;
      const distance = side * (graphMiddle(rect)[0] - x);
      return isLevel && distance > 0 ? distance : Infinity;
    });
  }

  nearestTo([x, y]) {
    return this.#nearest(this.rects.keys(), (rect) => {
      const [left, top] = graphMiddle(rect);
      return Math.hypot(left - x, top - y);
    });
  }

  #nearest(boxes, far) {
    let found = null;
    let least = Infinity;
    for (const box of boxes) {
      const rect = this.rects.get(box);
      const distance = rect ? far(rect) : Infinity;
      if (distance < least) [found, least] = [box, distance];
    }
    return found;
  }

  // What there is to say of a box, as lines of the card.
  about(box) {
    const nodes = this.content.get(box) || [];
    const status = this.statusOf(box);
    if (this.groups.has(box)) return this.#aboutGroup(box, nodes, status);
    if (!nodes.length) return this.#aboutPort(box, status);
    const modules = [...new Set(nodes.map((node) => node.module || "top level"))].slice(0, 3).join(", ");
    const [{ title, kind }] = nodes;
    const isAlone = nodes.length === 1;
    return [
      { text: isAlone ? title : `${nodes.length} nodes`, kind: "title" },
      { text: modules, status, kind: "status" },
      ...(isAlone ? [{ text: kind, kind: "node" }] : this.#listed(nodes)),
    ];
  }

  #aboutGroup(box, nodes, status) {
    const paths = this.groups.get(box);
    const shown = paths.length > 3 ? `${paths[0]} … ${paths.at(-1)}` : paths.join(", ");
    const counts = Object.keys(GRAPH_SIGNS)
      .map((each) => [each, nodes.filter((node) => node.status === each).length])
      .filter(([, count]) => count);
    const modules = paths.length > 1 ? `${paths.length} alike modules, folded` : "folded module";
    return [
      { text: shown, kind: "title" },
      { text: `${modules}, ${nodes.length} nodes`, status, kind: "status" },
      ...counts.map(([each, count]) => ({ text: `${count} ${each}`, status: each, kind: "node" })),
      { text: "double-click or Enter unfolds", kind: "quiet" },
    ];
  }

  #aboutPort(box, status) {
    const pane = this.panes.find((each) => each.boxes.has(box));
    const [first, ...others] = pane.about.get(pane.boxes.get(box)).split("\n");
    return [
      { text: first, kind: "title" },
      { text: "", status, kind: "status" },
      ...others.slice(0, 6).map((text) => ({ text, kind: "node" })),
    ];
  }

  #listed(nodes) {
    const most = 8;
    const lines = nodes.slice(0, most).map(({ title, status }) => ({ text: title, status, kind: "node" }));
    if (nodes.length > most) lines.push({ text: `and ${nodes.length - most} more`, kind: "quiet" });
    return lines;
  }
}

// Pointer, wheel and keys: what they move, they move; what they ask for is told to `acts`.
class GraphHands {
  constructor(body, panes, camera, acts) {
    Object.assign(this, { body, camera, acts, isPressed: false, drag: null, wheeled: -Infinity });
    this.pointers = new Map();
    this.hint = graphElement("div", "jitq-graph-hint", "Click to scroll in here · Ctrl + wheel zooms");
    this.hint.setAttribute("aria-hidden", "true");
    body.append(this.hint);
    for (const { element } of panes) this.#listen(element);
    // A host may take the focus away at a click; the wheel stays here until the pointer leaves.
    body.addEventListener("pointerleave", () => { this.isPressed = false; });
    // JupyterLab's own one-letter shortcuts do not act on what is typed in here.
    body.dataset.lmSuppressShortcuts = "true";
  }

  #listen(element) {
    const on = (type, act, options) => element.addEventListener(type, act, options);
    on("pointerdown", (event) => this.#press(event, element));
    on("pointermove", (event) => this.#move(event, element));
    on("pointerup", (event) => this.#release(event));
    on("pointercancel", (event) => this.#release(event));
    on("pointerleave", () => this.acts.leave());
    on("click", (event) => this.#click(event));
    on("dblclick", (event) => this.#doubleClick(event));
    on("wheel", (event) => this.#wheel(event, element), { passive: false });
    on("keydown", (event) => this.#key(event));
  }

  #press(event, element) {
    if (event.button > 1) return;
    if (event.button === 1) event.preventDefault();
    this.isPressed = true;
    this.hint.classList.remove("jitq-graph-shown");
    this.pointers.set(event.pointerId, [event.clientX, event.clientY]);
    this.drag = { from: [event.clientX, event.clientY], isMoving: false, element };
  }

  #move(event, element) {
    // A button that was let go elsewhere.
    if (event.buttons === 0) this.#release(event);
    const last = this.pointers.get(event.pointerId);
    if (!last) {
      this.acts.hover(event.target, event);
      return;
    }
    const point = [event.clientX, event.clientY];
    const isFar = Math.hypot(point[0] - this.drag.from[0], point[1] - this.drag.from[1]) > 4;
    if (!this.drag.isMoving && !isFar) return;
    if (!this.drag.isMoving) {
      this.drag.isMoving = true;
      element.setPointerCapture(event.pointerId);
      this.body.classList.add("jitq-graph-dragged");
      this.acts.leave();
    }
    if (this.pointers.size === 2) this.#pinch(event.pointerId, point, element);
    else this.camera.pan(point[0] - last[0], point[1] - last[1]);
    this.pointers.set(event.pointerId, point);
  }

  #pinch(id, point, element) {
    const [, other] = [...this.pointers].find(([each]) => each !== id);
    const last = this.pointers.get(id);
    const apart = (a, b) => Math.hypot(a[0] - b[0], a[1] - b[1]) || 1;
    const { left, top } = element.getBoundingClientRect();
    const middle = [(point[0] + other[0]) / 2 - left, (point[1] + other[1]) / 2 - top];
    this.camera.pan((point[0] - last[0]) / 2, (point[1] - last[1]) / 2);
    this.camera.zoom(apart(point, other) / apart(last, other), middle);
  }

  #release(event) {
    this.pointers.delete(event.pointerId);
    this.body.classList.remove("jitq-graph-dragged");
  }

  #click({ target }) {
    if (this.drag?.isMoving) return;
    const fold = target.closest("[data-fold]");
    const unfold = target.closest("[data-unfold]");
    if (fold) this.acts.fold(fold.dataset.fold);
    else if (unfold) this.acts.unfold(unfold.dataset.unfold);
    else this.acts.choose(graphBoxAt(target));
  }

  #doubleClick({ target }) {
    if (!target.closest("[data-unfold]")) this.acts.unfold(graphBoxAt(target));
  }

  // Without a key the wheel belongs to the page, until the view has the focus; then it scrolls in
  // here up to the edge of the drawing, and beyond that the page again.
  #wheel(event, element) {
    const unit = event.deltaMode === 1 ? 16 : 1;
    if (event.ctrlKey || event.metaKey) {
      event.preventDefault();
      const { left, top } = element.getBoundingClientRect();
      const speed = graphClamp(event.deltaY * unit, -40, 40);
      this.camera.zoom(Math.exp(-speed / 120), [event.clientX - left, event.clientY - top]);
      return;
    }
    if (!this.isPressed && !this.body.contains(this.body.getRootNode().activeElement)) {
      this.#hintAtClick();
      return;
    }
    const isSideways = event.shiftKey && !event.deltaX;
    const dx = unit * (isSideways ? event.deltaY : event.deltaX);
    const dy = unit * (isSideways ? 0 : event.deltaY);
    const isGesture = event.timeStamp - this.wheeled < 250;
    if (this.camera.scroll(-dx, -dy) || isGesture) {
      event.preventDefault();
      this.wheeled = event.timeStamp;
    }
  }

  #hintAtClick() {
    clearTimeout(this.hintTimer);
    this.hint.classList.add("jitq-graph-shown");
    this.hintTimer = setTimeout(() => this.hint.classList.remove("jitq-graph-shown"), 1200);
  }

  #key(event) {
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    const act = this.#actOf(event);
    if (!act) return;
    event.preventDefault();
    event.stopPropagation();
    act();
  }

  #actOf({ key, shiftKey }) {
    const arrow = { ArrowUp: "up", ArrowDown: "down", ArrowLeft: "left", ArrowRight: "right" }[key];
    const [dx, dy] = { up: [0, 80], down: [0, -80], left: [80, 0], right: [-80, 0] }[arrow] || [];
    if (arrow) return () => (shiftKey ? this.camera.pan(dx, dy) : this.acts.follow(arrow));
    return this.acts.keys[key];
  }
}

// The view: see the methods that the page calls.
class GraphView {
  constructor(root, handlers) {
    this.root = root;
    this.handlers = handlers;
    this.panes = [new GraphPane(), new GraphPane()];
    this.index = new GraphIndex(this.panes, []);
    this.camera = new GraphCamera(() => this.#draw(), () => this.#settle());
    Object.assign(this, { query: "", hits: [], hitNodes: [], hit: null, reach: null, module: "" });
    Object.assign(this, { chosen: new Set(), current: null, halos: [] });
    Object.assign(this, { hovered: null, muted: null, awaited: null });
    Object.assign(this, { losses: null, coloured: [], badges: [] });
    // The step that led to the current box; what keeps its place in the next fold state; how the
    // next drawing is to be placed; whether this one was measured.
    Object.assign(this, { trail: null, anchor: null, fresh: null, isMeasured: false });
    this.#build();
    this.watcher = new ResizeObserver(() => this.#resize());
    this.watcher.observe(this.panes[0].element);
  }

  // -- What the page asks for ---------------------------------------------------------------------

  show({ panes, nodes, errors = null }) {
    const old = this.index;
    const held = this.#held();
    this.panes.forEach((pane, number) => {
      pane.element.hidden = number >= panes.length;
      if (number < panes.length) pane.mount(panes[number].drawing, panes[number].label, panes.length === 1);
      else pane.clear();
    });
    this.index = new GraphIndex(this.panes, nodes || []);
    this.losses = errors;
    this.#showLegend();
    const isSame = old.size !== null && old.size === this.index.size;
    this.camera.paper = this.index.paper || { width: 1, height: 1 };
    this.#keepChosen(old, isSame);
    this.isMeasured = false;
    this.fresh = isSame ? this.fresh : { held };
    this.card.hide();
    this.#findHits();
    this.#resize();
  }

  // `center`: what is not seen well is brought into the middle; what is stays, so that stages can
  // be compared in place.
  select(what, { center = false } = {}) {
    const { nodes = [], gone = [] } = what || {};
    this.#setChosen(this.index.homes({ nodes, gone }));
    this.#mark();
    this.#say();
    if (center) this.#show(this.chosen);
  }

  search(query) {
    if (query !== this.query) this.hit = null;
    this.query = query;
    this.#findHits();
    this.#mark();
    return { count: this.hitNodes.length, boxes: this.hits.length };
  }

  step(direction) {
    if (!this.hits.length) return null;
    const last = this.hits.indexOf(this.hit);
    const step = direction === "previous" || direction < 0 ? -1 : 1;
    const first = step > 0 ? 0 : this.hits.length - 1;
    const number = last < 0 ? first : (last + step + this.hits.length) % this.hits.length;
    this.hit = this.hits[number];
    this.#mark();
    this.#centre([this.hit]);
    const node = this.hitNodes.find((each) => this.index.boxOf(each) === this.hit);
    return { number: number + 1, count: this.hits.length, node };
  }

  setReach(hops) {
    this.reach = hops ?? null;
    this.#mark();
  }

  setModule(path) {
    this.module = path || "";
    this.#mark();
  }

  // What each node loses: { stage, bands, nodes: { id: { own, inherited, all } } }; null: as ever.
  setErrors(found) {
    this.losses = found;
    this.#colour();
    this.#showLegend();
  }

  fit() {
    this.camera.fit();
  }

  zoomBy(factor) {
    this.camera.zoom(factor);
  }

  zoomTo(scale) {
    this.camera.zoom(scale / this.camera.scale);
  }

  follow(direction) {
    const { index, camera, current: from } = this;
    if (!index.rects.size) return;
    const middle = camera.toPaper([camera.view.width / 2, camera.view.height / 2]);
    const box = from === null ? index.nearestTo(middle) : this.#stepFrom(from, direction);
    if (box === null) {
      this.#tell(`nothing further ${direction}`);
      return;
    }
    this.#choose(box);
    this.trail = { from, to: box, direction };
    const isMoving = camera.reveal(index.rects.get(box));
    if (isMoving) this.awaited = box; // until the camera rests
    else this.#cardBeside(box);
  }

  // A step back leads to where one came from, also where several lines meet.
  #stepFrom(box, direction) {
    const { trail } = this;
    const opposite = { up: "down", down: "up", left: "right", right: "left" };
    const isBack = trail?.to === box && trail.from !== null && trail.direction === opposite[direction];
    return isBack ? trail.from : this.index.neighbour(box, direction);
  }

  toggleFold() {
    const around = this.index.frameOf.get(this.current);
    if (this.index.groups.has(this.current)) this.#unfold(this.current);
    else if (around) this.#fold(around);
  }

  destroy() {
    this.camera.end();
    this.watcher.disconnect();
    this.root.classList.remove("jitq-graph");
    this.root.replaceChildren();
  }

  // -- Parts --------------------------------------------------------------------------------------

  #build() {
    this.root.classList.add("jitq-graph");
    this.body = graphElement("div", "jitq-graph-body");
    this.body.append(...this.panes.map((pane) => pane.element));
    this.hands = new GraphHands(this.body, this.panes, this.camera, this.#acts());
    this.minimap = new GraphMinimap(this.body, this.camera);
    this.card = new GraphCard(this.body);
    this.said = graphElement("div", "jitq-graph-said");
    this.said.setAttribute("aria-live", "polite");
    const foot = graphElement("div", "jitq-graph-foot");
    this.legend = this.#legend();
    this.lossLegend = graphElement("div", "jitq-graph-legend");
    foot.append(this.legend, this.lossLegend, this.#buttons());
    this.#showLegend();
    this.root.replaceChildren(this.body, foot, this.said);
  }

  #acts() {
    return {
      hover: (target, event) => this.#hover(target, event),
      leave: () => this.#leave(),
      choose: (box) => {
        this.muted = box;
        this.card.hide();
        if (box !== null || this.chosen.size) this.#choose(box);
      },
      fold: (path) => this.#fold(path),
      unfold: (box) => this.#unfold(box),
      follow: (direction) => this.follow(direction),
      keys: {
        Enter: () => this.toggleFold(),
        " ": () => this.toggleFold(),
        "+": () => this.zoomBy(1.25),
        "=": () => this.zoomBy(1.25),
        "-": () => this.zoomBy(1 / 1.25),
        0: () => this.fit(),
        1: () => this.zoomTo(1),
      },
    };
  }

  #legend() {
    const legend = graphElement("div", "jitq-graph-legend");
    for (const status of Object.keys(GRAPH_SIGNS)) {
      legend.append(graphElement("span", `jitq-graph-chip ${status}`, graphStatus(status)));
    }
    for (const [kind, name] of Object.entries(GRAPH_LINES)) {
      const entry = graphElement("span", "jitq-graph-key");
      entry.append(graphElement("span", `jitq-graph-line ${kind}`), name);
      legend.append(entry);
    }
    return legend;
  }

  // With the colours of the errors, theirs takes the place of the legend.
  #showLegend() {
    const { losses } = this;
    this.legend.hidden = losses !== null;
    this.lossLegend.hidden = losses === null;
    if (!losses) return;
    const { stage, bands } = losses;
    const names = [`≥ ${bands[0]}`, ...bands.slice(1).map((low, at) => `${low} – ${bands[at]}`), `< ${bands.at(-1)}`];
    const chips = names.map((name, band) => graphElement("span", `jitq-graph-chip jitq-graph-loss-${band}`, name));
    const what = stage ? `own SQNR, dB after ${stage}:` : "nothing was measured here";
    this.lossLegend.title = "What the op itself loses, given its inputs as they are after that stage";
    this.lossLegend.replaceChildren(what, ...(stage ? chips : []));
  }

  #buttons() {
    const bar = graphElement("div", "jitq-graph-buttons");
    bar.setAttribute("role", "group");
    bar.setAttribute("aria-label", "Zoom");
    const add = (text, title, act) => {
      const button = graphElement("button", "", text);
      button.type = "button";
      button.title = title;
      if (!/\w/.test(text)) button.setAttribute("aria-label", title);
      button.addEventListener("click", act);
      bar.append(button);
      return button;
    };
    add("Fit", "Fit all of the graph into the view (0)", () => this.fit());
    add("−", "Zoom out (−)", () => this.zoomBy(1 / 1.25));
    this.percent = add("100 %", "Zoom to 100 % (1)", () => this.zoomTo(1));
    add("+", "Zoom in (+)", () => this.zoomBy(1.25));
    return bar;
  }

  // -- Place --------------------------------------------------------------------------------------

  #resize() {
    const { clientWidth: width, clientHeight: height } = this.panes[0].element;
    if (!width || !height || !this.index.paper) return;
    const { view } = this.camera;
    const wider = view.width ? width - view.width : 0;
    Object.assign(view, { width, height });
    if (!this.isMeasured) this.#measure();
    const { fresh } = this;
    this.fresh = null;
    if (fresh) this.#settleIn(fresh);
    else if (this.camera.isHome) this.camera.home();
    else this.camera.pan(wider / 2, 0);
    this.#draw();
    this.#mark();
  }

  #measure() {
    const { index } = this;
    index.measure();
    this.isMeasured = true;
    this.minimap.fill([...index.rects].map(([box, rect]) => ({ rect, status: index.statusOf(box) })));
    this.#sortHits();
    this.#colour();
  }

  // The first drawing of a fold state: what was held keeps its place, if anything was.
  #settleIn({ held, centre }) {
    const rect = held && this.index.rectOf(held);
    if (rect) this.camera.hold([rect.x, rect.y], held.at);
    else this.camera.home();
    if (centre) this.#show(centre);
  }

  // What is to keep its place on the screen when modules fold, and where that is: [x, y] of its
  // corner.
  #held() {
    const { anchor, camera, index } = this;
    this.anchor = null;
    if (!index.rects.size || !camera.view.width) return null;
    if (anchor) return anchor;
    const middle = camera.toPaper([camera.view.width / 2, camera.view.height / 2]);
    const box = this.#isSeen(this.current) ? this.current : index.nearestTo(middle);
    const { x, y } = camera.toView(index.rects.get(box));
    return { ...index.nodesOf(box), path: "", at: [x, y] };
  }

  #isSeen(box) {
    const rect = this.index.rects.get(box);
    if (!rect) return false;
    const { x, y, width, height } = this.camera.toView(rect);
    const { view } = this.camera;
    return x + width > 0 && y + height > 0 && x < view.width && y < view.height;
  }

  #show(boxes) {
    if (this.fresh) this.fresh.centre = boxes;
    else if (![...boxes].some((box) => this.#isSeenWell(box))) this.#centre(boxes);
  }

  #isSeenWell(box) {
    const rect = this.index.rects.get(box);
    return rect !== undefined && this.camera.scale >= GRAPH_LEGIBLE && this.camera.isInside(rect);
  }

  #centre(boxes) {
    const rects = [...boxes].map((box) => this.index.rects.get(box)).filter(Boolean);
    if (!rects.length) return;
    const around = graphAround(rects);
    const scale = Math.max(this.camera.scale, GRAPH_LEGIBLE);
    const { view } = this.camera;
    const isSpread = around.width * scale > view.width || around.height * scale > view.height;
    this.camera.centre(isSpread ? rects[0] : around);
  }

  #draw() {
    const { x, y, scale } = this.camera;
    const transform = `translate(${x}px, ${y}px) scale(${scale})`;
    for (const pane of this.panes) pane.sheet.style.transform = transform;
    this.body.classList.add("jitq-graph-moving");
    this.percent.textContent = `${Math.round(100 * scale)} %`;
    this.card.hide();
    this.minimap.place();
  }

  #settle() {
    this.body.classList.remove("jitq-graph-moving");
    this.#strengthen();
    if (this.awaited !== null && this.awaited === this.current) this.#cardBeside(this.awaited);
    this.awaited = null;
  }

  // Halos are as strong from afar.
  #strengthen() {
    const width = Math.max(2.5, 2.5 / this.camera.scale);
    for (const halo of this.halos) halo.setAttribute("stroke-width", width);
  }

  // -- Marks --------------------------------------------------------------------------------------

  #mark() {
    const faint = this.#faint();
    const isBusy = faint.size > 0;
    this.body.classList.toggle("jitq-graph-dimmed", isBusy);
    for (const pane of this.panes) {
      for (const [box, element] of pane.boxes) {
        element.classList.toggle("jitq-graph-faint", faint.has(box) && !this.chosen.has(box));
        element.classList.toggle("jitq-graph-chosen", this.chosen.has(box));
      }
      for (const { from, to, element } of pane.edges) {
        const isNear = this.#isLit(from) || this.#isLit(to);
        element.classList.toggle("jitq-graph-faint", !isNear && (faint.has(from) || faint.has(to)));
        element.classList.toggle("jitq-graph-near", isNear);
      }
    }
    this.#halo();
  }

  #isLit(box) {
    return this.chosen.has(box) || this.hovered === box;
  }

  #faint() {
    const near = this.reach === null ? null : this.index.within(this.reach);
    const hits = this.query.trim() ? new Set(this.hits) : null;
    return new Set(this.index.boxes.filter((box) => (
      (near && !near.has(box)) || (hits && !hits.has(box)) || !this.index.isInModule(box, this.module)
    )));
  }

  #halo() {
    for (const halo of this.halos) halo.remove();
    this.halos = [];
    const wanted = new Map(this.query.trim() ? this.hits.map((box) => [box, "hit"]) : []);
    if (this.hit !== null) wanted.set(this.hit, "here");
    for (const box of this.chosen) wanted.set(box, "chosen");
    for (const [box, kind] of wanted) {
      const rect = this.index.rects.get(box);
      for (const element of rect ? this.index.elements(box) : []) {
        const halo = graphShape("rect", {
          class: `jitq-graph-halo ${kind}`, rx: 7, fill: "none",
          x: rect.x - 4, y: rect.y - 4, width: rect.width + 8, height: rect.height + 8,
        });
        element.prepend(halo);
        this.halos.push(halo);
      }
    }
    this.#strengthen();
  }

  // The boxes in the colours of what is lost in them, with the number; or no longer.
  #colour() {
    for (const element of this.coloured) element.classList.remove(...GRAPH_LOSS_CLASSES);
    for (const badge of this.badges) badge.remove();
    this.coloured = [];
    this.badges = [];
    this.body.classList.toggle("jitq-graph-losses", this.losses !== null);
    if (!this.losses) return;
    const [first, second] = this.panes;
    const { before } = this.losses;
    const isPair = before && second.drawing;
    for (const pane of this.panes) {
      const found = isPair && pane === first ? before : { nodes: this.losses.nodes, gone: {} };
      for (const [box, element] of pane.boxes) this.#colourBox(box, element, found);
    }
  }

  #colourBox(box, element, found) {
    const worst = this.#worstIn(box, found);
    if (!worst) return;
    const value = graphDecibels(worst.own);
    const band = this.losses.bands.filter((low) => value < low).length;
    const { x, y, width } = this.index.rects.get(box);
    const badge = graphBadge(x + width, y, Number.isFinite(value) ? value.toFixed(1) : worst.own);
    element.classList.add(GRAPH_LOSS_CLASSES[band]);
    element.append(badge);
    this.coloured.push(element);
    this.badges.push(badge);
  }

  // Of the nodes in a box, what the one loses that loses most; undefined where nothing is known.
  #worstIn(box, found) {
    const { nodes, gone } = this.index.nodesOf(box);
    const all = [...nodes.map((id) => found.nodes[id]), ...gone.map((id) => found.gone[id])];
    const known = all.filter((each) => each && each.own !== null);
    return known.sort((a, b) => graphDecibels(a.own) - graphDecibels(b.own))[0];
  }

  #about(box) {
    const { losses } = this;
    const runs = losses ? [["", { nodes: losses.nodes, gone: {} }]] : [];
    if (losses?.before) runs.splice(0, 1, ["A: ", losses.before], ["B: ", runs[0][1]]);
    const lines = runs.map(([name, found]) => [name, this.#worstIn(box, found)]).filter(([, worst]) => worst);
    const said = lines.map(([name, { own, inherited, all }]) => ({
      text: `${name}lost here ${own} dB · inherited ${inherited ?? "?"} dB · in all ${all ?? "?"} dB`,
      kind: "node",
    }));
    return [...this.index.about(box), ...said];
  }

  #findHits() {
    const words = this.query.toLowerCase().split(/\s+/).filter(Boolean);
    const isHit = (node) => words.every((word) => node.words.includes(word));
    this.hitNodes = words.length ? this.index.nodes.filter(isHit) : [];
    this.hits = [...new Set(this.hitNodes.map((node) => this.index.boxOf(node)))];
    if (!this.hits.includes(this.hit)) this.hit = null;
    this.#sortHits();
  }

  // As they are read: from above, and from the left.
  #sortHits() {
    const at = (box) => this.index.rects.get(box) || { x: 0, y: 0 };
    this.hits.sort((a, b) => at(a).y - at(b).y || at(a).x - at(b).x);
  }

  // -- Moves --------------------------------------------------------------------------------------

  // The page selects again when the stage changed; until then what was selected stays so.
  #keepChosen(old, isSame) {
    const before = [...this.chosen];
    this.#setChosen(isSame ? before : before.flatMap((box) => this.index.homes(old.nodesOf(box))));
    Object.assign(this, { hovered: null, awaited: null });
  }

  #setChosen(boxes) {
    this.chosen = new Set(boxes.filter((box) => this.index.elements(box).length));
    if (!this.chosen.has(this.current)) this.current = [...this.chosen][0] ?? null;
    this.trail = null;
  }

  #choose(box) {
    this.chosen = new Set(box === null ? [] : [box]);
    this.current = box;
    this.trail = null;
    this.#mark();
    this.#say();
    this.handlers.onSelect?.(box === null ? null : this.index.nodesOf(box));
  }

  #fold(path) {
    const { x, y } = this.camera.toView(this.index.frame(path).rect);
    this.anchor = { box: "", nodes: [], gone: [], path, at: this.#inside([x, y]) };
    this.card.hide();
    this.handlers.onFold?.(path);
  }

  #unfold(box) {
    const paths = this.index.groups.get(box);
    if (!paths) return;
    const { x, y } = this.camera.toView(this.index.rects.get(box));
    this.anchor = { ...this.index.nodesOf(box), path: paths[0], at: this.#inside([x, y]) };
    this.card.hide();
    this.handlers.onUnfold?.(paths);
  }

  // The corner of a frame may be far above the window: what takes its place shall be seen.
  #inside([x, y]) {
    const { view } = this.camera;
    return [graphClamp(x, 24, view.width - 120), graphClamp(y, 24, view.height - 80)];
  }

  // -- Words --------------------------------------------------------------------------------------

  #tell(text) {
    if (this.said.textContent !== text) this.said.textContent = text;
  }

  #say() {
    const parts = [...this.chosen].slice(0, 3).map((box) => (
      this.index.about(box).slice(0, 4).map(({ text, status }) => [text, status].filter(Boolean).join(", ")).join("; ")
    ));
    const more = this.chosen.size > 3 ? `and ${this.chosen.size - 3} more boxes` : "";
    if (parts.length) this.#tell(["selected:", ...parts, more].join(" ").trim());
    else if (this.said.textContent) this.#tell("nothing selected");
  }

  #cardBeside(box) {
    const pane = this.panes.find((each) => each.boxes.has(box)).element;
    const rect = this.camera.toView(this.index.rects.get(box));
    this.card.fill(this.#about(box));
    this.card.stand({ ...rect, x: rect.x + pane.offsetLeft, y: rect.y + pane.offsetTop }, 10);
  }

  // -- What the pointer is over -------------------------------------------------------------------

  #hover(target, event) {
    const box = graphBoxAt(target);
    const isNew = box !== this.hovered;
    if (isNew) this.#light(box);
    // Who clicked on the box has seen its card; it would lie over what is around.
    if (box !== this.muted) this.muted = null;
    else if (box !== null) return;
    if (box === null) this.#hoverEdge(event);
    else if (isNew || this.card.element.hidden) this.card.fill(this.#about(box));
    this.#cardAt(event);
  }

  #leave() {
    if (this.hovered !== null) this.#light(null);
    this.card.hide();
  }

  #light(box) {
    this.hovered = box;
    for (const { from, to, element } of this.index.edges) {
      element.classList.toggle("jitq-graph-near", this.#isLit(from) || this.#isLit(to));
    }
  }

  #hoverEdge(event) {
    const edge = this.#edgeNear(event);
    const text = edge && this.panes.map((pane) => pane.about.get(edge)).find(Boolean);
    if (text) this.card.fill([{ text, kind: "node" }]);
    else this.card.hide();
  }

  // Lines are thin: near is enough.
  #edgeNear({ clientX, clientY }) {
    const page = this.body.getRootNode();
    for (const [dx, dy] of [[0, 0], [3, 0], [-3, 0], [0, 3], [0, -3]]) {
      const edge = page.elementFromPoint(clientX + dx, clientY + dy)?.closest(".edge");
      if (edge) return edge;
    }
    return null;
  }

  #cardAt(event) {
    const { left, top } = this.body.getBoundingClientRect();
    this.card.stand({ x: event.clientX - left, y: event.clientY - top, width: 0, height: 0 }, 14);
  }
}
