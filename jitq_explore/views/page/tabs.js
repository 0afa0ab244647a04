// The tabs below the graph; what is in one is asked for when it is opened.

const STEPS_TAB = {
  name: "steps",
  title: "Inside",
  hint: "What the pass said of itself, step by step",
};

const TEXT_TABS = [
  { name: "ir", title: "IR", hint: "The graph's text before and after the stage" },
  { name: "code", title: "Code", hint: "The code before and after the stage" },
];

const TIGHTER = ["jitq-tight", "jitq-bare"]; // classes of a list of tabs that has no room

const WIDE = 1375; // pixels from which on there are wider plots

/**
 * `on` is told: tab name, row (of a table), line {nodes, gone}, requantize {key, qconfig}, compare,
 * apply {recommended: number of a row}.
 */
class Tabs {
  constructor(answers, on) {
    this.answers = answers;
    this.on = on;
    this.ticket = 0;
    this.views = new Map();
    this.habits = new Map();
    this.located = { nodes: [], gone: [] };
    this.locatedAt = ""; // ids of one stage say nothing of another one
    this.list = make("div", {
      class: "jitq-tablist",
      role: "tablist",
      "aria-label": "Tables and texts",
    });
    this.panel = make("div", { class: "jitq-panel", role: "tabpanel", tabindex: "-1" });
    this.element = make(
      "section",
      { class: "jitq-tabs", "aria-label": "Tables and texts" },
      this.list,
      this.panel,
    );
    this.list.addEventListener("keydown", (event) => this.key(event));
    this.watcher = new ResizeObserver(() => {
      if (this.list.clientWidth !== this.width) this.fit();
    });
    this.watcher.observe(this.list);
    this.name = `jitq-${Math.random().toString(36).slice(2, 10)}`;
    this.panel.id = `${this.name}-panel`;
  }

  /** The tabs of a run; what they held is asked for anew. */
  setRun(run) {
    this.run = run;
    this.forget();
    const fixed = [
      { name: "messages", title: "Messages", hint: "Errors and warnings" },
      { name: "qconfig", title: "qconfig", hint: "What was asked to be quantized, and how" },
    ];
    const deep = run.stages.some(({ steps }) => steps.length) ? [STEPS_TAB] : [];
    this.tabs = [...run.tabs, ...run.plotTabs, ...deep, ...TEXT_TABS, ...fixed];
    const hadFocus = this.list.contains(document.activeElement);
    this.list.replaceChildren(...this.tabs.map((tab) => this.tab(tab)));
    if (hadFocus) this.list.querySelector(`[data-tab="${this.open}"]`)?.focus();
    this.fit();
  }

  /** In one line where that can be: with less space around the titles, then without the counts. */
  fit() {
    this.width = this.list.clientWidth;
    this.list.classList.remove(...TIGHTER);
    for (const tighter of TIGHTER) {
      const tops = [...this.list.children].map(({ offsetTop }) => offsetTop);
      if (Math.max(...tops) === Math.min(...tops)) return;
      this.list.classList.add(tighter);
    }
  }

  tab({ name, title, hint, count }) {
    const button = makeButton(title, () => this.on.tab(name), {
      class: "jitq-tab",
      role: "tab",
      id: `${this.name}-${name}`,
      "aria-controls": this.panel.id,
      "aria-selected": "false",
      "data-tab": name,
      tabindex: "-1",
    });
    button.append(make("span", { class: "jitq-badge" }));
    this.count(button, count, hint);
    return button;
  }

  /** How many rows, or a sign: short in the tab, in full to whoever hears it or points at it. */
  count(button, count, hint = button.hint) {
    const whole = count === undefined || count === null ? "" : count.toLocaleString("en");
    const [title, badge] = button.childNodes;
    badge.textContent = typeof count === "number" ? shortCount(count) : whole;
    button.setAttribute("aria-label", [title.textContent, whole].filter(Boolean).join(" "));
    button.hint = hint;
    button.title = [hint, whole].filter(Boolean).join(": ");
  }

  key(event) {
    const names = this.tabs.map(({ name }) => name);
    const at = names.indexOf(event.target.dataset.tab);
    const moves = { ArrowLeft: at - 1, ArrowRight: at + 1, Home: 0, End: names.length - 1 };
    const to = moves[event.key];
    if (to === undefined || at < 0) return;
    event.preventDefault();
    const name = names[(to + names.length) % names.length];
    this.on.tab(name);
    this.list.querySelector(`[data-tab="${name}"]`).focus();
  }

  forget() {
    for (const [key, view] of this.views) {
      // How a table was filtered and sorted outlives it.
      if (view instanceof TableView)
        this.habits.set(key, { words: view.words, sorting: view.sorting });
      view.destroy?.();
    }
    this.views.clear();
  }

  /** The tab of the state, at its stage; the old content stays until the new is there. */
  async show({ tab, stage, module }) {
    this.open = this.tabs.some(({ name }) => name === tab) ? tab : this.tabs[0].name;
    for (const button of this.list.children) {
      const isOpen = button.dataset.tab === this.open;
      button.setAttribute("aria-selected", String(isOpen));
      button.tabIndex = isOpen ? 0 : -1;
    }
    this.panel.setAttribute("aria-labelledby", `${this.name}-${this.open}`);
    this.showMessageCount(stage);
    this.stage = stage;
    this.ticket += 1;
    const { ticket } = this;
    const view = await this.view(this.open, stage);
    if (ticket !== this.ticket) return;
    if (this.panel.firstElementChild !== view.element) this.panel.replaceChildren(view.element);
    view.setModule?.(module);
    if (this.locatedAt === stage) this.mark(this.located, stage);
  }

  showMessageCount(name) {
    const stage = this.run.stages.find((one) => one.name === name);
    const count = stage?.messages.length ?? 0;
    const [messages, inside] = ["messages", "steps"].map((tab) =>
      this.list.querySelector(`[data-tab="${tab}"]`),
    );
    this.count(messages, stage?.error ? FAILED : count);
    if (inside) this.count(inside, sumOf(stage?.steps ?? []));
    this.fit();
  }

  async view(tab, stage) {
    if (tab === "messages") return { element: messagesOf(this.run, stage) };
    if (tab === "qconfig") return { element: await this.qconfig() };
    if (tab === STEPS_TAB.name) return this.stepsOf(stage);
    const isText = TEXT_TABS.some(({ name }) => name === tab);
    const plots = this.run.plotTabs.find(({ name }) => name === tab);
    const isWide = Boolean(plots) && this.panel.clientWidth > WIDE;
    const key = isText ? `${tab} ${stage}` : `${tab}${isWide ? " wide" : ""}`;
    if (plots && !this.views.has(key)) {
      const asks = isWide ? plots.widePlots : plots.plots;
      this.views.set(key, plotsOf(asks, this.answers, this.on.row));
    }
    if (!this.views.has(key)) {
      const answer = await (isText
        ? this.answers.get("text", { stage, what: tab })
        : this.answers.get("table", { name: tab }));
      if (answer.error !== undefined)
        return { element: make("div", { class: "jitq-alarm", text: answer.error }) };
      if (!this.views.has(key)) this.views.set(key, this.made(isText, answer));
    }
    return this.views.get(key);
  }

  async stepsOf(stage) {
    const key = `${STEPS_TAB.name} ${stage}`;
    if (!this.views.has(key)) {
      const answer = await this.answers.get("steps", { stage });
      if (answer.error !== undefined)
        return { element: make("div", { class: "jitq-alarm", text: answer.error }) };
      if (!this.views.has(key))
        this.views.set(key, new StepsView(answer, this.answers, stage));
    }
    return this.views.get(key);
  }

  /** Choose an inner step of the stage shown, whose tab is open. */
  chooseStep(stage, number) {
    this.views.get(`${STEPS_TAB.name} ${stage}`)?.choose(number);
  }

  async qconfig() {
    const nodes = this.run.live
      ? await this.answers.get("nodes", { stage: this.run.stages[0].name })
      : [];
    return qconfigOf(this.run, modulesOf(Array.isArray(nodes) ? nodes : []), this.on.requantize);
  }

  made(isText, answer) {
    if (isText) return new TextView(answer, this.on.line);
    const more = {
      actions: answer.name === "numerics" && this.run.canCompare ? [this.compareButton()] : [],
      tryOut:
        answer.name === "recommendations" && this.run.canCompare && !this.run.runs
          ? (recommended) => this.on.apply({ recommended })
          : null,
    };
    return new TableView(answer, this.on.row, this.habits.get(answer.name), more);
  }

  compareButton() {
    const again = this.run.measured ? " again" : "";
    return makeButton(`Compare on the calibration data${again}`, () => this.on.compare(), {
      title: "Run the calibration data through the float model and through every stage",
    });
  }

  /** Mark the rows and lines of the selected nodes {nodes, gone} of a stage, once it is shown. */
  mark(located, stage) {
    [this.located, this.locatedAt] = [located, stage];
    if (stage !== this.stage) return;
    const isText = TEXT_TABS.some(({ name }) => name === this.open);
    const view = this.views.get(isText ? `${this.open} ${this.stage}` : this.open);
    if (!view || this.panel.firstElementChild !== view.element) return;
    if (isText) view.mark(located);
    else view.mark(this.stage, this.stageBefore(), located);
  }

  /** The stage before the one shown; "" for the first, and where two runs are compared. */
  stageBefore() {
    if (this.run.runs) return "";
    const at = this.run.stages.findIndex(({ name }) => name === this.stage);
    return this.run.stages[at - 1]?.name ?? "";
  }

  destroy() {
    this.watcher.disconnect();
    this.forget();
  }
}

/** What the stage said, its error first; then what the other stages said. */
function messagesOf(run, name) {
  const here = run.stages.find((stage) => stage.name === name);
  const others = run.stages.filter(
    (stage) => stage !== here && (stage.error || stage.messages.length),
  );
  const said = here ? messagesOfStage(here, run) : [];
  if (!said.length)
    said.push(make("p", { class: "jitq-quiet", text: `No warnings and no error at ${name}.` }));
  const more = others.map((stage) =>
    make(
      "details",
      { class: "jitq-more" },
      make("summary", {
        text: `${stage.name}: ${stage.error ? `${FAILED} ${endOf(stage)}` : plural(stage.messages.length, "message")}`,
      }),
      ...messagesOfStage(stage, run),
    ),
  );
  const attributes = {
    class: "jitq-scroll",
    tabindex: "0",
    role: "region",
    "aria-label": "Messages",
  };
  return make("div", attributes, ...said, ...more);
}

function messagesOfStage(stage, run) {
  const { error, messages } = stage;
  const parts = error ? [alarmOf(stage, run)] : [];
  // Where somebody stopped it, there is nothing to look for.
  if (error && endOf(stage) === "failed") {
    const trace = error.traceback || "no traceback was kept";
    parts.push(make("pre", { class: "jitq-wrap", text: trace }));
  }
  for (const { text, times } of messages) {
    parts.push(
      make("div", { class: "jitq-message", text: times > 1 ? `${text} (×${times})` : text }),
    );
  }
  return parts;
}

/** What the run was asked to quantize, and a way to ask for something else. */
function qconfigOf(run, modules, requantize) {
  const rows = run.qconfig.map(([key, text]) =>
    make(
      "tr",
      {},
      make("th", { scope: "row" }, make("code", { text: key })),
      make("td", {}, make("code", { text })),
    ),
  );
  const heads = ["key", "qconfig"].map((text) => make("th", { scope: "col", text }));
  const table = make(
    "table",
    { class: "jitq-table jitq-qconfig", "aria-label": "qconfig of this run" },
    make("thead", {}, make("tr", {}, ...heads)),
    make("tbody", {}, ...rows),
  );
  const form =
    run.live && run.qconfigChoices.length ? qconfigForm(run, modules, "", requantize) : null;
  const attributes = {
    class: "jitq-scroll",
    tabindex: "0",
    role: "region",
    "aria-label": "qconfig of this run",
  };
  return make(
    "div",
    attributes,
    form ? titled("Try another qconfig", "", form, "h3") : null,
    table,
  );
}
