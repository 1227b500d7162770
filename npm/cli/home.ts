import { homedir } from "node:os";
import { isAbsolute } from "node:path";

/**
 * The user's folder; nothing where the system knows none. What is not absolute, such as an empty `HOME`,
 * would be a place in the working directory, which is somebody else's.
 */
export function home(): string | undefined {
  try {
    const folder = homedir();
    return isAbsolute(folder) ? folder : undefined;
  } catch {
    // The number of a user without a name.
    return undefined;
  }
}
