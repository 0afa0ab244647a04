// The graph view's hover card.

// What is told of the box under the pointer, or of the one that keys went to.
class GraphCard {
  constructor(room) {
    this.room = room;
    this.element = graphElement("div", "jitq-graph-card");
    this.element.setAttribute("aria-hidden", "true"); // the live region says it
    this.element.hidden = true;
    room.append(this.element);
  }

  hide() {
    this.element.hidden = true;
  }

  // `lines`: [{ text, status, kind }]; the first is the heading.
  fill(lines) {
    this.element.replaceChildren(...lines.map(({ text, status, kind }) => {
      const line = graphElement("div", `jitq-graph-card-${kind}`);
      const chip = kind === "status" ? graphStatus(status) : GRAPH_SIGNS[status] || "=";
      if (status) line.append(graphElement("span", `jitq-graph-chip ${status}`, chip));
      line.append(text);
      return line;
    }));
    this.element.hidden = false;
  }

  // Beside a rectangle of the room, on the side where there is space.
  stand(rect, gap) {
    const { clientWidth: width, clientHeight: height } = this.room;
    const [wide, high] = [this.element.offsetWidth, this.element.offsetHeight];
    const [left, right] = [rect.x - gap - wide, rect.x + rect.width + gap];
    const isBeside = rect.width > 0 && (right + wide <= width || left >= 4);
    const aside = right + wide <= width ? right : left;
    const x = isBeside || !rect.width ? aside : rect.x;
    const below = rect.y + rect.height + gap;
    const beside = isBeside ? rect.y : below;
    const y = beside + high <= height ? beside : rect.y - (isBeside ? high - rect.height : gap + high);
    this.element.style.left = `${graphClamp(x, 4, width - wide - 4)}px`;
    this.element.style.top = `${graphClamp(y, 4, height - high - 4)}px`;
  }
}
