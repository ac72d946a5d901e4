import eslint from "@eslint/js";
import tseslint from "typescript-eslint";

export default tseslint.config(
  { ignores: ["**/node_modules/", "**/dist/", ".pulumi-state/"] },
  eslint.configs.recommended,
  {
    files: ["cli/live/page.js"],
    languageOptions: {
      globals: Object.fromEntries(
        ["document", "EventSource", "matchMedia", "ResizeObserver"].map((name) => [name, false]),
      ),
    },
  },
  {
    files: ["**/*.ts"],
    extends: [tseslint.configs.recommendedTypeChecked],
    languageOptions: { parserOptions: { projectService: true } },
    // An async function that waits for nothing still gives the promise that its interface asks for.
    rules: { "@typescript-eslint/require-await": "off" },
  },
);
