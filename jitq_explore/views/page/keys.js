// The keys of the page, and the list of them.

const KEYS = [
  ["← →", "the stage before, the stage after"],
  ["↑ ↓", "follow the selected node's edges up and down"],
  ["[ ]", "the box to the left, to the right"],
  ["Shift arrows", "move the graph, while it has the focus"],
  ["Enter", "fold or unfold what is selected"],
  ["/", "search"],
  ["n, Shift n", "next, previous hit"],
  ["e", "colour by errors, or no longer"],
  ["f", "show the whole graph"],
  ["+ −", "zoom"],
  ["Esc", "clear the search, then the selection"],
  ["?", "this list"],
];

const DOING = {
  ArrowLeft: (page) => page.stepStage(-1),
  ArrowRight: (page) => page.stepStage(1),
  ArrowUp: (page) => page.graph.follow("up"),
  ArrowDown: (page) => page.graph.follow("down"),
  "[": (page) => page.graph.follow("left"),
  "]": (page) => page.graph.follow("right"),
  Enter: (page) => page.graph.toggleFold(),
  "/": (page) => page.toolbar.box.select(),
  n: (page) => page.stepHit(1),
  N: (page) => page.stepHit(-1),
  e: (page) => page.toolbar.errors.click(),
  f: (page) => page.graph.fit(),
  "+": (page) => page.graph.zoomBy(1.25),
  "=": (page) => page.graph.zoomBy(1.25),
  "-": (page) => page.graph.zoomBy(1 / 1.25),
  "−": (page) => page.graph.zoomBy(1 / 1.25),
  Escape: (page) => page.clear(),
  "?": (page) => page.help.showModal(),
};

/** A key was pressed somewhere in the page; a notebook around it shall not hear of it. */
function pressed(page, event) {
  event.stopPropagation();
  const { target, key } = event;
  const isTaken = event.defaultPrevented || event.ctrlKey || event.metaKey || event.altKey;
  const isTyping = target.closest("input, select, textarea, dialog, [contenteditable]");
  // What scrolls is scrolled by the arrows up and down.
  const isScrolling =
    /^Arrow(Up|Down)$/.test(key) && target.matches(".jitq-scroll, .jitq-details, .jitq-code");
  const isPressing = ["Enter", " "].includes(key) && target.closest("button, summary, a");
  // With Shift they move the graph, and outside of it nothing.
  const isMoving = event.shiftKey && key.startsWith("Arrow");
  const isOther = isTaken || isTyping || isScrolling || isPressing || isMoving;
  if (isOther || !page.run || !Object.hasOwn(DOING, key)) return;
  event.preventDefault();
  DOING[key](page);
}

/** In the graph too the arrows to the sides step through the stages. */
function pressedFirst(page, event) {
  const isSideways = /^Arrow(Left|Right)$/.test(event.key) && !event.shiftKey;
  if (isSideways && page.graphRoot.contains(event.target)) pressed(page, event);
}

/** The list of keys, as a dialog. */
function keyHelp() {
  const lines = KEYS.flatMap(([keys, what]) => [
    make("dt", {}, make("kbd", { text: keys })),
    make("dd", { text: what }),
  ]);
  const dialog = make(
    "dialog",
    { class: "jitq-help", "aria-label": "Keys" },
    make("h3", { class: "jitq-title", text: "Keys" }),
    make("dl", { class: "jitq-pairs" }, ...lines),
    makeButton("Close", () => dialog.close()),
  );
  return dialog;
}
