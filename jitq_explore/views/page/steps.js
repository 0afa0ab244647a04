// Inside a stage: the steps that its pass took, what it said at each, and what that did to a graph.

const EVENTS_AT_ONCE = 200;

/** The steps of one stage beside the one that is chosen. */
class StepsView {
  constructor(answer, answers, stage) {
    this.answers = answers;
    this.stage = stage;
    this.steps = answer.steps;
    this.ticket = 0;
    this.list = make("div", { class: "jitq-step-list", role: "group", "aria-label": answer.title });
    this.chosen = make("div", {
      class: "jitq-step-shown",
      role: "region",
      "aria-label": "The chosen step",
      tabindex: "-1",
    });
    this.buttons = this.steps.map((step, number) => this.button(step, number));
    this.list.replaceChildren(...this.grouped());
    moveFocusWithin(this.list, "button");
    const bar = make(
      "div",
      { class: "jitq-bar" },
      make("b", { text: answer.title }),
      make("span", { class: "jitq-quiet", text: answer.note }),
    );
    const both = make("div", { class: "jitq-steps-view" }, this.list, this.chosen);
    both.hidden = !this.steps.length;
    this.element = make("div", {}, bar, both);
    if (this.steps.length) this.choose(0);
  }

  button(step, number) {
    return makeButton(step.title, () => this.choose(number), {
      class: "jitq-button jitq-step",
      "aria-pressed": "false",
      tabindex: number ? "-1" : "0",
    });
  }

  /** A heading before the first step of each phase. */
  grouped() {
    return this.steps.flatMap((step, number) => {
      const isFirst = step.name !== this.steps[number - 1]?.name;
      const head = make("div", { class: "jitq-phase", title: step.hint || null, text: step.name });
      return isFirst ? [head, this.buttons[number]] : [this.buttons[number]];
    });
  }

  async choose(number) {
    if (number >= this.steps.length) return;
    this.buttons.forEach((button, at) => {
      button.setAttribute("aria-pressed", String(at === number));
      button.tabIndex = at === number ? 0 : -1;
    });
    this.buttons[number].scrollIntoView?.({ block: "nearest" });
    const step = this.steps[number];
    this.ticket += 1;
    const { ticket } = this;
    const text = step.hasText ? await this.text(number) : null;
    if (ticket !== this.ticket) return;
    this.chosen.replaceChildren(
      ...[headOf(step), eventsOf(step.events), text].filter(Boolean),
    );
    this.chosen.scrollTop = 0;
  }

  async text(number) {
    const answer = await this.answers.get("step", { stage: this.stage, number });
    if (answer.error !== undefined)
      return make("div", { class: "jitq-alarm", text: answer.error });
    return new TextView({ ...answer, title: "Graph" }, () => {}).element;
  }
}

function headOf(step) {
  return make(
    "div",
    { class: "jitq-step-head" },
    make("b", { text: `${step.name}: ${step.title}` }),
    make("div", { class: "jitq-quiet jitq-hint", text: step.hint }),
  );
}

/** What the pass said, a row each; "why" is left out where no event has a reason. */
function eventsOf(events) {
  if (!events.length) return null;
  const columns = [
    ["what", (event) => event.kind],
    ["values", (event) => event.values.map((value) => `%${value}`).join(", ")],
    ["module", (event) => event.module],
    ["why", (event) => event.cause],
    ["torch's words", (event) => event.text],
  ].filter(([, text]) => events.some(text));
  const body = make("tbody", {});
  const table = make(
    "table",
    { class: "jitq-table jitq-events", "aria-label": "What the pass said" },
    make("thead", {}, make("tr", {}, ...columns.map(([text]) => make("th", { scope: "col", text })))),
    body,
  );
  const more = makeButton("", () => add(), { class: "jitq-fold" });
  const add = () => {
    const next = events.slice(body.children.length, body.children.length + EVENTS_AT_ONCE);
    body.append(
      ...next.map((event) =>
        make("tr", {}, ...columns.map(([, text]) => make("td", {}, wordsOf(text(event))))),
      ),
    );
    const rest = events.length - body.children.length;
    more.hidden = rest <= 0;
    more.textContent = `⋯ ${plural(rest, "more event")}`;
  };
  add();
  return make("div", {}, table, more);
}

/** A text of several lines opens from its first one. */
function wordsOf(text) {
  const [first, ...rest] = text.split("\n");
  if (!rest.length) return text;
  return make("details", {}, make("summary", { text: first }), rest.join("\n"));
}
