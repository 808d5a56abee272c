// The picture: decodes the newest one, draws it, and only then asks for more.

export class View {
  constructor(canvas) {
    this.canvas = canvas;
    this.context = canvas.getContext("2d", { alpha: false });
    this.waiting = null;
    this.busy = false;
    this.drawn = 0;
  }

  setSize([width, height]) {
    if (this.drawn === 0) Object.assign(this.canvas, { width, height });
  }

  show(picture) {
    this.waiting?.drawn(); // overtaken
    this.waiting = picture;
    if (!this.busy) this.work();
  }

  async work() {
    this.busy = true;
    while (this.waiting) {
      const picture = this.waiting;
      this.waiting = null;
      try {
        this.draw(await createImageBitmap(new Blob([picture.jpeg], { type: "image/jpeg" })));
      } catch {
        // damaged: the next one follows
      }
      picture.drawn();
    }
    this.busy = false;
  }

  draw(bitmap) {
    const { canvas } = this;
    if (canvas.width !== bitmap.width || canvas.height !== bitmap.height) {
      Object.assign(canvas, { width: bitmap.width, height: bitmap.height });
    }
    this.context.drawImage(bitmap, 0, 0);
    bitmap.close();
    this.drawn += 1;
    canvas.dataset.drawn = this.drawn;
  }
}
