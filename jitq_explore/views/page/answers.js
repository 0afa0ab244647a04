// Answers to asks: from a kernel or from the page itself, kept, and fetched ahead.

// After so many milliseconds without an answer this is said.
const WAITING = [
  [300, "Waiting for the kernel …"],
  [15000, "The kernel has not answered for 15 s: it is busy, or gone (then run the cell again)."],
];

/** What stands for an ask: the same in Python (compact JSON, sorted keys). */
function askKey(kind, asked) {
  const sorted = Object.fromEntries(Object.entries(asked).sort(([a], [b]) => (a < b ? -1 : 1)));
  return `${kind} ${JSON.stringify(sorted)}`;
}

/**
 * A source of answers that are all in the page; drawings only in the fold states `states`, and in
 * the default one, which stands for all others.
 */
export function fromAnswers({ answers, states }) {
  async function ask(kind, asked) {
    const { value, ...wish } = asked;
    if (kind === "what_if" && Object.keys(wish).length) {
      const offer = await ask(kind, { value });
      return offer.error === undefined ? whatIfHere(offer, wish) : offer;
    }
    const asks = kind === "drawing" ? [asked, { ...asked, folds: null }] : [asked];
    const key = asks.map((one) => askKey(kind, one)).find((one) => Object.hasOwn(answers, one));
    return key === undefined ? { error: "this page does not hold that" } : answers[key];
  }
  return { ask, live: null, states };
}

/** A source of answers that a kernel gives, by the messages of an anywidget model. */
function fromKernel(model) {
  const waiting = new Map();
  const listeners = new Set();
  // Several pages may show one model, and each hears the answers to all.
  let last = Math.floor(Math.random() * 2 ** 40);
  function hear(content) {
    if (content?.event) for (const listener of listeners) listener(content);
    else if (waiting.has(content?.id)) {
      waiting.get(content.id)(content.answer);
      waiting.delete(content.id);
    }
  }
  model.on("msg:custom", hear);
  return {
    ask: (kind, asked) =>
      new Promise((resolve) => {
        last += 1;
        waiting.set(last, resolve);
        model.send({ ...asked, ask: kind, id: last });
      }),
    live: {
      send: (message) => model.send(message),
      listen: (listener) => {
        listeners.add(listener);
        return () => listeners.delete(listener);
      },
    },
    close: () => model.off("msg:custom", hear),
  };
}

/** Answers that are kept; those to come are shared by all who ask for the same. */
class Answers {
  /** `onWait(text)`: what should be said to somebody who has been waiting; "": no longer. */
  constructor(source, onWait) {
    this.source = source;
    this.onWait = onWait;
    this.kept = new Map();
    this.waiting = new Set();
  }

  /** The answer; {error} where there is none. */
  async get(kind, asked = {}) {
    const token = {};
    this.waiting.add(token);
    const timers = WAITING.map(([wait, text]) => setTimeout(() => this.onWait(text), wait));
    try {
      return await this.fetch(kind, asked);
    } finally {
      timers.forEach(clearTimeout);
      this.waiting.delete(token);
      if (!this.waiting.size) this.onWait("");
    }
  }

  /** The same, without saying that somebody waits. */
  fetch(kind, asked = {}) {
    const key = askKey(kind, asked);
    if (!this.kept.has(key)) {
      const keep = { kind, asked, answer: null };
      keep.promise = Promise.resolve(this.source.ask(kind, asked))
        .catch((error) => ({ error: String(error?.message ?? error) }))
        .then((answer) => answer ?? { error: "there was no answer" })
        .then((answer) => {
          keep.answer = answer;
          // What could not be answered now may be later.
          if (answer.error !== undefined && this.kept.get(key) === keep) this.kept.delete(key);
          return answer;
        });
      this.kept.set(key, keep);
    }
    return this.kept.get(key).promise;
  }

  /** The answer if it is here, else null. */
  known(kind, asked = {}) {
    return this.kept.get(askKey(kind, asked))?.answer ?? null;
  }

  /** Forget what the run's going on made stale: all but the plain facts of stages still the same. */
  drop(stages) {
    for (const [key, { kind, asked }] of this.kept) {
      const isFact = ["nodes", "links", "text"].includes(kind) && !stages.includes(asked.stage);
      if (!isFact) this.kept.delete(key);
    }
  }

  /** Ask ahead for [kind, asked] pairs, one at a time, while the page is idle. */
  prefetch(asks) {
    this.ahead = asks.filter(([kind, asked]) => !this.kept.has(askKey(kind, asked)));
    if (!this.isAhead) this.goAhead();
  }

  async goAhead() {
    this.isAhead = true;
    while (this.ahead.length) {
      await whenIdle();
      const next = this.ahead.shift();
      if (next) await this.fetch(...next);
    }
    this.isAhead = false;
  }
}

function whenIdle() {
  const wait = globalThis.requestIdleCallback ?? ((then) => setTimeout(then, 50));
  return new Promise((resolve) => wait(resolve, { timeout: 1000 }));
}
