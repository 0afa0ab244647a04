// The end of the page's module: everything is defined, the document is there.

const root = document.getElementById("explorer");
try {
  const source = fromAnswers(await unpacked(document.getElementById("answers").textContent));
  root.replaceChildren();
  open(root, source, START, {});
} catch (error) {
  root.textContent =
    `The explorer did not start (${error}). It needs a browser of 2023 or later: ` +
    "Chrome or Edge 90, Firefox 113, Safari 16.4.";
}
