import * as glue from "../wasm/client_bg.js";
import { Engine } from "./engine.js";

export const clientEngine = new Engine(glue, "client_bg.js");
