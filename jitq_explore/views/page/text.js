// Two texts in one listing, a sign before each line; long stretches that are the same are folded.

const LINES_AROUND = 3; // unchanged lines shown around a change
const LINES_AT_ONCE = 500; // opened by one click, or shown of a text that has no changes

/** `onLine({nodes, gone})`: the node of a line was chosen. */
class TextView {
  constructor(answer, onLine) {
    this.answer = answer;
    this.onLine = onLine;
    this.listing = make("div", {
      class: "jitq-listing",
      role: "group",
      "aria-label": answer.title || "Text",
    });
    this.scroll = make(
      "div",
      { class: "jitq-scroll jitq-text", tabindex: "0", role: "region" },
      this.listing,
    );
    this.scroll.setAttribute("aria-label", `${answer.title || "Text"}, scrollable`);
    moveFocusWithin(this.listing, "button");
    const changes = answer.lines.filter(({ status }) => status !== "same").length;
    const same = answer.lines.length ? "no line differs" : "";
    const said = changes ? plural(changes, "line differs", "lines differ") : same;
    const note = [said, answer.note].filter(Boolean).join(" · ");
    this.scroll.hidden = !answer.lines.length;
    const head = make("b", { text: answer.title });
    const bar = make(
      "div",
      { class: "jitq-bar" },
      head,
      make("span", { class: "jitq-quiet", text: note }),
    );
    this.element = make("div", {}, bar, this.scroll);
    this.lineOf = new Map();
    this.fill();
  }

  fill() {
    const { lines } = this.answer;
    const isShown = linesNearChanges(lines);
    const parts = [];
    for (let at = 0; at < lines.length;) {
      let end = at + 1;
      while (end < lines.length && isShown[end] === isShown[at]) end += 1;
      parts.push(...(isShown[at] ? this.linesOf(at, end) : [this.fold(at, end)]));
      at = end;
    }
    this.listing.replaceChildren(...parts);
    this.setStop();
  }

  /** A button in place of the lines from `start` to `end`. */
  fold(start, end) {
    const text = `⋯ ${plural(end - start, "line")}`;
    const button = makeButton(text, () => this.open(button, start, end), {
      class: "jitq-fold",
      tabindex: "-1",
    });
    button.folded = [start, end];
    return button;
  }

  open(button, start, end) {
    const stop = Math.min(end, start + LINES_AT_ONCE);
    const rest = stop < end ? [this.fold(stop, end)] : [];
    const lines = this.linesOf(start, stop);
    button.replaceWith(...lines, ...rest);
    this.setStop();
    (
      rest[0] ??
      lines.map((line) => line.querySelector("button")).find(Boolean) ??
      this.scroll
    ).focus({
      preventScroll: true,
    });
  }

  linesOf(start, end) {
    return this.answer.lines.slice(start, end).flatMap((line) => this.line(line));
  }

  line(line) {
    const { status, before, after, node, gone } = line;
    const was = before && this.half("removed", before, null, gone ?? (after ? null : node));
    const is = after && this.half(status === "same" ? "same" : "added", after, node, null);
    return [was, is].filter(Boolean);
  }

  half(status, pieces, node, gone) {
    const words = pieces.map(([text, isMarked]) => (isMarked ? make("mark", { text }) : text));
    // One node can have been several, a line each.
    const height = pieces.map(([text]) => text).join("").split("\n").length;
    const sign = Array(height).fill(SIGN_OF[status] || " ").join("\n");
    const id = node ?? gone;
    const found = { nodes: node === null ? [] : [node], gone: gone === null ? [] : [gone] };
    const gutter =
      id === null
        ? make("span", { class: "jitq-sign", text: sign })
        : makeButton(sign, () => this.onLine(found), {
            class: "jitq-sign",
            tabindex: "-1",
            "aria-label": `${NAME_OF[status]}: select the node of this line`,
          });
    const line = make(
      "div",
      { class: `jitq-line jitq-line-${status}` },
      gutter,
      make("code", {}, ...words),
    );
    if (id !== null) {
      line.classList.add("jitq-choice");
      line.addEventListener("click", (event) => event.target !== gutter && this.onLine(found));
      this.lineOf.set(gone === null ? `n ${node}` : `g ${gone}`, line);
    }
    return line;
  }

  /** One line is a stop of the Tab key. */
  setStop() {
    const buttons = [...this.listing.querySelectorAll("button")];
    if (buttons.length && !buttons.some((button) => button.tabIndex === 0)) buttons[0].tabIndex = 0;
  }

  /** Mark the lines of the nodes, and bring the first of them into sight. */
  mark({ nodes, gone }) {
    for (const line of this.listing.querySelectorAll(".jitq-here"))
      line.classList.remove("jitq-here");
    this.openUpTo(nodes, gone);
    const keys = [...nodes.map((id) => `n ${id}`), ...gone.map((id) => `g ${id}`)];
    const lines = keys.map((key) => this.lineOf.get(key)).filter(Boolean);
    for (const line of lines) line.classList.add("jitq-here");
    if (!lines.length) return;
    const top = lines[0].offsetTop - this.listing.offsetTop;
    const { scrollTop, clientHeight } = this.scroll;
    if (top < scrollTop || top > scrollTop + clientHeight - 40) {
      this.scroll.scrollTop = Math.max(0, top - clientHeight / 3);
    }
  }

  /** Open the stretch that hides the line of a node. */
  openUpTo(nodes, gone) {
    const isWanted = (line) => line && (nodes.includes(line.node) || gone.includes(line.gone));
    const at = this.answer.lines.findIndex(isWanted);
    const isHiding = ({ folded }) => folded && folded[0] <= at && at < folded[1];
    const button = at < 0 ? null : [...this.listing.querySelectorAll(".jitq-fold")].find(isHiding);
    if (!button) return;
    const [start, end] = button.folded;
    const [from, to] = [Math.max(start, at - LINES_AROUND), Math.min(end, at + LINES_AROUND + 1)];
    const above = from > start ? [this.fold(start, from)] : [];
    const below = to < end ? [this.fold(to, end)] : [];
    button.replaceWith(...above, ...this.linesOf(from, to), ...below);
    this.setStop();
  }
}

/** Which lines are near a change; of a text without changes the first ones. */
function linesNearChanges(lines) {
  if (lines.every(({ status }) => status === "same"))
    return lines.map((_, at) => at < LINES_AT_ONCE);
  const isShown = lines.map(() => false);
  lines.forEach(({ status }, at) => {
    if (status === "same") return;
    isShown.fill(true, Math.max(0, at - LINES_AROUND), at + LINES_AROUND + 1);
  });
  // A fold of one or two lines would hide less than it takes.
  for (let at = 0; at < lines.length; at += 1) {
    if (isShown[at]) continue;
    let end = at;
    while (end < lines.length && !isShown[end]) end += 1;
    if (end - at < LINES_AROUND) isShown.fill(true, at, end);
    at = end;
  }
  return isShown;
}
