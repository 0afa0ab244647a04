// The head of the page: what run this is, its stages, and what a live run is doing.

const MOST_SAID = 4; // warnings shown above the graph

/** The heading and one card a stage. */
class Strip {
  constructor({ onStage, onStep, level }) {
    this.onStage = onStage;
    this.onStep = onStep;
    this.level = level;
    this.heading = make("div", { class: "jitq-heading" });
    this.cards = make("ol", { class: "jitq-cards" });
    this.summary = make("div", { class: "jitq-summary", "aria-live": "polite" });
    const nav = make("nav", { class: "jitq-strip", "aria-label": "Stages" }, this.cards);
    this.parts = [this.heading, nav, this.summary];
  }

  /** Other stages. */
  show(run, stage) {
    this.run = run;
    this.heading.replaceChildren(
      make("span", {
        class: "jitq-title",
        role: "heading",
        "aria-level": this.level,
        text: run.title,
      }),
      ...this.runNames(run.runs),
      make("span", { class: "jitq-quiet", text: run.facts.join(" · ") }),
    );
    const ran = run.stages.map((one) => this.card(one));
    // An interrupted calibration has a card, and is to come as well: it can be gone on with.
    const names = new Set(run.stages.map((one) => one.name));
    const others = run.toCome.filter((name) => !names.has(name));
    const toCome = others.map((name) => this.cardToCome(name));
    this.cards.replaceChildren(...ran, ...toCome);
    this.choose(stage);
  }

  runNames(runs) {
    if (!runs || sameValue(runs, ["A", "B"])) return [];
    const named = runs.map((name, at) => [
      make("b", { class: "jitq-run", text: at ? "B" : "A" }),
      make("span", { text: name }),
    ]);
    return [make("span", { class: "jitq-runs" }, ...named.flat())];
  }

  card(stage) {
    const name = [make("span", { class: "jitq-card-name", text: stage.name })];
    const warnings = stage.findings - stage.errors;
    if (stage.errors) name.push(foundMark(FAILED, stage.errors, "error", "jitq-found"));
    if (warnings) name.push(foundMark(WARNED, warnings, "warning", "jitq-found jitq-found-warned"));
    const button = make(
      "button",
      {
        type: "button",
        class: `jitq-card jitq-card-${stage.outcome}`,
        "data-stage": stage.name,
        title: stage.sentence || null,
        onclick: () => this.onStage(stage.name),
      },
      make("span", { class: "jitq-card-line" }, ...name),
      make("span", { class: "jitq-card-line" }, ...outcomeOf(stage), ...timeOf(stage)),
    );
    return make("li", {}, button, this.stepsOf(stage));
  }

  /** The phases of its inner steps, each a way in. */
  stepsOf(stage) {
    if (!stage.steps.length) return null;
    const phases = stage.steps.map(({ name, label, title, number }) =>
      make(
        "li",
        {},
        makeJump([name, label].filter(Boolean).join(" "), () => this.onStep(stage.name, number), {
          title,
        }),
      ),
    );
    return make(
      "details",
      { class: "jitq-steps" },
      make("summary", { text: plural(sumOf(stage.steps), "inner step") }),
      make("ol", {}, ...phases),
    );
  }

  cardToCome(name) {
    return make(
      "li",
      {},
      make(
        "div",
        { class: "jitq-card jitq-card-to-come" },
        make(
          "span",
          { class: "jitq-card-line" },
          make("span", { class: "jitq-card-name", text: name }),
        ),
        make("span", { class: "jitq-card-line", text: "to come" }),
      ),
    );
  }

  /** Mark the chosen stage, and sum up what it did. */
  choose(name) {
    const hadFocus = this.cards.contains(document.activeElement);
    for (const card of this.cards.querySelectorAll("button.jitq-card")) {
      const isChosen = card.dataset.stage === name;
      if (isChosen) {
        card.setAttribute("aria-current", "step");
        if (hadFocus) card.focus({ preventScroll: true });
      } else card.removeAttribute("aria-current");
    }
    const stage = this.run.stages.find((one) => one.name === name);
    this.summary.replaceChildren(...(stage ? summaryOf(stage, this.run) : []));
  }
}

/** How many findings of one severity there are about a stage. */
function foundMark(sign, count, severity, classes) {
  const title = `Findings: ${plural(count, severity)}`;
  return make("span", { class: classes, title, text: `${sign} ${count}` });
}

/** The second line of a card: signed counts in their colours, or the label in words. */
function outcomeOf(stage) {
  if (stage.outcome === "failed")
    return [make("b", { text: `${FAILED} ${stage.label || "failed"}` })];
  const words = stage.label.split(" ");
  if (!words.every((word) => /^[+−~-][\d,.]+$/.test(word)))
    return [make("span", { text: stage.label })];
  const status = { "+": "added", "−": "removed", "-": "removed", "~": "changed" };
  return words.map((word) =>
    make("span", { class: `jitq-count jitq-${status[word[0]]}`, text: word }),
  );
}

/** How a stage ended that did not come to its end. */
function endOf({ label }) {
  return label === "stopped" ? label : "failed";
}

function timeOf(stage) {
  if (stage.seconds === null) return [];
  return [make("span", { class: "jitq-time", text: duration(stage.seconds) })];
}

/** How many steps the phases have. */
function sumOf(phases) {
  return phases.reduce((sum, { count }) => sum + count, 0);
}

/** The first paragraph: torch lists all that it knows of after it. */
function beginningOf(message) {
  const [first, ...others] = message.split(/\n\s*\n/);
  return others.length ? `${first} … (all of it is in the tab “Messages”)` : first;
}

/** Which stage did not come to its end, and why: `shorten` what it failed with. */
function alarmOf(stage, { live }, shorten = (message) => message) {
  const isStopped = endOf(stage) === "stopped";
  const head = make("b", { text: `${FAILED} ${stage.name}${isStopped ? ":" : " failed"} ` });
  const why = isStopped ? stopOf(stage, live) : shorten(stage.error.message);
  return make("div", { class: "jitq-alarm" }, head, why);
}

/** How far a calibration came that was stopped; where it can go on, by which buttons. */
function stopOf({ batches, canAccept }, isLive) {
  const seen = batches ? plural(batches, "batch", "batches") : "no batch";
  const stopped = `the calibration was stopped after ${seen}.`;
  if (!isLive) return stopped;
  const accept = canAccept ? "“Accept what was seen” takes these and goes on, " : "";
  return `${stopped} ${accept}“Run next” feeds all data once more, “Step back” forgets what was seen.`;
}

function summaryOf(stage, run) {
  const error = stage.error ? [alarmOf(stage, run, beginningOf)] : [];
  error[0]?.setAttribute("role", "alert");
  if (stage.outcome === "input") {
    const text = stage.sentence || `The model as it was given: ${plural(stage.nodes, "node")}.`;
    return [...error, make("span", { class: "jitq-quiet", text })];
  }
  const chips = Object.keys(NAME_OF).map((status) => {
    const chip = makeChip(status, `${stage[status].toLocaleString("en")} ${NAME_OF[status]}`);
    chip.classList.toggle("jitq-none", !stage[status]);
    return chip;
  });
  const words = [stage.sentence, stage.seconds === null ? "" : duration(stage.seconds)];
  const said = words.filter(Boolean).join(" · ");
  return [...error, ...chips, make("span", { class: "jitq-quiet", text: said })];
}

/** Buttons and messages of a run that a kernel can go on with. */
class LiveBar {
  constructor(send) {
    this.send = send;
    this.next = makeButton("", () => this.begin({ do: "step" }), {
      class: "jitq-button jitq-primary",
    });
    this.toEnd = makeButton("Run to the end", () => this.begin({ do: "run" }));
    this.stop = makeButton("Stop", () => this.send({ do: "stop" }));
    this.back = makeButton("Step back", () => this.begin({ do: "back" }));
    this.progress = make("progress", { "aria-label": "Progress of the stage" });
    this.doing = make("span", { class: "jitq-quiet", role: "status" });
    this.problem = make("div", { role: "alert" });
    this.said = make("div", { role: "status" });
    this.accept = makeButton("Accept what was seen", () => this.begin({ do: "accept" }), {
      title: "Go on with the batches that the interrupted calibration has seen",
    });
    this.alone = makeButton("Go on with the changed run", () => this.begin({ do: "alone" }));
    this.earlier = makeButton("Back to the run before", () => this.begin({ do: "earlier" }));
    this.steps = [this.next, this.toEnd, this.stop, this.back];
    const buttons = [...this.steps, this.accept, this.alone, this.earlier];
    this.element = make(
      "div",
      { class: "jitq-live", role: "group", "aria-label": "Run" },
      make("div", { class: "jitq-bar" }, ...buttons, this.progress, this.doing),
      this.problem,
      this.said,
    );
  }

  /** Ask for something that takes a while: until the kernel says more, no second thing. */
  begin(message) {
    if (this.isBusy) return;
    this.problem.replaceChildren();
    this.said.replaceChildren();
    this.setBusy(true);
    this.send(message);
  }

  show(run) {
    this.run = run;
    this.element.hidden = !run.live;
    // Two runs that are compared are whole.
    for (const button of this.steps) button.hidden = Boolean(run.runs);
    this.alone.hidden = !run.runs;
    this.earlier.hidden = !run.earlier;
    this.accept.hidden = !run.stages.some(({ canAccept }) => canAccept);
    this.next.textContent = run.toCome.length
      ? `Run next: ${run.toCome[0]}`
      : "All stages have run";
    this.setBusy(run.busy);
  }

  setBusy(isBusy) {
    this.isBusy = isBusy;
    const next = this.run.toCome[0];
    const failed = this.run.stages.find((stage) => stage.error && stage.name !== next);
    const canRun = this.run.toCome.length > 0 && !failed && !isBusy;
    this.next.disabled = this.toEnd.disabled = !canRun;
    const whyNot = failed && !this.run.runs ? `${failed.name} failed: step back, then it can run again` : "";
    this.next.title = this.toEnd.title = whyNot;
    this.stop.disabled = !isBusy;
    this.back.disabled = isBusy || this.run.stages.length < 2;
    this.accept.disabled = this.alone.disabled = this.earlier.disabled = isBusy;
    this.stop.hidden = Boolean(this.run.runs) && !isBusy;
    this.progress.hidden = !isBusy;
    if (isBusy) this.progress.removeAttribute("value");
    else this.doing.textContent = whyNot;
  }

  showProgress({ stage, done, total }) {
    this.setBusy(true);
    const count = total ? `: ${done} of ${total}` : done ? `: ${done}` : " …";
    this.doing.textContent = `${stage}${count}`;
    if (total) {
      this.progress.max = total;
      this.progress.value = done;
    }
  }

  /** The kernel has nothing more to do; what went wrong and what it warned of. */
  rest({ problem, said = [] }) {
    this.setBusy(false);
    // What a stage failed with is told where its outcome is.
    const isTold = this.run.stages.some(({ error }) => error?.message.trim() === problem.trim());
    const alarm = make(
      "div",
      { class: "jitq-alarm" },
      make("b", { text: `${FAILED} ` }),
      problem || "",
    );
    this.problem.replaceChildren(...(problem && !isTold ? [alarm] : []));
    const more = said.length - MOST_SAID;
    const lines = said.slice(0, MOST_SAID);
    if (more > 0) lines.push(`and ${plural(more, "more message")}: see Messages`);
    this.said.replaceChildren(...lines.map((text) => make("div", { class: "jitq-message", text })));
  }
}
