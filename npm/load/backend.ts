import * as glue from "../wasm/backend_bg.js";
import { Engine } from "./engine.js";

export const backendEngine = new Engine(glue, "backend_bg.js");
