import { makeGlue } from "../wasm/primitives_bg.js";
import { Engine } from "./engine.js";

export const primitivesEngine = new Engine(makeGlue, "primitives_bg.js");
