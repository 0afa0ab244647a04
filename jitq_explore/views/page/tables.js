// A table of many rows: only those in sight are in the page.

const ROW_HEIGHT = 26; // pixels, as in the style sheet
const TALL_ROW_HEIGHT = 64; // that of rows with sentences in them
const ROWS_AROUND = 12; // rendered above and below what is in sight
const TALL_WIDTH = 340; // pixels: of sentences, in three lines
const CODE_WIDTH = 140; // pixels, at least: all of it can be read below its row, and copied
const TRY_WIDTH = 100; // pixels
const READ_ALL = "A row that is chosen shows all of its text";
const CELL_PADDING = 20; // pixels, both sides and a line

/**
 * `onRow(row)`: a row was chosen; `words` and `sorting` as a view of the same table had them;
 * `actions`: buttons beside the filter; `tryOut(number)`, where rows can be: a row is to be tried.
 */
class TableView {
  constructor(answer, onRow, habits = {}, { actions = [], tryOut = null } = {}) {
    const { words = "", sorting = { column: -1, isDown: false } } = habits;
    this.answer = answer;
    this.actions = actions;
    this.tryOut = tryOut;
    this.onRow = onRow;
    this.words = words;
    this.module = "";
    this.sorting = sorting;
    this.marked = new Set();
    this.focused = -1;
    this.opened = -1;
    this.openedBy = 0; // pixels by which the opened row is taller than the others
    this.isTall = answer.columns.some(({ isWide }) => isWide);
    this.rowHeight = this.isTall ? TALL_ROW_HEIGHT : ROW_HEIGHT;
    this.texts = answer.rows.map((row) => row.cells.map(cellText).join(" ").toLowerCase());
    this.makeParts();
    this.filter.value = words;
    this.showSorting();
    this.arrange();
  }

  makeParts() {
    const { title, hint, note, columns } = this.answer;
    this.filter = make("input", {
      type: "search",
      class: "jitq-field",
      placeholder: "filter rows",
      "aria-label": `Filter ${title}`,
      oninput: () => this.setWords(this.filter.value),
    });
    this.count = make("span", { class: "jitq-quiet", role: "status" });
    // Where there is nothing, why is all there is to say.
    const isEmpty = !this.answer.rows.length;
    const parts = (isEmpty ? [note] : [note, hint, this.isTall && READ_ALL]).filter(Boolean);
    const text = parts.join(note?.endsWith(".") ? " " : " · ");
    const said = make("span", { class: "jitq-quiet", text });
    const bar = make("div", { class: "jitq-bar" }, this.filter, this.count, ...this.actions, said);
    this.body = make("tbody");
    this.heads = columns.map((column, at) => this.head(column, at));
    const tryHead = this.tryOut ? [make("th", { scope: "col", text: "try it" })] : [];
    const widths = [...(this.tryOut ? [TRY_WIDTH] : []), ...this.widths()];
    // Code takes what room is left, else sentences, where there are none the last column.
    const last = columns.at(-1);
    const rest = columns.filter(({ isCode }) => isCode);
    if (!rest.length) rest.push(...(this.isTall ? columns.filter(({ isWide }) => isWide) : [last]));
    const takesRest = (at) => rest.includes(columns[at - (widths.length - columns.length)]);
    const cols = widths.map((width, at) => {
      const col = make("col");
      if (!takesRest(at)) col.style.width = `${width}px`;
      return col;
    });
    this.table = make(
      "table",
      { class: "jitq-table", role: "grid", "aria-label": title },
      make("colgroup", {}, ...cols),
      make("thead", {}, make("tr", { "aria-rowindex": "1" }, ...tryHead, ...this.heads)),
      this.body,
    );
    this.table.style.width = `max(100%, ${widths.reduce((a, b) => a + b, 0)}px)`;
    this.scroll = make(
      "div",
      { class: "jitq-scroll jitq-table-scroll", onscroll: () => this.scrolled() },
      this.table,
    );
    this.scroll.addEventListener("keydown", (event) => this.key(event));
    this.frame = make("div", { class: "jitq-table-frame" }, this.scroll);
    this.element = make("div", {}, bar, this.frame);
    for (const part of [this.filter, this.count, this.frame]) part.hidden = isEmpty;
    this.watcher = new ResizeObserver(() => this.resized());
    this.watcher.observe(this.scroll);
  }

  head({ label, hint, kind }, at) {
    const button = makeButton(label, () => this.sortBy(at), {
      class: "jitq-sort",
      title: hint || null,
    });
    const head = {
      scope: "col",
      class: kind === "number" ? "jitq-number" : null,
      "aria-sort": "none",
    };
    return make("th", head, button);
  }

  /** Fixed widths, so that columns keep still while rows come and go. */
  widths() {
    const widest = textWidth("n".repeat(WIDEST_CELL));
    return this.answer.columns.map(({ label, isWide, isCode, name }, at) => {
      // Of so many characters are the longest; to measure all would take its time.
      const texts = new Set(this.answer.rows.map(({ cells }) => cellText(cells[at])));
      const longest = [...texts].sort((a, b) => b.length - a.length).slice(0, 20);
      const sign = this.answer.rows.some(({ bad }) => bad.includes(name)) ? `${WARNED} ` : "";
      const cell = Math.max(0, ...longest.map((text) => textWidth(sign + text, Boolean(sign))));
      // What is sorted by is marked in the padding. A wide column has several lines.
      const most = isCode ? CODE_WIDTH : isWide ? TALL_WIDTH : widest;
      return CELL_PADDING + Math.ceil(Math.max(textWidth(label, true), Math.min(cell, most)));
    });
  }

  setWords(words) {
    this.words = words;
    this.arrange();
  }

  setModule(module) {
    if (module === this.module) return;
    this.module = module;
    this.arrange();
  }

  sortBy(column) {
    const { column: old, isDown } = this.sorting;
    // A third click brings back the order of the graph.
    if (column !== old) this.sorting = { column, isDown: false };
    else this.sorting = isDown ? { column: -1, isDown: false } : { column, isDown: true };
    this.showSorting();
    this.arrange();
  }

  showSorting() {
    const order = this.sorting.isDown ? "descending" : "ascending";
    this.heads.forEach((head, at) => {
      head.setAttribute("aria-sort", at === this.sorting.column ? order : "none");
    });
  }

  /** Which rows are shown, in which order. */
  arrange() {
    const wanted = this.words.toLowerCase().split(/\s+/).filter(Boolean);
    const { rows } = this.answer;
    this.shown = rows
      .map((_, at) => at)
      .filter((at) => isInside(rows[at].module, this.module))
      .filter((at) => wanted.every((word) => this.texts[at].includes(word)));
    const { column, isDown } = this.sorting;
    if (column >= 0) {
      const turn = isDown ? -1 : 1;
      this.shown.sort((a, b) => compareCells(rows[a].cells[column], rows[b].cells[column], turn));
    }
    const where = this.module ? ` in ${this.module}` : "";
    const total = rows.length.toLocaleString("en");
    const part = `${this.shown.length.toLocaleString("en")} of ${total} rows${where}`;
    this.count.textContent = this.shown.length === rows.length ? plural(rows.length, "row") : part;
    this.table.setAttribute("aria-rowcount", String(this.shown.length + 1));
    this.focused = -1;
    this.opened = -1;
    this.render(true);
  }

  /** Other rows are in sight, or other columns: that there are more to the right is hinted at. */
  scrolled() {
    const { scrollLeft, scrollWidth, clientWidth } = this.scroll;
    this.frame.classList.toggle("jitq-table-more", scrollLeft + clientWidth < scrollWidth - 1);
    this.render();
  }

  /** Another size, and scroll bars that come and go with it: the hint keeps off them. */
  resized() {
    const { clientWidth, clientHeight, offsetWidth, offsetHeight } = this.scroll;
    this.frame.style.setProperty("--jitq-bar-right", `${offsetWidth - clientWidth - 1}px`);
    this.frame.style.setProperty("--jitq-bar-below", `${offsetHeight - clientHeight - 1}px`);
    this.scrolled();
  }

  /** Put the rows in sight into the page. */
  render(isNew = false) {
    const tall = this.scroll.clientHeight || 420;
    const above = this.scroll.scrollTop - (this.opened >= 0 ? this.openedBy : 0);
    const top = Math.max(0, Math.floor(above / this.rowHeight) - ROWS_AROUND);
    const count = Math.ceil(tall / this.rowHeight) + 2 * ROWS_AROUND;
    const first = Math.min(top, Math.max(0, this.shown.length - count));
    const last = Math.min(this.shown.length, first + count);
    if (!isNew && first === this.first && last === this.last) return;
    [this.first, this.last] = [first, last];
    const hadFocus = this.body.contains(document.activeElement);
    const rows = this.shown
      .slice(first, last)
      .flatMap((at, nth) => [this.row(at, first + nth), ...this.below(at, first + nth)]);
    const total = this.topOf(this.shown.length);
    const after = total - this.topOf(last);
    this.body.replaceChildren(...space(this.topOf(first)), ...rows, ...space(after));
    this.setStop();
    if (hadFocus) this.rowAt(this.focused)?.focus({ preventScroll: true });
  }

  row(at, position) {
    const { cells, bad } = this.answer.rows[at];
    const { columns } = this.answer;
    const isMarked = this.marked.has(at);
    const isOpen = position === this.opened;
    return make(
      "tr",
      {
        class: `jitq-row${this.isTall ? " jitq-tall" : ""}${isOpen ? " jitq-open" : ""}${isMarked ? " jitq-here" : ""}`,
        tabindex: "-1",
        "aria-rowindex": String(position + 2),
        "aria-selected": String(isMarked),
        "data-position": String(position),
        onclick: () => isSelecting(this.body) || this.choose(position),
      },
      this.tryOut ? this.tryCell(at) : null,
      ...cells.map((cell, nth) => cellOf(cell, columns[nth], bad.includes(columns[nth].name))),
    );
  }

  /** Code takes all of the width, below its row where that is opened. */
  below(at, position) {
    if (position !== this.opened) return [];
    const { columns, rows } = this.answer;
    const codes = columns.flatMap(({ isCode }, nth) => (isCode ? [cellText(rows[at].cells[nth])] : []));
    const span = String(columns.length + (this.tryOut ? 1 : 0));
    return codes.map((code) =>
      make("tr", {}, make("td", { class: "jitq-below", colspan: span }, make("code", { text: code }))),
    );
  }

  tryCell(at) {
    const start = (event) => {
      event.stopPropagation();
      this.tryOut(at);
    };
    return make("td", {}, makeJump("run with it", start));
  }

  /** One row is a stop of the Tab key: the one last gone to, else the marked one, else the first. */
  setStop() {
    const rows = [...this.body.querySelectorAll(".jitq-row")];
    const stop =
      this.rowAt(this.focused) ?? rows.find((row) => row.matches(".jitq-here")) ?? rows[0];
    for (const row of rows) row.tabIndex = row === stop ? 0 : -1;
  }

  rowAt(position) {
    return this.body.querySelector(`[data-position="${position}"]`);
  }

  key(event) {
    const row = event.target.closest(".jitq-row");
    if (!row) return;
    const at = Number(row.dataset.position);
    const page = Math.max(1, Math.floor(this.scroll.clientHeight / this.rowHeight) - 2);
    const moves = { ArrowUp: at - 1, ArrowDown: at + 1, PageUp: at - page, PageDown: at + page };
    const to = { ...moves, Home: 0, End: this.shown.length - 1 }[event.key];
    if (to !== undefined) {
      event.preventDefault();
      this.focusOn(Math.max(0, Math.min(to, this.shown.length - 1)));
    } else if (event.key === "Enter" || event.key === " ") {
      event.preventDefault();
      this.choose(at);
    }
  }

  focusOn(position) {
    this.focused = position;
    this.reveal(position);
    this.setStop();
    this.rowAt(position)?.focus({ preventScroll: true });
  }

  choose(position) {
    this.focused = position;
    if (this.isTall) this.open(position === this.opened ? -1 : position);
    this.setStop();
    this.onRow(this.answer.rows[this.shown[position]]);
  }

  /** Show all of the text in a row of sentences; -1: in none. */
  open(position) {
    [this.opened, this.openedBy] = [position, 0];
    this.render(true);
    const row = this.rowAt(position);
    if (!row) return;
    const below = row.nextElementSibling;
    const isCode = below?.firstElementChild.matches(".jitq-below");
    this.openedBy = row.offsetHeight + (isCode ? below.offsetHeight : 0) - this.rowHeight;
  }

  /** How far down a row begins, pixels. */
  topOf(position) {
    const isBelow = this.opened >= 0 && position > this.opened;
    return position * this.rowHeight + (isBelow ? this.openedBy : 0);
  }

  reveal(position) {
    const top = this.topOf(position);
    const room = this.scroll.clientHeight - this.rowHeight - ROW_HEIGHT;
    const at = this.scroll.scrollTop;
    if (top < at) this.scroll.scrollTop = top;
    else if (top > at + room) this.scroll.scrollTop = top - Math.max(room - this.rowHeight, 0);
    this.render();
  }

  /**
   * Mark the rows about the nodes {nodes, gone} of a stage or, where none are, about the stage
   * itself, and bring the first of them into sight, if it is not one of many of its stage. What is
   * gone was in the graph of the stage `before`.
   */
  mark(stage, before, { nodes, gone }) {
    const has = (row, at, wanted) => (row.at[at] ?? []).some((id) => wanted.includes(id));
    const hasNodes = (row) => Object.keys(row.at).length > 0;
    const isAboutStage = (row) => row.stage === stage && !hasNodes(row);
    const isAbout = (row) => has(row, stage, nodes) || has(row, before, gone);
    const { rows } = this.answer;
    const isOfNodes = rows.some(isAbout);
    const isMarked = isOfNodes ? isAbout : isAboutStage;
    const isOneOfMany = !isOfNodes && rows.some((row) => row.stage === stage && hasNodes(row));
    this.marked = new Set(rows.map((_, at) => at).filter((at) => isMarked(rows[at])));
    const position = this.shown.findIndex((at) => this.marked.has(at));
    this.render(true);
    if (position >= 0 && !isOneOfMany) this.reveal(position);
  }

  destroy() {
    this.watcher.disconnect();
  }
}

/** Room for rows that are not in the page. */
function space(height) {
  if (!height) return [];
  const line = make("tr", { class: "jitq-space", "aria-hidden": "true" });
  line.style.height = `${height}px`;
  return [line];
}

/** Whether somebody marks some of a text, to copy it: no click. */
function isSelecting(element) {
  const selection = getSelection();
  return !selection.isCollapsed && element.contains(selection.anchorNode);
}
