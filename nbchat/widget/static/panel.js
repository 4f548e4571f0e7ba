// The page's half of the panel: a store per panel id, and views that show it.
// Strings are shown with textContent. Only fields named `html`, made safe in Python, pass
// through `fill`; handlers sit on nodes made here, never inside that html.

export const LOST = "The kernel was restarted: run this cell again.";
export const SILENT = "No answer from the kernel yet: if it was restarted, run this cell again.";
export const BUSY = "Stopping when the kernel is free.";
const MAX_BYTES = 20e6;
const SILENCE = 5000;

// The store, without a page ----

const IDLE = { state: "idle", text: "" };

export function fresh() {
	return {
		s: -1, live: false, lost: true, chat: null, status: IDLE, msgs: [],
		more: false, models: [], commands: [], chips: [], estimate: "", pending: [], gone: "",
	};
}

// `lost`: something is missing, and only a snap mends it.
export function reduce(state, m, now = Date.now()) {
	if (m.op === "snap") return snap(state, m, now);
	let next = state;
	if (typeof m.s === "number" && !state.lost) {
		next = m.s === state.s + 1 ? { ...state, s: m.s } : { ...state, lost: true };
	}
	if (next.lost && m.s !== undefined && m.op !== "ack" && m.op !== "err") return next;
	return Object.hasOwn(ACTS, m.op) ? ACTS[m.op](next, m, now) : next;
}

function snap(state, { s, chat, msgs, more, status = IDLE, models = [], commands = [] }, at) {
	const other = state.chat && state.chat.id !== chat.id;
	const pending = other ? [] : unsaid(state.pending, msgs);
	return { ...state, s, chat, msgs, more, status: { ...status, at }, models, commands, pending, live: true, lost: false, gone: "" };
}

const known = (msgs) => new Set(msgs.map((msg) => msg.id));
const lost = (state) => ({ ...state, lost: true });

// A row shown before the kernel knew of it goes when its stored message arrives.
const unsaid = (pending, msgs) => pending.filter((p) => !msgs.some((msg) => msg.rid === p.rid));
const without = (state, m) => ({ ...state, pending: state.pending.filter((p) => p.rid !== m.rid) });

function changed(state, id, change) {
	const at = state.msgs.findIndex((msg) => msg.id === id);
	const msg = at >= 0 && change(state.msgs[at]);
	return msg ? { ...state, msgs: state.msgs.with(at, msg) } : lost(state);
}

function placed(state, { msg, after }) {
	if (state.msgs.some((m) => m.id === msg.id)) return changed(state, msg.id, (old) => ({ ...msg, blocks: msg.blocks || old.blocks }));
	const pending = unsaid(state.pending, [msg]);
	const at = after == null ? -1 : state.msgs.findIndex((m) => m.id === after);
	if (at < 0 && state.msgs.length && (after != null || state.more)) return lost(state);
	const msgs = state.msgs.slice();
	msgs.splice(at + 1, 0, msg);
	return { ...state, msgs, pending };
}

const ACTS = {
	chat: (state, m) => ({ ...state, chat: m.chat }),
	status: (state, m, at) => ({ ...state, status: { ...m.status, at } }),
	msg: placed,
	blk: (state, m) => changed(state, m.id, (msg) =>
		m.k > msg.blocks.length ? null : { ...msg, blocks: msg.blocks.slice(0, m.k).concat(m.blocks) }),
	grow: (state, m) => changed(state, state.msgs.at(-1)?.id, (msg) => {
		const block = msg.blocks.at(-1), key = block?.kind === "think" ? "text" : "html";
		return block?.[key] && { ...msg, blocks: msg.blocks.with(-1, { ...block, [key]: block[key].slice(0, m.keep) + m.rest }).concat(m.more || []) };
	}),
	drop: (state, m) => ({ ...state, msgs: state.msgs.filter((msg) => !m.ids.includes(msg.id)) }),
	older: (state, m) => {
		const have = known(state.msgs);
		const msgs = m.msgs.filter((msg) => !have.has(msg.id)).concat(state.msgs);
		return { ...state, msgs, more: !!m.more };
	},
	chips: (state, m) => ({ ...state, chips: m.chips, estimate: m.text }),
	gone: (state, m) => ({ ...state, gone: m.text }),
	ack: (state, m) => (m.id ? state : without(state, m)),
	err: without,
	"page:sent": (state, m) => ({ ...state, pending: state.pending.concat(m.row) }),
};

export const running = (state) => state.status.state !== "idle";

export const makeRid = () => Math.random().toString(36).slice(2);

// What a key means in the composer; "" lets it be.
export function keyAction(e, { draft = "", busy = false, popup = false, recalled = null } = {}) {
	const { key } = e;
	if (e.isComposing || e.keyCode === 229) return "";
	const plain = !(e.shiftKey || e.altKey || e.metaKey || e.ctrlKey);
	if (popup && plain) {
		const word = { ArrowDown: "next", ArrowUp: "previous", Enter: "accept", Tab: "accept", Escape: "close" }[key];
		if (word) return word;
	}
	if (key === "Enter") return e.shiftKey || e.altKey ? "" : "send";
	if (key === "Escape") return busy ? "stop" : "stay";
	const same = plain && recalled !== null && draft === recalled;
	if (key === "ArrowUp" && (same || (plain && !draft))) return "older";
	return key === "ArrowDown" && same ? "newer" : "";
}

export function history(msgs) {
	return msgs.filter((msg) => msg.role === "user" && msg.text).map((msg) => msg.text).filter((text, i, all) => text !== all[i - 1]);
}

// `at` counts back: 0 is the newest text, -1 the empty composer.
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
	const gap = /^\s/.test(rest);
	const put = token.sign + name + (gap ? "" : " ");
	return { text: text.slice(0, token.start) + put + rest, caret: token.start + put.length + (gap ? 1 : 0) };
}

export function matching(commands, prefix) {
	return commands.filter((c) => c.name.toLowerCase().startsWith(prefix.toLowerCase()));
}

export function elapsed(status, now) {
	return status.waited == null ? "" : ` · ${Math.floor(status.waited + (now - status.at) / 1000)} s`;
}

// The store and its line to the kernel ----

const stores = new Map(); // by panel id: anywidget hands out a new model object per render

export function storeOf(model) {
	const id = model.get("_cid");
	if (!stores.has(id)) stores.set(id, makeStore());
	const store = stores.get(id);
	store.model = model;
	return store;
}

function makeStore() {
	const views = new Set();
	const waiting = new Map();
	const store = { state: fresh(), notice: "", draft: "", model: null, views };
	let silence;
	let greeted = 0;

	store.say = (text) => {
		store.notice = text;
		for (const view of views) view.noticed(text);
	};
	store.post = (message, buffer) => {
		try {
			store.model.send(message, undefined, buffer && [buffer]);
			return true;
		} catch {
			store.say(LOST);
			return false;
		}
	};
	store.ask = (op, fields, done, buffer) => {
		const rid = makeRid();
		waiting.set(rid, done);
		return store.post({ op, rid, ...fields }, buffer) && rid;
	};
	store.hello = () => {
		greeted = Date.now();
		clearTimeout(silence);
		if (store.post({ op: "hello", have: store.state.s })) silence = setTimeout(() => store.say(SILENT), SILENCE);
	};
	store.close = () => clearTimeout(silence);
	store.take = (message) => {
		const before = store.state;
		store.state = reduce(before, message);
		const now = store.state;
		if (["snap", "ack"].includes(message.op) && [LOST, SILENT].includes(store.notice)) store.say("");
		if (message.op === "snap") {
			clearTimeout(silence);
			// said again with the same rid: the kernel acts once
			if (before.live && before.lost) for (const p of now.pending) store.post({ op: "send", rid: p.rid, text: p.text });
		} else if (now.lost && (!before.lost || Date.now() - greeted > 2000)) store.hello();
		for (const view of views) view.show(now, before);
		const done = waiting.get(message.rid);
		if (message.op === "err") store.say(message.text);
		waiting.delete(message.rid);
		done?.(message);
		if (message.op === "said") for (const view of views) view.announce(message.text);
	};
	return store;
}

function initialize({ model }) {
	const store = storeOf(model);
	const heard = (message) => store.take(message);
	model.on("msg:custom", heard);
	store.hello();
	return () => {
		model.off?.("msg:custom", heard);
		store.close();
		stores.delete(model.get("_cid"));
	};
}

// Making nodes ----

const on = (node, names, act) => names.split(" ").forEach((name) => node.addEventListener(name, act));

const ARIA = { label: "aria-label", hush: "aria-hidden" };
// h("span.foot", {props}, kids): classes after the tag, the props may be left out.
function h(tag, ...kids) {
	const [name, ...classes] = tag.split(".");
	const node = document.createElement(name);
	if (classes.length) node.className = classes.map((c) => `nbc-${c}`).join(" ");
	if (name === "button") node.type = name;
	if (kids[0] && kids[0].constructor === Object) {
		for (const [key, value] of Object.entries(kids.shift())) {
			if (value == null || value === false) continue;
			if (key.startsWith("on")) on(node, key.slice(2), value);
			else node.setAttribute(ARIA[key] || key, value);
		}
	}
	node.append(...kids.filter(Boolean));
	return node;
}

// Keys that act here and go no further; false lets one go on.
function keys(node, acts) {
	on(node, "keydown", (e) => {
		if (e.isComposing || e.keyCode === 229 || !Object.hasOwn(acts, e.key) || acts[e.key](e) === false) return;
		e.preventDefault();
		e.stopPropagation();
	});
}

const word = (onclick, ...kids) => h("button.word", { onclick }, ...kids);

// The only place where text becomes markup: the kernel's `html`, or an icon.
function fill(node, html) {
	node.innerHTML = html;
}

const ICONS = {
	send: "8 13V3M3.5 7.5 8 3l4.5 4.5", stop: "4.5 4.5h7v7h-7z", copy: "5.5 5.5h8v8h-8zM10.5 5.5v-3h-8v8h3",
	edit: "3 13l.7-3L11 2.7 13.3 5 6 12.3zM9.5 4.2l2.3 2.3", retry: "13 8a5 5 0 1 1-1.6-3.7M13 2v3h-3",
	fork: "4.5 2v12M4.5 10c6 0 7-1 7-6M9 6l2.5-2.5L14 6",
	trash: "3 4.5h10M6 4.5v-2h4v2M4.5 4.5l.6 9h5.8l.6-9", up: "5 7.5 7.5 2.5c1.5 0 1.5 1 1 4h4l-1 6.5H5zM2.5 7.5H5V13H2.5z",
	down: "11 8.5 8.5 13.5c-1.5 0-1.5-1-1-4h-4l1-6.5H11zM13.5 8.5H11V3h2.5z", note: "2.5 3h11v8H7l-3 2.5V11H2.5z",
	clip: "12.5 7.5 7.7 12.3a3 3 0 0 1-4.2-4.2l5-5a2 2 0 0 1 2.8 2.8l-4.8 4.8a1 1 0 0 1-1.4-1.4l4.2-4.2",
	figure: "2.5 2.5v11h11M5 10.5l2.5-3.5 2 2L13 4.5", chats: "2.5 4h11M2.5 8h11M2.5 12h7",
	cell: "2.5 4.5h11v4h-11zM8 10.5v4M6 12.5h4", close: "4 4l8 8M12 4l-8 8", pin: "6 2.5h4l-.5 4 2 2.5h-7l2-2.5zM8 9v4.5",
	left: "9.5 4 5.5 8l4 4", right: "6.5 4l4 4-4 4", check: "3.5 8.5l3 3 6-7",
};

function icon(name) {
	const node = h("span.icon", { hush: true });
	fill(node, `<svg viewBox="0 0 16 16" width="16" height="16"><path d="M${ICONS[name]}"/></svg>`);
	return node;
}

function button(name, label, act, extra = {}) {
	return h("button.btn", { label, title: label, ...extra, onclick: act }, icon(name));
}

function labelled(node, label) {
	node.setAttribute("aria-label", label);
	if (node.title) node.title = label;
}

function put(node, value) {
	const text = value ?? "";
	if (node.textContent !== text) node.textContent = text;
}

function show(node, yes) {
	node.hidden = !yes;
}

// A button that asks once more before it acts, and forgets when left.
function twoStep(label, act) {
	const word = h("span");
	const ask = (sure) => {
		node.classList.toggle("nbc-sure", sure);
		put(word, sure ? "Delete?" : "");
		labelled(node, sure ? `${label}: press again to confirm` : label);
	};
	const reset = () => ask(false);
	const node = button("trash", label, () => {
		if (node.classList.contains("nbc-sure")) {
			reset();
			return act();
		}
		ask(true);
	}, { onblur: reset, onmouseleave: reset });
	node.append(word);
	return node;
}

// A field that replaces a word until Enter keeps or Esc leaves it.
function field(home, tag, label, value, keep, leave, onblur) {
	const node = h(`${tag}.field`, { label });
	node.value = value;
	let ending = false; // taking the field out of the page blurs it
	const end = (act) => {
		if (ending || !node.isConnected) return;
		ending = true;
		act(node.value.trim());
		ending = false;
	};
	keys(node, {
		Enter(e) {
			if (e.shiftKey) return false;
			end(keep);
			if (!node.isConnected) home.focus();
		},
		Escape() {
			end(leave);
			home.focus();
		},
	});
	if (onblur) on(node, "blur", () => end(onblur));
	if (tag === "textarea") on(node, "input", () => grow(node));
	return node;
}

// The same in the place of a node, which comes back.
function rename(node, label, value, keep, leaves) {
	const back = () => input.replaceWith(node);
	const done = (text) => {
		back();
		if (text && text !== value) keep(text);
	};
	const input = field(node, "input", label, value, done, back, leaves && done);
	node.replaceWith(input);
	input.select();
	input.focus();
}

function grow(area) {
	area.style.height = "auto";
	area.style.height = `${Math.min(area.scrollHeight + 2, 240)}px`;
}

async function copyText(root, text) {
	try {
		await navigator.clipboard.writeText(text);
		return true;
	} catch {
		const back = document.activeElement;
		const area = h("textarea.sr");
		root.append(area);
		area.value = text;
		area.select();
		const done = document.execCommand("copy");
		area.remove();
		back.focus({ preventScroll: true });
		return done;
	}
}

// JupyterLab's own button makes the cell, and a paste fills it; false where that fails.
async function intoCell(root, text) {
	const book = root.closest(".jp-NotebookPanel");
	const make = book?.querySelector('.jp-Toolbar [data-command="notebook:insert-cell-below"]');
	if (!make) return false;
	const active = () => book.querySelector(".jp-Cell.jp-mod-active");
	const old = active();
	make.dispatchEvent(new MouseEvent("mousedown", { bubbles: true }));
	for (let left = 60; left; left -= 1) {
		await new Promise(requestAnimationFrame);
		const editor = active() !== old && active()?.querySelector(".cm-content");
		if (!editor) continue;
		const clipboardData = new DataTransfer();
		clipboardData.setData("text/plain", text);
		editor.focus();
		return !editor.dispatchEvent(new ClipboardEvent("paste", { clipboardData, bubbles: true, cancelable: true }));
	}
}

// Blocks ----

const SAFE = /^data:image\/(png|jpeg|gif|webp);/;

function chipList(chips, label, remove) {
	return h("ul.chips", { label }, ...chips.map((chip) =>
		h("li", { class: `nbc-chip${chip.error ? " nbc-bad" : ""}`, title: chip.size },
			SAFE.test(chip.thumb) && h("img", { src: chip.thumb, alt: "" }),
			h("span.chip-name", chip.label),
			h("span.chip-info", chip.error || chip.info || ""),
			remove && button("close", `Remove ${chip.label}`, () => remove(chip)))));
}

// asked for when its place is seen
function picture(view, { digest, label, width, height }) {
	const img = h("img.picture", { alt: label, width, height });
	const seen = new IntersectionObserver(([place]) => {
		if (!place.isIntersecting) return;
		seen.disconnect();
		view.store.ask("picture", { digest }, ({ url }) => SAFE.test(url) && (img.src = url));
	});
	seen.observe(img);
	return img;
}

function codeBox(view, pre) {
	const code = () => pre.textContent.replace(/\n$/, "");
	const box = h("div.code");
	pre.replaceWith(box);
	pre.tabIndex = 0;
	const insert = button("cell", "Insert as a cell", async () => await intoCell(box, code()) || copy.click(), { class: "nbc-btn nbc-insert" });
	const copy = view.copyButton("Copy code", code);
	box.append(pre, h("div.code-bar", insert, copy));
}

function rich(view, node, html) {
	fill(node, html);
	for (const pre of node.querySelectorAll("pre")) codeBox(view, pre);
	for (const table of node.querySelectorAll("table")) {
		const box = h("div.scroll", { tabindex: "0", role: "group", label: "Table" });
		table.replaceWith(box);
		box.append(table);
	}
}

// what the reader folds or unfolds stays so
const touch = (e) => { e.currentTarget.parentNode.touched = true; };

const BLOCKS = {
	text(view) {
		const el = h("div.text");
		return { el, update: (b) => rich(view, el, b.html) };
	},
	user(view) {
		const el = h("div.bubble");
		const update = ({ text, chips }) => el.replaceChildren(...[
			text && h("div.said", text), ...chips.map((chip) => chip.picture && picture(view, chip.picture)), chips[0] && chipList(chips, "Attached"),
		].filter(Boolean));
		return { el, update };
	},
	think() {
		const label = h("summary", { onclick: touch });
		const text = h("div.thought");
		const el = h("details.think", label, text);
		return {
			el,
			update(b, was) {
				put(label, b.label);
				if (!el.touched) el.open = !!b.open;
				if (was && text.firstChild && b.text.startsWith(was.text)) text.firstChild.appendData(b.text.slice(was.text.length));
				else put(text, b.text);
			},
		};
	},
	note() {
		const el = h("p.note");
		return { el, update: (b) => put(el, b.text) };
	},
	tool(view) {
		const part = (name) => h("span", { class: `nbc-tool-${name}` });
		const [name, brief, status, time, progress] = ["name", "brief", "status", "time", "progress"].map(part);
		const args = h("pre");
		const out = h("div.result.text");
		const ask = h("div.ask");
		const outLabel = h("div.label", "Result");
		const summary = h("summary", { onclick: touch }, name, brief, progress, h("span.tool-end", status, time));
		const el = h("details.tool", { role: "group" }, summary,
			h("div.tool-in", h("div.label", "Arguments"), args, ask, outLabel, out));
		codeBox(view, args);
		return {
			el,
			update(b, was) {
				labelled(el, `Tool ${b.name}: ${b.status}`);
				el.dataset.status = b.status;
				put(name, b.name);
				put(brief, b.brief);
				put(status, b.status);
				put(time, b.time);
				put(progress, b.progress);
				put(args, b.args);
				if (b.html !== was?.html) {
					rich(view, out, b.html);
					out.prepend(...b.pictures.map((one) => picture(view, one)));
				}
				show(outLabel, b.html);
				show(out, b.html);
				if (b.ask && !el.touched) el.open = true;
				if (was?.ask && !b.ask && !el.touched) el.open = false;
				if (JSON.stringify(was?.ask) !== JSON.stringify(b.ask)) approval(view, ask, b.ask);
				show(ask, b.ask);
			},
		};
	},
};

// A button answers just the question that it was made for.
function approval(view, node, ask) {
	node.replaceChildren();
	if (!ask) return;
	const { call, nonce } = ask;
	const decide = (ok, always) => {
		if (!view.store.post({ op: "decide", call, nonce, ok, always })) return;
		const able = (yes) => node.querySelectorAll("button").forEach((b) => { b.disabled = !yes; });
		able(false);
		setTimeout(able, SILENCE, true); // a refused decision can be made again
	};
	const choice = (text, ok, always) => word(() => decide(ok, always), text);
	const yes = choice("Approve", true, false);
	yes.classList.add("nbc-yes");
	node.append(h("p", ask.question), yes, choice("Deny", false, false));
	if (ask.always) node.append(choice("Always", true, true));
}

function blockList(view, holder) {
	let parts = [];
	return (blocks) => {
		blocks.forEach((block, i) => {
			let part = parts[i];
			if (part && (part.block === block || JSON.stringify(part.block) === JSON.stringify(block))) return;
			if (!part || part.block.kind !== block.kind || part.block.key !== block.key) {
				const made = BLOCKS[Object.hasOwn(BLOCKS, block.kind) ? block.kind : "note"](view);
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

function messageItem(view, first) {
	const { store } = view;
	const user = first.role === "user";
	let msg = first;
	let editor = null;
	const blocks = h("div.blocks");
	const note = h("p.note");
	const foot = h("span.foot");
	const ask = (op, done) => store.ask(op, { id: msg.id }, done);
	const again = word(() => ask("retry"), icon("retry"), "Retry");
	const bar = h("div.bar");
	const el = h("article", { class: `nbc-msg nbc-${user ? "user" : "assistant"}` }, blocks, note, again, bar);
	const fillBlocks = blockList(view, blocks);
	const who = user ? "You" : "Assistant";
	let source; // of an answer: asked for when pointed at, so that copying need not wait
	const written = () => (source ||= msg.text || new Promise((done) => {
		const shown = () => { source = null; done(blocks.innerText); };
		setTimeout(shown, 1500);
		if (!ask("source", (reply) => done(reply.op === "source" && reply.text || blocks.innerText))) shown();
	}));
	on(el, "pointerenter focusin", written);
	const copy = view.copyButton("Copy message", written);
	let refresh = () => {};

	function close() {
		editor.remove();
		editor = null;
		blocks.hidden = false;
	}
	function edit(text) {
		if (editor) return;
		const area = field(view.input, "textarea", "Edit message", text, (value) => {
			const rid = value && store.ask("edit", { id: msg.id, text: value }, (reply) => {
				if (reply.op === "err") edit(value);
			});
			if (rid || !value) close();
		}, close);
		editor = h("div.editor", area, h("span.foot", "Enter asks this, Esc cancels"));
		blocks.hidden = true;
		blocks.after(editor);
		grow(area);
		area.focus();
	}

	if (user) {
		const place = h("span");
		const step = (by) => store.ask("switch", { id: msg.sib.ids[msg.sib.at + by] });
		const left = button("left", "Previous version", () => step(-2));
		const right = button("right", "Next version", () => step(0));
		const nav = h("span.sib", left, place, right);
		const editing = button("edit", "Edit message", () => edit(msg.text || ""));
		const fork = button("fork", "Fork to a new chat", () => ask("fork"));
		bar.append(nav, editing, fork, copy, twoStep("Delete this turn", () => ask("drop")));
		refresh = () => {
			show(nav, msg.sib && msg.sib.of > 1);
			if (!msg.sib) return;
			put(place, `${msg.sib.at}/${msg.sib.of}`);
			left.disabled = msg.sib.at <= 1;
			right.disabled = msg.sib.at >= msg.sib.of;
		};
	} else {
		const rate = (rating, note) => store.post({ op: "rate", id: msg.id, rating, note });
		const thumb = (name, label, value) =>
			button(name, label, () => rate(msg.rating === value ? 0 : value, msg.note_text));
		const up = thumb("up", "Good answer", 1);
		const down = thumb("down", "Bad answer", -1);
		const noteButton = button("note", "Note on this answer", () => {
			if (editor) return;
			editor = field(noteButton, "input", "Note", msg.note_text, (value) => rate(msg.rating || 0, value) && close(), close);
			bar.after(editor);
			editor.focus();
		});
		const regenerate = button("retry", "Regenerate", () => ask("retry"));
		bar.append(copy, regenerate, up, down, noteButton, foot);
		refresh = () => {
			up.setAttribute("aria-pressed", msg.rating === 1);
			down.setAttribute("aria-pressed", msg.rating === -1);
			noteButton.classList.toggle("nbc-on", !!msg.note_text);
			noteButton.title = msg.note_text || "Note on this answer";
		};
	}

	const item = {
		el,
		update(next) {
			msg = item.msg = next;
			source = null;
			labelled(el, `${who}, turn ${next.turn}`);
			const whole = next.state !== "pending";
			el.classList.toggle("nbc-done", whole);
			fillBlocks(next.blocks);
			put(note, next.note);
			show(note, next.note);
			show(again, next.retry);
			put(foot, next.footer);
			show(bar, whole);
			refresh();
		},
	};
	item.update(first);
	return item;
}

function makeDrawer(view) {
	const { store } = view;
	let newest, timer;
	const rows = h("ul.rows");
	const empty = h("p.foot");
	const search = h("input.field", { type: "search", label: "Search chats", placeholder: "Search chats" });
	const open = (yes) => {
		show(el, yes);
		view.chats.setAttribute("aria-expanded", yes);
		if (yes) list();
		(yes ? search : view.chats).focus();
	};
	const fresh = word(() => act("new", {}, true), "New chat");
	const el = h("aside.drawer", { label: "Chats", hidden: true },
		h("div.drawer-top", search, fresh), empty, rows);

	function list() {
		newest = store.ask("list", { query: search.value }, (reply) => {
			if (reply.op === "list" && reply.rid === newest) fillRows(reply.chats);
		});
	}
	function act(op, fields, leaving) {
		store.ask(op, fields, (reply) => {
			if (reply.op === "err") return;
			if (leaving) {
				open(false);
				view.input.focus();
			} else list();
		});
	}
	function row(chat) {
		const when = new Date(chat.when).toLocaleString([], { dateStyle: "medium", timeStyle: "short" });
		const { title } = chat;
		const main = h("button.open-chat", { "aria-current": chat.here, onclick: () => act("open", { id: chat.id }, true) },
			h("span.row-title", title), h("span.foot", `${chat.facts} · ${when}`),
			chat.snippet && h("span.snippet", chat.snippet));
		const edit = button("edit", `Rename ${title}`, () =>
			rename(main, "New title", title, (value) => act("rename", { id: chat.id, title: value })));
		const pin = button("pin", chat.pinned ? `Unpin ${title}` : `Pin ${title}`, () => act("pin", { id: chat.id, on: !chat.pinned }),
			{ "aria-pressed": `${chat.pinned}` });
		return h("li.row", main, h("span.row-bar", pin, edit, twoStep(`Delete ${title}`, () => act("delete", { id: chat.id }))));
	}
	function fillRows(chats) {
		rows.replaceChildren(...chats.map(row));
		put(empty, chats.length ? "" : "No chat matches.");
	}
	on(search, "input", () => {
		clearTimeout(timer);
		timer = setTimeout(list, 200);
	});
	keys(el, { Escape: () => open(false) });
	return {
		el,
		toggle: () => open(el.hidden),
	};
}

// Header, completion, composer ----

let uniques = 0;

function makeHeader(view) {
	const { store } = view;
	const listId = `nbc-models-${(uniques += 1)}`;
	const title = h("button.title");
	const models = h("datalist", { id: listId });
	const model = h("input.model", { list: listId, label: "Model", autocomplete: "off", spellcheck: "false" });
	const [tokens, cost, context] = [1, 2, 3].map(() => h("span"));
	const level = h("meter.level", { hush: true, high: ".85", optimum: "0" });
	const used = h("span.used", level, context);
	const now = () => store.state.chat?.model || "";
	on(title, "click", () => {
		const { id, title: old } = store.state.chat;
		rename(title, "Chat title", old, (value) => store.ask("rename", { id, title: value }), true);
	});
	const restore = () => (model.value = now());
	// emptied while chosen from: a datalist offers only what matches the text in the field
	on(model, "focus", () => { model.placeholder = now(); model.value = ""; });
	on(model, "blur", restore);
	const leave = () => view.input.focus();
	keys(model, { Enter: leave, Escape() { model.value = ""; leave(); } });
	on(model, "change", () => {
		const name = model.value.trim();
		if (name && name !== now()) store.ask("model", { name }, restore);
	});
	const el = h("header.head", view.chats, title, h("span.facts", tokens, cost, used), model, models);
	return {
		el,
		update(state) {
			const chat = state.chat || {};
			put(title, chat.title);
			labelled(title, `Rename: ${chat.title}`);
			if (document.activeElement !== model) restore();
			put(tokens, chat.tokens);
			put(cost, chat.cost);
			const { used: n, limit, text } = chat.context || {};
			put(context, text);
			level.value = limit ? n / limit : 0;
			show(level, limit);
			models.replaceChildren(...state.models.map((value) => h("option", { value })));
		},
	};
}

function makePopup(view) {
	const { input, store } = view;
	const id = `nbc-names-${(uniques += 1)}`;
	const el = h("ul.popup", { role: "listbox", id, label: "Completions", hidden: true });
	let items, token, newest;
	let at = 0;
	input.setAttribute("aria-autocomplete", "list");
	input.setAttribute("aria-controls", id);

	function close() {
		el.hidden = true;
		newest = null;
		input.removeAttribute("aria-activedescendant");
	}
	function mark(index) {
		at = (index + items.length) % items.length;
		[...el.children].forEach((row, i) => row.setAttribute("aria-selected", i === at));
		input.setAttribute("aria-activedescendant", `${id}-${at}`);
		el.children[at].scrollIntoView({ block: "nearest" });
	}
	function offer(found) {
		items = found.slice(0, 50);
		if (!items.length) return close();
		el.replaceChildren(...items.map((item, i) => h("li", {
			role: "option", id: `${id}-${i}`, onmousedown: (e) => e.preventDefault(), onclick: () => accept(i),
		}, h("b", token.sign + item.name), h("span.foot", [item.kind, item.info].filter(Boolean).join(" · ")))));
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
				return found[0]?.name === token.prefix ? close() : offer(found);
			}
			newest = store.ask("names", { prefix: token.prefix }, (reply) => {
				if (reply.op === "names" && reply.rid === newest) offer(reply.items || []);
			});
		},
	};
}

function render({ model, el: host }) {
	const store = storeOf(model);
	const view = { store };
	const items = new Map();
	let draftTimer, frame, askedOlder, lastHeight;
	let pinned = true;
	let lastTop = 0, meant = 0;
	let recalled = { at: -1, text: null };

	const busy = () => running(store.state);
	const root = h("section", { class: "nbc", label: "nbchat" });
	const polite = h("div.sr", { role: "status", "aria-live": "polite" });
	const noticeText = h("span");
	const notice = h("div.notice", { role: "alert", hidden: true }, noticeText, button("close", "Dismiss", () => store.say("")));

	const input = h("textarea.input", { rows: "1", label: "Message", placeholder: "Message. @ for variables, / for commands" });
	view.input = input;

	view.announce = (text) => { polite.textContent = text; };
	view.noticed = (text) => {
		put(noticeText, text);
		show(notice, text);
	};
	view.copyButton = (label, text) => {
		const node = button("copy", label, async () => {
			if (!(await copyText(root, await text()))) return store.say("The browser refused to copy: select the text and copy it by hand.");
			node.replaceChildren(icon("check"));
			view.announce("Copied.");
			setTimeout(() => node.replaceChildren(icon("copy")), 1200);
		});
		return node;
	};

	view.chats = button("chats", "Chats", () => drawer.toggle(), { "aria-expanded": "false" });
	const drawer = makeDrawer(view);
	const header = makeHeader(view);
	const popup = makePopup(view);

	const olderButton = h("button.word.older", { onclick: loadOlder }, "Load older messages");
	const list = h("div.list");
	const pendings = h("div.pendings");
	const waitText = h("span");
	const wait = h("div.wait", { hidden: true }, h("span.dots", { hush: true }), waitText);
	const inner = h("div.inner", olderButton, list, pendings, wait);
	const log = h("div.log", { role: "log", "aria-live": "off", label: "Conversation", tabindex: "0" }, inner);
	const jump = h("button.word.jump", { hidden: true, onclick: () => { pin(); input.focus({ preventScroll: true }); } }, "Jump to latest");

	function down() {
		if (pinned) log.scrollTop = log.scrollHeight;
		lastTop = log.scrollTop;
	}
	function toBottom() {
		cancelAnimationFrame(frame);
		frame = requestAnimationFrame(down);
	}
	function pin() {
		pinned = true;
		meant = 0;
		show(jump, false);
		down();
		toBottom();
	}
	// the browser moves the place too, when sizes change: only a reader's move lets go of the end
	on(log, "wheel pointerdown keydown touchmove", () => (meant = Date.now()));
	on(log, "scroll", () => {
		const top = log.scrollTop;
		if (log.scrollHeight - top - log.clientHeight < 8) pinned = true;
		else if (top < lastTop - 1 && (lastHeight === log.scrollHeight || Date.now() - meant < 1000)) pinned = false;
		lastTop = top;
		lastHeight = log.scrollHeight;
		show(jump, !pinned);
		if (top < 60 && !pinned) loadOlder();
	});
	keys(log, { Escape: (e) => e.target === log && busy() && stop() });
	function loadOlder() {
		const { more, msgs } = store.state;
		if (!more || askedOlder === msgs[0]?.id) return;
		askedOlder = msgs[0].id;
		store.post({ op: "older", before: askedOlder });
	}
	const watch = new ResizeObserver(() => pinned && toBottom());
	watch.observe(inner);
	watch.observe(log);

	const file = h("input", { type: "file", multiple: true, hidden: true, tabindex: "-1", label: "File to attach" });
	const attached = h("div.attached");
	const estimate = h("span.foot.estimate");
	const stopButton = button("stop", "Stop", stop, { class: "nbc-btn nbc-stop", hidden: true });
	const sendButton = button("send", "Send", send, { class: "nbc-btn nbc-send" });
	const stopping = h("span.foot", { hidden: true }, BUSY);
	const clip = button("clip", "Attach a file", () => file.click());
	const figure = button("figure", "Attach the last figure", () => store.ask("figure", {}, drafted));
	const composer = h("div.composer", popup.el, attached, input,
		h("div.tools", clip, figure, file, estimate, stopping, stopButton, sendButton));

	function drafted() {
		grow(input);
		showSend();
		clearTimeout(draftTimer);
		draftTimer = setTimeout(() => store.state.live && store.post({ op: "draft", text: input.value }), 300);
	}
	function showSend() {
		show(stopButton, busy());
		show(sendButton, !busy() || input.value.trim());
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
			if (reply.op === "err") view.setDraft(input.value && input.value !== text ? `${text}\n${input.value}` : text);
			else if (reply.text && !reply.id) store.say(reply.text);
		});
		if (!rid) return;
		clearTimeout(draftTimer);
		input.value = "";
		recalled = { at: -1, text: null };
		popup.close();
		grow(input);
		if (store.notice) store.say("");
		const [, word] = /^\/(\S+)/.exec(text) || [];
		if (!store.state.commands.some((c) => c.name === word)) {
			store.take({ op: "page:sent", row: { rid, text } });
			setTimeout(() => !busy() && store.state.pending.some((p) => p.rid === rid) && store.say(SILENT), SILENCE);
		}
		showSend();
		pin();
	}
	function stop() {
		if (!busy() || !store.post({ op: "stop" })) return;
		setTimeout(() => {
			const { state } = store.state.status;
			show(stopping, state !== "idle" && state !== "stopping");
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
	on(input, "keydown", (e) => {
		const word = keyAction(e, { draft: input.value, busy: busy(), popup: popup.open(), recalled: recalled.text });
		if (!word) return;
		e.preventDefault();
		DOES[word]();
	});
	on(input, "input", (e) => {
		if (recalled.text !== input.value) recalled = { at: -1, text: null };
		drafted();
		if (!e.isComposing) popup.look();
	});
	on(input, "blur", popup.close);

	async function attach(files) {
		for (const one of files) {
			const name = one.name || "pasted";
			const big = one.size > MAX_BYTES;
			if (big) store.say(`${name} is larger than the 20 MB that can be attached. Attach a smaller file.`);
			const bytes = !big && await one.arrayBuffer().catch(() => store.say(`${name} could not be read. Choose files, not a folder.`));
			if (!bytes) continue;
			put(estimate, "attaching…");
			store.ask("attach", { name, type: one.type }, drafted, bytes);
		}
	}
	on(file, "change", () => {
		attach([...file.files]);
		file.value = "";
	});
	on(root, "paste", (e) => {
		const files = [...e.clipboardData.files];
		if (!files.length) return;
		e.preventDefault();
		attach(files);
	});
	const over = (yes) => root.classList.toggle("nbc-over", yes);
	on(root, "dragenter dragover drop", (e) => {
		if (!e.dataTransfer?.types.includes("Files")) return;
		e.preventDefault();
		e.stopPropagation();
		over(e.type !== "drop");
		if (e.type === "drop") attach([...e.dataTransfer.files]);
	});
	on(root, "dragleave", (e) => root.contains(e.relatedTarget) || over(false));

	on(root, "keydown keypress keyup paste copy cut contextmenu wheel input", (e) => e.stopPropagation());
	// Notebook 7 reads keys first, sparing just the focused element
	on(root, "focusin", (e) => e.target.setAttribute("data-lm-suppress-shortcuts", true));

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
			if (!item) items.set(msg.id, (item = messageItem(view, msg)));
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
		pendings.replaceChildren(...state.pending.map((p) =>
			h("article.msg.user.sending", { label: "You, being sent" }, h("div.blocks", h("div.bubble", h("div.said", p.text))))));
	}
	function showChips(state) {
		const remove = (chip) => {
			store.post({ op: "unattach", id: chip.id });
			input.focus();
		};
		attached.replaceChildren(...(state.chips.length ? [chipList(state.chips, "To be sent", remove)] : []));
		put(estimate, state.estimate);
	}
	function tick() {
		const { status } = store.state;
		put(waitText, status.text + elapsed(status, Date.now()));
	}
	function showStatus(state, before) {
		show(wait, busy());
		tick();
		if (!busy() || state.status.state === "stopping") show(stopping, false);
		showSend();
		if (before.live && state.status.text && state.status.text !== before.status.text) view.announce(state.status.text);
	}
	view.show = (state, before) => {
		if (!state.live) return;
		root.classList.add("nbc-live");
		if (state.chat !== before.chat || state.models !== before.models) header.update(state);
		if (state.msgs !== before.msgs) showMessages(state, before);
		if (state.pending !== before.pending) showPending(state);
		if (state.status !== before.status) showStatus(state, before);
		if (state.chips !== before.chips) showChips(state);
		show(olderButton, state.more);
		for (const node of [input, sendButton, clip, figure]) node.disabled = !!state.gone;
		if (state.gone && state.gone !== before.gone) view.noticed(state.gone);
		const other = before.chat && state.chat?.id !== before.chat.id;
		if (other || !before.live) pin();
		else if (pinned) toBottom();
	};

	root.append(header.el, h("div.body", log, jump, drawer.el), notice, composer, polite);
	host.append(root);
	store.views.add(view);
	view.noticed(store.notice);
	view.show(store.state, fresh());
	if (store.draft) view.setDraft(store.draft);
	store.draft = "";
	const clock = setInterval(() => busy() && tick(), 1000);

	return () => { // also when the host draws the view anew: the draft comes back
		store.draft = input.value;
		store.views.delete(view);
		clearInterval(clock);
		watch.disconnect();
		root.remove();
	};
}

export default { initialize, render };
