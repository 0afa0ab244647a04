// What the graph view knows of its drawings: boxes, nodes, lines, neighbours.

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
