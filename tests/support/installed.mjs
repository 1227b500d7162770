// The package as users get it: packed, and installed into an empty project.

import { execFileSync } from "node:child_process";
import { mkdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath, pathToFileURL } from "node:url";

const root = fileURLToPath(new URL("../../", import.meta.url));

/** Runs npm the way the project's own scripts are run, on every platform. */
export function npm(args, cwd) {
  const npmCli = process.env["npm_execpath"];
  const [program, first] = npmCli ? [process.execPath, [npmCli]] : ["npm", []];
  return execFileSync(program, [...first, ...args], { cwd, encoding: "utf8", stdio: "pipe" });
}

/**
 * Packs the package and installs it into a project of its own.
 *
 * @param {string} name of the project, a folder under target/package
 * @returns {{ project: string, files: string[] }} the project and what the tarball holds
 */
export function installPackage(name) {
  const project = join(root, "target/package", name);
  rmSync(project, { recursive: true, force: true });
  mkdirSync(project, { recursive: true });
  const packed = npm(["pack", "--json", "--pack-destination", project], root);
  const [{ filename, files }] = JSON.parse(packed);
  const manifest = { name, private: true, type: "module" };
  writeFileSync(join(project, "package.json"), JSON.stringify(manifest));
  npm(["install", "--offline", "--no-audit", "--no-fund", `./${filename}`], project);
  if (process.env["GATEPASS_ENGINE"] === "js")
    useTranslation(join(project, "node_modules/gatepass"));
  return { project, files: files.map((file) => file.path).sort() };
}

/**
 * Makes an installed package run as JavaScript in place of WebAssembly, whatever imports it: the
 * same tests hold for both.
 *
 * @param {string} folder of the package
 */
export function useTranslation(folder) {
  const file = join(folder, "package.json");
  const manifest = JSON.parse(readFileSync(file, "utf8"));
  for (const [path, translated] of Object.entries(manifest.exports)) {
    const plain = path.replace(/\/js$/, "");
    if (plain !== path) manifest.exports[plain] = translated;
  }
  writeFileSync(file, JSON.stringify(manifest));
}

/**
 * An entry of an installed package, as a file of that project imports it.
 *
 * @param {string} project
 * @param {string} specifier
 */
export async function importInstalled(project, specifier) {
  const file = join(project, `import-${specifier.replaceAll("/", "-")}.mjs`);
  writeFileSync(file, `export * from "${specifier}";\n`);
  return import(pathToFileURL(file).href);
}

/** A file of the project's tests. */
export const testFile = (path) => join(root, "tests", path);
