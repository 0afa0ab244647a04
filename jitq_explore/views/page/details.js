// The panel about the selected node.

const SELECT_ONE =
  "Select a node, here or in the graph, a table or a text: what is known of it is shown here.";
const MOST_LISTED = 300;

/**
 * `on` is told: node {stage, id, gone}, requantize {key, qconfig}, unfold [path], apply {value, …};
 * and asked: whatIf {value, …} -> answer, and for the element of a plot.
 */
class Details {
  constructor(on) {
    this.on = on;
    this.isWondering = false;
    this.element = make("section", {
      class: "jitq-details",
      "aria-label": "Details of the node",
      tabindex: "0",
    });
    moveFocusWithin(this.element, ".jitq-changes button");
    this.showNothing();
  }

  showNothing() {
    this.fill(make("p", { class: "jitq-quiet", text: SELECT_ONE }));
  }

  /** What is new is read from its beginning. */
  fill(...parts) {
    this.element.replaceChildren(...parts);
    this.element.scrollTop = 0;
  }

  /** The selected node {stage, …} is not in the graph of the stage shown. */
  showAbsent(node, stage) {
    const back = makeJump(node.stage, () => this.on.node(node));
    const said = [
      `The node selected is not in the graph of ${stage}; it was selected at `,
      back,
      ".",
    ];
    this.fill(make("p", { class: "jitq-quiet" }, ...said));
  }

  /**
   * While no node is selected: what the stage did, node by node, those that are drawn first; where
   * that is nothing, it is `said`.
   */
  showStage(stage, title, said, nodes, isDrawn) {
    const changed = nodes.filter(({ status }) => status !== "same");
    const telling = [...changed.filter(isDrawn), ...changed.filter((node) => !isDrawn(node))];
    if (!telling.length && said) {
      const sentence = make("p", { text: `${said[0].toUpperCase()}${said.slice(1)}.` });
      const hint = make("p", { class: "jitq-quiet jitq-hint", text: SELECT_ONE });
      this.fill(titled(title, "", [sentence, hint], "h3"));
      return;
    }
    if (!telling.length) {
      this.showNothing();
      return;
    }
    const lines = telling.slice(0, MOST_LISTED).map((node) => {
      const { status, module, id, gone, where } = node;
      const jump = makeJump(node.title, () => this.on.node({ stage, id, gone }), {
        title: module || null,
      });
      // What has a twin in the list says where it is.
      const place = where ? make("span", { class: "jitq-quiet", text: where }) : null;
      return make("li", {}, makeSign(status), jump, place);
    });
    const more = telling.length - lines.length;
    if (more > 0)
      lines.push(
        make("li", { class: "jitq-quiet", text: `and ${plural(more, "more node", "more nodes")}` }),
      );
    // One stop of the Tab key for all of them: there can be hundreds.
    for (const line of lines.slice(1)) line.querySelector("button")?.setAttribute("tabindex", "-1");
    const list = make("ol", { class: "jitq-changes" }, ...lines);
    this.fill(titled(title, SELECT_ONE, list, "h3"));
  }

  /**
   * `answer` of the ask "details" about node {stage, id, gone}; `box`: all nodes that share its box;
   * `run`: for what can be done with its module.
   */
  show(answer, { node, box, groups, run }) {
    if (answer.error !== undefined) {
      this.fill(make("div", { class: "jitq-alarm", text: answer.error }));
      return;
    }
    this.run = run;
    const parts = [this.head(answer, box.length > 0), ...this.boxChooser(box, groups, node)];
    parts.push(...answer.sections.map((section) => this.section(section, node.stage)));
    if (run.live && run.qconfigChoices.length) {
      const paths = pathsAround(answer.module);
      const form = qconfigForm(run, paths, paths.at(-1), this.on.requantize);
      parts.push(titled("Try another qconfig", "", form));
    }
    this.fill(...parts);
  }

  head({ title, status, module, moduleClass }, isDrawn) {
    const where = module ? make("code", { text: module }) : "the model itself";
    const kind = moduleClass ? ` (${moduleClass})` : "";
    return make(
      "div",
      { class: "jitq-details-head" },
      make("h3", { class: "jitq-title", text: title }),
      status ? makeChip(status, NAME_OF[status] ?? status) : null,
      make(
        "div",
        { class: "jitq-quiet" },
        "in ",
        where,
        kind,
        isDrawn ? "" : " · has no box in this drawing",
      ),
    );
  }

  boxChooser(box, groups, node) {
    const parts = [];
    if (groups.length) {
      const text = groups.length > 1 ? `Unfold ${groups.length} modules` : `Unfold ${groups[0]}`;
      parts.push(makeButton(text, () => this.on.unfold(groups)));
    }
    if (box.length > 1) {
      const options = box.map((one, at) => [
        String(at),
        `${SIGN_OF[one.status]} ${one.title}`.trim(),
      ]);
      const select = makeSelect("Nodes in this box", options, (at) =>
        this.on.node({ stage: node.stage, ...box[at] }),
      );
      const at = box.findIndex((one) => one.id === node.id && one.gone === node.gone);
      select.value = String(Math.max(at, 0));
      parts.push(labelled(plural(box.length, "node in this box", "nodes in this box"), select));
    }
    return parts.length ? [make("div", { class: "jitq-bar" }, ...parts)] : [];
  }

  section(section, stage) {
    if (section.type === "whatIf") return this.whatIf(section);
    const draw = {
      pairs: () => this.pairs(section, stage),
      life: () => this.life(section),
      code: () => codeOf(section),
      svg: () => pictureOf(section),
      plot: () => this.on.plot(section.ask),
      text: () => make("pre", { class: "jitq-wrap", text: section.text }),
    }[section.type];
    return titled(section.title, section.hint, draw ? draw() : null);
  }

  /** Open where the last one was: who compares values need not open each. */
  whatIf(section) {
    const canRun = this.run.live && !this.run.runs;
    return new WhatIfPanel(section, this.isWondering, {
      ask: (wish) => this.on.whatIf(wish),
      apply: canRun ? (wish) => this.on.apply(wish) : null,
      toggle: (isOpen) => {
        this.isWondering = isOpen;
      },
    }).element;
  }

  pairs({ rows, prose = false }, stage) {
    const lines = rows.map(({ label, value, old, node, gone = false, hint }) => {
      const go = () => this.on.node({ stage, id: node, gone });
      const shown = node === null ? make("span", { text: value }) : makeJump(value, go);
      const was = old === null ? [] : [make("del", { text: old }), " → "];
      const ink = old === null ? null : "jitq-is-new";
      return [
        make("dt", { text: label, title: hint || null }),
        make("dd", { title: hint || null, class: ink }, ...was, shown),
      ];
    });
    const style = prose ? "jitq-pairs jitq-prose" : "jitq-pairs";
    return make("dl", { class: style }, ...lines.flat());
  }

  life({ rows }) {
    const lines = rows.map(({ stage, what, nodes, gone = false, here }) => {
      const go = () => this.on.node({ stage, id: nodes[0], gone });
      const name = nodes.length ? makeJump(stage, go) : make("span", { text: stage });
      const row = { class: here ? "jitq-here" : null, "aria-current": here ? "step" : null };
      return make("li", row, name, make("span", { class: "jitq-what", text: what }));
    });
    return make("ol", { class: "jitq-life" }, ...lines);
  }
}

function titled(title, hint, content, level = "h4") {
  const head = title ? make(level, { text: title }) : null;
  const more = hint ? make("p", { class: "jitq-quiet jitq-hint", text: hint }) : null;
  return make("div", { class: "jitq-section" }, head, more, content);
}

function codeOf({ lines }) {
  const shown = lines.map(({ text, number, mark }) => {
    const count = make("span", {
      class: "jitq-number",
      text: number === null ? "" : String(number),
    });
    return make("span", { class: mark ? "jitq-line jitq-mark" : "jitq-line" }, count, text);
  });
  return make(
    "pre",
    { class: "jitq-code", tabindex: "0", role: "group", "aria-label": "Source" },
    ...shown,
  );
}

function pictureOf({ svg, title }) {
  const picture = svgElement(svg);
  if (!picture) return make("p", { class: "jitq-quiet", text: "This picture cannot be shown." });
  picture.setAttribute("role", "img");
  picture.setAttribute("aria-label", title);
  return make("div", { class: "jitq-picture" }, picture);
}

/** Choose a module and a qconfig, and start over with them. */
function qconfigForm(run, paths, chosen, requantize) {
  const hint = make("p", { class: "jitq-quiet jitq-hint" });
  const key = makeSelect(
    "Module",
    paths.map((path) => [path, path || "the whole model"]),
    () => {},
  );
  key.value = chosen;
  const choices = run.qconfigChoices.map(([name]) => [name, name]);
  const explain = () => {
    hint.textContent = run.qconfigChoices.find(([name]) => name === choice.value)?.[1] ?? "";
  };
  const choice = makeSelect("qconfig", choices, explain);
  explain();
  const start = makeButton("Rerun from the start with this", () =>
    requantize({ key: key.value, qconfig: choice.value }),
  );
  const fields = [labelled("for", key), labelled("use", choice), start];
  return make("div", { class: "jitq-form" }, make("div", { class: "jitq-bar" }, ...fields), hint);
}
