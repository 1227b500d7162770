// Programs that tests need and that are not everywhere.

import { obstacle } from "../../tools/lib/programs.mjs";

/**
 * Why a test cannot run, or `false`; in CI a test fails without what set-up installs there.
 *
 * @param {...string} names of programs
 */
export const lacks = (...names) => obstacle(names, process.env);
