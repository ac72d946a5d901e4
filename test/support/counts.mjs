import process from "node:process";

/** A jest reporter: the run's last line is its counts alone, as `.ci/run` wants them. */
export default class Counts {
  onRunComplete(_contexts, { numPassedTests, numFailedTests, numRuntimeErrorTestSuites }) {
    // A file that broke before its tests could run is a failure too.
    process.stdout.write(
      `${numPassedTests} passed, ${numFailedTests + numRuntimeErrorTestSuites} failed\n`,
    );
  }
}
