/**
 * A resource's properties as one table: what they look like, their defaults and what a change of
 * each means. Checking inputs, comparing them and importing follow from the table.
 */
import { CheckFailure, Diff, DiffKind, UNKNOWN, isUnknown } from "../pluginServer";
import { DURATION } from "./duration";

export type Shape =
  | keyof typeof SCALARS
  | { list: Shape }
  /** A list whose order means nothing. */
  | { set: Shape }
  | { map: "string" }
  | { object: Properties };

const isText = (pattern: RegExp) => (value: unknown) =>
  typeof value === "string" && pattern.test(value);

const SCALARS = {
  string: { fits: (value: unknown) => typeof value === "string", expected: "a string" },
  number: { fits: (value: unknown) => typeof value === "number", expected: "a number" },
  boolean: { fits: (value: unknown) => typeof value === "boolean", expected: "a boolean" },
  base64: {
    fits: isText(/^([A-Za-z0-9+/]{4})*([A-Za-z0-9+/]{2}==|[A-Za-z0-9+/]{3}=)?$/),
    expected: "base64",
  },
  duration: { fits: isText(DURATION), expected: 'a duration such as "90s" or "500ms"' },
  octal: { fits: isText(/^0[0-7]{3}$/), expected: 'octal such as "0600"' },
};

export interface Property {
  shape: Shape;
  required?: boolean;
  default?: unknown;
  /** A change is an update in place; without it the resource is replaced. */
  inPlace?: boolean;
  /** Of a part of what is in place: a change replaces the resource all the same. */
  replaces?: boolean;
  /** No failure shows the value. */
  secret?: boolean;
  /** The engine has a value of its own, so that leaving the property out is not a change. */
  computed?: boolean;
}

export type Properties = Record<string, Property>;

/** Inputs or state: what the program or the engine says, by property. */
export type Values = Record<string, unknown>;

const LABEL: Shape = {
  object: {
    label: { shape: "string", required: true },
    value: { shape: "string", required: true },
  },
};

/** Labels are written as a set of pairs; the engine has them as a map. */
export const LABELS: Shape = { set: LABEL };

export interface Label {
  label: string;
  value: string;
}

export function toLabelMap(labels: Label[] | undefined): Record<string, string> | undefined {
  return labels && Object.fromEntries(labels.map(({ label, value }) => [label, value]));
}

export function fromLabelMap(labels: Record<string, string> | null | undefined): Label[] {
  return Object.entries(labels ?? {}).map(([label, value]) => ({ label, value }));
}

/**
 * Validates what the program wrote against the table and fills in the defaults. Whatever is not in
 * the table is a failure: a property that is silently ignored would be a lie in the preview.
 *
 * Each object also notes in `__defaults` what was filled in. The official plugin needs that where
 * it takes a stack over, and the CLI, which hides it, still makes room for it in a preview.
 */
export function checkInputs(
  properties: Properties,
  news: Values,
): { inputs: Values; failures: CheckFailure[] } {
  const failures: CheckFailure[] = [];
  const inputs = completeObject(properties, news, "", failures);
  return { inputs, failures };
}

/** A value without the notes about defaults at any depth, as the state has it. */
export function withoutNotes<Value>(value: Value): Value {
  if (Array.isArray(value)) return value.map(withoutNotes) as Value;
  if (typeof value !== "object" || value === null) return value;
  const entries = Object.entries(value).filter(([key]) => key !== "__defaults");
  return Object.fromEntries(
    entries.map(([key, item]) => [key, withoutNotes<unknown>(item)]),
  ) as Value;
}

function completeObject(
  properties: Properties,
  values: Values,
  path: string,
  failures: CheckFailure[],
): Values {
  const inputs: Values = {};
  for (const [key, value] of Object.entries(values)) {
    const property = properties[key];
    const keyPath = joinPath(path, key);
    if (key.startsWith("__") || value === null || value === undefined) continue;
    if (property === undefined) {
      failures.push({ property: keyPath, reason: refuse(keyPath) });
    } else {
      const found: CheckFailure[] = [];
      inputs[key] = complete(property.shape, value, keyPath, found);
      failures.push(...(property.secret ? found.map(withoutValue) : found));
    }
  }
  const defaults: string[] = [];
  for (const [key, property] of Object.entries(properties)) {
    if (inputs[key] !== undefined) continue;
    if (property.default !== undefined) {
      inputs[key] = property.default;
      defaults.push(key);
    }
    if (property.required) {
      const keyPath = joinPath(path, key);
      failures.push({ property: keyPath, reason: `property "${keyPath}" is required` });
    }
  }
  inputs.__defaults = defaults.sort();
  return inputs;
}

/** The reason for refusing a property, or a value of it, that only the official plugin knows. */
export function refuse(what: string): string {
  return (
    `property "${what}" is not implemented by the offline provider; install the official plugin ` +
    "with `pulumi plugin install resource docker 5.2.0`"
  );
}

function complete(shape: Shape, value: unknown, path: string, failures: CheckFailure[]): unknown {
  if (isUnknown(value)) return value;
  if (typeof shape === "string") {
    const { fits, expected } = SCALARS[shape];
    if (!fits(value)) failures.push(mismatch(path, expected, value));
    return value;
  }
  if ("list" in shape || "set" in shape) {
    const element = "list" in shape ? shape.list : shape.set;
    if (!Array.isArray(value)) {
      failures.push(mismatch(path, "a list", value));
      return value;
    }
    return value.map((item, index) => complete(element, item, `${path}[${index}]`, failures));
  }
  if (typeof value !== "object" || value === null || Array.isArray(value)) {
    failures.push(mismatch(path, "an object", value));
    return value;
  }
  if ("object" in shape) return completeObject(shape.object, value as Values, path, failures);
  for (const [key, item] of Object.entries(value)) {
    complete(shape.map, item, joinPath(path, key), failures);
  }
  return value;
}

function mismatch(property: string, expected: string, value: unknown): CheckFailure {
  const reason = `property "${property}" must be ${expected}, not ${JSON.stringify(value)}`;
  return { property, reason };
}

function withoutValue({ property, reason }: CheckFailure): CheckFailure {
  return { property, reason: reason.replace(/, not .*$/s, "") };
}

/** Compares what there is with what the program wants, property by property. */
export function diffProperties(properties: Properties, state: Values, news: Values): Diff {
  const detailed: Record<string, DiffKind> = {};
  for (const [key, property] of Object.entries(properties)) {
    for (const [path, change, replaces] of compareProperty(key, property, state[key], news[key])) {
      detailed[path] = property.inPlace && !replaces ? change : `${change}-replace`;
    }
  }
  return { changes: Object.keys(detailed).length > 0, detailed };
}

type Change = "add" | "update" | "delete";
type Changes = [path: string, change: Change, replaces?: boolean][];

function compareProperty(path: string, property: Property, old: unknown, now: unknown): Changes {
  if (isEmpty(now) && isEmpty(old)) return [];
  if (now === undefined && property.computed) return [];
  const changes: Changes =
    now === undefined ? [[path, "delete"]] : compare(property.shape, path, old, now);
  return property.replaces ? changes.map(([where, change]) => [where, change, true]) : changes;
}

function compare(shape: Shape, path: string, old: unknown, now: unknown): Changes {
  if (old === undefined || old === null) return [[path, "add"]];
  // Pulumi itself asks so when what the program gives here is about to be replaced.
  if (isUnknown(now)) return [[path, "update", mayReplace(shape)]];
  if (typeof shape === "string") return old === now ? [] : [[path, "update"]];
  if (Array.isArray(old) && old.length === 0) return [[path, "add"]];
  if ("list" in shape) return compareLists(shape.list, path, old as unknown[], now as unknown[]);
  if ("set" in shape) return compareSets(shape.set, path, old as unknown[], now as unknown[]);

  const [before, after] = [old as Values, now as Values];
  const properties =
    "object" in shape ? shape.object : mapProperties(shape.map, { ...before, ...after });
  return Object.entries(properties).flatMap(([key, property]) =>
    compareProperty(joinPath(path, key), property, before[key], after[key]),
  );
}

/** Whether a part of what is in place may replace the resource. */
function mayReplace(shape: Shape): boolean {
  if (typeof shape === "string" || !("object" in shape)) return false;
  return Object.values(shape.object).some((part) => part.replaces || mayReplace(part.shape));
}

function mapProperties(shape: Shape, values: Values): Properties {
  return Object.fromEntries(Object.keys(values).map((key) => [key, { shape }]));
}

function compareLists(shape: Shape, path: string, old: unknown[], now: unknown[]): Changes {
  return Array.from({ length: Math.max(old.length, now.length) }, (_, index) =>
    compareProperty(`${path}[${index}]`, { shape }, old[index], now[index]),
  ).flat();
}

/** Pairs equal elements wherever they are; what is left over is compared by position. */
function compareSets(shape: Shape, path: string, old: unknown[], now: unknown[]): Changes {
  const before: unknown[] = [...old];
  const after: unknown[] = [...now];
  for (const [index, element] of now.entries()) {
    const match = before.findIndex(
      (candidate) => candidate !== undefined && compare(shape, "", candidate, element).length === 0,
    );
    if (match === -1) continue;
    before[match] = undefined;
    after[index] = undefined;
  }
  return compareLists(shape, path, before, after);
}

/** Docker does not tell a value that is not set from the zero value of its type. */
function isEmpty(value: unknown): boolean {
  if (value === undefined || value === null) return true;
  if (typeof value === "object") return Object.values(value).every(isEmpty);
  return value === "" || value === 0 || value === false;
}

function isObject(value: unknown): value is Values {
  return typeof value === "object" && value !== null;
}

/** A path as the engine parses it; a key with dots, such as a sysctl's, is quoted. */
function joinPath(path: string, key: string): string {
  if (/[.[\]"]/.test(key)) return `${path}[${JSON.stringify(key)}]`;
  return path === "" ? key : `${path}.${key}`;
}

/**
 * The inputs to go on with after the state was read: what the program wrote where the engine still
 * agrees, the engine's value where it does not. Without inputs, an import, all that is set.
 */
export function readInputs(
  properties: Properties,
  inputs: Values | undefined,
  state: Values,
): Values {
  const found = Object.keys(inputs ?? properties).map((key): [string, unknown] => {
    const value = inputs?.[key];
    if (key === "__defaults") return [key, value];
    const { [key]: property } = properties;
    const same =
      value !== undefined && compareProperty(key, property, state[key], value).length === 0;
    if (same) return [key, value];
    const { shape } = property;
    if (typeof shape === "object" && "object" in shape && isObject(value) && isObject(state[key])) {
      return [key, readInputs(shape.object, value, state[key])];
    }
    return [key, isEmpty(state[key]) && state[key] !== false ? undefined : state[key]];
  });
  return Object.fromEntries(found.filter(([, value]) => value !== undefined));
}

/** What a preview can say of a new resource: its inputs, and that the engine will add the rest. */
export function planState(inputs: Values, outputs: string[]): Values {
  const unknowns = Object.fromEntries(outputs.map((output) => [output, UNKNOWN]));
  return { ...unknowns, ...withoutNotes(inputs) };
}
