import { compare } from "bcryptjs";
import { statsPassword } from "../../providers/lab/statsPassword";
import { secret, UNKNOWN, type Context } from "../../providers/pluginServer";

const context = (preview: boolean) => ({ name: "stats", preview }) as Context;
const inputs = { password: "correct horse" };

/** What {@link secret} marks. */
const inSecret = (marked: unknown) => (marked as { value: string }).value;

test("a preview makes no hash", async () => {
  const state = { password: secret(inputs.password), hash: secret(UNKNOWN) };
  expect(await statsPassword.create(inputs, context(true))).toEqual({ id: "stats", state });
  const recorded = { password: inputs.password, hash: "hash" };
  expect(await statsPassword.update("stats", recorded, inputs, inputs, context(true))).toEqual(
    state,
  );
});

test("the hash is bcrypt's, is a secret, and has a salt of its own each time", async () => {
  const made = [
    (await statsPassword.create(inputs, context(false))).state,
    await statsPassword.update("stats", { password: "", hash: "" }, inputs, inputs, context(false)),
  ];
  const hashes = made.map(({ hash }) => inSecret(hash));
  expect(made).toEqual(
    hashes.map((hash) => ({ password: secret(inputs.password), hash: secret(hash) })),
  );
  for (const hash of hashes) {
    expect(hash).toMatch(/^\$2b\$06\$/);
    expect(await compare(inputs.password, hash)).toBe(true);
  }
  expect(hashes[0]).not.toBe(hashes[1]);
});

test("only another password is a change, and a refresh keeps the hash", async () => {
  const recorded = { ...inputs, hash: "hash" };
  const diff = (password: string) =>
    statsPassword.diff("stats", recorded, inputs, { password }, context(true));
  expect(await diff(inputs.password)).toEqual({ changes: false, detailed: {} });
  expect(await diff("battery staple")).toEqual({
    changes: true,
    detailed: { password: "update" },
  });
  expect(await statsPassword.read("stats", recorded, inputs, context(false))).toEqual({
    id: "stats",
    inputs,
    state: { password: secret(inputs.password), hash: secret("hash") },
  });
});
