import { makeGlue } from "../wasm/backend_bg.js";
import { Engine } from "./engine.js";

export const backendEngine = new Engine(makeGlue, "backend_bg.js");
