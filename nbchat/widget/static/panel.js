// The panel's page side: one module, no dependencies. The kernel sends messages with numbers, the
// page shows them and sends wishes; the protocol's table is in docs/panel.md.
//
// Strings are shown as text. Only fields named `html` hold HTML, made safe by the kernel, and they
// pass through `safe` alone. Handlers hang on nodes made here, never on anything inside `html`.

export const LIMIT = 20 * 1024 * 1024;
const SILENT_MS = 5000;
const RESTARTED = "The kernel was restarted: run this cell again. Your text is still here.";
const SILENT = "No answer from the kernel yet. If it was restarted, run this cell again.";

// State ---------------------------------------------------------------------------------------

export function emptyState() {
  return {
    last: -1, live: false, gone: "", notice: "", chat: {}, status: { state: "idle", text: "", since: null },
    msgs: [], more: false, models: [], commands: [], hosts: {}, chips: [], tokens: 0, list: null,
    names: null, said: "", pending: [],
  };
}

// The next state; `hello` asks for a snapshot because something was missed.
export function reduce(state, told) {
  if (told.op !== "snap" && told.s !== state.last + 1) return { ...state, hello: true };
  const next = { ...state, last: told.s, hello: false };
  const change = CHANGES[told.op];
  return change ? { ...next, ...change(next, told) } : next;
}

const CHANGES = {
  snap: (state, told) => ({
    live: true, gone: "", notice: state.live ? state.notice : "", chat: told.chat, status: told.status,
    msgs: told.msgs, more: told.more, models: told.models, commands: told.commands, hosts: told.hosts,
    pending: state.pending.filter((row) => !row.id),
  }),
  chat: (state, told) => ({ chat: told.chat }),
  status: (state, told) => ({ status: told.status }),
  msg: (state, told) => ({
    msgs: put(state.msgs, told.msg, told.after),
    pending: state.pending.filter((row) => row.id !== told.msg.id),
  }),
  blk: (state, told) => ({
    msgs: state.msgs.map((msg) =>
      msg.id === told.id ? { ...msg, blocks: [...msg.blocks.slice(0, told.k), ...told.blocks] } : msg),
  }),
  drop: (state, told) => ({ msgs: state.msgs.filter((msg) => !told.ids.includes(msg.id)) }),
  older: (state, told) => ({ msgs: [...told.msgs, ...state.msgs], more: told.more }),
  ack: (state, told) => ({
    notice: told.text || "",
    pending: state.pending
      .map((row) => (row.rid === told.rid ? { ...row, id: told.id } : row))
      .filter((row) => row.rid !== told.rid || told.id),
  }),
  err: (state, told) => {
    const lost = state.pending.find((row) => row.rid && row.rid === told.rid);
    return {
      notice: told.text,
      back: lost ? lost.text : undefined,
      pending: state.pending.filter((row) => row !== lost),
    };
  },
  list: (state, told) => ({ list: told.chats }),
  names: (state, told) => ({ names: { rid: told.rid, items: told.items } }),
  chips: (state, told) => ({ chips: told.chips, tokens: told.tokens }),
  said: (state, told) => ({ said: told.text }),
  insert: (state, told) => ({ copy: told.ok ? undefined : told.text }),
  gone: (state, told) => ({ gone: told.text }),
};

export function put(msgs, msg, after) {
  const at = msgs.findIndex((other) => other.id === msg.id);
  if (at >= 0) return msgs.map((other, index) => (index === at ? msg : other));
  const place = after === null ? -1 : msgs.findIndex((other) => other.id === after);
  if (after !== null && place < 0) return [...msgs, msg];
  return [...msgs.slice(0, place + 1), msg, ...msgs.slice(place + 1)];
}

// Keys and words --------------------------------------------------------------------------------

// What a key in the composer does: send, newline, stop, recall, forward, or nothing of ours.
export function keyAction(event, state) {
  if (event.isComposing || event.keyCode === 229) return "";
  if (event.key === "Enter") return event.shiftKey || event.altKey ? "newline" : "send";
  if (event.key === "Escape") return state.running ? "stop" : "keep";
  if (event.key === "ArrowUp" && (state.text === "" || state.recalling)) return "recall";
  if (event.key === "ArrowDown" && state.recalling) return "forward";
  return "";
}

// The word that is being completed: `@name` or `/command` before the caret.
export function wordAt(text, caret) {
  const before = text.slice(0, caret);
  const found = /(?:^|[\s([{,;:])@([\p{L}_][\p{L}\p{N}_]*)?$/u.exec(before);
  if (found) return { mark: "@", prefix: found[1] || "", start: caret - (found[1] || "").length - 1 };
  const command = /^\/(\w*)$/.exec(before);
  return command ? { mark: "/", prefix: command[1], start: 0 } : null;
}

export function completed(text, caret, word, name) {
  const head = text.slice(0, word.start) + word.mark + name + " ";
  return { text: head + text.slice(caret), caret: head.length };
}

export function sizeInWords(bytes) {
  if (bytes < 1024) return `${bytes} B`;
  return bytes < 1048576 ? `${Math.round(bytes / 1024)} KB` : `${(bytes / 1048576).toFixed(1)} MB`;
}

export function elapsed(since, now) {
  return since === null || since === undefined ? "" : `${Math.max(0, Math.floor((now - since) / 1000))} s`;
}

export function duration(ms) {
  if (ms === null || ms === undefined) return "";
  return ms < 1000 ? `${ms} ms` : `${(ms / 1000).toFixed(1)} s`;
}

export const isRunning = (status) => status.state !== "idle";

// The connection: one per panel, whatever number of views it has --------------------------------

const rooms = new Map();

function roomOf(model) {
  const cid = model.get("_cid");
  if (!rooms.has(cid)) rooms.set(cid, makeRoom(model));
  return rooms.get(cid);
}

function makeRoom(model) {
  const room = { state: emptyState(), views: new Set(), count: 0, model, prefix: Math.random().toString(36).slice(2) };
  room.update = (change) => {
    room.state = { ...room.state, ...change };
    for (const view of room.views) view();
  };
  room.say = (op, fields = {}, buffers = undefined) => {
    const rid = fields.rid || `${room.prefix}-${++room.count}`;
    try {
      room.model.send({ op, rid, ...fields }, undefined, buffers);
      return rid;
    } catch {
      room.update({ notice: RESTARTED });
      return "";
    }
  };
  room.hello = () => {
    room.say("hello", { have: room.state.last });
    setTimeout(() => {
      if (!room.state.live) room.update({ notice: SILENT });
    }, SILENT_MS);
  };
  model.on("msg:custom", (told) => {
    if (!told || typeof told.op !== "string") return;
    const before = room.state;
    room.state = reduce(before, told);
    if (room.state.hello && !before.hello) room.hello();
    for (const view of room.views) view(told);
  });
  return room;
}

// Nodes ---------------------------------------------------------------------------------------

function node(tag, props = {}, ...children) {
  const made = document.createElement(tag);
  for (const [key, value] of Object.entries(props)) {
    if (value === undefined || value === false) continue;
    if (key.startsWith("on")) made.addEventListener(key.slice(2), value);
    else if (key === "text") made.textContent = value;
    else made.setAttribute(key, value === true ? "" : value);
  }
  made.append(...children.filter((child) => child !== null && child !== undefined));
  return made;
}

const button = (label, text, onclick, more = {}) =>
  node("button", { type: "button", "aria-label": label, title: label, text, onclick, ...more });

// The one place where HTML is put in: it was made and cleaned by the kernel.
function safe(html, cls) {
  const box = node("div", { class: cls });
  box.innerHTML = html;
  return box;
}

async function copyText(text, from) {
  try {
    await navigator.clipboard.writeText(text);
  } catch {
    const area = node("textarea", { class: "nbc-copy" });
    area.value = text;
    from.append(area);
    area.select();
    document.execCommand("copy");
    area.remove();
  }
}

function copyButton(label, text, root) {
  const made = button(label, "Copy", async () => {
    await copyText(typeof text === "function" ? text() : text, root);
    made.textContent = "Copied";
    setTimeout(() => (made.textContent = "Copy"), 1500);
  }, { class: "nbc-small" });
  return made;
}

// A button that does what it says only when pressed twice.
function twice(label, text, act) {
  const made = button(label, text, () => {
    if (made.dataset.sure) return act();
    made.dataset.sure = "1";
    made.textContent = `${text}?`;
    made.setAttribute("aria-label", `${label}: press again to confirm`);
    setTimeout(() => {
      delete made.dataset.sure;
      made.textContent = text;
      made.setAttribute("aria-label", label);
    }, 4000);
  }, { class: "nbc-small" });
  return made;
}

// Blocks --------------------------------------------------------------------------------------

function drawBlock(view, block) {
  const made = BLOCKS[block.kind] ? BLOCKS[block.kind](view, block) : node("div");
  for (const pre of made.querySelectorAll("pre")) {
    const wrap = node("div", { class: "nbc-code" });
    pre.replaceWith(wrap);
    wrap.append(pre, copyButton("Copy code", () => pre.textContent, view.root));
    pre.tabIndex = 0;
  }
  return made;
}

const BLOCKS = {
  text: (view, block) => safe(block.html, "nbc-text"),
  user: (view, block) => node("div", { class: "nbc-said" }, node("div", { text: block.text }), drawChips(block.chips || [])),
  note: (view, block) => node("div", { class: "nbc-note", text: block.text }),
  think: (view, block) => {
    const made = node("details", { class: "nbc-think" },
      node("summary", { text: block.label }), node("div", { class: "nbc-thought", text: block.text }));
    made.open = block.open;
    return made;
  },
  tool: (view, block) => {
    const made = node("details", { class: "nbc-tool", role: "group", "aria-label": `Tool ${block.name}, ${block.status}` },
      node("summary", {},
        node("code", { text: block.name }), node("span", { class: "nbc-brief", text: block.brief }),
        node("span", { class: `nbc-status nbc-${block.status.replace(/\W+/g, "-")}`, text: block.status }),
        node("span", { class: "nbc-ms", text: duration(block.ms) })),
      node("div", { class: "nbc-label", text: "Arguments" }), node("pre", { text: block.args }));
    if (block.html) made.append(node("div", { class: "nbc-label", text: "Result" }), safe(block.html, "nbc-result"));
    const box = node("div", { class: "nbc-toolbox" }, made);
    if (block.progress) box.append(node("div", { class: "nbc-note", text: block.progress }));
    if (block.ask) {
      made.open = true;
      box.append(drawAsk(view, block));
    }
    return box;
  },
};

function drawAsk(view, block) {
  const { call, nonce, question, always } = block.ask;
  const buttons = [];
  const decide = (ok, ever) => () => {
    for (const each of buttons) each.disabled = true;
    view.room.say("decide", { call, nonce, ok, always: ever });
  };
  buttons.push(button(`Approve ${block.name}`, "Approve", decide(true, false), { class: "nbc-primary" }));
  buttons.push(button(`Deny ${block.name}`, "Deny", decide(false, false)));
  if (always) buttons.push(button(`Always approve ${block.name} in this chat`, "Always", decide(true, true)));
  return node("div", { class: "nbc-ask", role: "group", "aria-label": `Approval of ${block.name}` },
    node("span", { text: question || `May ${block.name} run with these arguments?` }), ...buttons);
}

function drawChips(chips, remove) {
  if (!chips.length) return null;
  return node("div", { class: "nbc-chips" }, ...chips.map((chip) => {
    const thumb = /^data:image\/(png|jpeg|gif|webp);base64,/.test(chip.thumb || "")
      ? node("img", { src: chip.thumb, alt: "" }) : null;
    const about = [chip.bytes ? sizeInWords(chip.bytes) : "", chip.tokens ? `~${chip.tokens} tokens` : ""];
    return node("span", { class: "nbc-chip", title: chip.error || about.filter(Boolean).join(", ") },
      thumb, node("span", { text: chip.label }), node("small", { text: about.filter(Boolean).join(" · ") }),
      remove && chip.kind !== "variable"
        ? button(`Remove ${chip.label}`, "×", () => remove(chip.id), { class: "nbc-small" }) : null);
  }));
}

// Messages ------------------------------------------------------------------------------------

function drawMessage(view, msg) {
  const who = msg.role === "user" ? "You" : "Assistant";
  const body = node("div", { class: "nbc-body" });
  const made = node("article", { class: `nbc-msg nbc-${msg.role}`, "aria-label": `${who}, turn ${msg.turn}` }, body);
  made.parts = msg.blocks.map((block) => drawBlock(view, block));
  body.append(...made.parts);
  if (msg.note) made.append(node("div", { class: "nbc-note nbc-why", text: msg.note }));
  if (msg.retry) {
    made.append(button("Retry", "Retry", () => view.room.say("retry", { id: msg.id }), { class: "nbc-primary" }));
  }
  made.append(drawFoot(view, msg, made));
  if (msg.state !== "pending") made.classList.add("nbc-done");
  return made;
}

function drawFoot(view, msg, made) {
  const say = (op, more = {}) => () => view.room.say(op, { id: msg.id, ...more });
  const foot = node("div", { class: "nbc-foot" });
  if (msg.sib) {
    const go = (step) => msg.sib.ids[msg.sib.at - 1 + step];
    foot.append(node("span", { class: "nbc-sib", role: "group", "aria-label": "Versions" },
      button("Previous version", "‹", () => view.room.say("switch", { id: go(-1) }), { class: "nbc-small", disabled: msg.sib.at === 1 }),
      node("span", { text: `${msg.sib.at}/${msg.sib.of}` }),
      button("Next version", "›", () => view.room.say("switch", { id: go(1) }), { class: "nbc-small", disabled: msg.sib.at === msg.sib.of })));
  }
  if (msg.state === "pending") return foot;
  const acts = node("span", { class: "nbc-acts" }, copyButton("Copy message", msg.text, view.root));
  if (msg.role === "user") {
    acts.append(
      button("Edit", "Edit", () => editMessage(view, msg, made), { class: "nbc-small" }),
      button("Fork to a new chat", "Fork", say("fork"), { class: "nbc-small" }),
      twice("Delete this turn", "Delete", say("drop")));
  } else {
    acts.append(button("Regenerate", "Regenerate", say("retry"), { class: "nbc-small" }), ...drawRating(view, msg));
  }
  foot.append(acts, node("span", { class: "nbc-numbers", text: msg.footer }));
  return foot;
}

function drawRating(view, msg) {
  const rate = (rating, note) => view.room.say("rate", { id: msg.id, rating, note });
  const thumb = (label, text, value) => button(label, text, () => rate(msg.rating === value ? 0 : value, msg.note_text),
    { class: "nbc-small", "aria-pressed": String(msg.rating === value) });
  const note = node("input", { class: "nbc-remark", "aria-label": "Note on this answer", placeholder: "note",
    onchange: () => rate(msg.rating, note.value) });
  note.value = msg.note_text;
  return [thumb("Good answer", "👍", 1), thumb("Bad answer", "👎", -1), msg.rating || msg.note_text ? note : null].filter(Boolean);
}

function editMessage(view, msg, made) {
  const area = node("textarea", { "aria-label": "Edit message", class: "nbc-edit" });
  area.value = msg.text;
  const stop = () => { view.editing = null; view.draw(true); };
  const save = () => {
    const text = area.value.trim();
    if (text && view.room.say("edit", { id: msg.id, text })) stop();
  };
  area.addEventListener("keydown", (event) => {
    const action = keyAction(event, { text: "x" });
    if (action === "send") { event.preventDefault(); save(); }
    if (event.key === "Escape") stop();
  });
  view.editing = msg.id;
  made.replaceChildren(area, button("Save", "Save", save, { class: "nbc-primary" }), button("Cancel", "Cancel", stop));
  area.focus();
}

// A view --------------------------------------------------------------------------------------

class View {
  constructor(room, el) {
    this.room = room;
    this.rows = new Map();
    this.pinned = true;
    this.recall = -1;
    this.build();
    el.append(this.root);
    this.timer = setInterval(() => this.tick(), 1000);
    this.sized = new ResizeObserver(() => this.follow());
    this.sized.observe(this.log);
    this.draw();
  }

  build() {
    const stay = (event) => event.stopPropagation();
    this.title = node("input", { class: "nbc-title", "aria-label": "Title", onchange: () => this.rename() });
    this.modelList = node("datalist", { id: `nbc-models-${Math.random().toString(36).slice(2)}` });
    this.model = node("input", { class: "nbc-model", "aria-label": "Model", list: this.modelList.id, spellcheck: "false",
      onchange: () => this.room.say("model", { name: this.model.value }) });
    this.numbers = node("span", { class: "nbc-numbers" });
    const head = node("header", { class: "nbc-head" },
      button("Chats", "☰", () => this.toggleDrawer(), { class: "nbc-small", "aria-expanded": "false" }),
      this.title, this.model, this.modelList, this.numbers);
    this.drawerButton = head.firstChild;
    this.drawer = this.buildDrawer();
    this.log = node("div", { class: "nbc-log", role: "log", "aria-live": "off", "aria-label": "Conversation", tabindex: "0",
      onscroll: () => this.scrolled() });
    this.jump = button("Jump to the latest message", "↓ latest", () => { this.pinned = true; this.follow(); }, { class: "nbc-jump", hidden: true });
    this.state = node("div", { class: "nbc-state" });
    this.live = node("div", { class: "nbc-sr", role: "status", "aria-live": "polite" });
    this.notice = node("div", { class: "nbc-notice", hidden: true });
    this.root = node("section", { class: "nbc", "aria-label": "nbchat", "data-lm-suppress-shortcuts": "true" },
      head, this.drawer, this.log, this.jump, this.state, this.notice, this.buildComposer(), this.live);
    for (const kind of ["keydown", "keypress", "keyup", "paste", "copy", "cut", "contextmenu", "wheel", "input"]) {
      this.root.addEventListener(kind, stay);
    }
    this.root.addEventListener("dragover", (event) => { event.preventDefault(); stay(event); });
    this.root.addEventListener("drop", (event) => { event.preventDefault(); stay(event); this.takeFiles(event.dataTransfer.files); });
  }

  buildDrawer() {
    this.query = node("input", { type: "search", "aria-label": "Search chats", placeholder: "Search all chats",
      oninput: () => { clearTimeout(this.searching); this.searching = setTimeout(() => this.search(), 250); } });
    this.chats = node("ul", { "aria-label": "Chats" });
    return node("div", { class: "nbc-drawer", hidden: true, role: "region", "aria-label": "Chats" },
      node("div", { class: "nbc-bar" }, this.query,
        button("New chat", "New", () => { this.room.say("new"); this.toggleDrawer(false); }, { class: "nbc-primary" })),
      this.chats);
  }

  buildComposer() {
    this.area = node("textarea", { "aria-label": "Message", rows: "2", placeholder: "Message, @variable or /command",
      "aria-autocomplete": "list", onkeydown: (event) => this.key(event), oninput: () => this.typed(),
      onpaste: (event) => { if (event.clipboardData && event.clipboardData.files.length) { event.preventDefault(); this.takeFiles(event.clipboardData.files); } } });
    this.popup = node("ul", { class: "nbc-popup", role: "listbox", id: `nbc-popup-${Math.random().toString(36).slice(2)}`, "aria-label": "Completions", hidden: true });
    this.area.setAttribute("aria-controls", this.popup.id);
    this.chipRow = node("div", { class: "nbc-chiprow" });
    this.file = node("input", { type: "file", multiple: true, hidden: true, onchange: () => { this.takeFiles(this.file.files); this.file.value = ""; } });
    this.send = button("Send", "Send", () => this.sendText(), { class: "nbc-primary" });
    this.stop = button("Stop", "Stop", () => this.stopTurn(), { class: "nbc-stop", hidden: true });
    return node("div", { class: "nbc-composer" }, this.chipRow, this.popup, this.area,
      node("div", { class: "nbc-bar" },
        button("Attach a file", "Attach", () => this.file.click(), { class: "nbc-small" }),
        button("Attach the last figure", "Figure", () => this.room.say("figure"), { class: "nbc-small" }),
        this.file, this.estimate = node("span", { class: "nbc-numbers" }), this.stop, this.send));
  }

  // What the reader does

  key(event) {
    if (!this.popup.hidden && this.popupKey(event)) return;
    const state = { running: isRunning(this.room.state.status), text: this.area.value, recalling: this.recall >= 0 };
    const action = keyAction(event, state);
    if (!action || action === "newline") return;
    event.preventDefault();
    if (action === "send") this.sendText();
    else if (action === "stop") this.stopTurn();
    else if (action !== "keep") this.recallText(action === "recall" ? 1 : -1);
  }

  recallText(step) {
    const former = this.room.state.msgs.filter((msg) => msg.role === "user").map((msg) => msg.text).reverse();
    this.recall = Math.min(former.length - 1, this.recall + step);
    this.area.value = this.recall < 0 ? "" : former[this.recall];
  }

  typed() {
    this.recall = -1;
    clearTimeout(this.drafting);
    this.drafting = setTimeout(() => this.room.say("draft", { text: this.area.value }), 300);
    this.complete();
  }

  complete() {
    this.word = wordAt(this.area.value, this.area.selectionStart);
    if (!this.word) return this.showPopup([]);
    if (this.word.mark === "@") {
      this.asking = this.room.say("names", { prefix: this.word.prefix });
      return undefined;
    }
    const found = this.room.state.commands.filter((each) => each.name.startsWith(this.word.prefix));
    return this.showPopup(found.map((each) => ({ name: each.name, info: each.help })));
  }

  showPopup(items) {
    this.items = items;
    this.at = 0;
    this.popup.hidden = !items.length;
    this.popup.replaceChildren(...items.map((item, index) => node("li",
      { role: "option", id: `${this.popup.id}-${index}`, onmousedown: (event) => { event.preventDefault(); this.at = index; this.accept(); } },
      node("b", { text: item.name }), node("span", { text: item.kind || "" }), node("small", { text: item.info || "" }))));
    this.mark();
  }

  mark() {
    [...this.popup.children].forEach((row, index) => row.setAttribute("aria-selected", String(index === this.at)));
    if (this.popup.hidden) this.area.removeAttribute("aria-activedescendant");
    else this.area.setAttribute("aria-activedescendant", `${this.popup.id}-${this.at}`);
  }

  popupKey(event) {
    if (event.isComposing) return false;
    const steps = { ArrowDown: 1, ArrowUp: -1 };
    const exact = this.word && this.items.some((item) => item.name === this.word.prefix);
    if (event.key in steps) this.at = (this.at + steps[event.key] + this.items.length) % this.items.length;
    else if (event.key === "Escape") this.showPopup([]);
    else if (event.key === "Tab" || (event.key === "Enter" && !exact)) this.accept();
    else { if (event.key === "Enter") this.showPopup([]); return false; }
    event.preventDefault();
    this.mark();
    return true;
  }

  accept() {
    const made = completed(this.area.value, this.area.selectionStart, this.word, this.items[this.at].name);
    this.area.value = made.text;
    this.area.setSelectionRange(made.caret, made.caret);
    this.showPopup([]);
    this.room.say("draft", { text: this.area.value });
  }

  sendText() {
    const text = this.area.value.trim();
    if (!text || this.room.state.gone) return;
    const rid = this.room.say("send", { text });
    if (!rid) return;
    clearTimeout(this.drafting);
    this.area.value = "";
    this.recall = -1;
    this.pinned = true;
    this.showPopup([]);
    this.room.update({ pending: [...this.room.state.pending, { rid, text }], notice: "" });
  }

  stopTurn() {
    this.room.say("stop");
    setTimeout(() => {
      const { state } = this.room.state.status;
      if (state !== "idle" && state !== "stopping") this.room.update({ notice: "Stopping when the kernel is free." });
    }, 500);
  }

  async takeFiles(files) {
    for (const file of files) {
      if (file.size > LIMIT) {
        this.room.update({ notice: `${file.name} is ${sizeInWords(file.size)}; the limit is ${sizeInWords(LIMIT)}.` });
        continue;
      }
      this.room.say("attach", { name: file.name, type: file.type }, [await file.arrayBuffer()]);
    }
  }

  rename() {
    this.room.say("rename", { id: this.room.state.chat.id, title: this.title.value });
  }

  toggleDrawer(open = this.drawer.hidden) {
    this.drawer.hidden = !open;
    this.drawerButton.setAttribute("aria-expanded", String(open));
    if (open) { this.search(); this.query.focus(); }
  }

  search() {
    this.room.say("list", { query: this.query.value });
  }

  scrolled() {
    const { scrollTop, scrollHeight, clientHeight } = this.log;
    this.pinned = scrollHeight - scrollTop - clientHeight < 40;
    this.jump.hidden = this.pinned;
    const first = this.room.state.msgs[0];
    if (scrollTop < 80 && this.room.state.more && first && this.asked !== first.id) {
      this.asked = first.id;
      this.room.say("older", { before: first.id });
    }
  }

  follow() {
    if (!this.pinned || this.framed) return;
    this.framed = requestAnimationFrame(() => {
      this.framed = 0;
      this.log.scrollTop = this.log.scrollHeight;
      this.jump.hidden = true;
    });
  }

  // What is shown

  take(told) {
    const state = this.room.state;
    if (told && told.op === "err" && state.back !== undefined && !this.area.value) this.area.value = state.back;
    if (told && told.op === "names" && told.rid === this.asking) this.showPopup(told.items);
    if (told && told.op === "insert" && state.copy) copyText(state.copy, this.root);
    this.draw();
  }

  draw(anew = false) {
    const state = this.room.state;
    this.root.classList.toggle("nbc-live", state.live);
    this.drawHead(state);
    const height = this.log.scrollHeight;
    this.drawLog(state, anew);
    if (!this.pinned && this.first !== (state.msgs[0] || {}).id) this.log.scrollTop += this.log.scrollHeight - height;
    this.first = (state.msgs[0] || {}).id;
    this.chipRow.replaceChildren(...[drawChips(state.chips, (id) => this.room.say("unattach", { id }))].filter(Boolean));
    this.estimate.textContent = state.tokens ? `~${state.tokens} tokens` : "";
    const notice = state.gone || state.notice;
    this.notice.textContent = notice;
    this.notice.hidden = !notice;
    this.area.disabled = Boolean(state.gone);
    const running = isRunning(state.status);
    this.stop.hidden = !running;
    this.log.setAttribute("aria-busy", String(running));
    if (state.said !== this.saidBefore) this.live.textContent = this.saidBefore = state.said;
    if (!this.drawer.hidden && state.list !== this.listed) this.drawList(this.listed = state.list);
    this.tick();
    this.follow();
  }

  drawHead({ chat, models }) {
    if (document.activeElement !== this.title) this.title.value = chat.title || "";
    if (document.activeElement !== this.model) this.model.value = chat.model || "";
    this.modelList.replaceChildren(...models.map((name) => node("option", { value: name })));
    const facts = [chat.tokens, chat.cost, chat.context && chat.context.text];
    this.numbers.textContent = facts.filter(Boolean).join(" · ");
  }

  drawLog(state, anew) {
    const shown = [];
    for (const msg of state.msgs) {
      const former = this.rows.get(msg.id);
      const kept = !anew && former && (former.msg === msg || this.editing === msg.id);
      shown.push(kept ? former.made : this.drawRow(msg, anew ? null : former));
    }
    for (const row of state.pending) {
      shown.push(node("article", { class: "nbc-msg nbc-user nbc-pending", "aria-label": "You, sending" },
        node("div", { class: "nbc-body" }, node("div", { class: "nbc-said", text: row.text }))));
    }
    const ids = new Set(state.msgs.map((msg) => msg.id));
    for (const id of this.rows.keys()) if (!ids.has(id)) this.rows.delete(id);
    place(this.log, shown);
  }

  // A message that is drawn anew; one that only grows keeps all blocks that are as they were.
  drawRow(msg, former) {
    let made;
    if (former && former.msg.state === "pending" && msg.state === "pending") {
      made = former.made;
      growBlocks(this, made, former.msg.blocks, msg.blocks);
    } else {
      made = drawMessage(this, msg);
      if (former) keepOpen(former.made, made);
    }
    this.rows.set(msg.id, { msg, made });
    return made;
  }

  drawList(rows) {
    this.chats.replaceChildren(...(rows || []).map((row) => {
      const say = (op, more = {}) => () => this.room.say(op, { id: row.id, ...more });
      const title = node("input", { class: "nbc-title", "aria-label": `Rename ${row.title}`, onchange: () => this.room.say("rename", { id: row.id, title: title.value }) });
      title.value = row.title;
      const about = [`${row.turns} turn${row.turns === 1 ? "" : "s"}`, row.cost, row.model, new Date(row.when).toLocaleString()];
      return node("li", { class: row.here ? "nbc-here" : "" },
        button(`Open ${row.title}`, "Open", () => { say("open")(); this.toggleDrawer(false); }, { class: "nbc-small" }), title,
        button(row.pinned ? `Unpin ${row.title}` : `Pin ${row.title}`, row.pinned ? "★" : "☆", say("pin", { on: !row.pinned }), { class: "nbc-small" }),
        twice(`Delete ${row.title}`, "Delete", say("delete")),
        node("small", { text: about.filter(Boolean).join(" · ") }),
        row.snippet ? node("small", { class: "nbc-snippet", text: row.snippet }) : null);
    }));
  }

  tick() {
    const { status } = this.room.state;
    const words = [status.text, elapsed(status.since, Date.now())].filter(Boolean).join(" ");
    this.state.textContent = isRunning(status) ? words : "";
  }

  end() {
    clearInterval(this.timer);
    this.sized.disconnect();
  }
}

function growBlocks(view, made, old, blocks) {
  const body = made.firstChild;
  let at = 0;
  while (at < old.length && at < blocks.length && same(old[at], blocks[at])) at += 1;
  const parts = blocks.slice(at).map((block) => drawBlock(view, block));
  for (const gone of made.parts.slice(at)) {
    const next = parts[made.parts.indexOf(gone) - at];
    if (next && old[made.parts.indexOf(gone)].kind === blocks[made.parts.indexOf(gone)].kind) keepOpen(gone, next, blocks[made.parts.indexOf(gone)]);
    gone.remove();
  }
  body.append(...parts);
  made.parts = [...made.parts.slice(0, at), ...parts];
}

export const same = (one, two) => one === two || JSON.stringify(one) === JSON.stringify(two);

// What the reader opened stays open when it is drawn again; a block that folds itself does fold.
function keepOpen(before, after, block) {
  const all = (made) => [...(made.matches("details") ? [made] : []), ...made.querySelectorAll("details")];
  const drawn = all(after);
  all(before).forEach((made, index) => {
    if (drawn[index] && made.open && drawn[index].className === made.className && !(block && block.kind === "think" && !block.open)) {
      drawn[index].open = drawn[index].className !== "nbc-think" || drawn[index].open;
    }
  });
}

// Put these rows into the log, touching only what is not in its place.
function place(log, rows) {
  rows.forEach((row, index) => {
    if (log.children[index] !== row) log.insertBefore(row, log.children[index] || null);
  });
  while (log.children.length > rows.length) log.lastChild.remove();
}

export default {
  initialize({ model }) {
    const room = roomOf(model);
    room.model = model;
    room.hello();
    return () => rooms.delete(model.get("_cid"));
  },
  render({ model, el }) {
    const room = roomOf(model);
    const view = new View(room, el);
    const told = (message) => view.take(message);
    room.views.add(told);
    return () => {
      room.views.delete(told);
      view.end();
    };
  },
};
