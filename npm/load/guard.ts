import { makeGlue } from "../wasm/guard_bg.js";
import { Engine } from "./engine.js";

export const guardEngine = new Engine(makeGlue, "guard_bg.js");
