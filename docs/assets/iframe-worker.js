// Browsers start no worker from a page that was opened as a file. The search's worker runs in a hidden frame there.
if (location.protocol === "file:" && typeof Worker === "function") {
  window.Worker = class extends EventTarget {
    constructor(address) {
      super();
      this.onmessage = this.onerror = null;
      this.waiting = [];
      this.frame = document.createElement("iframe");
      this.frame.hidden = true;
      document.body.append(this.frame);
      const inner = this.frame.contentWindow, script = inner.document.createElement("script");
      inner.WorkerGlobalScope = inner.Window;
      inner.importScripts = (...sources) =>
        sources.reduce((before, source) => before.then(() => this.load(source)), Promise.resolve());
      inner.postMessage = data => {
        const copy = structuredClone(data);
        setTimeout(() => this.tell("message", { data: copy }));
      };
      script.onload = () => {
        this.ready = true;
        this.waiting.splice(0).forEach(data => this.send(data));
      };
      script.onerror = () => this.tell("error", {});
      script.src = new URL(address, location).href;
      inner.document.body.append(script);
    }
    load(source) {
      const inner = this.frame.contentWindow.document, script = inner.createElement("script");
      return new Promise((done, failed) => {
        script.onload = done;
        script.onerror = failed;
        script.src = source;
        inner.body.append(script);
      });
    }
    tell(kind, more) {
      const event = Object.assign(new Event(kind), more);
      this.dispatchEvent(event);
      this[`on${kind}`]?.(event);
    }
    // later, as from a thread: who answers while it is being told would call itself without end
    send(data) {
      const inner = this.frame.contentWindow, copy = structuredClone(data);
      setTimeout(() => inner.dispatchEvent(new inner.MessageEvent("message", { data: copy })));
    }
    postMessage(data) {
      if (this.ready) this.send(data);
      else this.waiting.push(data);
    }
    terminate() {
      this.frame.remove();
    }
  };
}
