// One node through the stages: where a node of one stage is at another.

/**
 * The ids of a node {stage, id, gone} at `stage`: those `nodes` in the graph after it, and those
 * that this very stage took away, `gone`. Both are empty where it is not there. At the stages after
 * an observer was taken away, what stands for the observed value in its place.
 */
async function locate(answers, stages, node, stage) {
  if (node.stage === stage) {
    return node.gone ? { nodes: [], gone: [node.id] } : { nodes: [node.id], gone: [] };
  }
  const to = stages.indexOf(stage);
  // What a stage took away is a node of the graph before it.
  let at = stages.indexOf(node.stage) - (node.gone ? 1 : 0);
  let ids = [node.id];
  if (to < 0 || at < 0) return { nodes: [], gone: [] };
  for (; at < to && ids.length; at += 1) {
    const { forward, heirs } = await linksOf(answers, stages[at + 1]);
    const next = through(forward, ids);
    if (!next.length && at + 1 === to) return { nodes: [], gone: ids };
    ids = next.length ? next : through(heirs, ids);
  }
  for (; at > to && ids.length; at -= 1) {
    const { back, forebears } = await linksOf(answers, stages[at]);
    const next = through(back, ids);
    ids = next.length ? next : through(forebears, ids);
  }
  return { nodes: ids, gone: [] };
}

/** The same where two runs are compared: the life of the second run's node leads to it. */
async function locateInPair(answers, node, stage) {
  const here = { nodes: [], gone: [] };
  here[node.gone ? "gone" : "nodes"].push(node.id);
  if (node.stage === stage) return here;
  if (node.gone) return { nodes: [], gone: [] };
  const { sections = [] } = await answers.get("details", {
    stage: node.stage,
    node: node.id,
    gone: false,
  });
  const rows = sections.filter(({ type }) => type === "life").flatMap(({ rows }) => rows);
  return { nodes: rows.find((row) => row.stage === stage && !row.gone)?.nodes ?? [], gone: [] };
}

async function linksOf(answers, stage) {
  const links = await answers.get("links", { stage });
  const { forward = {}, back = {}, heirs = {}, forebears = {} } = links;
  return { forward, back, heirs, forebears };
}

function through(links, ids) {
  return [...new Set(ids.flatMap((id) => (Object.hasOwn(links, id) ? links[id] : [])))];
}
