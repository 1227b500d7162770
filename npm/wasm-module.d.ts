// How edge runtimes and their bundlers hand over a compiled module.
declare module "*.wasm?module" {
  const module: WebAssembly.Module;
  export default module;
}
