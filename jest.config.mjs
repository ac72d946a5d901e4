const transform = { "^.+\\.ts$": ["@swc/jest", { jsc: { target: "es2022" } }] };

/** Tests on a real engine wait for another run of theirs, from whichever checkout. */
const onEngine = (displayName) => ({
  displayName,
  testMatch: [`<rootDir>/test/${displayName}/**/*.test.ts`],
  globalSetup: "<rootDir>/test/support/oneAtATime.ts",
  transform,
});

/** Three speeds: `unit` needs no engine, `e2e` is what `npm test` adds, `long` what `npm run test:all` does. */
export default {
  reporters: ["default", "<rootDir>/test/support/counts.mjs"],
  projects: [
    { displayName: "unit", testMatch: ["<rootDir>/test/unit/**/*.test.ts"], transform },
    onEngine("e2e"),
    onEngine("long"),
  ],
};
