// Plots: pictures that Python drew, asked for when they are to be seen.

/** The plots that are asked for, one below the other; `onRow(row)`: a mark in one was chosen. */
function plotsOf(asks, answers, onRow = null) {
  const parts = asks.map((ask) => new PlotView(ask, answers, onRow));
  return {
    element: make("div", {}, ...parts.map(({ element }) => element)),
    mark: (...located) => parts.forEach((part) => part.mark(...located)),
  };
}

class PlotView {
  constructor(ask, answers, onRow) {
    this.ask = ask;
    this.onRow = onRow;
    this.marks = [];
    this.isWide = onRow !== null;
    this.element = make("div", { class: "jitq-plot", "aria-busy": "true" });
    const known = answers.known("plot", ask);
    if (known) this.show(known);
    else answers.get("plot", ask).then((answer) => this.show(answer));
  }

  show({ error, title, hint, note, svg, at, stage }) {
    this.element.removeAttribute("aria-busy");
    const picture = error === undefined ? svgElement(svg) : null;
    if (!picture) {
      this.showNone(error ?? "this picture cannot be shown");
      return;
    }
    picture.setAttribute("aria-label", title);
    // A little too wide, it shrinks, or grows; what would be too small to read is scrolled.
    const width = Number(picture.getAttribute("width"));
    picture.style.setProperty("--jitq-legible", `${0.75 * width}px`);
    picture.style.setProperty("--jitq-widest", `${1.25 * width}px`);
    const scroll = make("div", { class: "jitq-plot-scroll" }, picture);
    const said = note ? make("p", { class: "jitq-quiet jitq-hint", text: note }) : "";
    const head = this.isWide ? [titled(this.ask.run ? title : "", hint)] : [];
    this.element.replaceChildren(...head, scroll, said);
    this.makeMarks(picture, at, stage);
    this.mark(...(this.located ?? []));
  }

  /** Why there is no plot, and how to make it: a page in a file holds some of them. */
  showNone(why) {
    const { name, where } = this.ask;
    const call = where === undefined ? "recording" : `recording, ${JSON.stringify(where)}`;
    const code = make("code", { text: `jq.plot_${name}(${call})` });
    const said = ["No plot: ", why, ". In a notebook: ", code];
    this.element.replaceChildren(make("p", { class: "jitq-quiet jitq-hint" }, ...said));
  }

  /** What can be chosen; one of them at a time is a stop of the Tab key. */
  makeMarks(picture, at, stage) {
    this.marks = [...picture.querySelectorAll("[data-at]")].map((element) => {
      const row = { at: at[element.dataset.at] ?? {}, stage };
      const label = element.querySelector("title")?.textContent ?? "";
      for (const [name, value] of Object.entries({
        class: "jitq-spot",
        role: "button",
        tabindex: "-1",
        "aria-label": label,
        "aria-pressed": "false",
      }))
        element.setAttribute(name, value);
      element.addEventListener("click", () => this.onRow(row));
      element.addEventListener("keydown", (event) => {
        if (!["Enter", " "].includes(event.key)) return;
        event.preventDefault();
        this.onRow(row);
      });
      return { element, row };
    });
    if (!this.marks.length) return;
    this.marks[0].element.setAttribute("tabindex", "0");
    // An image has no parts that could be chosen.
    picture.setAttribute("role", "group");
    moveFocusWithin(picture, ".jitq-spot", ["ArrowLeft", "ArrowRight"]);
  }

  /** Mark what is about the nodes {nodes, gone} of a stage, and bring it into sight. */
  mark(stage, before, located) {
    this.located = [stage, before, located];
    if (!located) return;
    const has = (row, name, wanted) => (row.at[name] ?? []).some((id) => wanted.includes(id));
    let first = null;
    for (const { element, row } of this.marks) {
      const isHere = has(row, stage, located.nodes) || has(row, before, located.gone);
      element.classList.toggle("jitq-here", isHere);
      element.setAttribute("aria-pressed", String(isHere));
      if (isHere) first ??= element;
    }
    if (first) this.reveal(first);
  }

  reveal(element) {
    const scroll = element.closest(".jitq-plot-scroll");
    const [box, room] = [element.getBoundingClientRect(), scroll.getBoundingClientRect()];
    const isInSight = box.left >= room.left && box.right <= room.right;
    if (!isInSight) scroll.scrollLeft += box.left - room.left - room.width / 2;
  }
}
