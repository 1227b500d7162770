// A registry of npm on this machine that has a few packages: those that are installed beside the tests.

import { createHash } from "node:crypto";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";

import { makeFolder } from "./folder.mjs";
import { npm } from "./installed.mjs";
import { listen } from "./program.mjs";

const installed = fileURLToPath(new URL("../../node_modules/", import.meta.url));

/**
 * Starts it; the test's end ends it.
 *
 * @param {string[]} names of packages; what they depend on has to be among them
 * @returns the variables by which npm asks here and nowhere else, with a cache of its own
 */
export async function startRegistry(t, names) {
  const folder = makeFolder("registry");
  const documents = new Map();
  const tarballs = new Map();
  const { origin } = await listen(t, (request, response) => {
    const path = decodeURIComponent(request.url);
    const found = documents.get(path) ?? tarballs.get(path);
    response.writeHead(found === undefined ? 404 : 200).end(found);
  });
  for (const name of names) {
    const from = join(installed, name);
    const packed = npm(
      ["pack", "--json", "--ignore-scripts", "--pack-destination", folder, from],
      folder,
    );
    const [{ filename }] = JSON.parse(packed);
    const bytes = readFileSync(join(folder, filename));
    tarballs.set(`/tarballs/${filename}`, bytes);
    const {
      scripts: _,
      devDependencies: __,
      ...manifest
    } = JSON.parse(readFileSync(join(from, "package.json"), "utf8"));
    const integrity = `sha512-${createHash("sha512").update(bytes).digest("base64")}`;
    const { version } = manifest;
    const dist = { tarball: `${origin}/tarballs/${filename}`, integrity };
    documents.set(
      `/${name}`,
      JSON.stringify({
        name,
        "dist-tags": { latest: version },
        versions: { [version]: { ...manifest, dist } },
      }),
    );
  }
  return { npm_config_registry: origin, npm_config_cache: join(folder, "cache") };
}
