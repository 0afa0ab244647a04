// What is above the graph: search, filters, sides, folds. (Zooming is the graph view's own.)

const REACHES = [
  ["", "everything"],
  ["0", "changes"],
  ["1", "changes ± 1"],
  ["2", "changes ± 2"],
];

const SIDES = [
  ["union", "Union"],
  ["both", "Side by side"],
];

/**
 * The tools; `on` is told: search, step, leave (the search box), module, reach, side, errors,
 * folds, fold, help.
 */
class Toolbar {
  constructor(on) {
    this.on = on;
    this.regions = [];
    this.folds = [];
    this.makeSearch();
    this.module = makeSelect("Module", [["", "all modules"]], on.module);
    this.reach = makeSelect("Show", REACHES, (value) =>
      on.reach(value === "" ? null : Number(value)),
    );
    this.reach.title = "Only what changed, or also what is 1 or 2 edges away from it";
    const filters = [labelled("Module", this.module), labelled("Show", this.reach)];
    const help = makeButton("?", () => on.help(), { "aria-label": "Keys", title: "Keys (?)" });
    const views = [this.makeSides(), this.makeErrors(), this.makeFolds()];
    const tools = [this.search, ...filters, ...views, help];
    this.element = make(
      "div",
      { class: "jitq-bar jitq-tools", role: "group", "aria-label": "Graph tools" },
      ...tools,
    );
  }

  makeSearch() {
    this.box = make("input", {
      type: "search",
      class: "jitq-field",
      placeholder: "search nodes",
      title: "By kind, module or value (/)",
      "aria-label": "Search nodes",
      "aria-keyshortcuts": "/",
      oninput: () => this.on.search(this.box.value),
      onkeydown: (event) => this.searchKey(event),
    });
    this.hits = make("span", { class: "jitq-hits jitq-quiet", role: "status" });
    const previous = makeButton("‹", () => this.on.step(-1), { "aria-label": "Previous hit" });
    const next = makeButton("›", () => this.on.step(1), { "aria-label": "Next hit" });
    this.steps = [previous, next];
    const parts = [this.box, previous, next, this.hits];
    this.search = make(
      "span",
      { class: "jitq-group", role: "search", "aria-label": "Nodes" },
      ...parts,
    );
  }

  searchKey(event) {
    if (event.key === "Enter") {
      event.preventDefault();
      this.on.step(event.shiftKey ? -1 : 1);
    } else if (event.key === "Escape") {
      event.preventDefault();
      this.box.value = "";
      this.on.search("");
      this.box.blur();
      this.on.leave();
    }
  }

  makeSides() {
    this.sides = SIDES.map(([side, text]) =>
      makeButton(text, () => this.on.side(side), { "data-side": side, "aria-pressed": "false" }),
    );
    const attributes = {
      class: "jitq-group jitq-joined",
      role: "group",
      "aria-label": "Before and after",
    };
    return make("span", attributes, ...this.sides);
  }

  makeErrors() {
    this.errors = makeButton("Errors", () => this.on.errors(!this.isColoured), {
      "aria-pressed": "false",
    });
    return this.errors;
  }

  /** Whether there are errors to show. */
  showMeasured(isMeasured) {
    this.errors.disabled = !isMeasured;
    this.errors.title = isMeasured
      ? "Colour each box by what its op loses (e)"
      : "Nothing was measured yet: see the tab “Numerics”";
  }

  makeFolds() {
    const all = makeButton("Fold all", () => this.on.folds(this.regions.map(({ path }) => path)));
    const none = makeButton("Unfold all", () => this.on.folds([]));
    this.menuButton = makeButton("Modules ▾", () => this.toggleMenu(), {
      "aria-expanded": "false",
      title: "Fold and unfold modules one by one",
    });
    this.menu = make("div", {
      class: "jitq-menu",
      role: "group",
      "aria-label": "Folded modules",
      hidden: true,
    });
    this.menu.addEventListener("keydown", (event) => {
      if (event.key !== "Escape") return;
      event.preventDefault();
      this.toggleMenu(false);
      this.menuButton.focus();
    });
    moveFocusWithin(this.menu, "input");
    this.foldTools = [all, none, this.menuButton];
    const holder = make("span", { class: "jitq-holder" }, this.menuButton, this.menu);
    holder.addEventListener("focusout", ({ relatedTarget }) => {
      if (relatedTarget && !holder.contains(relatedTarget)) this.toggleMenu(false);
    });
    return make("span", { class: "jitq-group" }, all, none, holder);
  }

  toggleMenu(isOpen = this.menu.hidden) {
    this.menu.hidden = !isOpen;
    this.menuButton.setAttribute("aria-expanded", String(isOpen));
    if (isOpen) this.fillMenu();
  }

  fillMenu() {
    const folded = new Set(this.folds);
    const focused = this.menu.contains(document.activeElement) && document.activeElement.value;
    const lines = this.regions.map((region, at) => {
      const box = make("input", {
        type: "checkbox",
        value: region.path,
        tabindex: at ? "-1" : "0",
        onchange: () => this.on.fold(region.path),
      });
      box.checked = folded.has(region.path);
      const alike = region.alike > 1 ? ` ×${region.alike} alike` : "";
      const text = make("span", { text: region.title || region.path });
      const line = make("label", {}, box, text, make("span", { class: "jitq-quiet", text: alike }));
      line.style.paddingLeft = `${8 + 14 * (region.path.split(".").length - 1)}px`;
      return line;
    });
    const hint = make("div", { class: "jitq-quiet", text: "checked: folded into one box" });
    this.menu.replaceChildren(hint, ...lines);
    const again = [...this.menu.querySelectorAll("input")].find((box) => box.value === focused);
    if (focused !== false) again?.focus();
  }

  /** What can be folded, and what is. */
  showFolds(regions, folds) {
    this.regions = regions;
    this.folds = folds;
    for (const tool of this.foldTools) tool.disabled = !regions.length;
    if (!this.menu.hidden) this.fillMenu();
  }

  showModules(nodes) {
    fillSelect(
      this.module,
      modulesOf(nodes).map((path) => [path, path || "all modules"]),
    );
  }

  showState(state) {
    if (document.activeElement !== this.box) this.box.value = state.query;
    if (state.module && ![...this.module.options].some(({ value }) => value === state.module)) {
      this.module.append(make("option", { value: state.module, text: state.module }));
    }
    this.module.value = state.module;
    this.isColoured = state.errors;
    this.errors.setAttribute("aria-pressed", String(state.errors));
    this.reach.value = state.reach === null ? "" : String(state.reach);
    for (const button of this.sides) {
      button.setAttribute("aria-pressed", String(button.dataset.side === state.side));
    }
  }

  /** How many nodes the search found, in how many boxes. */
  showHits(query, { count, boxes }) {
    for (const button of this.steps) button.disabled = !boxes;
    this.hits.title = boxes ? `${plural(count, "node")} in ${plural(boxes, "box", "boxes")}` : "";
    if (!query) this.hits.textContent = "";
    else if (!count) this.hits.textContent = "none found";
    else this.hits.textContent = boxes ? `${boxes} found` : `${count}, not drawn`;
  }

  /** Which of the boxes with hits is shown. */
  showHit({ number, count }) {
    this.hits.textContent = `${number} of ${count}`;
  }
}

function labelled(text, field) {
  return make("label", { class: "jitq-group" }, make("span", { class: "jitq-quiet", text }), field);
}
