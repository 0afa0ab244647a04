// The explorer's page: its parts, what is chosen, and the two homes that it has.
//
// The page is one ES module, these files in this order (none imports another):
//   graph_shapes.js, graph_camera.js, graph_pane.js, graph_card.js, graph_minimap.js,
//   graph_index.js, graph_hands.js, graph_colours.js, graph_view.js, dom.js, answers.js, follow.js,
//   strip.js, toolbar.js, what_if.js, details.js, cells.js, tables.js, text.js, steps.js, plots.js,
//   tabs.js, keys.js, explorer.js

const NO_STATE = {
  stage: "",
  node: null,
  folds: null,
  side: "union",
  reach: null,
  query: "",
  module: "",
  tab: "details",
  errors: false,
};

const NOT_THERE = { nodes: [], gone: [] };

/** One page: what is chosen (`state`) and the parts that show it. */
class Page {
  constructor(el, source, state, { onState, level = 2 }) {
    this.source = source;
    this.onState = onState;
    this.state = { ...NO_STATE, ...state };
    this.tickets = {};
    this.drawing = null;
    this.problem = "";
    this.foldNotice = "";
    this.nodes = [];
    this.located = NOT_THERE;
    this.anchor = this.state.node;
    this.answers = new Answers(source, (text) => {
      this.waiting.textContent = text;
    });
    this.makeParts(el, level);
    this.closeLive = source.live?.listen((message) => this.hear(message));
  }

  // Making -----------------------------------------------------------------------------------------

  makeParts(el, level) {
    this.root = make("div", {
      class: "jitq",
      tabindex: "-1",
      role: "region",
      "aria-label": "Quantization explorer",
      "data-lm-suppress-shortcuts": "true",
    });
    this.strip = new Strip({
      onStage: (stage) => this.goTo(stage),
      onStep: (stage, number) => this.showStep(stage, number),
      level,
    });
    // With the stage that is shown: the kernel may not know of that choice yet.
    this.live = new LiveBar((message) =>
      this.source.live?.send({ ...message, stage: this.state.stage }),
    );
    this.live.element.hidden = true;
    this.toolbar = new Toolbar(this.toolbarMoves());
    this.details = new Details({
      node: (node) => this.selectNode(node),
      requantize: (wish) => this.requantize(wish),
      unfold: (paths) => this.unfold(paths),
      whatIf: (wish) => this.answers.get("what_if", wish),
      apply: (wish) => this.apply(wish),
      plot: (ask) => plotsOf([ask], this.answers).element,
    });
    this.tabs = new Tabs(this.answers, {
      tab: (tab) => this.change({ tab }),
      row: (row) => this.selectRow(row),
      line: (found) => this.selectHere(found),
      requantize: (wish) => this.requantize(wish),
      compare: () => this.live.begin({ do: "compare" }),
      apply: (wish) => this.apply(wish),
    });
    this.waiting = make("div", { class: "jitq-waiting", role: "status" });
    this.help = keyHelp();
    const parts = [this.live.element, this.waiting, this.toolbar.element, this.makeMain()];
    this.root.append(...this.strip.parts, ...parts, this.tabs.element, this.help);
    this.root.addEventListener("keydown", (event) => pressedFirst(this, event), true);
    this.root.addEventListener("keydown", (event) => pressed(this, event));
    numberLandmarks(this.root);
    el.append(this.root);
    this.graph = new GraphView(this.graphRoot, {
      onSelect: (found) => this.selectBox(found),
      onFold: (path) => this.toggleFold(path),
      onUnfold: (paths) => this.unfold(paths),
    });
  }

  makeMain() {
    this.graphRoot = make("div", { class: "jitq-graph" });
    this.instead = make("div", { class: "jitq-instead", hidden: true });
    this.note = make("div", { class: "jitq-note jitq-quiet", role: "status" });
    const attributes = { class: "jitq-left", "aria-label": "Graph" };
    const left = make("section", attributes, this.graphRoot, this.instead, this.note);
    this.main = make("div", { class: "jitq-main" });
    this.main.append(left, splitter(this.main), this.details.element);
    return this.main;
  }

  toolbarMoves() {
    return {
      search: (query) => this.change({ query }),
      step: (direction) => this.stepHit(direction),
      module: (module) => this.change({ module }),
      reach: (reach) => this.change({ reach }),
      side: (side) => this.change({ side }),
      errors: (errors) => this.change({ errors }),
      folds: (folds) => this.setFolds(folds),
      fold: (path) => this.toggleFold(path),
      help: () => this.help.showModal(),
      leave: () => this.root.focus({ preventScroll: true }),
    };
  }

  /** Show the run for the first time. */
  async begin() {
    const run = await this.answers.get("run");
    if (run.error !== undefined) {
      this.waiting.replaceChildren(make("div", { class: "jitq-alarm", text: run.error }));
      return;
    }
    this.takeIn(run);
    await this.showAll();
  }

  takeIn(run) {
    this.run = run;
    this.stages = run.stages.map(({ name }) => name);
    if (!this.stages.includes(this.state.stage)) {
      this.put({
        stage: this.state.stage ? this.stages.at(-1) : (this.stages[1] ?? this.stages[0]),
      });
    }
    this.strip.show(run, this.state.stage);
    this.live.show(run);
    this.toolbar.showMeasured(run.measured);
    this.tabs.setRun(run);
  }

  // Choosing ---------------------------------------------------------------------------------------

  /** Another state, told to the outside but not yet shown. */
  put(changes) {
    this.state = { ...this.state, ...changes };
    this.onState?.(this.state);
  }

  /** Another state, shown. */
  async change(changes) {
    const old = this.state;
    const next = { ...old, ...changes };
    if (sameValue(old, next)) return;
    this.put(changes);
    if (this.run) await this.showChange(old);
  }

  /** A state that was set from outside. */
  async setState(state) {
    const old = this.state;
    const next = { ...NO_STATE, ...state };
    if (sameValue(old, next)) return;
    if (!sameValue(old.node, next.node)) this.anchor = next.node;
    this.state = next;
    if (!this.run) return;
    if (!this.stages.includes(next.stage)) this.state = { ...next, stage: old.stage };
    await this.showChange(old);
  }

  goTo(stage) {
    if (stage && stage !== this.state.stage) this.change({ stage });
  }

  /** An inner step of a stage. */
  async showStep(stage, number) {
    await this.change({ stage, tab: "steps" });
    this.tabs.chooseStep(stage, number);
  }

  stepStage(direction) {
    this.goTo(this.stages[this.stages.indexOf(this.state.stage) + direction]);
  }

  /** Select a node {stage, id, gone}, at its stage; null: none. */
  async selectNode(node, isFromGraph = false) {
    if (node && !this.stages.includes(node.stage)) return;
    const chosen = node && { stage: node.stage, id: node.id, gone: Boolean(node.gone) };
    this.anchor = chosen;
    this.isFromGraph = isFromGraph;
    await this.change({ node: chosen, ...(chosen && { stage: chosen.stage }) });
    this.isFromGraph = false;
  }

  /** Select what {nodes, gone} of the stage shown begins with. */
  selectHere({ nodes, gone }, isFromGraph = false) {
    const [id, isGone] = nodes.length ? [nodes[0], false] : [gone[0], true];
    const node = id === undefined ? null : { stage: this.state.stage, id, gone: isGone };
    return this.selectNode(node, isFromGraph);
  }

  /** A box was chosen in the graph: of its nodes, what the stage did something to tells most. */
  selectBox(found) {
    if (!found) return this.selectNode(null, true);
    const all = this.nodesOfBox(found);
    const telling = all.find(({ status }) => status !== "same") ?? all[0];
    if (telling) return this.selectNode({ ...telling, stage: this.state.stage }, true);
    return this.selectHere(found, true);
  }

  nodesOfBox({ nodes = [], gone = [] }) {
    const [here, away] = [new Set(nodes), new Set(gone)];
    return this.nodes.filter((node) => (node.gone ? away : here).has(node.id));
  }

  /** A row is about nodes: here, else at the stage nearest to where it belongs. */
  selectRow(row) {
    const has = (stage) => row.at[stage]?.length > 0;
    const home = this.stages.indexOf(row.stage);
    const away = (stage) =>
      Math.abs(
        this.stages.indexOf(stage) - (home < 0 ? this.stages.indexOf(this.state.stage) : home),
      );
    const nearest = this.stages.filter(has).sort((a, b) => away(a) - away(b))[0];
    const stage = has(this.state.stage) ? this.state.stage : nearest;
    if (stage) this.selectNode({ stage, id: row.at[stage][0], gone: false });
    else if (home >= 0) this.goTo(row.stage);
  }

  stepHit(direction) {
    const hit = this.graph.step(direction);
    if (!hit) return;
    this.toolbar.showHit(hit);
    this.selectNode({ ...hit.node, stage: this.state.stage });
  }

  setFolds(wanted) {
    const folds = this.foldsAtHand(wanted);
    const isAtHand = countUnlike(this.openIn(folds), this.openIn(wanted)) === 0;
    this.foldNotice = isAtHand
      ? ""
      : `This file has drawings of ${plural(this.source.states.length, "fold state")}, ` +
        "not of that one: a notebook has them all.";
    if (sameValue(folds, this.drawing?.folds)) this.sayOfDrawing();
    else this.change({ folds });
  }

  toggleFold(path) {
    if (!path || !this.drawing) return;
    const { folds } = this.drawing;
    const isFolded = folds.includes(path);
    this.setFolds(isFolded ? folds.filter((one) => one !== path) : [...folds, path]);
  }

  unfold(paths) {
    if (this.drawing) this.setFolds(this.drawing.folds.filter((path) => !paths.includes(path)));
  }

  /** Of the fold states that this home has drawings of, the one most like the wanted. */
  foldsAtHand(wanted) {
    const open = this.openIn(wanted);
    const unlike = (state) => countUnlike(this.openIn(state), open);
    // Where none is nearer, nothing is to move.
    const now = this.drawing?.folds ?? this.state.folds ?? [];
    const nearer = (best, state) => (unlike(state) < unlike(best) ? state : best);
    return this.source.states?.reduce(nearer, now) ?? [...wanted].sort();
  }

  /** The regions that can be looked into; what is folded inside of another makes no difference. */
  openIn(folds) {
    const paths = (this.drawing?.regions ?? []).map(({ path }) => path);
    return new Set(paths.filter((path) => !folds.some((folded) => isInside(path, folded))));
  }

  /** Give up, one after the other: the search, the selection. */
  clear() {
    if (this.state.query) this.change({ query: "" });
    else this.selectNode(null);
  }

  requantize(wish) {
    this.live.begin({ do: "requantize", ...wish });
  }

  apply(wish) {
    this.live.begin({ do: "apply", ...wish });
  }

  // Showing ----------------------------------------------------------------------------------------

  /** Whether an answer to the newest question of that name is still wanted. */
  ticket(name) {
    this.tickets[name] = (this.tickets[name] ?? 0) + 1;
    const mine = this.tickets[name];
    return () => mine === this.tickets[name] && !this.isClosed;
  }

  async showAll() {
    this.toolbar.showState(this.state);
    await Promise.all([this.showGraph(), this.tabs.show(this.state)]);
  }

  async showChange(old) {
    const is = (...names) => names.some((name) => !sameValue(old[name], this.state[name]));
    this.toolbar.showState(this.state);
    const jobs = [];
    if (is("stage")) {
      this.strip.choose(this.state.stage);
      this.foldNotice = "";
    }
    if (is("stage", "folds", "side")) jobs.push(this.showGraph());
    else {
      if (is("query")) this.showSearch();
      if (is("reach")) this.graph.setReach(this.state.reach);
      if (is("module")) this.graph.setModule(this.state.module);
      if (is("errors")) jobs.push(this.showErrors());
      if (is("node") || (is("module") && !this.anchor)) jobs.push(this.showNode());
    }
    if (is("stage", "tab", "module")) jobs.push(this.tabs.show(this.state));
    await Promise.all(jobs);
  }

  drawingAsks(stage) {
    const { folds, side } = this.state;
    // Before the first stage there is nothing, unless it is the first of two runs.
    const isAlone = stage === this.stages[0] && !this.run.runs;
    const sides = side === "both" && !isAlone ? ["before", "after"] : ["union"];
    return sides.map((one) => ["drawing", { stage, folds, side: one }]);
  }

  /** The drawings of the stage, then all that is shown in them. */
  async showGraph() {
    const isWanted = this.ticket("graph");
    const { stage } = this.state;
    this.main.setAttribute("aria-busy", "true");
    const asks = [...this.drawingAsks(stage), ["nodes", { stage }]];
    const get = (ask) => this.answers.get(...ask);
    const [errors, ...found] = await Promise.all([this.errorsOf(stage), ...asks.map(get)]);
    if (!isWanted()) return;
    this.main.removeAttribute("aria-busy");
    const nodes = found.pop();
    this.nodes = Array.isArray(nodes) ? nodes : [];
    this.toolbar.showModules(this.nodes);
    this.toolbar.showState(this.state);
    this.drawing = found[0].error === undefined ? found[0] : null;
    if (this.drawing) this.toolbar.showFolds(this.drawing.regions, this.drawing.folds);
    const problem = found.map((one) => one.error ?? one.problem).find(Boolean) ?? "";
    this.problem = problem;
    this.sayOfDrawing();
    this.showInstead(problem, stage);
    if (!problem) {
      this.graph.show({ panes: this.panes(found, stage), nodes: this.nodes, errors });
      this.graph.setReach(this.state.reach);
      this.graph.setModule(this.state.module);
    }
    this.showSearch();
    await this.showNode();
    this.prefetch();
  }

  /** Colour the boxes by what was lost there, or no longer. */
  async showErrors() {
    const isWanted = this.ticket("errors");
    const { stage } = this.state;
    const errors = await this.errorsOf(stage);
    if (isWanted() && stage === this.state.stage) this.graph.setErrors(errors);
  }

  /** What the nodes of a stage lose; null where that is not to be shown. */
  async errorsOf(stage) {
    if (!this.state.errors || !this.run.measured) return null;
    const answer = await this.answers.get("errors", { stage });
    return answer.error === undefined ? answer : null;
  }

  panes(drawings, stage) {
    const before = this.stages[this.stages.indexOf(stage) - 1];
    const names = this.run.runs ?? [before, stage];
    const what = this.run.runs ? ["A", "B"] : ["before", "after"];
    const both = (at) => (what[at] === names[at] ? what[at] : `${what[at]}: ${names[at]}`);
    const label = (at) => (drawings.length > 1 ? both(at) : "");
    return drawings.map((drawing, at) => ({ drawing, label: label(at) }));
  }

  /** Where there is no drawing: why, and the text of the graph. */
  async showInstead(problem, stage) {
    const isWanted = this.ticket("instead");
    // What was there stays until the text is.
    const answer = problem ? await this.answers.get("text", { stage, what: "ir" }) : null;
    if (!isWanted()) return;
    this.graphRoot.hidden = Boolean(problem);
    this.instead.hidden = !problem;
    if (!problem) return;
    const said = [
      make("b", { text: "No drawing: " }),
      problem,
      ". The text of the graph is below.",
    ];
    const alarm = make("div", { class: "jitq-alarm", role: "alert" }, ...said);
    const hasText = answer.error === undefined;
    const text = hasText
      ? new TextView(answer, (found) => this.selectHere(found)).element
      : answer.error;
    this.instead.replaceChildren(alarm, text);
  }

  showSearch() {
    const { query } = this.state;
    this.toolbar.showHits(query, this.graph.search(query));
  }

  /** Find the selected node at this stage, and show it everywhere. */
  async showNode() {
    const isWanted = this.ticket("node");
    const { stage } = this.state;
    const { anchor, isFromGraph } = this;
    const located = anchor ? await this.locate(anchor, stage) : NOT_THERE;
    if (!isWanted()) return;
    this.located = located;
    this.graph.select(this.located, { center: !isFromGraph });
    this.tabs.mark(this.located, stage);
    if (!anchor) {
      this.showStage(stage);
      return;
    }
    const [id, gone] = this.located.nodes.length
      ? [this.located.nodes[0], false]
      : [this.located.gone[0], true];
    if (id === undefined) {
      this.details.showAbsent(anchor, stage);
      return;
    }
    const node = { stage, id, gone };
    if (!sameValue(node, this.state.node)) this.put({ node });
    const answer = await this.answers.get("details", { stage, node: id, gone });
    if (isWanted()) this.details.show(answer, { node, run: this.run, ...this.boxAround(node) });
  }

  /** What a stage did, in the chosen module, while no node is selected. */
  showStage(stage) {
    const { module } = this.state;
    const { outcome, sentence } = this.run.stages.find(({ name }) => name === stage);
    const title = this.run.runs ? `How the runs differ after ${stage}` : `What ${stage} did`;
    const said = outcome === "input" ? "" : sentence || (module && "nothing changed there");
    const isDrawn = (node) => this.boxOf(node) !== undefined;
    const nodes = this.nodes.filter((node) => isInside(node.module, module));
    this.details.showStage(stage, module ? `${title} in ${module}` : title, said, nodes, isDrawn);
  }

  locate(node, stage) {
    if (this.run.runs) return locateInPair(this.answers, node, stage);
    return locate(this.answers, this.stages, node, stage);
  }

  /** All nodes that share the box of a node, and the modules that the box stands for. */
  boxAround(node) {
    const box = this.boxOf(node);
    if (box === undefined) return { box: [], groups: [] };
    const inside = this.nodes.filter((other) => this.boxOf(other) === box);
    return { box: inside, groups: this.drawing.groups?.[box] ?? [] };
  }

  boxOf({ id, gone }) {
    return (gone ? this.drawing?.gone : this.drawing?.boxes)?.[id];
  }

  /** What a step to another stage would need, nearest stages first. */
  prefetch() {
    const here = this.stages.indexOf(this.state.stage);
    const others = this.stages.filter((stage) => stage !== this.state.stage);
    others.sort(
      (a, b) => Math.abs(this.stages.indexOf(a) - here) - Math.abs(this.stages.indexOf(b) - here),
    );
    const asks = others.flatMap((stage) => [
      ...this.drawingAsks(stage),
      ["nodes", { stage }],
      ["links", { stage }],
      ...(this.state.errors && this.run.measured ? [["errors", { stage }]] : []),
    ]);
    // A kernel that runs a stage has better things to do.
    this.answers.prefetch(this.run.busy ? [] : asks);
  }

  /** What the drawing does not show, and why it is not the one that was asked for. */
  sayOfDrawing() {
    const note = this.problem ? "" : (this.drawing?.note ?? "");
    this.note.textContent = [this.foldNotice, note].filter(Boolean).join(" ");
  }

  // Living -----------------------------------------------------------------------------------------

  /** What the kernel says of its own accord. */
  hear(message) {
    if (!this.run || this.isClosed) return;
    if (message.event === "run") this.takeInRun(message);
    else if (message.event === "progress") this.live.showProgress(message);
    else if (message.event === "idle") this.rest(message);
  }

  rest(message) {
    this.run.busy = false;
    this.live.rest(message);
    this.prefetch();
  }

  takeInRun({ run, go, stale = [] }) {
    this.answers.drop(stale);
    if (go && run.stages.some(({ name }) => name === go)) this.put({ stage: go });
    // Where the selected node's own stage is no more, it cannot be followed.
    const isKnown = ({ stage }) =>
      run.stages.some(({ name }) => name === stage) && !stale.includes(stage);
    if (this.anchor && !isKnown(this.anchor)) {
      this.anchor = null;
      this.put({ node: null });
    }
    this.takeIn(run);
    return this.showAll();
  }

  close() {
    this.isClosed = true;
    this.closeLive?.();
    this.answers.prefetch([]);
    this.tabs.destroy();
    this.graph.destroy();
    this.root.remove();
  }
}

/**
 * Several explorers in one document tell their landmarks apart by a number. It is kept in the
 * document, since each of them may be a module of its own.
 */
function numberLandmarks(root) {
  const { dataset } = document.documentElement;
  const number = Number(dataset.jitqExplorers ?? 0) + 1;
  dataset.jitqExplorers = String(number);
  if (number === 1) return;
  for (const landmark of [root, ...root.querySelectorAll("nav, section, [role=search]")]) {
    landmark.setAttribute("aria-label", `${landmark.getAttribute("aria-label")} (${number})`);
  }
}

/** How many members only one of two sets has. */
function countUnlike(one, other) {
  const missing = (from, what) => [...what].filter((each) => !from.has(each)).length;
  return missing(one, other) + missing(other, one);
}

/** A handle between graph and details: dragged, or moved by the arrow keys. */
function splitter(main) {
  const handle = make("div", {
    class: "jitq-splitter",
    role: "separator",
    tabindex: "0",
    "aria-orientation": "vertical",
    "aria-label": "Width of the details",
    "aria-valuemin": "15",
    "aria-valuemax": "70",
    "aria-valuenow": "30",
  });
  const set = (percent) => {
    const kept = Math.round(Math.max(15, Math.min(percent, 70)));
    main.style.setProperty("--jitq-side", `${kept}%`);
    handle.setAttribute("aria-valuenow", String(kept));
  };
  handle.addEventListener("keydown", (event) => {
    const by = { ArrowLeft: 2, ArrowRight: -2 }[event.key];
    if (!by) return;
    event.preventDefault();
    set(Number(handle.getAttribute("aria-valuenow")) + by);
  });
  handle.addEventListener("pointerdown", (event) => {
    event.preventDefault();
    handle.setPointerCapture(event.pointerId);
  });
  handle.addEventListener("pointermove", (event) => {
    if (!handle.hasPointerCapture(event.pointerId)) return;
    const { right, width } = main.getBoundingClientRect();
    set((100 * (right - event.clientX)) / width);
  });
  return handle;
}

/**
 * Show the page in `el`. `source`: {ask, live}; `options.onState(state)` hears of every choice,
 * `options.level` is that of the heading. Returns {ready, setState, close}.
 */
export function open(el, source, state = {}, options = {}) {
  const page = new Page(el, source, state, options);
  const ready = page.begin();
  return { ready, setState: (next) => page.setState(next), close: () => page.close() };
}

/** The page as an anywidget. */
function render({ model, el }) {
  const source = fromKernel(model);
  // Choices come faster than a kernel answers: only the newest is told to it, with the kernel's
  // turn that it was made in. A cell that sets the state begins another: what was chosen without
  // knowing of that is not told, or refused.
  let saving = 0;
  let known = model.get("_turn");
  const stateOf = () => {
    const { turn, ...state } = model.get("state") ?? {};
    return state;
  };
  const page = open(el, source, stateOf(), {
    onState(state) {
      const turn = model.get("_turn");
      clearTimeout(saving);
      saving = setTimeout(() => {
        saving = 0;
        model.set("state", { ...state, turn });
        model.save_changes();
      }, 100);
    },
  });
  const hear = () => {
    if (known !== model.get("_turn")) {
      known = model.get("_turn");
      clearTimeout(saving);
      saving = 0;
    }
    // What another page of this kernel chose is older than what is yet to be told.
    if (!saving) page.setState(stateOf());
  };
  model.on("change:state", hear);
  return () => {
    clearTimeout(saving);
    model.off("change:state", hear);
    source.close();
    page.close();
  };
}

export default { render };
