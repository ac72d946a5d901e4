/** Whether `npm run test:all` runs: what is random or long then takes all its rounds. */
export const LONG = process.env.LONG === "1";
