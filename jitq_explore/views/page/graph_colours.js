// What the colours of the graph view mean: the legend, and the colours of the errors.

const GRAPH_LINES = { float: "float", quantized: "quantized", packed: "packed", removed: "no more" };

const GRAPH_LOSS_CLASSES = [0, 1, 2, 3, 4, 5].map((band) => `jitq-graph-loss-${band}`);

// The legend of the boxes and lines.
function graphLegend() {
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

// A number of an answer, which is a text where it is not finite.
function graphDecibels(value) {
  return typeof value === "number" ? value : value === "∞" ? Infinity : -Infinity;
}

// A number on the upper right corner of a box; right of it captions of frames may stand.
function graphBadge(right, top, words) {
  const width = 8 + 6.2 * words.length;
  const badge = graphShape("g", { class: "jitq-graph-badge" });
  const [left, middle] = [right + 3 - width, top - 4];
  const text = graphShape("text", { x: left + width / 2, y: middle + 3.5, "font-size": 10.5, "text-anchor": "middle" });
  text.textContent = words;
  badge.append(graphShape("rect", { x: left, y: middle - 7, width, height: 14, rx: 7 }), text);
  return badge;
}

// The boxes in the colours of what is lost in them, with the number. `found`: { stage, bands,
// nodes: { id: { own, inherited, all } } }; of two runs `before` has the nodes of the first; null:
// no such colours.
class GraphLosses {
  constructor(body, panes) {
    Object.assign(this, { body, panes, found: null, coloured: [], badges: [] });
    this.legend = graphElement("div", "jitq-graph-legend");
    this.legend.title =
      "SQNR of what the op itself loses, given its inputs as they are after that stage; ∞: nothing";
    this.legend.hidden = true;
  }

  // Takes effect in the boxes with `colour`.
  take(found) {
    this.found = found;
    this.legend.hidden = found === null;
    if (!found) return;
    const { stage, bands } = found;
    const names = [`≥ ${bands[0]}`, ...bands.slice(1).map((low, at) => `${low}–${bands[at]}`), `< ${bands.at(-1)}`];
    const chips = names.map((name, band) => graphElement("span", `jitq-graph-chip jitq-graph-loss-${band}`, name));
    const what = stage ? `made here (dB), after ${stage}:` : "nothing was measured here";
    this.legend.replaceChildren(what, ...(stage ? chips : []));
  }

  colour(index) {
    for (const { element } of this.coloured) element.classList.remove(...GRAPH_LOSS_CLASSES);
    for (const badge of this.badges) badge.remove();
    this.coloured = [];
    this.badges = [];
    this.body.classList.toggle("jitq-graph-losses", this.found !== null);
    if (!this.found) return;
    const [first, second] = this.panes;
    const { before, nodes } = this.found;
    const isPair = before && second.drawing;
    for (const pane of this.panes) {
      const known = isPair && pane === first ? before : { nodes, gone: {} };
      for (const [box, element] of pane.boxes) this.#colourBox(index, box, element, known);
    }
  }

  #colourBox(index, box, element, known) {
    const worst = this.#worstIn(index, box, known);
    if (!worst) return;
    const value = graphDecibels(worst.own);
    const band = this.found.bands.filter((low) => value < low).length;
    const rect = index.rects.get(box);
    const badge = graphBadge(rect.x + rect.width, rect.y, Number.isFinite(value) ? value.toFixed(1) : worst.own);
    element.classList.add(GRAPH_LOSS_CLASSES[band]);
    element.append(badge);
    this.coloured.push({ element, rect, status: GRAPH_LOSS_CLASSES[band] });
    this.badges.push(badge);
  }

  // Of the nodes in a box, what the one loses that loses most; undefined where nothing is known.
  #worstIn(index, box, known) {
    const { nodes, gone } = index.nodesOf(box);
    const all = [...nodes.map((id) => known.nodes[id]), ...gone.map((id) => known.gone[id])];
    const measured = all.filter((each) => each && each.own !== null);
    return measured.sort((a, b) => graphDecibels(a.own) - graphDecibels(b.own))[0];
  }

  // What is lost in a box, as lines of the card.
  about(index, box) {
    const { found } = this;
    const runs = found ? [["", { nodes: found.nodes, gone: {} }]] : [];
    if (found?.before) runs.splice(0, 1, ["A: ", found.before], ["B: ", runs[0][1]]);
    const worst = runs.map(([name, known]) => [name, this.#worstIn(index, box, known)]);
    return worst.filter(([, one]) => one).map(([name, { own, inherited, all }]) => ({
      text: `${name}SQNR in dB: made here ${own} · inherited ${inherited ?? "–"} · in all ${all ?? "–"}`,
      kind: "node",
    }));
  }
}
