// The page's half of the panel: a store per panel id, and views that show it.
// Every string is shown with textContent. Only fields named `html`, made safe in Python, pass
// through `fill`, and handlers sit on nodes made here, never on anything inside that html.

export const LOST = "The kernel was restarted: run this cell again.";
export const SILENT = "No answer from the kernel yet: if it was restarted, run this cell again.";
export const BUSY = "Stopping when the kernel is free.";
export const MAX_BYTES = 20 * 1024 * 1024;
const SILENCE = 5000;

// ---------------------------------------------------------------- the store, without a page

const REPLIES = new Set(["ack", "err", "list", "names", "said", "insert"]);
const IDLE = { state: "idle", text: "", since: null };

export function fresh() {
	return {
		s: -1, live: false, lost: true, loading: false, chat: null, status: IDLE, skew: 0, msgs: [],
		more: false, models: [], commands: [], hosts: {}, chips: [], tokens: 0, pending: [], gone: "",
	};
}

// `lost` in the answer means that something is missing, and only a snap will mend it.
export function reduce(state, m, now = Date.now()) {
	if (m.op === "snap") return snap(state, m);
	let next = state;
	if (typeof m.s === "number" && !state.lost) {
		next = m.s === state.s + 1 ? { ...state, s: m.s } : { ...state, lost: true };
	}
	if (next.lost && m.s !== undefined && !REPLIES.has(m.op)) return next;
	return Object.hasOwn(ACTS, m.op) ? ACTS[m.op](next, m, now) : next;
}

function snap(state, m) {
	const msgs = m.msgs || [];
	const other = state.chat && m.chat && state.chat.id !== m.chat.id;
	return {
		...state, s: m.s, live: true, lost: false, loading: false, chat: m.chat, msgs, gone: "",
		status: m.status || IDLE, more: !!m.more, models: m.models || [], commands: m.commands || [],
		hosts: m.hosts || {}, pending: other ? [] : unsaid(state.pending, msgs, known(state.msgs)),
	};
}

const known = (msgs) => new Set(msgs.map((msg) => msg.id));
const lost = (state) => ({ ...state, lost: true });
const without = (list, index) => list.filter((_, i) => i !== index);

// A row shown before the kernel knew of it goes when the stored message of that text arrives.
function unsaid(pending, msgs, old) {
	let left = pending;
	for (const msg of msgs) {
		if (msg.role !== "user" || old.has(msg.id) || !left.length) continue;
		let at = left.findIndex((p) => p.id === msg.id);
		if (at < 0) at = left.findIndex((p) => !p.id && p.text === msg.text);
		if (at >= 0) left = without(left, at);
	}
	return left.length && msgs.length ? left.filter((p) => !p.id || !known(msgs).has(p.id)) : left;
}

function changed(state, id, change) {
	const at = state.msgs.findIndex((msg) => msg.id === id);
	const msg = at < 0 ? null : change(state.msgs[at]);
	return msg ? { ...state, msgs: state.msgs.with ? state.msgs.with(at, msg) : replaced(state.msgs, at, msg) } : lost(state);
}

function replaced(list, at, value) {
	const copy = list.slice();
	copy[at] = value;
	return copy;
}

function placed(state, { msg, after }) {
	if (state.msgs.some((m) => m.id === msg.id)) return changed(state, msg.id, () => msg);
	const pending = unsaid(state.pending, [msg], new Set());
	const at = after == null ? -1 : state.msgs.findIndex((m) => m.id === after);
	if (at < 0 && state.msgs.length && (after != null || state.more)) return lost(state);
	const msgs = state.msgs.slice();
	msgs.splice(at + 1, 0, msg);
	return { ...state, msgs, pending };
}

const ACTS = {
	chat: (state, m) => ({ ...state, chat: m.chat }),
	status: (state, m, now) => {
		const since = m.status.since;
		const skew = since && since !== state.status.since ? now - since : state.skew;
		return { ...state, status: m.status, skew };
	},
	msg: placed,
	blk: (state, m) => changed(state, m.id, (msg) =>
		m.k > msg.blocks.length ? null : { ...msg, blocks: msg.blocks.slice(0, m.k).concat(m.blocks) }),
	part: (state, m) => changed(state, m.id, (msg) => {
		const at = msg.blocks.findIndex((block) => block.key === m.key);
		return at < 0 ? null : { ...msg, blocks: replaced(msg.blocks, at, m.block) };
	}),
	drop: (state, m) => ({ ...state, msgs: state.msgs.filter((msg) => !m.ids.includes(msg.id)) }),
	older: (state, m) => {
		const have = known(state.msgs);
		const msgs = m.msgs.filter((msg) => !have.has(msg.id)).concat(state.msgs);
		return { ...state, msgs, more: !!m.more, loading: false };
	},
	chips: (state, m) => ({ ...state, chips: m.chips || [], tokens: m.tokens || 0 }),
	gone: (state, m) => ({ ...state, gone: m.text || "This chat is closed." }),
	ack: (state, m) => {
		const at = state.pending.findIndex((p) => p.rid === m.rid);
		if (at < 0) return state;
		if (!m.id || known(state.msgs).has(m.id)) return { ...state, pending: without(state.pending, at) };
		return { ...state, pending: replaced(state.pending, at, { ...state.pending[at], id: m.id }) };
	},
	err: (state, m) => ({ ...state, pending: state.pending.filter((p) => p.rid !== m.rid) }),
	"page:sent": (state, m) => ({ ...state, pending: state.pending.concat({ rid: m.rid, text: m.text, chips: state.chips }) }),
	"page:loading": (state) => ({ ...state, loading: true }),
};

export const running = (state) => state.status.state !== "idle";

let made = 0;
export function makeRid(random = Math.random, now = Date.now()) {
	made += 1;
	return `r${now.toString(36)}-${made}-${random().toString(36).slice(2, 10)}`;
}

// What a key means in the composer: a word for the view to act on, or "" to let the key be.
export function keyAction(event, { draft = "", busy = false, popup = false, recalled = null } = {}) {
	const { key } = event;
	if (event.isComposing || event.keyCode === 229) return "";
	const plain = !event.shiftKey && !event.altKey && !event.metaKey && !event.ctrlKey;
	if (popup && plain) {
		const word = { ArrowDown: "next", ArrowUp: "previous", Enter: "accept", Tab: "accept", Escape: "close" }[key];
		if (word) return word;
	}
	if (key === "Enter") return event.shiftKey || event.altKey ? "" : "send";
	if (key === "Escape") return busy ? "stop" : "stay";
	const recalling = draft === "" || (recalled !== null && draft === recalled);
	if (key === "ArrowUp" && plain && recalling) return "older";
	if (key === "ArrowDown" && plain && recalled !== null && draft === recalled) return "newer";
	return "";
}

export function history(msgs) {
	const texts = msgs.filter((msg) => msg.role === "user" && msg.text).map((msg) => msg.text);
	return texts.filter((text, i) => text !== texts[i - 1]);
}

// `at` counts back from the newest: 0 is the newest text, -1 the empty composer.
export function recall(texts, at, step) {
	const next = Math.max(-1, Math.min(texts.length - 1, at + step));
	return { at: next, text: next < 0 ? "" : texts[texts.length - 1 - next] };
}

export function completing(text, caret) {
	const before = text.slice(0, caret);
	const command = /^\/(\S*)$/.exec(before);
	if (command) return { sign: "/", start: 0, prefix: command[1] };
	const name = /(?:^|[\s([{,;:])@([\p{L}\p{N}_.]*)$/u.exec(before);
	return name ? { sign: "@", start: caret - name[1].length - 1, prefix: name[1] } : null;
}

export function insertName(text, token, caret, name) {
	const rest = text.slice(caret);
	const put = token.sign + name + (/^\s/.test(rest) ? "" : " ");
	const at = token.start + put.length + (/^\s/.test(rest) ? 1 : 0);
	return { text: text.slice(0, token.start) + put + rest, caret: at };
}

export function matching(commands, prefix) {
	const low = prefix.toLowerCase();
	return commands
		.map((c) => ({ name: c.name.replace(/^\//, ""), kind: "", info: c.help || "" }))
		.filter((c) => c.name.toLowerCase().startsWith(low));
}

export function sizeWords(bytes) {
	if (bytes < 1000) return `${bytes} bytes`;
	const [value, unit] = bytes < 999500 ? [bytes / 1024, "KB"] : [bytes / 1048576, "MB"];
	return `${value < 9.95 ? value.toFixed(1).replace(/\.0$/, "") : Math.round(value)} ${unit}`;
}

export function tooBig(name, bytes) {
	return bytes > MAX_BYTES
		? `${name} is ${sizeWords(bytes)}, and at most ${sizeWords(MAX_BYTES)} can be attached. Attach a smaller file.`
		: "";
}

export function took(ms) {
	if (ms == null) return "";
	if (ms < 1000) return `${Math.round(ms)} ms`;
	const s = Math.round(ms / 1000);
	return ms < 10000 ? `${(ms / 1000).toFixed(1)} s` : s < 60 ? `${s} s` : `${Math.floor(s / 60)} min ${s % 60} s`;
}

export function elapsed(status, skew, now) {
	return status.since ? Math.max(0, Math.floor((now - skew - status.since) / 1000)) : 0;
}

// ---------------------------------------------------------------- the store and its line to the kernel

const stores = new Map(); // by panel id: anywidget hands out a new model object per render

export function storeOf(model) {
	const id = model.get("_cid") || model;
	if (!stores.has(id)) stores.set(id, makeStore());
	const store = stores.get(id);
	store.model = model;
	return store;
}

function makeStore() {
	const views = new Set();
	const waiting = new Map();
	const store = { state: fresh(), notice: "", model: null, users: 0, views };
	let silence = null;
	let greeted = 0;

	store.say = (text) => {
		store.notice = text;
		for (const view of views) view.noticed(text);
	};
	store.post = (message, buffer) => {
		try {
			if (buffer) store.model.send(message, undefined, [buffer]);
			else store.model.send(message);
			return true;
		} catch (error) {
			store.say(LOST);
			return false;
		}
	};
	store.ask = (op, fields, done = () => {}, buffer = null) => {
		const rid = makeRid();
		waiting.set(rid, done);
		const sent = store.post({ op, rid, ...fields }, buffer);
		if (!sent) waiting.delete(rid);
		return sent ? rid : null;
	};
	store.hello = () => {
		greeted = Date.now();
		clearTimeout(silence);
		if (store.post({ op: "hello", have: store.state.s })) silence = setTimeout(() => store.say(SILENT), SILENCE);
	};
	store.close = () => clearTimeout(silence);
	store.take = (message) => {
		if (!message || typeof message.op !== "string") return;
		const before = store.state;
		store.state = reduce(before, message);
		const now = store.state;
		if (message.op === "snap") {
			clearTimeout(silence);
			if (store.notice) store.say("");
			// said again with the same rid: the kernel acts once
			if (before.live) for (const p of now.pending) if (!p.id) store.post({ op: "send", rid: p.rid, text: p.text });
		} else if (now.lost && (!before.lost || Date.now() - greeted > 2000)) store.hello();
		for (const view of views) view.show(now, before);
		const done = message.rid && waiting.get(message.rid);
		if (done) {
			waiting.delete(message.rid);
			done(message);
		} else if (message.op === "err") store.say(message.text);
		if (message.op === "said") for (const view of views) view.announce(message.text);
	};
	return store;
}

function initialize({ model }) {
	const store = storeOf(model);
	const heard = (message) => store.take(message);
	model.on("msg:custom", heard);
	store.users += 1;
	store.hello();
	return () => {
		if (model.off) model.off("msg:custom", heard);
		store.users -= 1;
		if (store.users) return;
		store.close();
		stores.delete(model.get("_cid") || model);
	};
}

// ---------------------------------------------------------------- making nodes

function h(tag, props, ...kids) {
	const node = document.createElement(tag);
	for (const [name, value] of Object.entries(props || {})) {
		if (value == null || value === false) continue;
		if (name.startsWith("on")) node.addEventListener(name.slice(2), value);
		else if (name === "class") node.className = value;
		else node.setAttribute(name, value === true ? "" : value);
	}
	node.append(...kids.filter((kid) => kid != null));
	return node;
}

// The only place where text becomes markup: `html` of the kernel, or an icon below.
function fill(node, html) {
	node.innerHTML = html;
}

const ICONS = {
	send: "M8 13V3M3.5 7.5 8 3l4.5 4.5", stop: "M4.5 4.5h7v7h-7z", copy: "M5.5 5.5h8v8h-8zM10.5 5.5v-3h-8v8h3",
	edit: "M3 13l.7-3L11 2.7 13.3 5 6 12.3zM9.5 4.2l2.3 2.3", retry: "M13 8a5 5 0 1 1-1.6-3.7M13 2v3h-3",
	fork: "M4.5 5v6M4.5 8c5 0 7 0 7-3M4.5 2a1.5 1.5 0 1 0 .01 0M11.5 2a1.5 1.5 0 1 0 .01 0M4.5 11a1.5 1.5 0 1 0 .01 0",
	trash: "M3 4.500h10M6 4.500v-2h4v2M4.5 4.500l.6 9h5.800l.6-9", up: "M5 7.5 7.5 2.500c1.5 0 1.5 1 1 4h4l-1 6.500H5zM2.5 7.500H5V13H2.500z",
	down: "M11 8.5 8.5 13.500c-1.5 0-1.5-1-1-4h-4l1-6.500H11zM13.5 8.500H11V3h2.500z", note: "M2.5 3h11v8H7l-3 2.500V11H2.500z",
	clip: "M12.5 7.5 7.7 12.300a3 3 0 0 1-4.2-4.200l5-5a2 2 0 0 1 2.8 2.800l-4.8 4.800a1 1 0 0 1-1.4-1.400l4.2-4.2",
	figure: "M2.5 2.500v11h11M5 10.500l2.5-3.5 2 2L13 4.5", chats: "M2.5 4h11M2.5 8h11M2.5 12h7", plus: "M8 3v10M3 8h10",
	cell: "M2.5 3.500h11v9h-11zM8 6v4M6 8h4", close: "M4 4l8 8M12 4l-8 8", pin: "M6 2.500h4l-.5 4 2 2.500h-7l2-2.500zM8 9v4.5",
	left: "M9.5 4 5.5 8l4 4", right: "M6.5 4l4 4-4 4", latest: "M8 3v10M3.5 8.5 8 13l4.5-4.5", check: "M3.5 8.500l3 3 6-7",
};

function icon(name) {
	const node = h("span", { class: "nbc-icon", "aria-hidden": "true" });
	fill(node, `<svg viewBox="0 0 16 16" width="16" height="16"><path d="${ICONS[name]}"/></svg>`);
	return node;
}

function button(name, label, act, extra = {}) {
	const node = h("button", { type: "button", class: "nbc-btn", "aria-label": label, title: label, ...extra, onclick: act }, icon(name));
	return node;
}

function labelled(node, label) {
	if (node.getAttribute("aria-label") === label) return;
	node.setAttribute("aria-label", label);
	if (node.title) node.title = label;
}

function put(node, text) {
	if (node.textContent !== text) node.textContent = text;
}

function show(node, on) {
	if (node.hidden === !!on) node.hidden = !on;
}

// A button that asks once more before it acts, and forgets the question when left.
function twoStep(label, act) {
	let timer = null;
	const word = h("span", {}, "");
	const reset = () => {
		clearTimeout(timer);
		node.classList.remove("nbc-sure");
		put(word, "");
		labelled(node, label);
	};
	const node = button("trash", label, () => {
		if (node.classList.contains("nbc-sure")) {
			reset();
			act();
			return;
		}
		node.classList.add("nbc-sure");
		put(word, "Delete?");
		labelled(node, `${label}: press again to confirm`);
		timer = setTimeout(reset, 5000);
	}, { onblur: () => reset() });
	node.append(word);
	return node;
}

// A field that replaces a word until Enter keeps it or Escape lets it be.
function field(tag, label, value, keep, leave, onblur) {
	const node = h(tag, { "aria-label": label, class: "nbc-field", rows: tag === "textarea" ? 1 : null });
	node.value = value;
	let over = false;
	const end = (act) => {
		if (over) return;
		over = true;
		act(node.value.trim());
	};
	node.addEventListener("keydown", (event) => {
		if (event.isComposing || event.keyCode === 229) return;
		if (event.key === "Enter" && !event.shiftKey) {
			event.preventDefault();
			end(keep);
		} else if (event.key === "Escape") {
			event.preventDefault();
			event.stopPropagation();
			end(leave);
		}
	});
	if (onblur) node.addEventListener("blur", () => end(onblur));
	if (tag === "textarea") node.addEventListener("input", () => grow(node));
	return node;
}

function grow(area) {
	area.style.height = "auto";
	area.style.height = `${Math.min(area.scrollHeight + 2, 240)}px`;
}

async function copyText(root, text) {
	try {
		await navigator.clipboard.writeText(text);
		return true;
	} catch (error) {
		const back = document.activeElement;
		const area = h("textarea", { class: "nbc-sr", "aria-hidden": "true" });
		area.value = text;
		root.append(area);
		area.select();
		let done = false;
		try {
			done = document.execCommand("copy");
		} catch (refused) {
			done = false;
		}
		area.remove();
		if (back && back.focus) back.focus({ preventScroll: true });
		return done;
	}
}

// ---------------------------------------------------------------- blocks

function chipList(chips, label, remove) {
	return h("ul", { class: "nbc-chips", "aria-label": label }, ...chips.map((chip) => {
		const safe = /^data:image\/(png|jpeg|gif|webp);/.test(chip.thumb || "");
		const size = [chip.tokens ? `about ${chip.tokens.toLocaleString()} tokens` : "", chip.bytes ? sizeWords(chip.bytes) : ""];
		return h("li", { class: `nbc-chip${chip.error ? " nbc-bad" : ""}`, title: size.filter(Boolean).join(", ") },
			safe ? h("img", { src: chip.thumb, alt: "" }) : null,
			h("span", { class: "nbc-chip-name" }, chip.label),
			chip.error ? h("span", { class: "nbc-chip-info" }, chip.error)
				: chip.tokens ? h("span", { class: "nbc-chip-info" }, `~${chip.tokens.toLocaleString()}`) : null,
			remove ? button("close", `Remove ${chip.label}`, () => remove(chip)) : null);
	}));
}

function codeBox(view, pre) {
	const box = h("div", { class: "nbc-code" });
	const bar = h("div", { class: "nbc-code-bar" });
	pre.replaceWith(box);
	if (view.store.state.hosts.insert) bar.append(button("cell", "Insert into a cell", () => view.insert(pre.textContent)));
	bar.append(view.copyButton("Copy code", () => pre.textContent.replace(/\n$/, "")));
	pre.tabIndex = 0;
	box.append(pre, bar);
	return box;
}

function rich(view, node, html) {
	fill(node, html);
	for (const pre of node.querySelectorAll("pre")) codeBox(view, pre);
	for (const table of node.querySelectorAll("table")) {
		const box = h("div", { class: "nbc-scroll", tabindex: "0", role: "group", "aria-label": "Table" });
		table.replaceWith(box);
		box.append(table);
	}
}

const BLOCKS = {
	text(view) {
		const el = h("div", { class: "nbc-text" });
		return { el, update: (b, was) => b.html !== (was && was.html) && rich(view, el, b.html) };
	},
	user() {
		const text = h("div", { class: "nbc-said" });
		const el = h("div", { class: "nbc-bubble" }, text);
		return {
			el,
			update(b, was) {
				put(text, b.text);
				show(text, b.text);
				if (was && JSON.stringify(was.chips) === JSON.stringify(b.chips)) return;
				while (el.children.length > 1) el.lastChild.remove();
				if (b.chips && b.chips.length) el.append(chipList(b.chips, "Attached"));
			},
		};
	},
	think() {
		let touched = false;
		const label = h("summary", { onclick: () => { touched = true; } });
		const text = h("div", { class: "nbc-thought" });
		const el = h("details", { class: "nbc-think" }, label, text);
		return {
			el,
			update(b, was) {
				put(label, b.label || "Thinking");
				el.classList.toggle("nbc-open", !!b.open);
				if (!touched) el.open = !!b.open;
				if (was && text.firstChild && b.text.startsWith(was.text)) text.firstChild.appendData(b.text.slice(was.text.length));
				else put(text, b.text);
			},
		};
	},
	note() {
		const el = h("p", { class: "nbc-note" });
		return { el, update: (b) => put(el, b.text) };
	},
	tool(view) {
		let touched = false;
		const part = (name) => h("span", { class: `nbc-tool-${name}` });
		const [name, brief, status, time, progress] = ["name", "brief", "status", "time", "progress"].map(part);
		const args = h("pre");
		const out = h("div", { class: "nbc-result nbc-text" });
		const ask = h("div", { class: "nbc-ask" });
		const outLabel = h("div", { class: "nbc-label" }, "Result");
		const summary = h("summary", { onclick: () => { touched = true; } }, name, brief, progress, h("span", { class: "nbc-tool-end" }, status, time));
		const el = h("details", { class: "nbc-tool", role: "group" }, summary,
			h("div", { class: "nbc-tool-in" }, h("div", { class: "nbc-label" }, "Arguments"), args, ask, outLabel, out));
		codeBox(view, args);
		return {
			el,
			update(b, was) {
				labelled(el, `Tool ${b.name}: ${b.status}`);
				el.dataset.status = b.status;
				put(name, b.name);
				put(brief, b.brief || "");
				put(status, b.status);
				put(time, took(b.ms));
				put(progress, b.progress || "");
				put(args, b.args || "");
				if ((b.html || "") !== ((was && was.html) || "")) rich(view, out, b.html || "");
				show(outLabel, b.html);
				show(out, b.html);
				if (b.ask && !touched) el.open = true;
				if (was && was.ask && !b.ask && !touched) el.open = false;
				const same = was && JSON.stringify(was.ask) === JSON.stringify(b.ask);
				if (!same) approval(view, ask, b.ask);
				show(ask, b.ask);
			},
		};
	},
};

// Each button carries the call and the nonce it was made for, so a later question is not answered by it.
function approval(view, node, ask) {
	node.replaceChildren();
	if (!ask) return;
	const { call, nonce } = ask;
	const decide = (ok, always) => {
		if (!view.store.post({ op: "decide", call, nonce, ok, always })) return;
		for (const b of node.querySelectorAll("button")) b.disabled = true;
	};
	const choice = (text, kind, ok, always) =>
		h("button", { type: "button", class: `nbc-word ${kind}`, onclick: () => decide(ok, always) }, text);
	node.append(h("p", {}, ask.question), choice("Approve", "nbc-yes", true, false), choice("Deny", "nbc-no", false, false));
	if (ask.always) node.append(choice("Always", "", true, true));
}

function unknown() {
	return { el: h("div", { hidden: true }), update() {} };
}

function blockList(view, holder) {
	let parts = [];
	return (blocks) => {
		blocks.forEach((block, i) => {
			let part = parts[i];
			if (part && part.block === block) return;
			if (!part || part.block.kind !== block.kind || part.block.key !== block.key) {
				const made = (Object.hasOwn(BLOCKS, block.kind) ? BLOCKS[block.kind] : unknown)(view);
				if (part) part.el.replaceWith(made.el);
				else holder.append(made.el);
				part = parts[i] = { ...made, block: null };
			}
			part.update(block, part.block);
			part.block = block;
		});
		for (const part of parts.splice(blocks.length)) part.el.remove();
	};
}

// ---------------------------------------------------------------- one message

function messageItem(view, first) {
	const { store } = view;
	let msg = first;
	let editor = null;
	const blocks = h("div", { class: "nbc-blocks" });
	const note = h("p", { class: "nbc-note" });
	const foot = h("span", { class: "nbc-foot" });
	const ask = (op, extra = {}) => store.ask(op, { id: msg.id, ...extra }, view.complain);
	const again = h("button", { type: "button", class: "nbc-word", onclick: () => ask("retry") }, icon("retry"), "Retry");
	const bar = h("div", { class: "nbc-bar" });
	const el = h("article", { class: `nbc-msg nbc-${first.role === "user" ? "user" : "assistant"}` }, blocks, note, again, bar);
	const fillBlocks = blockList(view, blocks);
	const who = first.role === "user" ? "You" : "Assistant";
	const copy = view.copyButton("Copy message", () => msg.text || blocks.textContent);
	let refresh = () => {};

	function edit() {
		if (editor) return;
		const close = () => {
			if (editor) editor.remove();
			editor = null;
			blocks.hidden = false;
		};
		const open = (text) => {
			const area = field("textarea", "Edit message", text, (value) => {
				const rid = value && store.ask("edit", { id: msg.id, text: value }, (reply) => {
					close();
					if (reply.op !== "err") return;
					view.complain(reply);
					open(value);
				});
				if (rid) area.disabled = true;
				else {
					close();
					if (value) open(value);
				}
			}, () => {
				close();
				view.input.focus();
			});
			const hint = h("span", { class: "nbc-foot" }, "Enter saves as a new branch, Esc cancels");
			editor = h("div", { class: "nbc-editor" }, area, hint);
			blocks.hidden = true;
			blocks.after(editor);
			grow(area);
			area.focus();
		};
		open(msg.text || "");
	}

	if (first.role === "user") {
		const nav = h("span", { class: "nbc-sib" });
		const place = h("span", {});
		const step = (by) => {
			const { ids, at } = msg.sib;
			const id = ids[at - 1 + by];
			if (id) store.ask("switch", { id }, view.complain);
		};
		const left = button("left", "Previous version", () => step(-1));
		const right = button("right", "Next version", () => step(1));
		nav.append(left, place, right);
		const editing = button("edit", "Edit message", edit);
		const fork = button("fork", "Fork to a new chat", () => ask("fork"));
		bar.append(nav, editing, fork, copy, twoStep("Delete this turn", () => ask("drop")));
		refresh = () => {
			const free = !store.state.chat || store.state.chat.branchable !== false;
			show(editing, free);
			show(fork, free);
			show(nav, msg.sib && msg.sib.of > 1);
			if (!msg.sib) return;
			put(place, `${msg.sib.at}/${msg.sib.of}`);
			left.disabled = msg.sib.at <= 1;
			right.disabled = msg.sib.at >= msg.sib.of;
		};
	} else {
		const rate = (rating, text) => store.post({ op: "rate", id: msg.id, rating, note: text });
		const thumb = (name, label, value) => button(name, label, () => {
			const rating = msg.rating === value ? 0 : value;
			if (!rate(rating, msg.note_text || "")) return;
			msg = { ...msg, rating };
			refresh();
		});
		const up = thumb("up", "Good answer", 1);
		const down = thumb("down", "Bad answer", -1);
		const noteButton = button("note", "Note on this answer", () => {
			if (editor) return;
			const close = () => {
				editor.remove();
				editor = null;
				noteButton.focus();
			};
			editor = field("input", "Note", msg.note_text || "", (value) => {
				if (rate(msg.rating || 0, value)) msg = { ...msg, note_text: value };
				close();
				refresh();
			}, close);
			bar.after(editor);
			editor.focus();
		});
		const regenerate = button("retry", "Regenerate", () => ask("retry"));
		bar.append(copy, regenerate, up, down, noteButton, foot);
		refresh = () => {
			show(regenerate, !store.state.chat || store.state.chat.branchable !== false);
			up.setAttribute("aria-pressed", String(msg.rating === 1));
			down.setAttribute("aria-pressed", String(msg.rating === -1));
			noteButton.classList.toggle("nbc-on", !!msg.note_text);
			noteButton.title = msg.note_text || "Note on this answer";
		};
	}

	const item = {
		el,
		msg: null,
		update(next) {
			msg = next;
			item.msg = next;
			labelled(el, `${who}, turn ${next.turn}`);
			const whole = next.state !== "pending";
			el.classList.toggle("nbc-done", whole);
			fillBlocks(next.blocks);
			put(note, next.note || "");
			show(note, next.note);
			show(again, next.retry);
			put(foot, next.footer || "");
			show(bar, whole);
			refresh();
		},
		refresh: () => refresh(),
	};
	item.update(first);
	return item;
}

// ---------------------------------------------------------------- the drawer of chats

function makeDrawer(view) {
	const { store } = view;
	let newest = null;
	let timer = null;
	const rows = h("ul", { class: "nbc-rows" });
	const empty = h("p", { class: "nbc-foot" });
	const search = h("input", { type: "search", class: "nbc-field", "aria-label": "Search chats", placeholder: "Search chats" });
	const leave = () => {
		el.hidden = true;
		view.chats.setAttribute("aria-expanded", "false");
	};
	const fresh = h("button", { type: "button", class: "nbc-word", onclick: () => act("new", {}, true) }, icon("plus"), "New chat");
	const close = button("close", "Close the list", () => { leave(); view.chats.focus(); });
	const el = h("aside", { class: "nbc-drawer", "aria-label": "Chats", hidden: true },
		h("div", { class: "nbc-drawer-top" }, search, fresh, close), empty, rows);

	function list() {
		newest = store.ask("list", { query: search.value.trim() }, (reply) => {
			if (reply.op === "err") view.complain(reply);
			else if (reply.rid === newest) fillRows(reply.chats || []);
		});
	}
	function act(op, fields, leaving) {
		store.ask(op, fields, (reply) => {
			if (reply.op === "err") return view.complain(reply);
			if (leaving) {
				leave();
				view.input.focus();
			} else list();
		});
	}
	function row(chat) {
		const when = chat.when ? new Date(chat.when) : null;
		const facts = [`${chat.turns} ${chat.turns === 1 ? "turn" : "turns"}`, chat.cost, chat.model,
			when && !Number.isNaN(+when) ? when.toLocaleString([], { dateStyle: "medium", timeStyle: "short" }) : ""];
		const title = chat.title || "Untitled";
		const open = h("button", { type: "button", class: "nbc-open-chat", "aria-current": chat.here ? "true" : null, onclick: () => act("open", { id: chat.id }, true) },
			h("span", { class: "nbc-row-title" }, title), h("span", { class: "nbc-foot" }, facts.filter(Boolean).join(" · ")),
			chat.snippet ? h("span", { class: "nbc-snippet" }, chat.snippet) : null);
		const rename = button("edit", `Rename ${title}`, () => {
			const back = () => input.replaceWith(open);
			const input = field("input", "New title", chat.title, (value) => value ? act("rename", { id: chat.id, title: value }) : back(), back);
			open.replaceWith(input);
			input.focus();
		});
		const pin = button("pin", chat.pinned ? `Unpin ${title}` : `Pin ${title}`, () => act("pin", { id: chat.id, on: !chat.pinned }),
			{ "aria-pressed": String(!!chat.pinned) });
		return h("li", { class: "nbc-row" }, open, h("span", { class: "nbc-row-bar" }, pin, rename, twoStep(`Delete ${title}`, () => act("delete", { id: chat.id }))));
	}
	function fillRows(chats) {
		rows.replaceChildren(...chats.map(row));
		put(empty, chats.length ? "" : search.value.trim() ? "No chat matches." : "No chats yet.");
	}
	search.addEventListener("input", () => {
		clearTimeout(timer);
		timer = setTimeout(list, 200);
	});
	el.addEventListener("keydown", (event) => {
		if (event.key !== "Escape" || event.isComposing) return;
		event.preventDefault();
		leave();
		view.chats.focus();
	});
	return {
		el,
		toggle() {
			if (!el.hidden) return leave();
			el.hidden = false;
			view.chats.setAttribute("aria-expanded", "true");
			list();
			search.focus();
		},
		stop: () => clearTimeout(timer),
	};
}

// ---------------------------------------------------------------- header, completion, composer

let uniques = 0;

function makeHeader(view) {
	const { store } = view;
	const listId = `nbc-models-${(uniques += 1)}`;
	const title = h("button", { type: "button", class: "nbc-title", title: "Rename" });
	const models = h("datalist", { id: listId });
	const model = h("input", { class: "nbc-model", list: listId, "aria-label": "Model", autocomplete: "off", spellcheck: "false" });
	const tokens = h("span", {});
	const cost = h("span", {});
	const level = h("i", {});
	const context = h("span", { class: "nbc-context" });
	const used = h("span", { class: "nbc-used" }, h("span", { class: "nbc-level", "aria-hidden": "true" }, level), context);
	const now = () => (store.state.chat && store.state.chat.model) || "";
	title.addEventListener("click", () => {
		const { id, title: old } = store.state.chat;
		const back = () => input.replaceWith(title);
		const keep = (value) => {
			back();
			if (value && value !== old) store.ask("rename", { id, title: value }, view.complain);
		};
		const input = field("input", "Chat title", old || "", (value) => { keep(value); title.focus(); }, () => { back(); title.focus(); }, keep);
		title.replaceWith(input);
		input.select();
		input.focus();
	});
	const restore = () => { model.value = now(); };
	// emptied while chosen from: a datalist offers only what matches the text in the field
	model.addEventListener("focus", () => { model.placeholder = now(); model.value = ""; });
	model.addEventListener("blur", restore);
	model.addEventListener("keydown", (event) => {
		if (event.isComposing) return;
		if (event.key === "Escape") {
			event.preventDefault();
			model.value = "";
			view.input.focus();
		} else if (event.key === "Enter") event.preventDefault(), view.input.focus();
	});
	model.addEventListener("change", () => {
		const name = model.value.trim();
		if (name && name !== now()) store.ask("model", { name }, (reply) => { view.complain(reply); restore(); });
	});
	const el = h("header", { class: "nbc-head" }, view.chats, title, h("span", { class: "nbc-facts" }, tokens, cost, used), model, models);
	return {
		el,
		update(state, before) {
			const chat = state.chat || {};
			put(title, chat.title || "New chat");
			labelled(title, `Rename: ${chat.title || "New chat"}`);
			if (document.activeElement !== model) restore();
			put(tokens, chat.tokens || "");
			put(cost, chat.cost || "");
			const { used: n, limit, text } = chat.context || {};
			put(context, text || "");
			const share = limit ? Math.min(1, n / limit) : 0;
			level.style.width = `${Math.round(share * 100)}%`;
			used.classList.toggle("nbc-full", share > 0.85);
			show(level.parentNode, limit);
			if (state.models !== before.models) models.replaceChildren(...state.models.map((value) => h("option", { value })));
		},
	};
}

function makePopup(view) {
	const { input, store } = view;
	const id = `nbc-names-${(uniques += 1)}`;
	const el = h("ul", { class: "nbc-popup", role: "listbox", id, "aria-label": "Completions", hidden: true });
	let items = [];
	let at = 0;
	let token = null;
	let newest = null;
	input.setAttribute("aria-autocomplete", "list");
	input.setAttribute("aria-controls", id);

	function close() {
		el.hidden = true;
		newest = null;
		input.removeAttribute("aria-activedescendant");
	}
	function mark(index) {
		at = (index + items.length) % items.length;
		[...el.children].forEach((row, i) => row.setAttribute("aria-selected", String(i === at)));
		input.setAttribute("aria-activedescendant", `${id}-${at}`);
		el.children[at].scrollIntoView({ block: "nearest" });
	}
	function offer(found) {
		items = found.slice(0, 50);
		if (!items.length) return close();
		el.replaceChildren(...items.map((item, i) => h("li", {
			role: "option", id: `${id}-${i}`, onmousedown: (event) => event.preventDefault(), onclick: () => accept(i),
		}, h("b", {}, token.sign + item.name), h("span", { class: "nbc-foot" }, [item.kind, item.info].filter(Boolean).join(" · ")))));
		el.hidden = false;
		mark(0);
	}
	function accept(index = at) {
		const put = insertName(input.value, token, input.selectionStart, items[index].name);
		close();
		view.setDraft(put.text, put.caret);
	}
	return {
		el,
		close,
		accept,
		step: (by) => mark(at + by),
		open: () => !el.hidden,
		look() {
			token = completing(input.value, input.selectionStart);
			if (!token) return close();
			if (token.sign === "/") {
				newest = null;
				const found = matching(store.state.commands, token.prefix);
				const whole = found.length === 1 && found[0].name === token.prefix;
				return whole ? close() : offer(found);
			}
			newest = store.ask("names", { prefix: token.prefix }, (reply) => {
				if (reply.op === "names" && reply.rid === newest) offer(reply.items || []);
			});
		},
	};
}

// ---------------------------------------------------------------- the view

function render({ model, el: host }) {
	const store = storeOf(model);
	const view = { store };
	const items = new Map();
	const timers = new Set();
	let draftTimer = null;
	let frame = 0;
	let pinned = true;
	let lastTop = 0;
	let recalled = { at: -1, text: null };
	let stopAt = 0;
	let attaching = 0;

	const later = (act, ms) => {
		const t = setTimeout(() => { timers.delete(t); act(); }, ms);
		timers.add(t);
	};
	const root = h("section", { class: "nbc", "aria-label": "nbchat", "data-lm-suppress-shortcuts": "true" });
	const polite = h("div", { class: "nbc-sr", role: "status", "aria-live": "polite" });
	const notice = h("div", { class: "nbc-notice", role: "alert", hidden: true });
	const noticeText = h("span", {});
	notice.append(noticeText, button("close", "Dismiss", () => store.say("")));
	const input = h("textarea", { class: "nbc-input", rows: "1", "aria-label": "Message", placeholder: "Message. @ for variables, / for commands" });
	view.input = input;

	view.announce = (text) => { polite.textContent = text; };
	view.noticed = (text) => {
		put(noticeText, text || "");
		show(notice, text);
	};
	view.complain = (reply) => { if (reply.op === "err") store.say(reply.text); };
	view.copyButton = (label, text) => {
		const node = button("copy", label, async () => {
			const done = await copyText(root, text());
			if (!done) return store.say("The browser refused to copy: select the text and copy it by hand.");
			node.replaceChildren(icon("check"));
			view.announce("Copied.");
			later(() => node.replaceChildren(icon("copy")), 1200);
		});
		return node;
	};
	view.insert = (code) => store.ask("insert", { code }, async (reply) => {
		if (reply.op === "err") return view.complain(reply);
		if (reply.ok) return view.announce(reply.text && reply.text !== code ? reply.text : "Inserted into a cell.");
		const done = await copyText(root, reply.text || code);
		store.say(done ? "This host cannot insert cells: the code is copied." : "This host cannot insert cells.");
	});

	view.chats = button("chats", "Chats", () => drawer.toggle(), { "aria-expanded": "false" });
	const drawer = makeDrawer(view);
	const header = makeHeader(view);
	const popup = makePopup(view);

	// the log
	const olderButton = h("button", { type: "button", class: "nbc-word nbc-older", onclick: loadOlder }, "Load older messages");
	const list = h("div", { class: "nbc-list" });
	const pendings = h("div", { class: "nbc-pendings" });
	const waitText = h("span", {});
	const wait = h("div", { class: "nbc-wait", hidden: true }, h("span", { class: "nbc-dots", "aria-hidden": "true" }, h("i"), h("i"), h("i")), waitText);
	const hint = h("p", { class: "nbc-empty" }, "Ask something. Type @ to show the model a variable of this notebook.");
	const inner = h("div", { class: "nbc-inner" }, olderButton, hint, list, pendings, wait);
	const log = h("div", { class: "nbc-log", role: "log", "aria-live": "off", "aria-label": "Conversation", tabindex: "0" }, inner);
	const jump = h("button", { type: "button", class: "nbc-word nbc-jump", hidden: true, onclick: () => { pin(); input.focus({ preventScroll: true }); } }, icon("latest"), "Jump to latest");

	function toBottom() {
		cancelAnimationFrame(frame);
		frame = requestAnimationFrame(() => {
			if (!pinned) return;
			log.scrollTop = log.scrollHeight;
			lastTop = log.scrollTop;
		});
	}
	function pin() {
		pinned = true;
		show(jump, false);
		toBottom();
	}
	log.addEventListener("scroll", () => {
		const top = log.scrollTop;
		if (log.scrollHeight - top - log.clientHeight < 8) pinned = true;
		else if (top < lastTop - 1) pinned = false;
		lastTop = top;
		show(jump, !pinned);
		if (top < 60 && !pinned) loadOlder();
	});
	log.addEventListener("keydown", (event) => {
		if (event.target === log && event.key === "Escape" && running(store.state)) stop();
	});
	function loadOlder() {
		const { more, loading, msgs } = store.state;
		if (!more || loading || !msgs.length) return;
		if (store.post({ op: "older", before: msgs[0].id })) store.take({ op: "page:loading" });
	}
	const watch = typeof ResizeObserver === "undefined" ? null : new ResizeObserver(() => pinned && toBottom());
	if (watch) {
		watch.observe(inner);
		watch.observe(log);
	}

	// the composer
	const file = h("input", { type: "file", multiple: true, hidden: true, tabindex: "-1", "aria-label": "File to attach" });
	const attached = h("div", { class: "nbc-attached" });
	const estimate = h("span", { class: "nbc-foot nbc-estimate" });
	const stopButton = button("stop", "Stop", stop, { class: "nbc-btn nbc-stop", hidden: true });
	const sendButton = button("send", "Send", send, { class: "nbc-btn nbc-send" });
	const stopping = h("span", { class: "nbc-foot", hidden: true }, BUSY);
	const clip = button("clip", "Attach a file", () => file.click());
	const figure = button("figure", "Attach the last figure", () => store.ask("figure", {}, view.complain));
	const composer = h("div", { class: "nbc-composer" }, popup.el, attached, input,
		h("div", { class: "nbc-tools" }, clip, figure, file, estimate, stopping, stopButton, sendButton));

	function drafted() {
		grow(input);
		showSend();
		clearTimeout(draftTimer);
		draftTimer = setTimeout(() => store.state.live && store.post({ op: "draft", text: input.value }), 300);
	}
	function showSend() {
		show(stopButton, running(store.state));
		show(sendButton, !running(store.state) || input.value.trim());
	}
	view.setDraft = (text, caret = text.length) => {
		input.value = text;
		input.focus();
		input.setSelectionRange(caret, caret);
		drafted();
	};
	function send() {
		const text = input.value;
		const { chips, gone } = store.state;
		if (gone || (!text.trim() && !chips.length)) return;
		const rid = store.ask("send", { text }, (reply) => {
			if (reply.op === "err") {
				view.setDraft(input.value && input.value !== text ? `${text}\n${input.value}` : text);
				store.say(reply.text);
			} else if (reply.text && !reply.id) store.say(reply.text);
		});
		if (!rid) return;
		clearTimeout(draftTimer);
		input.value = "";
		recalled = { at: -1, text: null };
		popup.close();
		grow(input);
		if (store.notice) store.say("");
		const word = (/^\/(\S+)/.exec(text) || [])[1];
		if (!word || !matching(store.state.commands, word).some((c) => c.name === word)) {
			store.take({ op: "page:sent", rid, text });
			later(() => store.state.pending.some((p) => p.rid === rid && !p.id) && store.say(SILENT), SILENCE);
		}
		showSend();
		pin();
	}
	function stop() {
		if (!running(store.state) || !store.post({ op: "stop" })) return;
		stopAt = Date.now();
		later(() => {
			const { state } = store.state.status;
			show(stopping, stopAt && state !== "idle" && state !== "stopping");
			if (!stopping.hidden) view.announce(BUSY);
		}, 500);
	}
	function step(by) {
		const next = recall(history(store.state.msgs), recalled.at, by);
		recalled = { at: next.at, text: next.at < 0 ? null : next.text };
		view.setDraft(next.text);
	}
	const DOES = {
		send, stop, stay() {}, older: () => step(1), newer: () => step(-1), next: () => popup.step(1),
		previous: () => popup.step(-1), accept: () => popup.accept(), close: popup.close,
	};
	input.addEventListener("keydown", (event) => {
		const word = keyAction(event, { draft: input.value, busy: running(store.state), popup: popup.open(), recalled: recalled.text });
		if (!word) return;
		event.preventDefault();
		DOES[word]();
	});
	input.addEventListener("input", (event) => {
		if (recalled.text !== input.value) recalled = { at: -1, text: null };
		drafted();
		if (!event.isComposing) popup.look();
	});
	input.addEventListener("blur", popup.close);

	async function attach(files) {
		for (const one of files) {
			const name = one.name || "pasted";
			const big = tooBig(name, one.size);
			if (big) {
				store.say(big);
				continue;
			}
			try {
				const bytes = await one.arrayBuffer();
				attaching += 1;
				const sent = store.ask("attach", { name, type: one.type || "" }, (reply) => {
					attaching -= 1;
					view.complain(reply);
					showChips(store.state);
				}, bytes);
				if (!sent) attaching -= 1;
			} catch (error) {
				store.say(`${name} could not be read. A folder cannot be attached: choose its files.`);
			}
			showChips(store.state);
		}
	}
	file.addEventListener("change", () => {
		attach([...file.files]);
		file.value = "";
	});
	root.addEventListener("paste", (event) => {
		const files = event.target === input && event.clipboardData ? [...event.clipboardData.files] : [];
		if (!files.length) return;
		event.preventDefault();
		attach(files);
	});
	const over = (on) => root.classList.toggle("nbc-over", on);
	const carries = (event) => event.dataTransfer && [...event.dataTransfer.types].includes("Files");
	for (const name of ["dragenter", "dragover"]) root.addEventListener(name, (event) => {
		if (!carries(event)) return;
		event.preventDefault();
		event.stopPropagation();
		over(true);
	});
	root.addEventListener("dragleave", (event) => { if (!root.contains(event.relatedTarget)) over(false); });
	root.addEventListener("drop", (event) => {
		over(false);
		if (!carries(event)) return;
		event.preventDefault();
		event.stopPropagation();
		attach([...event.dataTransfer.files]);
	});

	for (const name of ["keydown", "keypress", "keyup", "paste", "copy", "cut", "contextmenu", "wheel", "input"]) {
		root.addEventListener(name, (event) => event.stopPropagation());
	}

	// showing a state
	function showMessages(state, before) {
		const ids = known(state.msgs);
		for (const [id, item] of items) {
			if (ids.has(id)) continue;
			if (item.el.contains(document.activeElement)) input.focus({ preventScroll: true });
			item.el.remove();
			items.delete(id);
		}
		const anchor = before.msgs.length && items.get(before.msgs[0].id);
		const was = anchor ? anchor.el.getBoundingClientRect().top : 0;
		let spot = list.firstChild;
		for (const msg of state.msgs) {
			let item = items.get(msg.id);
			if (!item) items.set(msg.id, (item = messageItem(view, msg)), (item.msg = msg));
			else if (item.msg !== msg) item.update(msg);
			if (item.el === spot) spot = spot.nextSibling;
			else list.insertBefore(item.el, spot);
		}
		if (anchor && !pinned && state.msgs[0] !== before.msgs[0]) {
			log.style.overflowAnchor = "none";
			log.scrollTop += anchor.el.getBoundingClientRect().top - was;
			lastTop = log.scrollTop;
			requestAnimationFrame(() => { log.style.overflowAnchor = ""; });
		}
	}
	function showPending(state) {
		pendings.replaceChildren(...state.pending.map((p) => {
			const row = BLOCKS.user();
			row.update({ text: p.text, chips: p.chips });
			return h("article", { class: "nbc-msg nbc-user nbc-sending", "aria-label": "You, being sent" }, h("div", { class: "nbc-blocks" }, row.el));
		}));
	}
	function showChips(state) {
		const kids = state.chips.length ? [chipList(state.chips, "To be sent", (chip) => {
			store.post({ op: "unattach", id: chip.id });
			input.focus();
		})] : [];
		if (attaching > 0) kids.push(h("span", { class: "nbc-foot" }, "attaching…"));
		attached.replaceChildren(...kids);
		put(estimate, state.tokens ? `about ${state.tokens.toLocaleString()} tokens` : "");
	}
	function tick() {
		const { status, skew } = store.state;
		const seconds = elapsed(status, skew, Date.now());
		put(waitText, [status.text || status.state, status.since ? `${seconds} s` : ""].filter(Boolean).join(" · "));
	}
	function showStatus(state, before) {
		const busy = running(state);
		show(wait, busy);
		tick();
		if (!busy || state.status.state === "stopping") {
			stopAt = 0;
			show(stopping, false);
		}
		showSend();
		root.dataset.state = state.status.state;
		if (before.live && state.status.text && state.status.text !== before.status.text) view.announce(state.status.text);
	}
	view.show = (state, before) => {
		if (!state.live) return;
		root.classList.add("nbc-live");
		const firstTime = !before.live;
		if (firstTime || state.chat !== before.chat || state.models !== before.models) header.update(state, before);
		if (firstTime || state.msgs !== before.msgs) showMessages(state, before);
		if (state.chat !== before.chat) for (const item of items.values()) item.refresh();
		if (state.pending !== before.pending) showPending(state);
		if (firstTime || state.status !== before.status) showStatus(state, before);
		if (firstTime || state.chips !== before.chips || state.tokens !== before.tokens) showChips(state);
		show(olderButton, state.more);
		olderButton.disabled = state.loading;
		show(hint, !state.msgs.length && !state.pending.length);
		for (const node of [input, sendButton, clip, figure]) node.disabled = !!state.gone;
		if (state.gone && state.gone !== before.gone) view.noticed(state.gone);
		const other = state.chat && before.chat && state.chat.id !== before.chat.id;
		if (other) recalled = { at: -1, text: null };
		if (other || firstTime) pin();
		else if (pinned) toBottom();
	};

	root.append(header.el, h("div", { class: "nbc-body" }, log, jump, drawer.el), notice, composer, polite);
	host.append(root);
	store.views.add(view);
	view.noticed(store.notice);
	view.show(store.state, fresh());
	const clock = setInterval(() => running(store.state) && tick(), 1000);

	return () => {
		store.views.delete(view);
		clearInterval(clock);
		clearTimeout(draftTimer);
		timers.forEach(clearTimeout);
		drawer.stop();
		cancelAnimationFrame(frame);
		if (watch) watch.disconnect();
		root.remove();
	};
}

export default { initialize, render };
