// The end of the page's module: everything is defined, the document is there.

/** What was chosen is kept in the address, so that a reload, or whoever gets the link, sees it. */
function stateInAddress() {
  try {
    return JSON.parse(decodeURIComponent(location.hash.slice(1)));
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
