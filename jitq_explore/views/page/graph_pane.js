// One drawing of the graph view: taken in once, kept ready for the next time that it is shown.

// One drawing in its window.
class GraphPane {
  constructor() {
    this.element = graphElement("div", "jitq-graph-pane");
    this.element.tabIndex = 0;
    this.element.setAttribute("role", "application");
    this.element.setAttribute("aria-roledescription", "graph");
    this.sheet = graphElement("div", "jitq-graph-sheet");
    // What it is called stands above it, where it covers nothing.
    this.label = graphElement("div", "jitq-graph-label");
    this.column = graphElement("div", "jitq-graph-column");
    this.column.append(this.label, this.element);
    this.problem = graphElement("div", "jitq-graph-problem");
    this.element.append(this.sheet, this.problem);
    this.clear();
  }

  clear() {
    this.drawing = null;
    Object.assign(this, { svg: null, boxes: new Map(), frames: new Map(), edges: [], labels: [], about: new Map() });
    Object.assign(this, { rects: null, rows: [] });
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
    const { svg, boxes, frames, edges, labels, about, rects, rows } = this;
    const prepared = { svg, boxes, frames, edges, labels, about, rects, rows };
    if (svg) GRAPH_PREPARED.set(this.drawing, prepared);
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
    // A label is that of all lines from one box.
    this.labels = [...svg.querySelectorAll(".domain")].map((element) => ({ from: element.dataset.from, element }));
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
    const captions = [...element.querySelectorAll("text")];
    const path = element.dataset.path;
    if (path === undefined || !rect || !captions.length) return;
    const number = (name) => Number(rect.getAttribute(name));
    const room = { x: number("x"), y: number("y"), width: number("width"), height: number("height") };
    this.frames.set(path, { element, rect: room });
    for (const caption of captions) {
      caption.classList.add("jitq-graph-caption");
      caption.dataset.fold = path;
    }
    const label = `fold ${captions.map((caption) => caption.textContent).join(" · ")}`;
    const [x, y] = ["x", "y"].map((name) => Number(captions[0].getAttribute(name)));
    element.append(this.#control("−", x - 10, y - 3.8, label, { fold: path }));
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
    this.rows = [];
    const room = (element) => {
      const { x, y, width, height } = element.getBBox();
      return { x, y, width, height };
    };
    for (const [box, element] of this.boxes) {
      this.rects.set(box, room(element));
      for (const row of element.querySelectorAll(".row > path")) {
        this.rows.push({ rect: room(row), status: row.getAttribute("class") });
      }
    }
    for (const box of Object.keys(this.drawing?.groups || {})) {
      const rect = this.rects.get(box);
      if (!rect) continue;
      const label = `unfold ${this.drawing.groups[box].join(", ")}`;
      this.boxes.get(box).append(this.#control("+", rect.x + 8, rect.y + 10, label, { unfold: box }));
    }
    this.#keep();
  }
}
