// The package as users get it: packed, and installed into an empty project.

import { execFileSync } from "node:child_process";
import { mkdirSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";

const root = fileURLToPath(new URL("../../", import.meta.url));

/** Runs npm the way the project's own scripts are run, on every platform. */
function npm(args, cwd) {
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
  return { project, files: files.map((file) => file.path).sort() };
}

/** A file of the project's tests. */
export const testFile = (path) => join(root, "tests", path);
