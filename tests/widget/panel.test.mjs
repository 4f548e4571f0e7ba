// Promises of panel.js that need no page. Run by test_panel_js.py, or by `node --test`.
import assert from "node:assert/strict";
import { readFileSync, writeFileSync, mkdtempSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import test from "node:test";
import { pathToFileURL } from "node:url";

// node takes a .js file without a package.json for CommonJS, so the module is read under another name
const source = new URL("../../nbchat/widget/static/panel.js", import.meta.url);
const copy = join(mkdtempSync(join(tmpdir(), "panel-")), "panel.mjs");
writeFileSync(copy, readFileSync(source));
const panel = await import(pathToFileURL(copy));
const { fresh, reduce, keyAction, history, recall, completing, insertName, makeRid, matching } = panel;

const said = (id, text, role = "user") => ({ id, role, text, turn: 1, blocks: [{ kind: "text", html: text }] });
const snap = (s, msgs = [], extra = {}) => ({ op: "snap", s, msgs, chat: { id: "c" }, ...extra });
const live = (msgs = [], extra = {}) => reduce(fresh(), snap(0, msgs, extra));
const ids = (state) => state.msgs.map((msg) => msg.id);
const key = (name, extra = {}) => ({ key: name, ...extra });

test("a snap makes a panel live and tells where the numbers stand", () => {
  const state = live([said("a", "hi")], { more: true, models: ["x"] });
  assert.deepEqual([state.live, state.lost, state.s, state.more, state.models, ids(state)], [true, false, 0, true, ["x"], ["a"]]);
});

test("before the first snap nothing is shown and nothing asked for twice", () => {
  const state = reduce(fresh(), { op: "msg", s: 4, msg: said("a", "x"), after: null });
  assert.deepEqual([state.live, state.lost, ids(state)], [false, true, []]);
});

test("a gap in the numbers loses the panel until a snap mends it", () => {
  const gap = reduce(live(), { op: "msg", s: 2, msg: said("a", "x"), after: null });
  assert.deepEqual([gap.lost, ids(gap)], [true, []]);
  const still = reduce(gap, { op: "msg", s: 3, msg: said("b", "x"), after: null });
  assert.deepEqual(ids(still), []);
  const mended = reduce(still, snap(3, [said("b", "x")]));
  assert.deepEqual([mended.lost, ids(mended)], [false, ["b"]]);
  assert.equal(reduce(mended, { op: "drop", s: 4, ids: [] }).lost, false);
});

test("messages are put behind the one they follow, and replaced by id", () => {
  let state = live([said("a", "1"), said("c", "3")]);
  state = reduce(state, { op: "msg", s: 1, msg: said("b", "2"), after: "a" });
  assert.deepEqual(ids(state), ["a", "b", "c"]);
  state = reduce(state, { op: "msg", s: 2, msg: said("b", "two"), after: "a" });
  assert.deepEqual(state.msgs.map((m) => m.text), ["1", "two", "3"]);
  state = reduce(state, { op: "msg", s: 3, msg: said("z", "0"), after: null });
  assert.deepEqual(ids(state), ["z", "a", "b", "c"]);
});

test("a message behind one that is not here asks for a snap", () => {
  assert.equal(reduce(live([said("a", "1")]), { op: "msg", s: 1, msg: said("b", "2"), after: "nowhere" }).lost, true);
});

test("changed blocks take the place of all from the first changed one", () => {
  const before = live([{ ...said("a", ""), blocks: [{ html: "1" }, { html: "2" }] }]);
  const after = reduce(before, { op: "blk", s: 1, id: "a", k: 1, blocks: [{ html: "2b" }, { html: "3" }] });
  assert.deepEqual(after.msgs[0].blocks.map((b) => b.html), ["1", "2b", "3"]);
  assert.equal(after.msgs[0].blocks[0], before.msgs[0].blocks[0], "a finished block is the same object");
  assert.equal(before.msgs[0].blocks.length, 2, "the state before is left as it was");
});

test("blocks that leave a hole, or of an unknown message, ask for a snap", () => {
  assert.equal(reduce(live([said("a", "")]), { op: "blk", s: 1, id: "a", k: 2, blocks: [] }).lost, true);
  assert.equal(reduce(live(), { op: "blk", s: 1, id: "a", k: 0, blocks: [] }).lost, true);
});

test("a block that grows keeps its beginning, and another kind of block asks for a snap", () => {
  const start = live([said("b", ""), { ...said("a", ""), blocks: [{ kind: "text", html: "<p>One</p>" }, { kind: "text", html: "<p>Tw</p>" }] }]);
  const grow = { op: "grow", s: 1, keep: 5, rest: "o.</p>", more: [{ kind: "text", html: "<hr>" }] };
  assert.deepEqual(reduce(start, grow).msgs[1].blocks.map((b) => b.html), ["<p>One</p>", "<p>Two.</p>", "<hr>"]);
  assert.equal(reduce(start, grow).msgs[1].blocks[0], start.msgs[1].blocks[0], "a finished block is the same object");
  assert.equal(reduce(live([{ ...said("a", ""), blocks: [{ kind: "tool" }] }]), grow).lost, true);
  const thinking = live([{ ...said("a", ""), blocks: [{ kind: "think", text: "hm, so" }] }]);
  assert.equal(reduce(thinking, { ...grow, rest: "o what" }).msgs[0].blocks[0].text, "hm, so what");
});

test("older messages come before the others, each once", () => {
  const state = reduce(live([said("c", "3")], { more: true }), { op: "older", s: 1, msgs: [said("b", "2"), said("c", "3")], more: false });
  assert.deepEqual([ids(state), state.more], [["b", "c"], false]);
});

test("dropped messages go", () => {
  assert.deepEqual(ids(reduce(live([said("a", ""), said("b", "")]), { op: "drop", s: 1, ids: ["a"] })), ["b"]);
});

test("an unknown op is ignored, whatever its name, and counts", () => {
  for (const op of ["news", "constructor", "__proto__", "toString"]) {
    const state = reduce(live([said("a", "1")]), { op, s: 1 });
    assert.deepEqual([state.s, state.lost, ids(state)], [1, false, ["a"]]);
  }
});

test("sent text is shown at once and gives way to its stored message", () => {
  const sent = reduce(live(), { op: "page:sent", row: { rid: "r", text: "hi" } });
  assert.deepEqual(sent.pending, [{ rid: "r", text: "hi" }]);
  const acked = reduce(sent, { op: "ack", s: 1, rid: "r", id: "m" });
  assert.equal(acked.pending.length, 1, "it is stored, and its message is on the way");
  const stored = { ...said("m", "hi"), rid: "r" };
  assert.deepEqual(reduce(acked, { op: "msg", s: 2, msg: stored, after: null }).pending, []);
  assert.deepEqual(reduce(acked, snap(9, [stored])).pending, []);
  assert.deepEqual(reduce(sent, { op: "ack", s: 1, rid: "r" }).pending, [], "a command asks nothing");
});

test("the same words said before do not swallow what is being sent", () => {
  const sent = reduce(live([said("m", "hi")]), { op: "page:sent", row: { rid: "r", text: "hi" } });
  assert.equal(reduce(sent, snap(5, [said("m", "hi")])).pending.length, 1);
  assert.equal(reduce(sent, snap(5, [said("m", "hi"), { ...said("n", "hi"), rid: "r" }])).pending.length, 0);
});

test("what could not be sent is no longer shown as sent, even over a gap", () => {
  const sent = reduce(live(), { op: "page:sent", row: { rid: "r", text: "hi" } });
  assert.deepEqual(reduce(sent, { op: "err", s: 1, rid: "r", text: "no" }).pending, []);
  assert.deepEqual(reduce(sent, { op: "err", s: 7, rid: "r", text: "no" }).pending, []);
});

test("Enter sends, and Shift+Enter breaks the line", () => {
  assert.equal(keyAction(key("Enter")), "send");
  assert.equal(keyAction(key("Enter", { shiftKey: true })), "");
});

test("a key of an input method never sends", () => {
  assert.equal(keyAction(key("Enter", { isComposing: true })), "");
  assert.equal(keyAction(key("Enter", { keyCode: 229 })), "");
  assert.equal(keyAction(key("Escape", { isComposing: true }), { busy: true }), "");
});

test("Escape stops a run, and else stays in the panel", () => {
  assert.equal(keyAction(key("Escape"), { busy: true }), "stop");
  assert.equal(keyAction(key("Escape")), "stay");
});

test("Up recalls in an empty composer only, and goes on from what was recalled", () => {
  assert.equal(keyAction(key("ArrowUp")), "older");
  assert.equal(keyAction(key("ArrowUp"), { draft: "words" }), "");
  assert.equal(keyAction(key("ArrowUp"), { draft: "old", recalled: "old" }), "older");
  assert.equal(keyAction(key("ArrowDown"), { draft: "old", recalled: "old" }), "newer");
  assert.equal(keyAction(key("ArrowDown")), "");
  assert.equal(keyAction(key("ArrowUp", { shiftKey: true })), "");
});

test("while names are offered the keys choose among them", () => {
  const words = ["ArrowDown", "ArrowUp", "Enter", "Tab", "Escape"].map((name) => keyAction(key(name), { popup: true, busy: true }));
  assert.deepEqual(words, ["next", "previous", "accept", "accept", "close"]);
  assert.equal(keyAction(key("Enter", { isComposing: true }), { popup: true }), "");
});

test("recall walks from the newest to the oldest and back to empty", () => {
  const texts = history([said("1", "a"), said("2", "x", "assistant"), said("3", "b"), said("4", "b")]);
  assert.deepEqual(texts, ["a", "b"]);
  let place = { at: -1 };
  const seen = [];
  for (const step of [1, 1, 1, -1, -1]) seen.push((place = recall(texts, place.at, step)).text);
  assert.deepEqual(seen, ["b", "a", "a", "b", ""]);
  assert.deepEqual(recall([], -1, 1), { at: -1, text: "" });
});

test("@ completes a name after a space or a bracket, never inside a word", () => {
  assert.deepEqual(completing("see @df", 7), { sign: "@", start: 4, prefix: "df" });
  assert.deepEqual(completing("@", 1), { sign: "@", start: 0, prefix: "" });
  assert.deepEqual(completing("(@größe.x", 9), { sign: "@", start: 1, prefix: "größe.x" });
  assert.equal(completing("me@example", 10), null);
  assert.equal(completing("@df and", 7), null);
});

test("/ completes a command only at the start", () => {
  assert.deepEqual(completing("/mo", 3), { sign: "/", start: 0, prefix: "mo" });
  assert.equal(completing("a /mo", 5), null);
  assert.equal(completing("/model x", 8), null);
  assert.deepEqual(matching([{ name: "model", info: "h" }, { name: "new" }], "M"), [{ name: "model", info: "h" }]);
});

test("a chosen name is put in with one space behind it", () => {
  const token = completing("see @d", 6);
  assert.deepEqual(insertName("see @d", token, 6, "df"), { text: "see @df ", caret: 8 });
  assert.deepEqual(insertName("see @d now", token, 6, "df"), { text: "see @df now", caret: 8 });
});

test("rids differ", () => {
  assert.equal(new Set(Array.from({ length: 100 }, makeRid)).size, 100);
});

test("waited seconds go on from what the kernel counted", () => {
  const state = reduce(live(), { op: "status", s: 1, status: { state: "waiting", text: "Waiting", waited: 3.2 } }, 61000);
  assert.equal(panel.elapsed(state.status, 64500), " · 6 s");
  assert.equal(panel.elapsed({ state: "idle" }, 5), "");
});

test("every model object of one panel id finds the same store, and each id its own", () => {
  const model = (id) => ({ get: () => id });
  assert.equal(panel.storeOf(model("p")), panel.storeOf(model("p")));
  assert.notEqual(panel.storeOf(model("p")), panel.storeOf(model("q")));
});

test("a kernel that is gone is told in words and throws nothing", () => {
  const store = panel.storeOf({ get: () => "gone", send() { throw new Error("Cannot send"); } });
  assert.equal(store.ask("send", { text: "hi" }), false);
  assert.equal(store.notice, "The kernel was restarted: run this cell again.");
});

test("one gap sends one hello, and what was not acknowledged is said again with its rid", () => {
  const sent = [];
  const store = panel.storeOf({ get: () => "gap", send: (m) => sent.push(m) });
  store.take(snap(0));
  store.take({ op: "page:sent", row: { rid: "r1", text: "hi" } });
  store.take({ op: "chips", s: 5, chips: [], text: "" });
  store.take({ op: "chips", s: 6, chips: [], text: "" });
  assert.deepEqual(sent, [{ op: "hello", have: 0 }]);
  store.take(snap(7));
  assert.deepEqual(sent.slice(1), [{ op: "send", rid: "r1", text: "hi" }]);
  store.close();
});

test("what sends hears the refusal of what it sent, once", () => {
  const store = panel.storeOf({ get: () => "refused", send() {} });
  const heard = [];
  store.take(snap(0));
  const rid = store.ask("send", { text: "hi" }, (reply) => heard.push(reply.text));
  store.take({ op: "page:sent", row: { rid, text: "hi" } });
  store.take({ op: "err", s: 1, rid, text: "Busy." });
  store.take({ op: "err", s: 2, rid, text: "Busy again." });
  assert.deepEqual([heard, store.notice, store.state.pending], [["Busy."], "Busy again.", []]);
});

test("bytes travel as the first buffer of the message", () => {
  const calls = [];
  const store = panel.storeOf({ get: () => "bytes", send: (...args) => calls.push(args) });
  const bytes = new ArrayBuffer(3);
  const rid = store.ask("attach", { name: "a", type: "" }, null, bytes);
  assert.deepEqual(calls, [[{ op: "attach", rid, name: "a", type: "" }, undefined, [bytes]]]);
});

test("that the kernel was silent is said until it answers", () => {
  const store = panel.storeOf({ get: () => "silent", send() {} });
  store.take(snap(0));
  for (const op of ["ack", "snap"]) {
    store.say(panel.SILENT);
    store.take({ op: "chips", s: store.state.s + 1 });
    assert.equal(store.notice, panel.SILENT);
    store.take(op === "ack" ? { op, s: store.state.s + 1, rid: "r1" } : snap(9));
    assert.equal(store.notice, "");
  }
});
