import { makeGlue } from "../wasm/client_bg.js";
import { Engine } from "./engine.js";

export const clientEngine = new Engine(makeGlue, "client_bg.js");
