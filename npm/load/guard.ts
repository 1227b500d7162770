import * as glue from "../wasm/guard_bg.js";
import { Engine } from "./engine.js";

export const guardEngine = new Engine(glue, "guard_bg.js");
