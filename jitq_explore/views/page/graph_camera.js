// The graph view's camera: pan, zoom, and ways from one place to another.

const ROOM_AROUND = 32; // pixels

// Where the paper lies under the window: a point p of it is seen at (x, y) + scale * p.
class GraphCamera {
  constructor(draw, settle) {
    this.draw = draw;
    this.settle = settle;
    this.view = { width: 0, height: 0 };
    this.paper = { width: 1, height: 1 };
    this.boxes = []; // the rectangles of all of them
    Object.assign(this, { x: 0, y: 0, scale: 1, isHome: true });
    Object.assign(this, { frame: 0, flight: 0, timer: 0, isSmooth: true });
  }

  get smallest() {
    return Math.min(this.#whole(), 0.25);
  }

  // The scale at which all of the paper is seen.
  #whole(view = this.view) {
    const { paper } = this;
    const [width, height] = [view.width - 2 * GRAPH_MARGIN, view.height - 2 * GRAPH_MARGIN];
    return Math.max(Math.min(width / paper.width, height / paper.height, 1.25), 0.02);
  }

  // Whether all of the paper can be seen in such a window, and read.
  isLegibleIn(view) {
    return this.#whole(view) >= GRAPH_LEGIBLE;
  }

  // Whether all of the paper could be seen from nearer, where it cannot be read.
  get isTooFar() {
    return this.scale < GRAPH_LEGIBLE && this.scale < this.#whole();
  }

  // All of the paper; where that is not legible, its upper part in a scale that is. If none of the
  // rectangles is to be seen there, the part around the first of them.
  home(rects = [], isGliding = false) {
    const whole = this.#whole();
    const wide = (this.view.width - 2 * GRAPH_MARGIN) / this.paper.width;
    const place = this.#centred(this.isLegibleIn(this.view) ? whole : graphClamp(wide, GRAPH_LEGIBLE, 1));
    if (place.scale > whole) {
      place.y = Math.max(place.y, GRAPH_MARGIN);
      if (rects.length && !rects.some((rect) => this.isInside(rect, place))) this.#moveTo(rects[0], place);
      this.#showBoxes(place);
    }
    if (isGliding) this.glide(place, true);
    else this.set(place, true);
  }

  // Of a paper that is wider than the window the boxes are seen, if need be at the cost of lines.
  #showBoxes(place) {
    const { view, paper } = this;
    const rest = view.width - place.scale * paper.width;
    if (rest >= 0) return;
    const [top, bottom] = [-place.y, view.height - place.y].map((y) => y / place.scale);
    const seen = this.boxes.filter(({ y, height }) => y < bottom && y + height > top);
    const around = seen.length ? graphAround(seen) : null;
    if (!around || place.scale * around.width + 2 * GRAPH_MARGIN > view.width) return;
    const [middle] = graphMiddle(around);
    const x = view.width / 2 - place.scale * middle;
    place.x = graphClamp(x, rest - GRAPH_MARGIN, GRAPH_MARGIN);
  }

  #moveTo(rect, place) {
    const { view, paper } = this;
    const lowest = view.height - GRAPH_MARGIN - place.scale * paper.height;
    place.y = Math.max(view.height / 4 - place.scale * rect.y, lowest);
    const [x] = graphMiddle(rect);
    const isAside = !this.isInside({ ...rect, y: (view.height / 2 - place.y) / place.scale, height: 0 }, place);
    if (isAside) place.x = view.width / 2 - place.scale * x;
  }

  // All of the paper, however small; a second time, what can be read again.
  fit(rects) {
    const whole = this.#centred(this.#whole());
    const isThere = ["x", "y", "scale"].every((key) => Math.abs(this[key] - whole[key]) < 0.01);
    if (isThere && !this.isLegibleIn(this.view)) this.home(rects, true);
    else this.glide(whole);
  }

  #centred(scale) {
    const { view, paper } = this;
    return {
      scale,
      x: (view.width - scale * paper.width) / 2,
      y: (view.height - scale * paper.height) / 2,
    };
  }

  // Puts the point of the paper at the point of the window.
  hold([px, py], [x, y], scale = this.scale) {
    this.set({ scale, x: x - scale * px, y: y - scale * py });
  }

  set({ x, y, scale }, isHome = false) {
    cancelAnimationFrame(this.flight);
    this.#put({ x, y, scale }, isHome);
  }

  #put({ x, y, scale }, isHome) {
    const { view, paper } = this;
    const rest = 60;
    this.scale = graphClamp(scale, this.smallest, GRAPH_LARGEST);
    this.x = graphClamp(x, rest - this.scale * paper.width, view.width - rest);
    this.y = graphClamp(y, rest - this.scale * paper.height, view.height - rest);
    this.isHome = isHome;
    this.frame ||= requestAnimationFrame(() => {
      this.frame = 0;
      this.draw();
      clearTimeout(this.timer);
      this.timer = setTimeout(this.settle, 160);
    });
  }

  // Goes there in a few frames, so that the eye can follow.
  glide(place, isHome = false) {
    cancelAnimationFrame(this.flight);
    if (!this.isSmooth || matchMedia("(prefers-reduced-motion: reduce)").matches) {
      this.#put(place, isHome);
      return;
    }
    const from = { x: this.x, y: this.y, scale: this.scale };
    const begin = performance.now();
    const step = (now) => {
      const part = graphClamp((now - begin) / 180, 0, 1);
      const way = 1 - (1 - part) ** 3;
      const between = (key) => from[key] + (place[key] - from[key]) * way;
      this.#put({ x: between("x"), y: between("y"), scale: between("scale") }, isHome);
      if (part < 1) this.flight = requestAnimationFrame(step);
    };
    this.flight = requestAnimationFrame(step);
  }

  pan(dx, dy) {
    this.set({ x: this.x + dx, y: this.y + dy, scale: this.scale });
  }

  // As a scroll bar would: not beyond the paper's edges. False where there is no further.
  scroll(dx, dy) {
    const along = (place, step, paper, view) => {
      const low = view - GRAPH_MARGIN - this.scale * paper;
      if (low > GRAPH_MARGIN) return place;
      return graphClamp(place + step, Math.min(low, place), Math.max(GRAPH_MARGIN, place));
    };
    const x = along(this.x, dx, this.paper.width, this.view.width);
    const y = along(this.y, dy, this.paper.height, this.view.height);
    if (x === this.x && y === this.y) return false;
    this.set({ x, y, scale: this.scale });
    return true;
  }

  zoom(factor, point = [this.view.width / 2, this.view.height / 2]) {
    const scale = graphClamp(this.scale * factor, this.smallest, GRAPH_LARGEST);
    this.hold(this.toPaper(point), point, scale);
  }

  toPaper([x, y]) {
    return [(x - this.x) / this.scale, (y - this.y) / this.scale];
  }

  toView(rect, { x, y, scale } = this) {
    return {
      x: x + scale * rect.x,
      y: y + scale * rect.y,
      width: scale * rect.width,
      height: scale * rect.height,
    };
  }

  // Into the middle, and legible; not so far that there is nothing above the paper or below it.
  centre(rect) {
    const { view, paper } = this;
    const scale = this.scale < GRAPH_LEGIBLE ? 1 : this.scale;
    const [x, y] = graphMiddle(rect);
    const middle = view.height / 2 - scale * y;
    const lowest = view.height - GRAPH_MARGIN - scale * paper.height;
    const isTaller = lowest < GRAPH_MARGIN;
    this.glide({
      scale,
      x: view.width / 2 - scale * x,
      y: isTaller ? graphClamp(middle, lowest, GRAPH_MARGIN) : middle,
    });
  }

  // Only as far as it takes to have it in the window; whether that is any way at all.
  reveal(rect) {
    const [dx, dy] = this.#wayTo(rect);
    if (dx || dy) this.glide({ x: this.x + dx, y: this.y + dy, scale: this.scale });
    return dx !== 0 || dy !== 0;
  }

  // Whether it is in the window, with room around it.
  isInside(rect, place = this) {
    return this.#wayTo(rect, place).every((way) => way === 0);
  }

  #wayTo(rect, place = this) {
    const seen = this.toView(rect, place);
    const room = ROOM_AROUND;
    const along = (place, size, view) => {
      if (size + 2 * room > view) return view / 2 - place - size / 2;
      return Math.max(room - place, 0) + Math.min(view - room - place - size, 0);
    };
    return [along(seen.x, seen.width, this.view.width), along(seen.y, seen.height, this.view.height)];
  }

  end() {
    cancelAnimationFrame(this.frame);
    cancelAnimationFrame(this.flight);
    clearTimeout(this.timer);
  }
}
