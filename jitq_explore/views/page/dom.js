// Elements, made by DOM calls alone: every text comes in as text, never as HTML.

const SVG_SPACE = "http://www.w3.org/2000/svg";

/** The sign beside each status, and its name in words. */
const SIGN_OF = { added: "+", removed: "−", changed: "~", same: "" };
const NAME_OF = { added: "added", removed: "removed", changed: "changed", same: "the same" };
const FAILED = "✖";
const WARNED = "▲";
const COPIED_FOR = 2000; // milliseconds that a button says so

/**
 * An element. `attributes`: "class", "text", "on…" (a listener), a boolean (there or not), else
 * an attribute; null and undefined leave it out. `children` are elements or texts.
 */
function make(tag, attributes = {}, ...children) {
  return furnish(document.createElement(tag), attributes, children);
}

/** The same in SVG. */
function makeSvg(tag, attributes = {}, ...children) {
  return furnish(document.createElementNS(SVG_SPACE, tag), attributes, children);
}

function furnish(element, attributes, children) {
  for (const [name, value] of Object.entries(attributes)) {
    if (value === null || value === undefined || value === false) continue;
    if (name === "text") element.textContent = value;
    else if (name.startsWith("on")) element.addEventListener(name.slice(2), value);
    else element.setAttribute(name, value === true ? "" : value);
  }
  element.append(...children.flat().filter((child) => child !== null && child !== undefined));
  return element;
}

/** A button that is no part of a form. */
function makeButton(text, onclick, attributes = {}) {
  return make("button", { type: "button", class: "jitq-button", text, onclick, ...attributes });
}

/** A text that looks and works like a link, for jumps inside the page. */
function makeJump(text, onclick, attributes = {}) {
  return makeButton(text, onclick, { ...attributes, class: "jitq-jump" });
}

/** A dropdown over [value, label] pairs. */
function makeSelect(label, options, onchange) {
  const select = make("select", { "aria-label": label, onchange: () => onchange(select.value) });
  fillSelect(select, options);
  return select;
}

/** Other [value, label] pairs in a dropdown; what is chosen stays where it can. */
function fillSelect(select, options) {
  const chosen = select.value;
  select.replaceChildren(...options.map(([value, text]) => make("option", { value, text })));
  select.value = options.some(([value]) => value === chosen) ? chosen : (options[0]?.[0] ?? "");
}

/** A status with its sign and colour. */
function makeChip(status, text) {
  const sign = SIGN_OF[status] ?? "";
  return make("span", {
    class: `jitq-chip jitq-${status in SIGN_OF ? status : "same"}`,
    text: sign ? `${sign} ${text}` : text,
  });
}

/** The sign of a status alone, in its colour. */
function makeSign(status) {
  return make("span", {
    class: `jitq-count jitq-${status}`,
    title: NAME_OF[status],
    text: SIGN_OF[status],
  });
}

/** SVG text made by Python as an element; null where it is not well-formed or holds code. */
function svgElement(text) {
  const parsed = new DOMParser().parseFromString(text, "image/svg+xml");
  const svg = parsed.documentElement;
  if (svg.localName !== "svg" || parsed.querySelector("parsererror, script, foreignObject")) {
    return null;
  }
  for (const element of [svg, ...svg.querySelectorAll("*")]) {
    for (const { localName, value } of element.attributes) {
      const isCode = localName === "href" && !value.startsWith("#");
      if (localName.startsWith("on") || isCode) return null;
    }
  }
  return document.importNode(svg, true);
}

/** A button that copies a text, and says for a while whether it could. */
function makeCopy(text, name) {
  const start = async (event) => {
    event.stopPropagation();
    copy.textContent = (await copied(text)) ? "copied" : "not copied";
    setTimeout(() => (copy.textContent = "copy"), COPIED_FOR);
  };
  const copy = makeJump("copy", start, { title: `Copy all of “${name}”` });
  return copy;
}

/** Put a text on the clipboard -> whether it is there. */
async function copied(text) {
  try {
    await navigator.clipboard.writeText(text);
    return true;
  } catch {
    // Without https, or in a frame that may not, there is only the old way.
    const field = make("textarea", { class: "jitq-copied", "aria-hidden": "true" });
    field.value = text;
    const focused = document.activeElement;
    document.body.append(field);
    field.select();
    const isThere = document.execCommand("copy");
    field.remove();
    focused?.focus({ preventScroll: true });
    return isThere;
  }
}

/** "1 batch", "2 batches". */
function plural(count, one, many = `${one}s`) {
  return `${count.toLocaleString("en")} ${count === 1 ? one : many}`;
}

/** A count in four characters: "987", "1.2k", "34k". */
function shortCount(count) {
  if (count < 1000) return String(count);
  const thousands = count / 1000;
  return `${thousands < 9.95 ? thousands.toFixed(1) : Math.round(thousands)}k`;
}

/** Seconds in words: "12 ms", "1.25 s", "0.3 ms". */
function duration(seconds) {
  if (seconds >= 1) return `${seconds.toFixed(2)} s`;
  const ms = 1000 * seconds;
  if (ms > 0 && ms < 0.05) return "< 0.1 ms";
  return ms > 0 && ms < 0.95 ? `${ms.toFixed(1)} ms` : `${Math.round(ms)} ms`;
}

/** A real number in four digits. */
function shortNumber(value) {
  if (!Number.isFinite(value)) return String(value);
  return Number.isInteger(value) ? String(value) : String(Number(value.toPrecision(4)));
}

/** Whether a path is a module's or that of one inside of it; "" holds all. */
function isInside(path, module) {
  return !module || path === module || path.startsWith(`${module}.`);
}

/** The path and those of the modules around it, outermost ("", the whole model) first. */
function pathsAround(path) {
  const names = path ? path.split(".") : [];
  return names.reduce((paths, _, at) => [...paths, names.slice(0, at + 1).join(".")], [""]);
}

/** The modules that nodes lie in and those around them, "" first. */
function modulesOf(nodes) {
  return [...new Set(["", ...nodes.flatMap(({ module }) => pathsAround(module))])];
}

function sameValue(one, other) {
  return JSON.stringify(one) === JSON.stringify(other);
}

/**
 * Arrow keys, Home and End move the focus among the elements of a box that match; one of them at a
 * time is a stop of the Tab key. `keys`: which arrows lead back and on.
 */
function moveFocusWithin(box, selector, keys = ["ArrowUp", "ArrowDown"]) {
  box.addEventListener("keydown", (event) => {
    const all = [...box.querySelectorAll(selector)];
    const at = all.indexOf(event.target);
    const to = { [keys[0]]: at - 1, [keys[1]]: at + 1, Home: 0, End: all.length - 1 }[event.key];
    if (at < 0 || to === undefined) return;
    event.preventDefault();
    const next = all[Math.max(0, Math.min(to, all.length - 1))];
    for (const one of all) one.tabIndex = one === next ? 0 : -1;
    next.focus();
  });
}
