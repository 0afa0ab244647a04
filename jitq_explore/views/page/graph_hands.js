// Pointer, wheel and keys of the graph view.

// Pointer, wheel and keys: what they move, they move; what they ask for is told to `acts`.
class GraphHands {
  constructor(body, panes, camera, acts) {
    Object.assign(this, { body, camera, acts, isPressed: false, drag: null, wheeled: -Infinity });
    this.pointers = new Map();
    this.hint = graphElement("div", "jitq-graph-hint", "Click to scroll in here · Ctrl + wheel zooms");
    this.hint.setAttribute("aria-hidden", "true");
    body.append(this.hint);
    for (const { element } of panes) this.#listen(element);
    // A host may take the focus away at a click; the wheel stays here until the pointer leaves.
    body.addEventListener("pointerleave", () => { this.isPressed = false; });
    // JupyterLab's own one-letter shortcuts do not act on what is typed in here.
    body.dataset.lmSuppressShortcuts = "true";
  }

  #listen(element) {
    const on = (type, act, options) => element.addEventListener(type, act, options);
    on("pointerdown", (event) => this.#press(event, element));
    on("pointermove", (event) => this.#move(event, element));
    on("pointerup", (event) => this.#release(event));
    on("pointercancel", (event) => this.#release(event));
    on("pointerleave", () => this.acts.leave());
    on("click", (event) => this.#click(event));
    on("dblclick", (event) => this.#doubleClick(event));
    on("wheel", (event) => this.#wheel(event, element), { passive: false });
    on("keydown", (event) => this.#key(event));
    on("scroll", () => this.#scrolled(element));
  }

  #press(event, element) {
    if (event.button > 1) return;
    if (event.button === 1) event.preventDefault();
    this.isPressed = true;
    this.hint.classList.remove("jitq-graph-shown");
    this.pointers.set(event.pointerId, [event.clientX, event.clientY]);
    this.drag = { from: [event.clientX, event.clientY], isMoving: false, element };
  }

  #move(event, element) {
    // A button that was let go elsewhere.
    if (event.buttons === 0) this.#release(event);
    const last = this.pointers.get(event.pointerId);
    if (!last) {
      this.acts.hover(event.target, event);
      return;
    }
    const point = [event.clientX, event.clientY];
    const isFar = Math.hypot(point[0] - this.drag.from[0], point[1] - this.drag.from[1]) > 4;
    if (!this.drag.isMoving && !isFar) return;
    if (!this.drag.isMoving) {
      this.drag.isMoving = true;
      element.setPointerCapture(event.pointerId);
      this.body.classList.add("jitq-graph-dragged");
      this.acts.leave();
    }
    if (this.pointers.size === 2) this.#pinch(event.pointerId, point, element);
    else this.camera.pan(point[0] - last[0], point[1] - last[1]);
    this.pointers.set(event.pointerId, point);
  }

  #pinch(id, point, element) {
    const [, other] = [...this.pointers].find(([each]) => each !== id);
    const last = this.pointers.get(id);
    const apart = (a, b) => Math.hypot(a[0] - b[0], a[1] - b[1]) || 1;
    const { left, top } = element.getBoundingClientRect();
    const middle = [(point[0] + other[0]) / 2 - left, (point[1] + other[1]) / 2 - top];
    this.camera.pan((point[0] - last[0]) / 2, (point[1] - last[1]) / 2);
    this.camera.zoom(apart(point, other) / apart(last, other), middle);
  }

  #release(event) {
    this.pointers.delete(event.pointerId);
    this.body.classList.remove("jitq-graph-dragged");
  }

  #click({ target }) {
    if (this.drag?.isMoving) return;
    const fold = target.closest("[data-fold]");
    const unfold = target.closest("[data-unfold]");
    if (fold) this.acts.fold(fold.dataset.fold);
    else if (unfold) this.acts.unfold(unfold.dataset.unfold);
    else this.acts.choose(graphBoxAt(target));
  }

  #doubleClick({ target }) {
    if (!target.closest("[data-unfold]")) this.acts.unfold(graphBoxAt(target));
  }

  // Without a key the wheel belongs to the page, until the view has the focus; then it scrolls in
  // here up to the edge of the drawing, and beyond that the page again.
  #wheel(event, element) {
    const unit = event.deltaMode === 1 ? 16 : 1;
    if (event.ctrlKey || event.metaKey) {
      event.preventDefault();
      const { left, top } = element.getBoundingClientRect();
      const speed = graphClamp(event.deltaY * unit, -40, 40);
      this.camera.zoom(Math.exp(-speed / 120), [event.clientX - left, event.clientY - top]);
      return;
    }
    if (!this.isPressed && !this.body.contains(this.body.getRootNode().activeElement)) {
      this.#hintAtClick();
      return;
    }
    const isSideways = event.shiftKey && !event.deltaX;
    const dx = unit * (isSideways ? event.deltaY : event.deltaX);
    const dy = unit * (isSideways ? 0 : event.deltaY);
    const isGesture = event.timeStamp - this.wheeled < 250;
    if (this.camera.scroll(-dx, -dy) || isGesture) {
      event.preventDefault();
      this.wheeled = event.timeStamp;
    }
  }

  // The browser scrolls to what it found on the page, or to what got the focus: the camera does it.
  #scrolled(element) {
    const { scrollLeft, scrollTop } = element;
    if (!scrollLeft && !scrollTop) return;
    element.scrollTo(0, 0);
    this.camera.pan(-scrollLeft, -scrollTop);
  }

  #hintAtClick() {
    clearTimeout(this.hintTimer);
    this.hint.classList.add("jitq-graph-shown");
    this.hintTimer = setTimeout(() => this.hint.classList.remove("jitq-graph-shown"), 1200);
  }

  #key(event) {
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    const act = this.#actOf(event);
    if (!act) return;
    event.preventDefault();
    event.stopPropagation();
    act();
  }

  #actOf({ key, shiftKey }) {
    const arrow = { ArrowUp: "up", ArrowDown: "down", ArrowLeft: "left", ArrowRight: "right" }[key];
    const [dx, dy] = { up: [0, 80], down: [0, -80], left: [80, 0], right: [-80, 0] }[arrow] || [];
    if (arrow) return () => (shiftKey ? this.camera.pan(dx, dy) : this.acts.follow(arrow));
    return this.acts.keys[key];
  }
}
