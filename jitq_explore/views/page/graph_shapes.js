// What all parts of the graph view are made with: signs, elements, shapes, rectangles.

const GRAPH_SIGNS = { added: "+", removed: "−", changed: "~", same: "" };
const GRAPH_SVG = "http://www.w3.org/2000/svg";

// Below this scale the small lines in the boxes are hard to read (9.5 points).
const GRAPH_LEGIBLE = 0.75;
const GRAPH_LARGEST = 4;
const GRAPH_MARGIN = 16;

const GRAPH_PREPARED = new WeakMap();

// Drawings hold these elements and no others: what can run or load something is not among them.
const GRAPH_ELEMENTS = new Set([
  "svg", "g", "path", "rect", "text", "tspan", "title", "circle", "ellipse", "polygon", "polyline",
  "line",
]);

// An SVG that Python made, as an element. Throws where it holds what a drawing has no need of.
function graphSvg(text) {
  const parsed = new DOMParser().parseFromString(text, "image/svg+xml");
  const svg = parsed.documentElement;
  if (svg.localName !== "svg" || svg.namespaceURI !== GRAPH_SVG || parsed.querySelector("parsererror")) {
    throw new Error("the drawing is not well-formed SVG");
  }
  for (const element of [svg, ...svg.querySelectorAll("*")]) {
    if (!GRAPH_ELEMENTS.has(element.localName)) {
      throw new Error(`the drawing holds <${element.localName}>, which is refused`);
    }
    for (const { name, value } of element.attributes) {
      if (/^on|href$|^style$|^src$/i.test(name) || /url\s*\(/i.test(value)) {
        throw new Error(`the drawing holds the attribute ${name}, which is refused`);
      }
    }
  }
  return document.adoptNode(svg);
}

function graphElement(tag, className = "", text = "") {
  const element = document.createElement(tag);
  element.className = className;
  element.textContent = text;
  return element;
}

function graphShape(tag, attributes) {
  const element = document.createElementNS(GRAPH_SVG, tag);
  for (const [name, value] of Object.entries(attributes)) element.setAttribute(name, value);
  return element;
}

// The sign beside the colour, and the word.
function graphStatus(status) {
  return `${GRAPH_SIGNS[status]} ${status}`.trim();
}

function graphClamp(value, low, high) {
  return Math.max(Math.min(value, high), Math.min(low, high));
}

function graphMiddle(rect) {
  return [rect.x + rect.width / 2, rect.y + rect.height / 2];
}

function graphAround(rects) {
  const left = Math.min(...rects.map((r) => r.x));
  const top = Math.min(...rects.map((r) => r.y));
  const right = Math.max(...rects.map((r) => r.x + r.width));
  const bottom = Math.max(...rects.map((r) => r.y + r.height));
  return { x: left, y: top, width: right - left, height: bottom - top };
}

// The id of the box that an element of a drawing belongs to, if it does.
function graphBoxAt(element) {
  return element.closest(".node")?.dataset.box ?? null;
}

function graphIsIn(module, path) {
  return module === path || module.startsWith(`${path}.`);
}
