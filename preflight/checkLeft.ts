import type { Check } from "./host";
import { list } from "./messages";

/** What an update that was cut off made is in the next one's way: no state says that it is there. */
export const checkLeft: Check = ({ config: { stack } }, { containers }) => {
  const left = containers.filter(({ claim }) => claim === "left").map(({ name }) => name);
  if (left.length === 0) return [];
  const what = `${list(left)}: an interrupted update made it, and no state records it`;
  return [`${what}; clear it away with: npm run repair -- --stack ${stack}`];
};
