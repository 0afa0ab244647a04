// The cells of a table: what is in them, how wide that is, and in which order they come.

const WIDEST_CELL = 40; // characters

/** How wide a text is in a cell, pixels: `isBold` in the head. */
function textWidth(text, isBold = false) {
  textWidth.pen ??= document.createElement("canvas").getContext("2d");
  const family = getComputedStyle(document.body).getPropertyValue("--jp-ui-font-family").trim();
  textWidth.pen.font = `${isBold ? 600 : 400} 12px ${family || "system-ui, sans-serif"}`;
  return textWidth.pen.measureText(text).width;
}

function cellText(cell) {
  if (cell === null || cell === undefined) return "–";
  if (typeof cell === "boolean") return cell ? "yes" : "no";
  return typeof cell === "number" ? shortNumber(cell) : String(cell);
}

function cellOf(cell, { kind, isWide, isCode, label }, isBad) {
  const text = cellText(cell);
  if (isCode) return make("td", { class: "jitq-wide", title: text }, codeCell(text, label));
  // A warning is no failure.
  const [mark, sign] = text === "warning" ? ["jitq-warned", WARNED] : ["jitq-bad", FAILED];
  const classes = [kind === "number" && "jitq-number", isBad && mark, isWide && "jitq-wide"];
  const title = text.length > WIDEST_CELL / 2 ? text : null;
  const shown = isBad ? `${sign} ${text}` : text;
  const attributes = { class: classes.filter(Boolean).join(" ") || null, title };
  return make("td", attributes, isWide ? make("div", { class: "jitq-clamp", text: shown }) : shown);
}

/** Python with a button that copies all of it, however much there is room for. */
function codeCell(text, label) {
  // It may go on in a new line after these.
  const parts = text.split(/(?<=[(=])|(?<=\.)(?=[A-Za-z_])/).flatMap((part) => [part, make("wbr")]);
  const code = make("code", { class: "jitq-clamp" }, ...parts);
  return make("div", { class: "jitq-to-copy" }, makeCopy(text, label), code);
}

/** What a cell stands for as a number (“≥ 100” for 100), JSON having no infinity; null: none. */
function numberOf(cell) {
  if (typeof cell === "number" || cell === null) return cell;
  const infinite = { "∞": Infinity, "−∞": -Infinity };
  if (Object.hasOwn(infinite, cell)) return infinite[cell];
  const limit = /^[≤≥] ([\d.]+)$/.exec(cell);
  return limit ? Number(limit[1]) : null;
}

/** Numbers by size, all else by its text; what is missing comes last, whichever way it is turned. */
function compareCells(one, other, turn) {
  const missing = (one === null) - (other === null);
  if (missing || one === null) return missing;
  const [left, right] = [numberOf(one), numberOf(other)];
  if (left === right) return 0;
  if (left !== null && right !== null) return turn * (left < right ? -1 : 1);
  return turn * cellText(one).localeCompare(cellText(other), "en", { numeric: true });
}
