export interface BundleOptions {
  /** Source by bundle, both relative to the checkout, the bundle without its `.js`. */
  programs: Record<string, string>;
  /** The file that keeps of what the bundles were made: size and time of all that went in or came out. */
  stamps: string;
  /** Packages that are loaded when the program runs. */
  external?: string[];
}

/**
 * Makes the bundles where a source, an option or this program has changed since. The same source gives
 * the same bytes, and a file that would not change is not written.
 */
export function bundle(options: BundleOptions): void;
