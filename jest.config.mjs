const transform = { "^.+\\.ts$": ["@swc/jest", { jsc: { target: "es2022" } }] };

/** Two speeds: `unit` needs no engine and takes seconds, `e2e` uses the real engine and CLI. */
export default {
  reporters: ["default", "<rootDir>/test/support/counts.mjs"],
  projects: [
    { displayName: "unit", testMatch: ["<rootDir>/test/unit/**/*.test.ts"], transform },
    {
      displayName: "e2e",
      testMatch: ["<rootDir>/test/e2e/**/*.test.ts"],
      globalSetup: "<rootDir>/test/support/oneAtATime.ts",
      transform,
    },
  ],
};
