// The graph view of the explorer's page: drawings that are panned, zoomed, searched and folded.
//
// Python makes the drawings (SVG); here they are shown, and what is done to them is told to the
// `handlers`. Nothing here asks for an answer or knows of stages. Its parts are in the files
// `graph_*.js` before this one.

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
    // The step that led to the current box; what keeps its place in the next fold state; how the
    // next drawing is to be placed; whether this one was measured.
    Object.assign(this, { trail: null, anchor: null, fresh: null, isMeasured: false, hasLosses: false });
    this.#build();
    this.watcher = new ResizeObserver(() => this.#resize());
    this.watcher.observe(this.panes[0].element);
  }

  // -- What the page asks for ---------------------------------------------------------------------

  show({ panes, nodes, errors = null }) {
    const old = this.index;
    // What is seen as it was first shown is shown so again, unless a module was folded by hand.
    const held = this.camera.isHome && !this.anchor ? null : this.#held();
    this.panes.forEach((pane, number) => {
      pane.column.hidden = number >= panes.length;
      if (number < panes.length) pane.mount(panes[number].drawing, panes[number].label, panes.length === 1);
      else pane.clear();
    });
    this.index = new GraphIndex(this.panes, nodes || []);
    this.#takeErrors(errors);
    const isSame = old.size !== null && old.size === this.index.size;
    this.camera.paper = this.index.paper || { width: 1, height: 1 };
    this.#keepChosen(old, isSame);
    this.isMeasured = false;
    this.fresh = isSame ? this.fresh : { held };
    this.card.hide();
    this.#findHits();
    this.#resize();
    if (isSame) this.#followChange();
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
    const isOther = this.module !== (path || "");
    this.module = path || "";
    this.#mark();
    // All else is faint: what was asked for has to be in sight.
    if (isOther && path) {
      this.#show(this.index.boxes.filter((box) => this.index.isInModule(box, path)), true);
    }
  }

  // What each node loses: { stage, bands, nodes: { id: { own, inherited, all } } }; null: as ever.
  setErrors(found) {
    this.#takeErrors(found);
    // What is not in the page is coloured when it is measured.
    if (this.isMeasured) this.#colour();
  }

  fit() {
    this.camera.fit(this.#changes());
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
    this.body.append(...this.panes.map((pane) => pane.column));
    this.hands = new GraphHands(this.body, this.panes, this.camera, this.#acts());
    this.minimap = new GraphMinimap(this.body, this.camera);
    this.card = new GraphCard(this.body);
    this.said = graphElement("div", "jitq-graph-said");
    this.said.setAttribute("aria-live", "polite");
    const foot = graphElement("div", "jitq-graph-foot");
    this.legend = graphLegend();
    this.losses = new GraphLosses(this.body, this.panes);
    foot.append(this.legend, this.losses.legend, this.#buttons());
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

  // The legend of the errors takes the place of the other.
  #takeErrors(found) {
    this.losses.take(found);
    this.legend.hidden = found !== null;
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
    add("Fit", "Fit all of the graph into the view; once more: back to a size that can be read (0)", () => this.fit());
    add("−", "Zoom out (−)", () => this.zoomBy(1 / 1.25));
    this.percent = add("100 %", "Zoom to 100 % (1)", () => this.zoomTo(1));
    add("+", "Zoom in (+)", () => this.zoomBy(1.25));
    return bar;
  }

  // -- Place --------------------------------------------------------------------------------------

  #resize() {
    if (this.index.paper) this.minimap.takePlace(this.panes.filter((pane) => !pane.column.hidden).length);
    const { clientWidth: width, clientHeight: height } = this.panes[0].element;
    if (!width || !height || !this.index.paper) return;
    const { view } = this.camera;
    const wider = view.width ? width - view.width : 0;
    const isOther = width !== view.width || height !== view.height;
    Object.assign(view, { width, height });
    if (!this.isMeasured) this.#measure();
    const { fresh } = this;
    this.fresh = null;
    if (fresh) this.#settleIn(fresh);
    else if (isOther && this.camera.isHome) this.camera.home(this.#changes());
    else if (isOther) this.camera.pan(wider / 2, 0);
    this.#draw();
    this.#mark();
  }

  #measure() {
    const { index } = this;
    index.measure();
    this.camera.boxes = [...index.rects.values()];
    this.isMeasured = true;
    this.minimap.fill(this.panes.flatMap((pane) => pane.rows));
    this.#sortHits();
    this.#colour();
  }

  // What is lost, on the map too; it has what differs otherwise.
  #colour() {
    const { losses, panes, hasLosses } = this;
    losses.colour(this.index);
    this.hasLosses = losses.found !== null;
    if (!this.hasLosses && !hasLosses) return;
    const rows = panes.flatMap((pane) => pane.rows);
    const plain = rows.map(({ rect }) => ({ rect, status: "same" }));
    this.minimap.fill(losses.found ? [...plain, ...losses.coloured] : rows);
  }

  // The first drawing of a fold state: what was held keeps its place, if anything was.
  #settleIn({ held, centre }) {
    const rect = held && this.index.rectOf(held);
    // Where two drawings take the place of one, the middle of the window is elsewhere.
    const aside = held ? (this.camera.view.width - held.width) / 2 : 0;
    // In a window that showed a larger drawing, a small one would stand in a corner, not to be read.
    if (rect && !this.camera.isTooFar) this.camera.hold([rect.x, rect.y], [held.at[0] + aside, held.at[1]]);
    else this.camera.home(this.#changes());
    if (centre) this.#show(centre);
  }

  // Where the boxes that changed are, from above.
  #changes() {
    const changed = this.index.boxes.filter((box) => this.index.statusOf(box) !== "same");
    const rects = changed.map((box) => this.index.rects.get(box)).filter(Boolean);
    return rects.sort((a, b) => a.y - b.y || a.x - b.x);
  }

  // Whoever has not moved the drawing is led to what a stage changed, if none of it is in sight.
  #followChange() {
    const { camera, chosen } = this;
    if (!camera.isHome || chosen.size || !camera.view.width) return;
    const changes = this.#changes();
    if (changes.length && !changes.some((rect) => camera.isInside(rect))) camera.home(changes, true);
  }

  // What is to keep its place on the screen when modules fold, and where that is: [x, y] of its
  // corner.
  #held() {
    const { anchor, camera, index } = this;
    const { width } = camera.view;
    this.anchor = null;
    if (!index.rects.size || !width) return null;
    if (anchor) return { ...anchor, width };
    const middle = camera.toPaper([camera.view.width / 2, camera.view.height / 2]);
    const box = this.#isSeen(this.current) ? this.current : index.nearestTo(middle);
    const { x, y } = camera.toView(index.rects.get(box));
    return { ...index.nodesOf(box), path: "", at: [x, y], width };
  }

  #isSeen(box) {
    const rect = this.index.rects.get(box);
    if (!rect) return false;
    const { x, y, width, height } = this.camera.toView(rect);
    const { view } = this.camera;
    return x + width > 0 && y + height > 0 && x < view.width && y < view.height;
  }

  // Brings one of them into sight; all, where `isWhole` and there is room for them.
  #show(boxes, isWhole = false) {
    if (this.fresh) {
      this.fresh.centre = boxes;
      return;
    }
    const all = [...boxes];
    const needsAll = isWhole && !this.#isSpread(this.#rectsOf(all));
    const isSeen = (box) => this.#isSeenWell(box);
    if (!(needsAll ? all.every(isSeen) : all.some(isSeen))) this.#centre(all);
  }

  #rectsOf(boxes) {
    return [...boxes].map((box) => this.index.rects.get(box)).filter(Boolean);
  }

  // Whether there is no room for all of them at a size that can be read.
  #isSpread(rects) {
    const { scale, view } = this.camera;
    const { width, height } = graphAround(rects);
    const least = Math.max(scale, GRAPH_LEGIBLE);
    return width * least > view.width || height * least > view.height;
  }

  #isSeenWell(box) {
    const rect = this.index.rects.get(box);
    return rect !== undefined && this.camera.scale >= GRAPH_LEGIBLE && this.camera.isInside(rect);
  }

  #centre(boxes) {
    const rects = this.#rectsOf(boxes);
    if (rects.length) this.camera.centre(this.#isSpread(rects) ? rects[0] : graphAround(rects));
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
      for (const { from, element } of pane.labels) {
        element.classList.toggle("jitq-graph-faint", faint.has(from) && !this.#isLit(from));
      }
    }
    this.#halo();
  }

  #isLit(box) {
    return this.chosen.has(box) || this.hovered === box;
  }

  #faint() {
    const near = this.reach === null ? null : this.index.within(this.reach);
    // Where nothing is found, nothing is pointed out: the drawing stays legible.
    const hits = this.query.trim() && this.hits.length ? new Set(this.hits) : null;
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

  #about(box) {
    return [...this.index.about(box), ...this.losses.about(this.index, box)];
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
