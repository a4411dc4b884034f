#!/usr/bin/env node
// An executor in JavaScript: REP v0.1 over stdin and stdout, without any dependency.
//
// The four kinds at the top are the work; everything below speaks the protocol, and serves as well for yours. A kind is
// a function, async if it likes, from what its step says under `with` to an object. To fail, it throws; `Failed` says
// whether to try again is worth it.
"use strict";

// No edge leads on from this: the run was cancelled, or the flow's time is up.
class Stopped extends Error {}

class Failed extends Error {
  constructor(message, retriable = true) {
    super(message);
    this.retriable = retriable;
  }
}

const KINDS = {
  "opcua.read": ({ endpoint = null, node_ids }) => {
    const ids = Array.isArray(node_ids) ? node_ids : [];
    return { endpoint, values: Object.fromEntries(ids.map((id) => [String(id), 80])) };
  },

  "opcua.write": ({ endpoint = null, node_id = null, value = null }) => ({ endpoint, node_id, value, status: "ok" }),

  "policy.apply": ({ policy, policy_id = null, values = null }) => {
    if (!policy || !Object.keys(policy).length) return { action: "NONE", error: "there is no policy", values, policy_id };
    const holds = (value, limit) =>
      limit !== null && typeof limit === "object"
        ? typeof value === "number" &&
          Object.entries(limit).every(([word, bound]) => (word === "above" ? value > bound : value < bound))
        : value === limit;
    const rule = policy.rules.find(({ when }) =>
      Object.entries(when).every(([name, limit]) => holds(values?.[name], limit)),
    );
    return { ...(rule ? rule.emit : (policy.otherwise ?? { action: "NONE" })), policy_id };
  },

  "dsl.emit": (with_) => ({ ...with_ }),
};

const CONCURRENCY = 4;
const MAX_FRAME = 16 << 20;
const runs = new Map();

// What a method throws is its error: a code of REP, and whether to try again is worth it.
class Refusal extends Error {
  constructor(code, message, data = {}) {
    super(message);
    this.code = code;
    this.data = { retriable: false, ...data };
  }
}

const METHODS = {
  "Runtime.Capabilities": () => ({
    version: "1.0.0",
    step_kinds: Object.keys(KINDS),
    limits: { concurrency: CONCURRENCY },
  }),

  "Runtime.StartRun": ({ ir, inputs = {}, options = {} }) => {
    const order = check(ir);
    const run = { id: options.run_id ?? `run-${runs.size + 1}`, status: "running", events: [], cancelled: false };
    run.summary = { run_id: run.id, completed_steps: 0, failed_steps: 0 };
    run.deadline = ir.flow?.timeout_ms ? Date.now() + ir.flow.timeout_ms : Infinity;
    runs.set(run.id, run);
    perform(run, ir, order, inputs);
    return { run_id: run.id };
  },

  "Runtime.Poll": ({ run_id }) => {
    const run = runs.get(run_id);
    if (!run) return { status: "failed", events: [], summary: { error: "unknown run" } };
    return { status: run.status, events: run.events.splice(0), summary: run.summary };
  },

  "Runtime.Cancel": ({ run_id }) => {
    const run = runs.get(run_id);
    if (run) run.cancelled = true;
    return { ok: Boolean(run) };
  },

  "Runtime.Health": () => ({ ok: true, details: { runs: runs.size } }),
};

// The nodes of a flow, each after all that lead to it; or a refusal.
function check(ir) {
  const nodes = ir?.graph?.nodes;
  const edges = ir?.graph?.edges;
  const major = String(ir?.version ?? "").split(".")[0];
  if (major && major !== "1") throw new Refusal(1001, `unsupported IR version ${ir.version}`);
  if (!major || !Array.isArray(nodes) || !Array.isArray(edges) || !nodes.length) throw new Refusal(1003, "invalid IR");
  const missing = nodes.map(({ type }) => type).filter((type) => !(type in KINDS || type === "switch" || type === "finish"));
  if (missing.length) throw new Refusal(1002, `unsupported step kind ${missing.join(", ")}`, { details: { missing } });
  const left = new Set(nodes);
  const order = [];
  while (left.size) {
    const due = [...left].find(({ id }) => !edges.some(({ from, to }) => to === id && [...left].some((n) => n.id === from)));
    if (!due) throw new Refusal(1003, "invalid IR: nodes wait for one another");
    left.delete(due);
    order.push(due);
  }
  return order;
}

// Perform the nodes that at least one edge leads to. A failure takes its own edges, or ends the run.
async function perform(run, ir, order, inputs) {
  const state = { inputs, steps: {}, current: {} };
  const taken = new Set();
  try {
    for (const node of order) {
      const into = ir.graph.edges.filter(({ to }) => to === node.id);
      if (into.length && !into.some((edge) => taken.has(edge))) continue;
      const out = ir.graph.edges.filter(({ from }) => from === node.id);
      try {
        const label = node.type === "switch" ? chosen(node.with, state) : await step(run, node, state, ir.constants ?? {});
        out.filter((edge) => edge.on === "success" && selects(node, edge, label)).forEach((edge) => taken.add(edge));
      } catch (error) {
        if (error instanceof Stopped || !out.some(({ on }) => on === "failure")) throw error;
        const { message, retriable = true } = error;
        state.steps[node.id] = { error: { code: "step_failed", message, retryable: retriable } };
        out.filter(({ on }) => on === "failure").forEach((edge) => taken.add(edge));
      }
    }
    run.summary = { ...run.summary, result: state.current, ...(order.length > 1 ? { state } : {}) };
    run.status = "completed";
  } catch (error) {
    const data = { step_id: error.step_id, attempt: error.attempt, retriable: error.retriable ?? true };
    run.summary = { ...run.summary, error: { code: 2001, message: error.message, data } };
    run.status = "failed";
  }
  if (runs.size > 1000) runs.delete(runs.keys().next().value);
}

// One node, as often as its retries allow.
async function step(run, node, state, constants) {
  if (node.type === "finish") return null;
  const { policy, policyRef: policy_id } = constants;
  const baked = node.type === "policy.apply" && Object.keys(policy ?? {}).length ? { policy, policy_id } : {};
  const with_ = { ...baked, ...resolve(node.with, state) };
  for (let attempt = 0; ; attempt++) {
    goOn(run);
    tell(run, { type: "step", step_id: node.id, state: "started", attempt });
    try {
      const left = Math.min(node.timeout_ms || Infinity, run.deadline - Date.now());
      const result = await within(left, () => KINDS[node.type](with_));
      if (result === null || typeof result !== "object" || Array.isArray(result)) throw new Failed("no object", false);
      state.steps[node.id] = state.current = result;
      if (node.type === "dsl.emit") state.outputs = result;
      run.summary.completed_steps++;
      tell(run, { type: "step", step_id: node.id, state: "succeeded", attempt });
      return null;
    } catch (error) {
      tell(run, { type: "step", step_id: node.id, state: "failed", attempt, message: error.message });
      goOn(run);
      if (attempt >= node.retry.max || error.retriable === false) {
        run.summary.failed_steps++;
        throw Object.assign(error, { step_id: node.id, attempt });
      }
      await new Promise((done) => setTimeout(done, node.retry.backoff_ms));
    }
  }
}

function goOn(run) {
  if (run.cancelled) throw new Stopped("cancelled");
  if (Date.now() >= run.deadline) throw new Stopped("the flow timed out");
}

async function within(milliseconds, work) {
  if (milliseconds === Infinity) return work();
  let timer;
  const late = new Promise((_, fail) => {
    timer = setTimeout(() => fail(new Failed(`timed out after ${milliseconds} ms`)), milliseconds);
  });
  return Promise.race([Promise.resolve().then(work), late]).finally(() => clearTimeout(timer));
}

const tell = (run, event) => run.events.push({ timestamp: new Date().toISOString(), ...event });

const lookUp = (root, path) =>
  path.split(".").reduce((at, name) => (at !== null && typeof at === "object" ? (at[name] ?? null) : null), root);

function resolve(value, state) {
  if (Array.isArray(value)) return value.map((one) => resolve(one, state));
  if (value !== null && typeof value === "object")
    return Object.fromEntries(Object.entries(value).map(([name, one]) => [name, resolve(one, state)]));
  const [, root, path] = (typeof value === "string" && value.trim().match(/^\$(input|step)\.(.+)$/s)) || [];
  return root ? lookUp(root === "input" ? state.inputs : state.steps, path) : value;
}

function chosen({ key_from, cases = {}, default: otherwise }, state) {
  const key = resolve(key_from.replace(/^\$\.vars\./, "$step.").replace(/^\$\.inputs\./, "$input."), state);
  const label = typeof key === "string" ? key : JSON.stringify(key);
  if (!(label in cases) && otherwise == null) throw new Failed(`no case for ${label}, and no default`, false);
  return label in cases ? label : otherwise;
}

const selects = (node, edge, label) =>
  node.type !== "switch" || ("case" in edge ? edge.case === label : node.with.cases?.[label] === edge.to);

// The line: one JSON object in, one out.
const say = (doc) => process.stdout.write(`${JSON.stringify({ jsonrpc: "2.0", ...doc })}\n`);
const broken = (message) => say({ id: null, error: { code: 3001, message, data: { retriable: false } } });

function answer(line) {
  let request;
  try {
    request = JSON.parse(new TextDecoder("utf-8", { fatal: true, ignoreBOM: true }).decode(line));
  } catch (error) {
    return broken(`invalid JSON: ${error.message}`);
  }
  const { id, method, params } = request ?? {};
  if (Array.isArray(request) || typeof method !== "string") return broken("no JSON-RPC request");
  try {
    if (!(method in METHODS)) throw new Refusal(-32601, `there is no method ${method}`);
    say({ id, result: METHODS[method](params ?? {}) });
  } catch (error) {
    say({ id, error: { code: error.code ?? 3002, message: error.message, data: error.data ?? { retriable: false } } });
  }
}

let pieces = [];
let size = 0;
let isTooLong = false;
process.stdin.on("data", (data) => {
  for (let end; (end = data.indexOf(10)) >= 0; data = data.subarray(end + 1)) {
    const line = Buffer.concat([...pieces, data.subarray(0, end)]);
    if (isTooLong || line.length > MAX_FRAME) broken(`a line may have ${MAX_FRAME} bytes`);
    else answer(line);
    [pieces, size, isTooLong] = [[], 0, false];
  }
  size += data.length;
  isTooLong ||= size > MAX_FRAME;
  isTooLong ? (pieces = []) : pieces.push(data);
});
process.stdin.on("end", () => process.exit(0));
