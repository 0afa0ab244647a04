// The answers in the file, unpacked (see packing.py).

/** What `open` takes as a source: every answer, spelled out when it is asked for. */
async function unpacked(base64) {
  const bytes = Uint8Array.from(atob(base64), (char) => char.charCodeAt(0));
  const stream = new Blob([bytes]).stream().pipeThrough(new DecompressionStream("deflate"));
  const { shared, value } = JSON.parse(await new Response(stream).text());
  const answers = {};
  for (const [key, answer] of Object.entries(value.answers)) {
    // Made anew each time, so that no two askers share an object; all at once would be slow.
    Object.defineProperty(answers, key, { get: () => spelledOut(answer, shared) });
  }
  return { answers, states: spelledOut(value.states, shared) };
}

function spelledOut(value, shared) {
  if (value === null || typeof value !== "object") return value;
  if (Array.isArray(value)) return value.map((each) => spelledOut(each, shared));
  const keys = Object.keys(value);
  if (keys.length !== 1 || keys[0] !== "") {
    // Not by assignment: a key may be called "__proto__".
    return Object.fromEntries(keys.map((key) => [key, spelledOut(value[key], shared)]));
  }
  const inside = value[""];
  if (typeof inside === "number") return spelledOut(shared[inside], shared);
  const [mark, ...parts] = inside;
  if (typeof mark !== "string") return { "": spelledOut(parts[0], shared) };
  const part = (each) => spelledOut(typeof each === "number" ? shared[each] : each, shared);
  return parts.map(part).join(mark);
}
