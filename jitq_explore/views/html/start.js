// The end of the page's module: everything is defined, the document is there.

const isText = (value) => typeof value === "string";

/** What each part of a state can be: an address may be cut short, or of another version's page. */
const IS_SOUND = {
  stage: isText,
  node: (node) => node === null || (isText(node?.stage) && isText(node?.id)),
  folds: (folds) => folds === null || (Array.isArray(folds) && folds.every(isText)),
  side: (side) => ["union", "both"].includes(side),
  reach: (reach) => [null, 0, 1, 2].includes(reach),
  query: isText,
  module: isText,
  tab: isText,
  errors: (errors) => typeof errors === "boolean",
};

/** What was chosen is kept in the address, so that a reload, or whoever gets the link, sees it. */
function stateInAddress() {
  try {
    const said = Object.entries(JSON.parse(decodeURIComponent(location.hash.slice(1))));
    return Object.fromEntries(said.filter(([name, value]) => IS_SOUND[name]?.(value)));
  } catch {
    return {};
  }
}

function keepInAddress(state) {
  history.replaceState(null, "", `#${encodeURIComponent(JSON.stringify(state))}`);
}

/** A page of its own has all keys: those that nothing has the focus for, too. */
function takeKeys(explorer) {
  explorer.focus({ preventScroll: true });
  document.addEventListener("keydown", (event) => {
    if (event.target !== document.body) return;
    explorer.focus({ preventScroll: true });
    if (!explorer.dispatchEvent(new KeyboardEvent("keydown", event))) event.preventDefault();
  });
}

const root = document.getElementById("explorer");
try {
  const source = fromAnswers(await unpacked(document.getElementById("answers").textContent));
  await open(root, source, stateInAddress(), { onState: keepInAddress }).ready;
  takeKeys(root.querySelector(".jitq"));
} catch (error) {
  root.textContent =
    `The explorer did not start (${error}). It needs a browser of 2023 or later: ` +
    "Chrome or Edge 90, Firefox 113, Safari 16.4.";
}
