import { splitIntoGroups } from "../../components/webapp";

test.each([
  [[1, 2], 4, [[1], [2], [], []]],
  [[1, 2, 3, 4, 5, 6], 4, [[1, 5], [2, 6], [3], [4]]],
  [[1, 2, 3, 4, 5, 6, 7], 4, [[1, 5], [2, 6], [3, 7], [4]]],
  [[1, 2, 3], 1, [[1, 2, 3]]],
  [[], 2, [[], []]],
])("%j in %i groups: one more node leaves the others where they are", (nodes, groups, split) => {
  expect(splitIntoGroups(nodes, groups)).toEqual(split);
});
