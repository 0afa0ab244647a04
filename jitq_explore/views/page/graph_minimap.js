// The graph view's map of the whole drawing.

// All boxes in small, and which part of them is in the window.
class GraphMinimap {
  constructor(room, camera) {
    this.room = room;
    this.camera = camera;
    this.element = graphElement("div", "jitq-graph-minimap");
    this.element.setAttribute("aria-hidden", "true");
    this.svg = graphShape("svg", {});
    this.lens = graphElement("div", "jitq-graph-lens");
    this.element.append(this.svg, this.lens);
    room.append(this.element);
    const go = (event) => {
      if (event.buttons !== 1) return;
      event.preventDefault();
      const { left, top } = this.svg.getBoundingClientRect();
      const point = [(event.clientX - left) / this.scale, (event.clientY - top) / this.scale];
      camera.hold(point, [camera.view.width / 2, camera.view.height / 2]);
    };
    this.element.addEventListener("pointerdown", (event) => {
      this.element.setPointerCapture(event.pointerId);
      go(event);
    });
    this.element.addEventListener("pointermove", go);
  }

  // `rows`: of the boxes, [{ rect, status }]
  fill(rows) {
    const { width, height } = this.camera.paper;
    this.svg.setAttribute("viewBox", `0 0 ${width} ${height}`);
    const order = (row) => (row.status === "same" ? 0 : 1);
    const sorted = [...rows].sort((a, b) => order(a) - order(b));
    this.svg.replaceChildren(...sorted.map(({ rect, status }) => graphShape("rect", { ...rect, class: status })));
  }

  // A drawing that cannot be read as a whole has its map beside it, where it lies over nothing.
  takePlace(panes) {
    const { clientWidth: width, clientHeight: height } = this.room;
    const view = { width: width / panes, height };
    this.isBeside = !this.camera.isLegibleIn(view) && this.#hasRoom(view);
    this.element.classList.toggle("jitq-graph-beside", this.isBeside);
    if (!this.isBeside) return;
    this.element.hidden = false;
    this.#size(height - 10);
  }

  place() {
    const { camera } = this;
    const { paper, view } = camera;
    const seen = camera.toView({ x: 0, y: 0, ...paper });
    const isWhole = seen.x >= 0 && seen.y >= 0
      && seen.x + seen.width <= view.width && seen.y + seen.height <= view.height;
    this.element.hidden = !this.isBeside && (isWhole || !this.#hasRoom(view));
    if (this.element.hidden) return;
    if (!this.isBeside) this.#size(0.4 * view.height);
    const part = this.scale / camera.scale;
    const { style } = this.lens;
    style.transform = `translate(${-camera.x * part}px, ${-camera.y * part}px)`;
    style.width = `${view.width * part}px`;
    style.height = `${view.height * part}px`;
  }

  #hasRoom({ width, height }) {
    return width >= 420 && height >= 200;
  }

  #size(height) {
    const { paper } = this.camera;
    this.scale = Math.min(72 / paper.width, height / paper.height);
    this.svg.setAttribute("width", this.scale * paper.width);
    this.svg.setAttribute("height", this.scale * paper.height);
  }
}
